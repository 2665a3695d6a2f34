//! Replay and discard. An operator marks letters; a running hub sends them on their way, paced, and can be stopped.
//!
//! The command line needs no access to the bus, so it works beside a hub on the embedded bus and while no hub runs.
//! When the last letter that holds a key back is decided, those that wait behind it follow by themselves.

use std::{hash::{Hash, Hasher}, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use rustc_hash::FxHasher;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Filter;
use crate::{
    bus::{Bus, Message, Route, send::{Ordered, publish_all}},
    config::keys::Keys,
    deliver,
    envelope::{Event, Occurrence, SubscriptionId},
    ledger::{Entry, Kind, chain::Chain},
    router,
    store::{Error, Row, Store, Tx},
};

/// Letters sent in one go, once a second: the pace of a replay.
const PER_SECOND: i64 = 500;

/// What a decision of an operator touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// The letters that were meant.
    pub letters: u64,
    /// Letters that waited behind them and are now replayed too.
    pub followers: u64,
}

/// Marks the letters that fit for replay and writes the reason into the ledger. Returns how many.
///
/// Only what the router or a lane set aside can be replayed; a row that a source could not decode or map is read again
/// from the source.
pub async fn request(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<Decided, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $6 WHERE {} AND state IN ('parked', 'rejected') AND stage IN ('route', 'deliver') \
         RETURNING {RETURNED}",
        Filter::WHERE
    );
    decide(store, key, &sql, filter, reason, Kind::Replayed).await
}

/// Gives letters up for good, with a reason: the books count their records as rejected.
pub async fn discard(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<Decided, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'discarded', note = $6 WHERE {} AND state IN ('parked', 'rejected') \
         RETURNING {RETURNED}",
        Filter::WHERE
    );
    decide(store, key, &sql, filter, reason, Kind::Discarded).await
}

/// Takes back what a hub has not sent yet. Returns how many letters are parked again.
pub async fn stop(store: &Store) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let rows = tx.read("UPDATE dead SET state = 'parked' WHERE state = 'replaying' RETURNING occurrence", &[]).await?;
    let occurrences: Vec<Value> = rows.iter().map(|row| json!([row.text(0)])).collect();
    tx.execute("UPDATE arrival SET parked = parked + 1 FROM {rows} WHERE occurrence = value ->> 0 AND state = 'dispatched'", &[Value::Array(occurrences).to_string().into()]).await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Columns of a letter that a decision works with.
const RETURNED: &str = "event_id, system, bookdate, dataset, occurrence, stage, subscription, partition_key";

async fn decide(store: &Store, key: Arc<SigningKey>, sql: &str, filter: &Filter, reason: &str, kind: Kind) -> Result<Decided, Error> {
    let mut chain = Chain::open(store, "operator", key).await?;
    let mut tx = store.begin().await?;
    let mut args = filter.args();
    args.push(reason.into());
    let letters = tx.read(sql, &args).await?;
    recount(&mut tx, &letters, kind).await?;
    let followers = follow(&mut tx, &letters, reason).await?;
    recount(&mut tx, &followers, Kind::Replayed).await?;
    let decided = letters.iter().map(|row| entry(row, kind, reason));
    let entries: Vec<Entry> = decided.chain(followers.iter().map(|row| entry(row, Kind::Replayed, reason))).collect();
    chain.append(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(Decided { letters: letters.len() as u64, followers: followers.len() as u64 })
}

/// Takes decided letters out of the count of what is set aside. What the router set aside and is replayed stays counted
/// until it is sent under its new occurrence.
async fn recount(tx: &mut Tx, letters: &[Row], kind: Kind) -> Result<(), Error> {
    let sql = match kind {
        Kind::Discarded => "UPDATE arrival SET state = 'rejected', parked = CASE WHEN parked > 0 THEN parked - 1 ELSE 0 END FROM {rows} WHERE occurrence = value ->> 0",
        _ => "UPDATE arrival SET parked = parked - 1 FROM {rows} WHERE occurrence = value ->> 0 AND parked > 0",
    };
    let counted = letters.iter().filter(|row| row.text(5) == "deliver" || kind == Kind::Discarded);
    let occurrences: Vec<Value> = counted.map(|row| json!([row.text(4)])).collect();
    tx.execute(sql, &[Value::Array(occurrences).to_string().into()]).await?;
    Ok(())
}

/// Marks the letters that waited behind the decided ones for replay, unless something else still holds their key back.
/// Without this a replayed record would itself be set aside again, behind those that wait for it.
async fn follow(tx: &mut Tx, decided: &[Row], reason: &str) -> Result<Vec<Row>, Error> {
    let places: Vec<Value> = decided.iter().map(|row| json!([row.text(7), row.text(5), row.text(6)])).collect();
    let waiting = [router::BEHIND, deliver::BEHIND, deliver::webhook::KEY_HELD].map(|code| format!("'{code}'")).join(", ");
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $2 WHERE state = 'parked' AND code IN ({waiting}) \
         AND EXISTS (SELECT 1 FROM {{rows}} WHERE value ->> 0 = dead.partition_key AND value ->> 1 = dead.stage AND value ->> 2 = dead.subscription) \
         AND NOT EXISTS (SELECT 1 FROM dead AS first WHERE first.partition_key = dead.partition_key AND first.stage = dead.stage \
         AND first.subscription = dead.subscription AND first.state = 'parked' AND first.code NOT IN ({waiting})) RETURNING {RETURNED}"
    );
    tx.read(&sql, &[Value::Array(places).to_string().into(), reason.into()]).await
}

/// Whether letters wait to be sent by a running hub.
pub async fn pending(store: &Store) -> Result<bool, Error> {
    Ok(!store.read("SELECT id FROM dead WHERE state = 'replaying' LIMIT 1", &[]).await?.is_empty())
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
    // Letters of one moment were filed by one batch and stay together: only the record itself says which came first.
    let sql = "SELECT id, stage, subscription, occurrence, body, at FROM dead WHERE state = 'replaying' \
               AND at <= (SELECT MAX(at) FROM (SELECT at FROM dead WHERE state = 'replaying' ORDER BY at LIMIT $1) AS oldest) ORDER BY at";
    let rows = store.read(sql, &[PER_SECOND.into()]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let letters: Vec<(&Row, Option<Again>)> = rows.iter().map(|row| (row, again(row, keys))).collect();
    let mut messages: Vec<&Again> = letters.iter().filter_map(|(_, again)| again.as_ref()).collect();
    messages.sort_by_key(|again| again.place);
    let messages = messages.into_iter().map(|again| again.message.clone()).collect();
    if !publish_all(bus, messages, cancel).await {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    mark_sent(&mut tx, &letters).await?;
    tx.commit().await
}

/// A letter whose body cannot be opened (other keys) stays set aside.
async fn mark_sent(tx: &mut Tx, letters: &[(&Row, Option<Again>)]) -> Result<(), Error> {
    let ids = |sent: bool| Value::Array(letters.iter().filter(|(_, message)| message.is_some() == sent).map(|(row, _)| json!([row.text(0)])).collect()).to_string();
    tx.execute("UPDATE dead SET state = 'replayed' WHERE id IN (SELECT value ->> 0 FROM {rows}) AND state = 'replaying'", &[ids(true).into()]).await?;
    tx.execute("UPDATE dead SET state = 'parked' WHERE id IN (SELECT value ->> 0 FROM {rows}) AND state = 'replaying'", &[ids(false).into()]).await?;
    // What was counted as set aside is counted anew when it arrives under its new occurrence.
    let routed: Vec<Value> = letters.iter().filter(|(row, message)| message.is_some() && row.text(1) == "route").map(|(row, _)| json!([row.text(3)])).collect();
    tx.execute("DELETE FROM arrival WHERE occurrence IN (SELECT value ->> 0 FROM {rows})", &[Value::Array(routed).to_string().into()]).await?;
    Ok(())
}

/// A letter as it is sent again.
struct Again {
    /// When it was filed, and its sequence within the source object.
    place: (i64, i64),
    message: Ordered,
}

fn again(row: &Row, keys: &Keys) -> Option<Again> {
    let body = keys.open(&row.text(4))?;
    let mut event: Event = serde_json::from_slice(&body).ok()?;
    let mut hasher = FxHasher::default();
    (row.text(2), event.partitionkey.as_str()).hash(&mut hasher);
    let place = (row.int(5), event.sequence);
    let message = if row.text(1) == "deliver" {
        Message { route: Route::Deliver(SubscriptionId::new(row.text(2))), id: event.deliveryid.as_ref()?.as_str().to_owned(), body: body.into() }
    } else {
        // The router has counted the old occurrence: under it the record would be taken for a repeat.
        event.occurrence = Occurrence::derive(&event.id, &format!("replay/{}", row.text(3)));
        Message { route: Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() }, id: event.id.as_str().to_owned(), body: event.to_bytes().into() }
    };
    Some(Again { place, message: Ordered { message, order: hasher.finish() } })
}
