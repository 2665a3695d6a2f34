//! The mailbox target: deliveries wait in the store until the partner fetches and acknowledges them.
//!
//! Many banks accept no calls from outside; they come with a cursor instead. Cursors of a partner count 1, 2, 3 without
//! a gap in the order of delivery: the writer locks the partner's head row, gives out the next numbers and moves the
//! head in one transaction, so two writers take turns and a reader never sees 5 before 4 is there. A delivery id that is
//! already there keeps its cursor, acknowledged or not: the second try has no effect.

use std::time::Duration;

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use serde_json::json;

use super::{Delivery, Outcome, Target};
use crate::{
    clock,
    config::keys::Keys,
    error::{Code, Fault},
    store::{Arg, Error, Store, Tx},
};

pub mod routes;

/// The partner has left too many deliveries lying: nothing is added until it fetches some.
pub const FULL: Code = Code::new(6040);
/// The partner acknowledges a cursor that was never given out.
pub const BEYOND: Code = Code::new(6043);

/// The most bytes of bodies that one read gives; one delivery comes even if it is larger.
const MOST_BYTES: i64 = 4 << 20;

/// The most rows that one transaction of housekeeping touches.
const STEP: i64 = 20_000;

/// The mailboxes of all partners.
#[derive(Clone)]
pub struct Mailboxes {
    store: Store,
    keys: Keys,
}

/// One waiting delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its place in the mailbox, from 1.
    pub cursor: i64,
    /// The CloudEvent as structured-mode JSON.
    pub body: String,
}

/// What one read gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Oldest first.
    pub letters: Vec<Letter>,
    /// Whether more is waiting behind the last one.
    pub more: bool,
}

/// How an acknowledgement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// Everything up to this cursor is acknowledged now.
    UpTo(i64),
    /// Refused: the last cursor given out is this one.
    Beyond(i64),
}

/// First and last state of one partner's mailbox.
struct Head {
    cursor: i64,
    acknowledged: i64,
}

impl Mailboxes {
    /// On the tables of migration 0004. Bodies name citizens, if only in part: they lie there sealed.
    pub fn new(store: Store, keys: Keys) -> Self {
        Self { store, keys }
    }

    /// Appends a batch and gives each delivery its cursor; `None` if the mailbox would hold more than `capacity`
    /// unacknowledged ones, and then nothing is appended.
    pub async fn append(&self, partner: &str, batch: &[Delivery], capacity: u32) -> Result<Option<Vec<i64>>, Error> {
        let mut tx = self.store.begin().await?;
        let head = lock(&mut tx, partner).await?;
        let mut cursors = known(&mut tx, batch).await?;
        let (mut rows, mut next) = (Vec::new(), head.cursor);
        for delivery in batch {
            if cursors.contains_key(delivery.id.as_str()) {
                continue;
            }
            next += 1;
            cursors.insert(delivery.id.to_string(), next);
            let body = delivery.event.to_bytes();
            let sealed = self.keys.seal(&body);
            rows.push(json!({ "cursor": next, "id": delivery.id.as_str(), "size": body.len(), "body": sealed }));
        }
        if next - head.acknowledged > i64::from(capacity) && !rows.is_empty() {
            return Ok(None);
        }
        if !rows.is_empty() {
            insert(&mut tx, partner, rows).await?;
            let moved = "UPDATE mailbox_head SET cursor = $2 WHERE partner = $1";
            tx.execute(moved, &[partner.into(), next.into()]).await?;
        }
        tx.commit().await?;
        Ok(Some(batch.iter().map(|delivery| cursors.get(delivery.id.as_str()).copied().unwrap_or_default()).collect()))
    }

    /// Deliveries after a cursor, oldest first: at most `limit`, and at most a few megabytes.
    pub async fn read(&self, partner: &str, after: i64, limit: u32) -> Result<Page, Error> {
        // Sizes first: bodies may be large, and only those that are sent shall be in memory.
        let sizes = "SELECT cursor, size FROM mailbox WHERE partner = $1 AND cursor > $2 AND size > 0 \
                     AND cursor > (SELECT acknowledged FROM mailbox_head WHERE partner = $1) ORDER BY cursor LIMIT $3";
        let sizes = self.store.read(sizes, &[partner.into(), after.into(), (i64::from(limit) + 1).into()]).await?;
        let (mut last, mut taken, mut bytes) = (after, 0, 0);
        for row in sizes.iter().take(limit as usize) {
            bytes += row.int(1);
            if bytes > MOST_BYTES && taken > 0 {
                break;
            }
            last = row.int(0);
            taken += 1;
        }
        if taken == 0 {
            return Ok(Page::default());
        }
        let bodies =
            "SELECT cursor, body FROM mailbox WHERE partner = $1 AND cursor > $2 AND cursor <= $3 AND size > 0 ORDER BY cursor";
        let bodies = self.store.read(bodies, &[partner.into(), after.into(), last.into()]).await?;
        let letters = bodies.iter().map(|row| Letter { cursor: row.int(0), body: self.opened(row.text(1)) }).collect();
        Ok(Page { letters, more: sizes.len() > taken })
    }

    /// What was put there before bodies were sealed is plain.
    fn opened(&self, body: String) -> String {
        self.keys.open(&body).and_then(|plain| String::from_utf8(plain).ok()).unwrap_or(body)
    }

    /// Removes the bodies of everything up to the cursor. May be repeated; an older cursor changes nothing.
    ///
    /// Works in steps, each a transaction of its own: a partner that acknowledges a million must not run into the time
    /// limit of a statement. What a broken-off call has done stays done.
    pub async fn acknowledge(&self, partner: &str, cursor: i64) -> Result<Acknowledged, Error> {
        loop {
            let mut tx = self.store.begin().await?;
            let head = lock(&mut tx, partner).await?;
            if cursor > head.cursor {
                return Ok(Acknowledged::Beyond(head.cursor));
            }
            if cursor <= head.acknowledged {
                return Ok(Acknowledged::UpTo(head.acknowledged));
            }
            let step = cursor.min(head.acknowledged + STEP);
            let empty = "UPDATE mailbox SET body = '', size = 0 WHERE partner = $1 AND cursor > $2 AND cursor <= $3";
            tx.execute(empty, &[partner.into(), head.acknowledged.into(), step.into()]).await?;
            let moved = "UPDATE mailbox_head SET acknowledged = $2 WHERE partner = $1";
            tx.execute(moved, &[partner.into(), step.into()]).await?;
            tx.commit().await?;
        }
    }

    /// Unacknowledged deliveries of a partner.
    pub async fn waiting(&self, partner: &str) -> Result<i64, Error> {
        let rows =
            self.store.read("SELECT cursor - acknowledged FROM mailbox_head WHERE partner = $1", &[partner.into()]).await?;
        Ok(rows.first().map_or(0, |row| row.int(0)))
    }
}

/// Locks the head row of the partner for this transaction, making it if need be.
async fn lock(tx: &mut Tx, partner: &str) -> Result<Head, Error> {
    let sql = "INSERT INTO mailbox_head (partner, cursor, acknowledged) VALUES ($1, 0, 0) \
               ON CONFLICT (partner) DO UPDATE SET cursor = mailbox_head.cursor RETURNING cursor, acknowledged";
    let rows = tx.read(sql, &[partner.into()]).await?;
    let row = rows.first().ok_or_else(|| Error::Failed("the head of a mailbox is missing".to_owned()))?;
    Ok(Head { cursor: row.int(0), acknowledged: row.int(1) })
}

/// Cursors of the deliveries that are there already.
async fn known(tx: &mut Tx, batch: &[Delivery]) -> Result<FxHashMap<String, i64>, Error> {
    let ids: serde_json::Value = batch.iter().map(|delivery| json!({ "id": delivery.id.as_str() })).collect();
    let sql = "SELECT delivery_id, cursor FROM mailbox WHERE delivery_id IN (SELECT value ->> 'id' FROM {rows})";
    let rows = tx.read(sql, &[Arg::from(&ids)]).await?;
    Ok(rows.iter().map(|row| (row.text(0), row.int(1))).collect())
}

/// Forgets acknowledged ids that are older than `before` (milliseconds): no repeat comes so late. Returns how many; call
/// again while it is not zero.
///
/// # Errors
/// When the store fails.
pub async fn prune(store: &Store, before: i64) -> Result<u64, Error> {
    let sql = "DELETE FROM mailbox WHERE delivery_id IN (SELECT delivery_id FROM mailbox WHERE size = 0 AND at < $1 LIMIT $2)";
    store.write(sql, &[before.into(), STEP.into()]).await
}

async fn insert(tx: &mut Tx, partner: &str, rows: Vec<serde_json::Value>) -> Result<(), Error> {
    let sql = "INSERT INTO mailbox (partner, cursor, delivery_id, size, body, at) \
               SELECT $2, CAST(value ->> 'cursor' AS BIGINT), value ->> 'id', CAST(value ->> 'size' AS BIGINT), value ->> 'body', \
               CAST($3 AS BIGINT) FROM {rows}";
    let rows = serde_json::Value::Array(rows);
    tx.execute(sql, &[Arg::from(&rows), partner.into(), clock::millis().into()]).await?;
    Ok(())
}

/// The target of one partner that fetches.
pub struct Mailbox {
    boxes: Mailboxes,
    partner: String,
    capacity: u32,
}

impl Mailbox {
    /// `capacity`: unacknowledged deliveries before delivery pauses and the queue on the bus takes over.
    pub fn new(boxes: Mailboxes, partner: impl Into<String>, capacity: u32) -> Self {
        Self { boxes, partner: partner.into(), capacity }
    }
}

#[async_trait]
impl Target for Mailbox {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let unavailable = |fault, pause| vec![Outcome::Unavailable { fault, retry_after: pause }; batch.len()];
        match self.boxes.append(&self.partner, batch, self.capacity).await {
            Ok(Some(cursors)) => {
                cursors.iter().map(|cursor| Outcome::Delivered { receipt: format!("cursor {cursor}") }).collect()
            }
            Ok(None) => {
                let fault = Fault::new(FULL, "the partner's mailbox is full").hint("ask the partner to fetch and acknowledge");
                unavailable(fault, Some(Duration::from_secs(60)))
            }
            Err(error) => unavailable(error.fault(), None),
        }
    }

    fn batch_size(&self) -> usize {
        256
    }
}
