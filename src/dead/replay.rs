//! Replay and discard. An operator marks letters; a running hub sends them on their way, paced, and can be stopped.
//!
//! The command line needs no access to the bus, so it works beside a hub on the embedded bus and while no hub runs.
//!
//! A letter is `replaying` until the bus has it, `underway` until the router or the lane has dealt with it, and `replayed`
//! from then on. Until then it holds its key (see [`super::hold`]); then what waited behind it follows by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Filter, hold::FOLLOWERS, json_ids};
use crate::{
    bus::{Bus, Confirm, Message, Route},
    config::keys::Keys,
    envelope::{Event, EventId, Occurrence, SubscriptionId},
    ledger::{Entry, Kind, chain::Chain},
    store::{Error, Row, Store, Tx},
    telemetry::{record, stage::Stage},
};

/// Letters sent in one go, once a second: the pace of a replay.
const PER_SECOND: i64 = 500;

/// What a decision needs to know of a letter.
const RETURNING: &str = "RETURNING event_id, system, bookdate, dataset, occurrence, stage, subscription, partition_key";

/// Marks the letters that fit for replay and writes the reason into the ledger. Returns how many.
///
/// Only what the router or a lane set aside can be replayed; a row that a source could not decode or map is read again
/// from the source.
pub async fn request(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $9 WHERE {} AND state IN ('parked', 'rejected') \
         AND stage IN ('route', 'deliver') {RETURNING}",
        Filter::WHERE
    );
    let (mut chain, mut tx) = (Chain::open(store, "operator", key).await?, store.begin().await?);
    let rows = decide(&mut tx, &mut chain, &sql, filter, reason, Kind::Replayed).await?;
    add_parked(&mut tx, rows.iter().filter(|row| row.text(5) == "deliver"), -1).await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Gives letters up for good, with a reason: the books count their records as rejected, and what waited behind them follows.
pub async fn discard(store: &Store, key: Arc<SigningKey>, filter: &Filter, reason: &str) -> Result<u64, Error> {
    let sql = format!(
        "UPDATE dead SET state = 'discarded', note = $9 WHERE {} AND state IN ('parked', 'rejected') {RETURNING}",
        Filter::WHERE
    );
    let (mut chain, mut tx) = (Chain::open(store, "operator", key).await?, store.begin().await?);
    let rows = decide(&mut tx, &mut chain, &sql, filter, reason, Kind::Discarded).await?;
    let arrivals = "UPDATE arrival SET state = 'rejected', \
                    open = CASE WHEN parked > 0 THEN open - CAST(value ->> 1 AS BIGINT) ELSE open END, \
                    parked = CASE WHEN parked > 0 THEN parked - CAST(value ->> 1 AS BIGINT) ELSE 0 END \
                    FROM {rows} WHERE occurrence = value ->> 0";
    tx.execute(arrivals, &[per_occurrence(rows.iter()).into()]).await?;
    let mut queues: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in &rows {
        queues.entry((row.text(5), row.text(6))).or_default().push(row.text(7));
    }
    for ((stage, subscription), keys) in &queues {
        let entries = follow(&mut tx, stage, subscription, keys.iter().map(String::as_str)).await?;
        chain.append(&mut tx, &entries).await?;
    }
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Takes back what the bus does not have yet. Returns how many letters are set aside again.
pub async fn stop(store: &Store) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let sql = format!("UPDATE dead SET state = {BACK} WHERE state = 'replaying' {RETURNING}");
    let rows = tx.read(&sql, &[]).await?;
    add_parked(&mut tx, rows.iter().filter(|row| row.text(5) == "deliver"), 1).await?;
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// The state that a marked letter had before: the books still say whether its record was rejected.
const BACK: &str = "CASE WHEN stage = 'route' AND EXISTS \
                    (SELECT 1 FROM arrival WHERE arrival.occurrence = dead.occurrence AND arrival.state = 'rejected') \
                    THEN 'rejected' ELSE 'parked' END";

async fn decide(tx: &mut Tx, chain: &mut Chain, sql: &str, filter: &Filter, reason: &str, kind: Kind) -> Result<Vec<Row>, Error> {
    let mut args = filter.args();
    args.push(reason.into());
    let rows = tx.read(sql, &args).await?;
    let entries: Vec<Entry> = rows.iter().map(|row| entry(row, kind, reason)).collect();
    chain.append(tx, &entries).await?;
    Ok(rows)
}

fn entry(row: &Row, kind: Kind, reason: &str) -> Entry {
    let body = json!({ "occurrence": row.text(4), "stage": row.text(5), "reason": reason });
    Entry { kind, event_id: row.text(0), system: row.text(1), bookdate: row.text(2), dataset: row.text(3), body }
}

/// Adds to the count of parked deliveries of each letter's record. Two receivers may have parked the same record: a
/// statement touches a row once, so the numbers are summed before.
async fn add_parked(tx: &mut Tx, rows: impl Iterator<Item = &Row>, sign: i64) -> Result<(), Error> {
    let sql = "UPDATE arrival SET parked = parked + $2 * CAST(value ->> 1 AS BIGINT) FROM {rows} WHERE occurrence = value ->> 0";
    tx.execute(sql, &[per_occurrence(rows).into(), sign.into()]).await?;
    Ok(())
}

/// `[occurrence, number of letters]` for each occurrence.
fn per_occurrence<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.text(4)).or_default() += 1;
    }
    Value::Array(counts.into_iter().map(|(occurrence, count)| json!([occurrence, count])).collect()).to_string()
}

/// Closes letters that have gone through.
pub async fn through(tx: &mut Tx, ids: impl Iterator<Item = &str>) -> Result<(), Error> {
    let sql =
        "UPDATE dead SET state = 'replayed' WHERE state IN ('replaying', 'underway') AND id IN (SELECT value ->> 0 FROM {rows})";
    tx.execute(sql, &[json_ids(ids).into()]).await?;
    Ok(())
}

/// Marks what waits behind letters of these keys, now that they are through or given up. Returns the ledger's rows about it.
///
/// Only what waits for no other reason follows, and not past an older letter that is set aside for a reason of its own.
pub async fn follow(tx: &mut Tx, stage: &str, subscription: &str, keys: impl Iterator<Item = &str>) -> Result<Vec<Entry>, Error> {
    const NOTE: &str = "follows an earlier record of its key";
    let codes = FOLLOWERS.map(|code| format!("'{code}'")).join(", ");
    let sql = format!(
        "UPDATE dead SET state = 'replaying', note = $4 \
         WHERE state = 'parked' AND stage = $2 AND subscription = $3 AND partition_key IN (SELECT value ->> 0 FROM {{rows}}) \
         AND code IN ({codes}) AND NOT EXISTS (SELECT 1 FROM dead AS older WHERE older.partition_key = dead.partition_key \
         AND older.stage = dead.stage AND older.subscription = dead.subscription AND older.place < dead.place \
         AND older.state IN ('parked', 'replaying', 'underway') AND older.code NOT IN ({codes})) {RETURNING}"
    );
    let rows = tx.read(&sql, &[json_ids(keys).into(), stage.into(), subscription.into(), NOTE.into()]).await?;
    add_parked(tx, rows.iter().filter(|row| row.text(5) == "deliver"), -1).await?;
    Ok(rows.iter().map(|row| entry(row, Kind::Replayed, NOTE)).collect())
}

/// The occurrence under which a routed letter goes on its way again: under its old one, which the router has counted, it
/// would be taken for a repeat.
pub fn occurrence_again(event: &EventId, occurrence: &str) -> Occurrence {
    Occurrence::derive(event, &format!("replay/{occurrence}"))
}

/// The task of a running hub: sends marked letters on their way until cancelled.
pub async fn run(bus: Arc<dyn Bus>, store: Store, keys: Keys, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(error) = send_some(bus.as_ref(), &store, &keys).await {
            tracing::warn!(%error, "replay could not go on");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// One go, in the order in which the letters were set aside. What the bus does not confirm stays marked and is tried again;
/// a younger letter of the key that went through before it waits at the other end.
async fn send_some(bus: &dyn Bus, store: &Store, keys: &Keys) -> Result<(), Error> {
    let sql =
        "SELECT id, stage, subscription, occurrence, body, at FROM dead WHERE state = 'replaying' ORDER BY place, id LIMIT $1";
    let rows = store.read(sql, &[PER_SECOND.into()]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let (mut sendable, mut messages, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        match message(row, keys) {
            Some(message) => {
                sendable.push(row);
                messages.push(message);
            }
            // Its body cannot be opened: sealed with other keys.
            None => back.push(row),
        }
    }
    let (mut sent, mut refused) = (Vec::new(), 0);
    for (row, confirm) in sendable.into_iter().zip(bus.publish(messages).await) {
        match confirm {
            Confirm::Stored => sent.push(row),
            // There is no such queue: the receiver is gone.
            Confirm::Returned => back.push(row),
            Confirm::Nacked | Confirm::TimedOut | Confirm::Closed => refused += 1,
        }
    }
    if refused + back.len() > 0 {
        tracing::warn!(records = refused, batch = back.len(), "part of a replay could not be sent, or is set aside again");
    }
    mark_sent(store, &sent, &back).await
}

/// Only letters that are as they were read: one may have been dealt with, and marked anew, in the meantime.
async fn mark_sent(store: &Store, sent: &[&Row], back: &[&Row]) -> Result<(), Error> {
    let ids = |rows: &[&Row]| Value::Array(rows.iter().map(|row| json!([row.text(0), row.int(5)])).collect()).to_string();
    let of = "FROM {rows} WHERE dead.id = value ->> 0 AND dead.at = CAST(value ->> 1 AS BIGINT) AND state = 'replaying'";
    let mut tx = store.begin().await?;
    tx.execute(&format!("UPDATE dead SET state = 'underway' {of}"), &[ids(sent).into()]).await?;
    let returned = tx
        .read(
            &format!("UPDATE dead SET state = {BACK} {of} RETURNING '', '', '', '', dead.occurrence, dead.stage"),
            &[ids(back).into()],
        )
        .await?;
    add_parked(&mut tx, returned.iter().filter(|row| row.text(5) == "deliver"), 1).await?;
    tx.commit().await?;
    for stage in [Stage::Route, Stage::Deliver] {
        record::replayed(stage, sent.iter().filter(|row| row.text(1) == stage.as_str()).count());
    }
    Ok(())
}

fn message(row: &Row, keys: &Keys) -> Option<Message> {
    let body = keys.open(&row.text(4))?;
    let mut event: Event = serde_json::from_slice(&body).ok()?;
    if row.text(1) == "deliver" {
        let id = event.deliveryid.as_ref()?.as_str().to_owned();
        return Some(Message { route: Route::Deliver(SubscriptionId::new(row.text(2))), id, body: body.into() });
    }
    event.occurrence = occurrence_again(&event.id, &row.text(3));
    let route = Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() };
    Some(Message { route, id: event.id.as_str().to_owned(), body: event.to_bytes().into() })
}

/// Whether letters wait to be sent by a running hub.
pub async fn pending(store: &Store) -> Result<bool, Error> {
    Ok(!store.read("SELECT id FROM dead WHERE state = 'replaying' LIMIT 1", &[]).await?.is_empty())
}
