//! Attempts: finding the record that crashes the process.
//!
//! The count is our own and lives in the store, since brokers count differently. Only redelivered messages are counted,
//! so the good road costs nothing. A message on its third attempt is first tried in a child process: if the child dies,
//! that message is the culprit and is parked; its neighbours, which only happened to be in flight, go on.

pub mod probe;
#[cfg(test)]
mod tests;

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
pub const SUSPECT: i64 = 3;
/// The attempt at which a message is parked even if the child survived it.
const GIVE_UP: i64 = 20;

/// Counts one more attempt for every redelivered message and returns the suspects: index in the batch, attempts.
pub async fn suspects(store: &Store, stage: &str, batch: &[Received]) -> Result<Vec<(usize, i64)>, Error> {
    let again: Vec<&str> = batch.iter().filter(|received| received.redelivered).map(|received| received.id.as_str()).collect();
    if again.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(stage) = Stage::parse(stage) {
        record::redelivered(stage, again.len());
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

/// Of the suspects, those that must be parked: the child died of them, or they have been tried too often.
pub async fn culprits(child: Option<&probe::Child>, batch: &[Received], suspects: &[(usize, i64)]) -> Vec<(usize, Fault)> {
    let mut culprits = Vec::new();
    let tired = |attempts: i64| attempts >= GIVE_UP;
    for (index, attempts) in suspects.iter().filter(|(_, attempts)| tired(*attempts)) {
        culprits.push((*index, fault(*attempts)));
    }
    let Some(child) = child else { return culprits };
    let to_try: Vec<(usize, i64)> = suspects.iter().copied().filter(|(_, attempts)| !tired(*attempts)).collect();
    let bodies: Vec<&[u8]> = to_try.iter().map(|(index, _)| batch[*index].body.as_ref()).collect();
    for fatal in child.try_all(&bodies).await {
        let (index, attempts) = to_try[fatal];
        culprits.push((index, fault(attempts)));
    }
    culprits
}

fn fault(attempts: i64) -> Fault {
    Fault::new(CRASHES, format!("the record made the process die; parked at attempt {attempts}"))
        .hint("report it with the event id; `civilhub dead replay` sends it again after the program is mended")
}
