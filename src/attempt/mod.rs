//! Attempts: finding the record that crashes the process.
//!
//! The count is our own and lives in the store, since brokers count differently. Only redelivered messages are counted,
//! so the good road costs nothing. A message on its third attempt is first tried in a child process: if the child dies,
//! that message is the culprit and is parked; its neighbours, which only happened to be in flight, go on.
//!
//! What kills the process beyond the child's sight is found by going through the batch one by one: the oldest message that
//! is still there after a death is the one that was in hand. A hub that is killed from outside convicts nobody that way,
//! unless it dies twenty times without getting one message further.

pub mod probe;

use std::ops::Range;

use rustc_hash::FxHashMap;
use serde_json::json;

use crate::{
    bus::Received,
    error::{Code, Fault},
    store::{Error, Store},
};

/// The record made the process, or the child that tried it, die; it is parked.
pub const CRASHES: Code = Code::new(5302);

/// The attempt that is tried in a child process first.
const SUSPECT: i64 = 3;
/// From this attempt on messages are handled one by one, and a child has nothing more to say about them.
const ALONE: i64 = 6;
/// The attempt at which the oldest message is parked.
const GIVE_UP: i64 = 20;

/// What the attempts so far say about a batch.
#[derive(Debug, Default)]
pub struct Trial {
    culprits: FxHashMap<usize, Fault>,
    alone: bool,
}

impl Trial {
    /// Counts one more attempt for every redelivered message, and tries those that have come too often.
    pub async fn of(store: &Store, stage: &str, child: Option<&probe::Child>, batch: &[Received]) -> Result<Self, Error> {
        let suspects = suspects(store, stage, batch).await?;
        let mut culprits = FxHashMap::default();
        if let Some((index, attempts)) = suspects.first().filter(|(_, attempts)| *attempts >= GIVE_UP) {
            culprits.insert(*index, fault(*attempts));
        }
        let to_try: Vec<(usize, i64)> = suspects.iter().copied().filter(|(_, attempts)| *attempts < ALONE).collect();
        let bodies: Vec<&[u8]> = to_try.iter().map(|(index, _)| batch[*index].body.as_ref()).collect();
        if let Some(child) = child {
            for fatal in child.try_all(&bodies).await {
                let (index, attempts) = to_try[fatal];
                culprits.insert(index, fault(attempts));
            }
        }
        for (index, fault) in &culprits {
            tracing::error!(code = %fault.code, place = stage, event_id = %batch[*index].id, "a record makes the process die and is set aside");
        }
        Ok(Self { culprits, alone: suspects.iter().any(|(_, attempts)| *attempts >= ALONE) })
    }

    /// The parts of a batch of this length that are handled and settled one after the other.
    pub fn parts(&self, length: usize) -> Vec<Range<usize>> {
        match length {
            0 => Vec::new(),
            _ if self.alone => (0..length).map(|index| index..index + 1).collect(),
            _ => std::iter::once(0..length).collect(),
        }
    }

    /// Why the message at this place of the batch must be parked.
    pub fn culprit(&self, index: usize) -> Option<&Fault> {
        self.culprits.get(&index)
    }
}

/// Counts one more attempt for every redelivered message and returns the suspects: index in the batch, attempts.
async fn suspects(store: &Store, stage: &str, batch: &[Received]) -> Result<Vec<(usize, i64)>, Error> {
    let again: Vec<&str> = batch.iter().filter(|received| received.redelivered).map(|received| received.id.as_str()).collect();
    if again.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO attempt (message_id, stage, attempts) SELECT DISTINCT value ->> 0, $2, 2 FROM {rows} WHERE true \
               ON CONFLICT (message_id, stage) DO UPDATE SET attempts = attempt.attempts + 1 RETURNING message_id, attempts";
    let ids: Vec<_> = again.iter().map(|id| json!([id])).collect();
    let rows = tx.read(sql, &[serde_json::Value::Array(ids).to_string().into(), stage.into()]).await?;
    tx.commit().await?;
    let counted: FxHashMap<String, i64> = rows.iter().map(|row| (row.text(0), row.int(1))).collect();
    let attempts = |received: &Received| counted.get(&received.id).copied().filter(|attempts| received.redelivered && *attempts >= SUSPECT);
    Ok(batch.iter().enumerate().filter_map(|(index, received)| Some((index, attempts(received)?))).collect())
}

/// Forgets the attempts of messages that came through.
pub async fn forget(store: &Store, stage: &str, batch: &[Received]) -> Result<(), Error> {
    let ids: Vec<_> = batch.iter().filter(|received| received.redelivered).map(|received| json!([received.id])).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM attempt WHERE stage = $2 AND message_id IN (SELECT value ->> 0 FROM {rows})";
    store.write(sql, &[serde_json::Value::Array(ids).to_string().into(), stage.into()]).await?;
    Ok(())
}

fn fault(attempts: i64) -> Fault {
    Fault::new(CRASHES, format!("the record made the process die; parked at attempt {attempts}"))
        .hint("report it with the event id; `civilhub dead replay` sends it again after the program is mended")
}
