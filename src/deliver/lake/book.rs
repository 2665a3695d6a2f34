//! The book of intents in the store: which batch carries a delivery, and whether it is in the table.

use std::collections::HashMap;

use rand::Rng as _;
use serde_json::{Value, json};

use super::error::Error;
use crate::{
    clock,
    store::{Arg, Row, Store},
};

/// Bits of a batch id below its milliseconds.
const RANDOM_BITS: u32 = 20;
/// Old batches that one call of [`Book::prune`] forgets.
const PRUNED_AT_ONCE: i64 = 64;

/// One batch of the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub id: i64,
    pub dataset: String,
    pub app_id: String,
    pub txn_version: i64,
    pub done: bool,
}

impl Batch {
    fn of(row: &Row, first: usize) -> Self {
        Self {
            id: row.int(first),
            dataset: row.text(first + 1),
            app_id: row.text(first + 2),
            txn_version: row.int(first + 3),
            done: row.text(first + 4) == "done",
        }
    }

    /// What the ledger keeps: any reader of Delta can look the transaction up in the table.
    pub(super) fn receipt(&self) -> String {
        format!("delta:{}@{}", self.app_id, self.txn_version)
    }
}

/// Reads and writes `lake_batch` and `lake_delivery`.
#[derive(Clone)]
pub(super) struct Book(pub Store);

impl Book {
    /// The batches of those deliveries that have one. One round trip.
    pub(super) async fn known(&self, deliveries: impl Iterator<Item = &str>) -> Result<HashMap<String, Batch>, Error> {
        let sql = "SELECT d.delivery_id, b.batch_id, b.dataset, b.app_id, b.txn_version, b.state \
                   FROM lake_delivery d JOIN lake_batch b ON b.batch_id = d.batch_id \
                   WHERE d.delivery_id IN (SELECT value ->> 'd' FROM {rows})";
        let rows = self.0.read(sql, &[Arg::from(&wrap(deliveries))]).await?;
        Ok(rows.iter().map(|row| (row.text(0), Batch::of(row, 1))).collect())
    }

    /// Notes a batch and its deliveries as pending. `None` when someone else has one of the deliveries, the transaction
    /// number, or an open batch under the same application id: look again.
    pub(super) async fn claim(
        &self,
        dataset: &str,
        app_id: &str,
        txn_version: i64,
        deliveries: &[String],
    ) -> Result<Option<Batch>, Error> {
        let now = clock::millis();
        let id = (now << RANDOM_BITS) | i64::from(rand::rng().random_range(0..1_u32 << RANDOM_BITS));
        let count = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
        let mut tx = self.0.begin().await?;
        let sql = "INSERT INTO lake_batch (batch_id, dataset, app_id, txn_version, state, version, records, at) \
                   VALUES ($1, $2, $3, $4, 'pending', -1, $5, $6) ON CONFLICT DO NOTHING";
        let args = [id.into(), dataset.into(), app_id.into(), txn_version.into(), count.into(), now.into()];
        if tx.execute(sql, &args).await? != 1 {
            return Ok(None);
        }
        let sql = "INSERT INTO lake_delivery (delivery_id, batch_id) SELECT value ->> 'd', CAST($2 AS BIGINT) FROM {rows} \
                   WHERE true ON CONFLICT DO NOTHING";
        let rows = wrap(deliveries.iter().map(String::as_str));
        if tx.execute(sql, &[Arg::from(&rows), id.into()]).await? != deliveries.len() as u64 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(Batch { id, dataset: dataset.to_owned(), app_id: app_id.to_owned(), txn_version, done: false }))
    }

    /// The batch is in the table; `version` is -1 when only its transaction was found. May be repeated.
    pub(super) async fn finish(&self, batch: &Batch, version: i64) -> Result<(), Error> {
        let sql = "UPDATE lake_batch SET state = 'done', version = $2 WHERE batch_id = $1 AND state = 'pending'";
        self.0.write(sql, &[batch.id.into(), version.into()]).await?;
        Ok(())
    }

    /// The batch is not in the table and never will be: its deliveries are free again.
    pub(super) async fn forget(&self, batch: &Batch) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        if tx.execute("DELETE FROM lake_batch WHERE batch_id = $1 AND state = 'pending'", &[batch.id.into()]).await? == 1 {
            tx.execute("DELETE FROM lake_delivery WHERE batch_id = $1", &[batch.id.into()]).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The open batch of one application id, at most one.
    pub(super) async fn pending(&self, app_id: &str) -> Result<Option<Batch>, Error> {
        let sql = "SELECT batch_id, dataset, app_id, txn_version, state FROM lake_batch WHERE state = 'pending' AND app_id = $1";
        Ok(self.0.read(sql, &[app_id.into()]).await?.first().map(|row| Batch::of(row, 0)))
    }

    /// The greatest transaction number that the book has for an application id; 0 for none.
    pub(super) async fn last_transaction(&self, app_id: &str) -> Result<i64, Error> {
        let rows = self.0.read("SELECT MAX(txn_version) FROM lake_batch WHERE app_id = $1", &[app_id.into()]).await?;
        Ok(rows.first().map_or(0, |row| row.int(0)))
    }

    /// Forgets some batches that were done before `millis`; a delivery that comes again later would be written again.
    pub(super) async fn prune(&self, millis: i64) -> Result<u64, Error> {
        let mut tx = self.0.begin().await?;
        let old = "SELECT batch_id FROM lake_batch WHERE state = 'done' AND batch_id < $1 ORDER BY batch_id LIMIT $2";
        let args = [Arg::Int(millis << RANDOM_BITS), Arg::Int(PRUNED_AT_ONCE)];
        tx.execute(&format!("DELETE FROM lake_delivery WHERE batch_id IN ({old})"), &args).await?;
        let pruned = tx.execute(&format!("DELETE FROM lake_batch WHERE batch_id IN ({old})"), &args).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

fn wrap<'a>(deliveries: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(deliveries.map(|id| json!({ "d": id })).collect())
}
