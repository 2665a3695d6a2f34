//! Attempts: finding the record that crashes the process.
//!
//! The count is our own and lives in the store, since brokers count differently. Only redelivered messages are counted,
//! so the good road costs nothing. A message on its third attempt is first tried in a child process: if the child dies,
//! that message is the culprit and is parked; its neighbours, which only happened to be in flight, go on.
//!
//! What kills the process beyond the child's sight is found by handling ever smaller parts of the batch, down to single
//! messages that are counted while they are in hand. Every part that comes through is settled, so a hub that is killed
//! from outside, however often, gets on and convicts nobody.

pub mod probe;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rustc_hash::FxHashMap;
use serde_json::json;

use crate::{
    bus::Received,
    error::{Code, Fault},
    store::{Error, Store},
    telemetry::{record, stage::Stage},
};

/// The record made the process, or the child that tried it, die; it is parked.
pub const CRASHES: Code = Code::new(5302);

/// The attempt that is tried in a child process first.
const SUSPECT: i64 = 3;
/// From this attempt on a child has nothing more to say, and parts get smaller: attempts and most messages of a part.
const SMALLER: [(i64, usize); 3] = [(6, 64), (9, 8), (12, 1)];
/// How often a single message may be in hand when the process dies.
const GIVE_UP: i64 = 10;

/// What the attempts so far say about a batch.
#[derive(Debug, Default)]
pub struct Trial {
    culprits: FxHashMap<usize, Fault>,
    /// Attempts of the suspects.
    suspects: FxHashMap<usize, i64>,
}

impl Trial {
    /// Counts one more attempt for every redelivered message, and tries those that have come too often.
    pub async fn of(store: &Store, stage: &str, child: Option<&probe::Child>, batch: &[Received]) -> Result<Self, Error> {
        let suspects = suspects(store, stage, batch).await?;
        let to_try: Vec<(usize, i64)> = suspects.iter().copied().filter(|(_, attempts)| *attempts < SMALLER[0].0).collect();
        let bodies: Vec<&[u8]> = to_try.iter().map(|(index, _)| batch[*index].body.as_ref()).collect();
        let mut trial = Self { culprits: FxHashMap::default(), suspects: suspects.into_iter().collect() };
        if let Some(child) = child {
            for fatal in child.try_all(&bodies).await {
                let (index, attempts) = to_try[fatal];
                trial.convict(stage, batch, index, attempts);
            }
        }
        Ok(trial)
    }

    /// The parts of a batch of this length that are handled and settled one after the other.
    pub fn parts(&self, length: usize) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut start = 0;
        while start < length {
            let mut end = start;
            let mut most = length;
            while end < length && end - start < most.min(self.most(end)) {
                most = most.min(self.most(end));
                end += 1;
            }
            parts.push(start..end);
            start = end;
        }
        parts
    }

    /// The largest part that the message at this place may be in.
    fn most(&self, index: usize) -> usize {
        let attempts = self.suspects.get(&index).copied().unwrap_or_default();
        SMALLER.iter().rev().find(|(from, _)| attempts >= *from).map_or(usize::MAX, |(_, most)| *most)
    }

    /// Call it before a part is handled: a message that has been in hand alone too often is the culprit.
    pub async fn in_hand(&mut self, store: &Store, stage: &str, batch: &[Received], part: &Range<usize>) -> Result<(), Error> {
        if part.len() != 1 || self.most(part.start) > 1 {
            return Ok(());
        }
        let counted = count(store, &alone(stage), [batch[part.start].id.as_str()].as_slice(), 1).await?;
        let deaths = counted.values().next().map_or(0, |times| times - 1);
        if deaths >= GIVE_UP {
            self.convict(stage, batch, part.start, self.suspects.get(&part.start).copied().unwrap_or(deaths));
        }
        Ok(())
    }

    fn convict(&mut self, stage: &str, batch: &[Received], index: usize, attempts: i64) {
        let fault = fault(attempts);
        tracing::error!(code = %fault.code, place = stage, event_id = %batch[index].id, attempts, "a record makes the process die and is set aside");
        self.culprits.insert(index, fault);
    }

    /// Why the message at this place of the batch must be parked.
    pub fn culprit(&self, index: usize) -> Option<&Fault> {
        self.culprits.get(&index)
    }
}

/// The stage under which messages are counted that are in hand alone.
fn alone(stage: &str) -> String {
    format!("{stage}, alone")
}

/// Counts one more attempt for every redelivered message and returns the suspects: index in the batch, attempts.
async fn suspects(store: &Store, stage: &str, batch: &[Received]) -> Result<Vec<(usize, i64)>, Error> {
    let again: Vec<&str> = batch.iter().filter(|received| received.redelivered).map(|received| received.id.as_str()).collect();
    if again.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(stage) = Stage::parse(stage) {
        record::redelivered(stage, again.len());
    }
    let counted = count(store, stage, &again, 2).await?;
    let attempts =
        |received: &Received| counted.get(&received.id).copied().filter(|attempts| received.redelivered && *attempts >= SUSPECT);
    Ok(batch.iter().enumerate().filter_map(|(index, received)| Some((index, attempts(received)?))).collect())
}

/// Counts once more for each message; the first time it is counted as `first`.
async fn count(store: &Store, stage: &str, ids: &[&str], first: i64) -> Result<FxHashMap<String, i64>, Error> {
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO attempt (message_id, stage, attempts) SELECT DISTINCT value ->> 0, $2, CAST($3 AS BIGINT) FROM {rows} WHERE true \
               ON CONFLICT (message_id, stage) DO UPDATE SET attempts = attempt.attempts + 1 RETURNING message_id, attempts";
    let ids: serde_json::Value = ids.iter().map(|id| json!([id])).collect();
    let rows = tx.read(sql, &[(&ids).into(), stage.into(), first.into()]).await?;
    tx.commit().await?;
    Ok(rows.iter().map(|row| (row.text(0), row.int(1))).collect())
}

/// Forgets the attempts of messages that came through.
pub async fn forget(store: &Store, stage: &str, batch: &[Received]) -> Result<(), Error> {
    let ids: Vec<_> = batch.iter().filter(|received| received.redelivered).map(|received| json!([received.id])).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM attempt WHERE stage IN ($2, $3) AND message_id IN (SELECT value ->> 0 FROM {rows})";
    store.write(sql, &[serde_json::Value::Array(ids).to_string().into(), stage.into(), alone(stage).into()]).await?;
    Ok(())
}

fn fault(attempts: i64) -> Fault {
    Fault::new(CRASHES, format!("the record made the process die; parked at attempt {attempts}"))
        .hint("report it with the event id; `civilhub dead replay` sends it again after the program is mended")
}
