//! Replay and discard. An operator marks letters; a running hub sends them on their way, paced, and can be stopped.
//!
//! The command line needs no access to the bus, so it works beside a hub on the embedded bus and while no hub runs.

use std::{hash::{Hash, Hasher}, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use rustc_hash::FxHasher;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Filter;
use crate::{
    bus::{Bus, Message, Route, send::{Ordered, publish_all}},
    config::keys::Keys,
    envelope::{Event, Occurrence, SubscriptionId},
    ledger::{Entry, Kind, chain::Chain},
    store::{Error, Row, Store, Tx},
    telemetry::{record, stage::Stage},
};

/// A delivery that is no longer set aside.
const UNPARK: &str = "UPDATE arrival SET parked = parked - 1 FROM {rows} WHERE occurrence = value ->> 0 AND parked > 0";

/// Letters sent in one go, once a second: the pace of a replay.
const PER_SECOND: i64 = 500;

/// Marks the letters that fit for replay and writes the reason into the ledger. Returns how many.
///
/// Only what the router or a lane set aside can be replayed; a row that a source could not decode or map is read again
/// from the source.
pub async fn request(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $6 WHERE {} AND state IN ('parked', 'rejected') AND stage IN ('route', 'deliver') \
         RETURNING event_id, system, bookdate, dataset, occurrence, stage, partition_key, subscription",
        Filter::WHERE
    );
    decide(store, key, &sql, filter, reason, Kind::Replayed, UNPARK).await
}

/// Gives letters up for good, with a reason: the books count their records as rejected.
pub async fn discard(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'discarded', note = $6 WHERE {} AND state IN ('parked', 'rejected') \
         RETURNING event_id, system, bookdate, dataset, occurrence, stage, partition_key, subscription",
        Filter::WHERE
    );
    let arrivals = "UPDATE arrival SET state = 'rejected', parked = CASE WHEN parked > 0 THEN parked - 1 ELSE 0 END FROM {rows} WHERE occurrence = value ->> 0";
    decide(store, key, &sql, filter, reason, Kind::Discarded, arrivals).await
}

/// Takes back what a hub has not sent yet. Returns how many letters are set aside again.
pub async fn stop(store: &Store) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let count = put_back(&mut tx, "1 = 1", "[]").await?;
    tx.commit().await?;
    Ok(count)
}

/// Letters that are not sent after all become what they were: rejected if the books count their record so, else parked.
async fn put_back(tx: &mut Tx, which: &str, rows: &str) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE dead SET state = CASE WHEN stage = 'route' AND EXISTS \
         (SELECT 1 FROM arrival WHERE arrival.occurrence = dead.occurrence AND arrival.state = 'rejected') THEN 'rejected' ELSE 'parked' END \
         WHERE state = 'replaying' AND {which} AND $1 = $1 RETURNING occurrence, stage"
    );
    let back = tx.read(&sql, &[rows.into()]).await?;
    let parked: Vec<Value> = back.iter().filter(|row| row.text(1) == "deliver").map(|row| json!([row.text(0)])).collect();
    let sql = "UPDATE arrival SET parked = parked + 1 FROM {rows} WHERE occurrence = value ->> 0";
    tx.execute(sql, &[Value::Array(parked).to_string().into()]).await?;
    Ok(back.len() as u64)
}

async fn decide(store: &Store, key: Arc<SigningKey>, sql: &str, filter: &Filter, reason: &str, kind: Kind, arrivals: &str) -> Result<u64, Error> {
    let mut chain = Chain::open(store, "operator", key).await?;
    let mut tx = store.begin().await?;
    let mut args = filter.args();
    args.push(reason.into());
    let mut rows = tx.read(sql, &args).await?;
    let decided = rows.len();
    rows.extend(followers(&mut tx, &rows, reason).await?);
    let entries: Vec<Entry> = rows.iter().map(|row| entry(row, kind, reason)).collect();
    let of = |rows: &[Row], stage_matters: bool| Value::Array(rows.iter().filter(|row| !stage_matters || row.text(5) == "deliver").map(|row| json!([row.text(4)])).collect()).to_string();
    tx.execute(arrivals, &[of(&rows[..decided], kind == Kind::Replayed).into()]).await?;
    tx.execute(UNPARK, &[of(&rows[decided..], true).into()]).await?;
    chain.append(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// What was only set aside behind a letter goes on its way with it, be the letter replayed or given up.
async fn followers(tx: &mut Tx, decided: &[Row], reason: &str) -> Result<Vec<Row>, Error> {
    let keys: Vec<Value> = decided.iter().map(|row| json!([row.text(6), row.text(5), row.text(7)])).collect();
    let behind = [crate::router::BEHIND, crate::deliver::BEHIND, crate::deliver::webhook::KEY_HELD].map(|code| format!("'{code}'")).join(", ");
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $2 WHERE state = 'parked' AND code IN ({behind}) \
         AND partition_key || '/' || stage || '/' || subscription IN (SELECT (value ->> 0) || '/' || (value ->> 1) || '/' || (value ->> 2) FROM {{rows}}) \
         RETURNING event_id, system, bookdate, dataset, occurrence, stage, partition_key, subscription"
    );
    tx.read(&sql, &[Value::Array(keys).to_string().into(), reason.into()]).await
}

fn entry(row: &Row, kind: Kind, reason: &str) -> Entry {
    let body = json!({ "occurrence": row.text(4), "stage": row.text(5), "reason": reason });
    Entry { kind, event_id: row.text(0), system: row.text(1), bookdate: row.text(2), dataset: row.text(3), body }
}

/// The task of a running hub: sends marked letters on their way until cancelled.
pub async fn run(bus: Arc<dyn Bus>, store: Store, keys: Keys, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        let sent = send_some(bus.as_ref(), &store, &keys, &cancel).await;
        if let Err(error) = &sent {
            tracing::warn!(%error, "replay could not go on");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn send_some(bus: &dyn Bus, store: &Store, keys: &Keys, cancel: &CancellationToken) -> Result<(), Error> {
    let sql = "SELECT id, stage, subscription, occurrence, body FROM dead WHERE state = 'replaying' ORDER BY at, place, id LIMIT $1";
    let rows = store.read(sql, &[PER_SECOND.into()]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let letters: Vec<(&Row, Option<Ordered>)> = rows.iter().map(|row| (row, ordered(row, keys))).collect();
    let messages = letters.iter().filter_map(|(_, message)| message.clone()).collect();
    if !publish_all(bus, messages, cancel).await {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    mark_sent(&mut tx, &letters).await?;
    tx.commit().await?;
    for stage in [Stage::Route, Stage::Deliver] {
        record::replayed(stage, letters.iter().filter(|(row, sent)| sent.is_some() && row.text(1) == stage.as_str()).count());
    }
    Ok(())
}

/// A letter whose body cannot be opened (other keys) stays set aside.
async fn mark_sent(tx: &mut Tx, letters: &[(&Row, Option<Ordered>)]) -> Result<(), Error> {
    let ids = |sent: bool| Value::Array(letters.iter().filter(|(_, message)| message.is_some() == sent).map(|(row, _)| json!([row.text(0)])).collect()).to_string();
    tx.execute("UPDATE dead SET state = 'replayed' WHERE id IN (SELECT value ->> 0 FROM {rows}) AND state = 'replaying'", &[ids(true).into()]).await?;
    put_back(tx, "id IN (SELECT value ->> 0 FROM {rows})", &ids(false)).await?;
    // What was counted as set aside is counted anew when it arrives under its new occurrence.
    let routed: Vec<Value> = letters.iter().filter(|(row, message)| message.is_some() && row.text(1) == "route").map(|(row, _)| json!([row.text(3)])).collect();
    tx.execute("DELETE FROM arrival WHERE occurrence IN (SELECT value ->> 0 FROM {rows})", &[Value::Array(routed).to_string().into()]).await?;
    Ok(())
}

fn ordered(row: &Row, keys: &Keys) -> Option<Ordered> {
    let body = keys.open(&row.text(4))?;
    let mut event: Event = serde_json::from_slice(&body).ok()?;
    let mut hasher = FxHasher::default();
    (row.text(2), event.partitionkey.as_str()).hash(&mut hasher);
    let message = if row.text(1) == "deliver" {
        Message { route: Route::Deliver(SubscriptionId::new(row.text(2))), id: event.deliveryid.as_ref()?.as_str().to_owned(), body: body.into() }
    } else {
        // The router has counted the old occurrence: under it the record would be taken for a repeat.
        event.occurrence = Occurrence::derive(&event.id, &format!("replay/{}", row.text(3)));
        Message { route: Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() }, id: event.id.as_str().to_owned(), body: event.to_bytes().into() }
    };
    Some(Ordered { message, order: hasher.finish() })
}
