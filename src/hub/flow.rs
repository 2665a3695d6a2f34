//! What flows, what waits and what is set aside, from what all processes write into the store: for `civilhub top` and the
//! console. A look reads counters, never the records.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    clock,
    store::{Error, Row, Store},
};

/// One system.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SystemLine {
    pub system: String,
    /// Records handed over since the store was made.
    pub received: i64,
    /// Records a second since the last look.
    pub rate: f64,
    /// Dead letters that wait for a decision.
    pub dead: i64,
}

/// One queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueLine {
    pub queue: String,
    pub messages: i64,
    /// Age of the oldest message.
    pub oldest_seconds: i64,
    /// Messages that left it, a second, since the last look.
    pub rate: f64,
}

/// What is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Screen {
    pub at: String,
    pub systems: Vec<SystemLine>,
    pub queues: Vec<QueueLine>,
    /// Seconds since a running process last counted the queues.
    pub seen_seconds: Option<i64>,
}

/// What one look counts.
#[derive(Default)]
pub struct Look {
    at: i64,
    received: BTreeMap<String, i64>,
    dead: BTreeMap<String, i64>,
    /// Messages, settled, oldest, when seen.
    queues: BTreeMap<String, (i64, i64, i64, i64)>,
}

/// One look.
///
/// # Errors
/// The store failed.
pub async fn look(store: &Store) -> Result<Look, Error> {
    let mut look = Look { at: clock::millis(), ..Look::default() };
    let received = "SELECT system, CAST(SUM(records + refused) AS BIGINT) FROM handed_over GROUP BY system";
    look.received = store.read(received, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect();
    let dead = "SELECT system, COUNT(*) FROM dead WHERE state IN ('parked', 'rejected') GROUP BY system";
    look.dead = store.read(dead, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect();
    let queues = "SELECT queue, messages, settled, oldest_at, at FROM queue_depth";
    let row = |row: &Row| (row.text(0), (row.int(1), row.int(2), row.int(3), row.int(4)));
    look.queues = store.read(queues, &[]).await?.iter().map(row).collect();
    Ok(look)
}

/// Rates between two looks, and the newer one.
pub fn compare(before: &Look, now: &Look) -> Screen {
    let seconds = ((now.at - before.at).max(1) as f64) / 1000.0;
    let rate = |now: i64, before: Option<i64>| ((now - before.unwrap_or(now)).max(0) as f64 / seconds * 10.0).round() / 10.0;
    let mut systems: BTreeMap<&str, SystemLine> = BTreeMap::new();
    for (system, received) in &now.received {
        let line = systems.entry(system).or_default();
        (line.received, line.rate) = (*received, rate(*received, before.received.get(system).copied()));
    }
    for (system, letters) in &now.dead {
        systems.entry(system).or_default().dead = *letters;
    }
    let queues = now.queues.iter().map(|(queue, (messages, settled, oldest, _))| QueueLine {
        queue: queue.clone(),
        messages: *messages,
        oldest_seconds: if *messages == 0 || *oldest == 0 { 0 } else { (now.at - oldest).max(0) / 1000 },
        rate: rate(*settled, before.queues.get(queue).map(|(_, settled, ..)| *settled)),
    });
    Screen {
        at: clock::rfc3339(clock::now()),
        systems: systems.into_iter().map(|(system, line)| SystemLine { system: system.to_owned(), ..line }).collect(),
        queues: queues.collect(),
        seen_seconds: now.queues.values().map(|(.., seen)| (now.at - seen).max(0) / 1000).min(),
    }
}
