//! The road of one batch into one table, exactly once by intent.
//!
//! Look up, encode, claim, put the file, commit, mark. The batch is noted in the store before the table has it,
//! and carries a transaction number of the writer's application id. Whoever finds an open batch (this process after
//! a failure, the next one after a crash, another writer to which the bus gave the delivery) asks the table for that
//! number: there means done, not there means forgotten, after a fence. The fence is a commit that repeats the number
//! before: it takes the log entry that a late commit would have taken, and makes a writer that is still alive fail.

use std::{collections::HashMap, sync::Arc};

use deltalake_core::{
    arrow::array::RecordBatch,
    kernel::{Action, Transaction},
    logstore::object_store::{ObjectStoreExt as _, path::Path},
};
use tokio::sync::OwnedMutexGuard;

use super::{
    LakeOptions,
    book::{Batch, Book},
    columns::Columns,
    error::Error,
    file::{self, Stats},
    rows::Rows,
    step::Step,
    table::Table,
};
use crate::{
    clock,
    deliver::{Delivery, Outcome},
};

/// How often a batch is looked up again because others had part of it.
const ATTEMPTS: usize = 4;
/// Rows between two chances for other tasks while columns are built.
const ROWS_AT_ONCE: usize = 512;

/// The writer of one table; one batch at a time.
pub(super) struct Writer {
    pub table: Table,
    pub columns: Columns,
    pub book: Book,
    pub options: Arc<LakeOptions>,
    /// `civilhub-<writer>/<dataset>`.
    pub app_id: String,
    /// The last transaction number used.
    pub transaction: i64,
}

/// What a batch looks like once its columns are made.
struct Encoded {
    rows: RecordBatch,
    deliveries: Vec<String>,
}

impl Writer {
    /// Settles what an earlier run left open, and learns the last transaction number.
    pub(super) async fn recover(&mut self) -> Result<(), Error> {
        if let Some(open) = self.book.pending(&self.app_id).await? {
            self.resolve(&open).await?;
        }
        self.transaction = self.table.transaction(&self.app_id).await?.max(self.book.last_transaction(&self.app_id).await?);
        Ok(())
    }

    /// Finishes or forgets an open batch, by asking the table.
    pub(super) async fn resolve(&mut self, open: &Batch) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            self.table.refresh().await?;
            if self.table.transaction(&open.app_id).await? >= open.txn_version {
                // The process may have died between the commit and its flush.
                self.table.flush(self.table.version().unwrap_or_default()).await?;
                tracing::info!(dataset = %open.dataset, transaction = open.txn_version, "open batch found in the table");
                return self.book.finish(open, -1).await;
            }
            let fence = Transaction::new(&open.app_id, open.txn_version - 1);
            match self.table.append(Vec::new(), fence).await {
                Ok(_) => {
                    tracing::info!(dataset = %open.dataset, transaction = open.txn_version, "open batch forgotten: not in the table");
                    return self.book.forget(open).await;
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { dataset: open.dataset.clone() })
    }

    fn reached(&self, step: Step) -> Result<(), Error> {
        if self.options.watch.goes_on(step) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// The batches that already carry some of the deliveries; open ones are settled first.
    async fn known(&mut self, batch: &[&Delivery]) -> Result<HashMap<String, Batch>, Error> {
        for _ in 0..ATTEMPTS {
            let known = self.book.known(batch.iter().map(|delivery| delivery.id.as_str())).await?;
            let mut open: Vec<&Batch> = known.values().filter(|batch| !batch.done).collect();
            open.sort_by_key(|batch| batch.id);
            open.dedup();
            if open.is_empty() {
                return Ok(known);
            }
            for batch in open {
                self.resolve(batch).await?;
            }
        }
        Err(Error::Conflict { dataset: self.table.dataset.clone() })
    }

    /// Makes columns of what is new; what does not fit is refused on the spot.
    async fn encode(&self, batch: &[&Delivery], outcomes: &mut HashMap<String, Outcome>) -> Result<Encoded, Error> {
        let mut rows = Rows::new(&self.columns, batch.len());
        let mut deliveries = Vec::with_capacity(batch.len());
        for part in batch.chunks(ROWS_AT_ONCE) {
            for delivery in part {
                let id = delivery.id.as_str();
                if outcomes.contains_key(id) {
                    continue;
                }
                match rows.push(delivery) {
                    Ok(()) => {
                        deliveries.push(id.to_owned());
                        // The same delivery twice in one batch is one row; the outcome is filled in at the end.
                        outcomes.insert(id.to_owned(), Outcome::Delivered { receipt: String::new() });
                    }
                    Err(fault) => {
                        outcomes.insert(id.to_owned(), Outcome::Refused(*fault));
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        debug_assert_eq!(rows.len(), deliveries.len());
        let rows = rows.finish().map_err(|error| Error::reason(&self.table.dataset, error))?;
        Ok(Encoded { rows, deliveries })
    }

    /// Claims, writes and commits; the batch that carries the deliveries, or `None` when others have part of it.
    async fn commit(&mut self, encoded: &Encoded) -> Result<Option<Batch>, Error> {
        let number = self.transaction + 1;
        let Some(batch) = self.book.claim(&self.table.dataset, &self.app_id, number, &encoded.deliveries).await? else {
            self.recover().await?;
            return Ok(None);
        };
        self.reached(Step::Claimed)?;
        let ingest_date = clock::iso_date(clock::today());
        let path = file::new_path(&ingest_date, "part");
        let bytes = match self.put(&path, encoded.rows.clone()).await {
            Ok(bytes) => bytes,
            Err(error) => {
                // No commit was tried, so nothing can arrive late.
                self.book.forget(&batch).await?;
                return Err(error);
            }
        };
        self.reached(Step::FileWritten)?;
        let mut stats = Stats::default();
        stats.add(&encoded.rows);
        let add = Action::Add(stats.action(&path, bytes, &ingest_date, true));
        let version = self.table.append(vec![add], Transaction::new(&self.app_id, number)).await?;
        self.transaction = number;
        self.reached(Step::Committed)?;
        self.book.finish(&batch, i64::try_from(version).unwrap_or(-1)).await?;
        self.reached(Step::Marked)?;
        Ok(Some(batch))
    }

    async fn put(&self, path: &Path, rows: RecordBatch) -> Result<u64, Error> {
        let failed = |reason: String| Error::reason(&self.table.dataset, reason);
        let encoded = tokio::task::spawn_blocking(move || file::encode(&rows)).await;
        let bytes = encoded.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        let size = bytes.len() as u64;
        let store = self.table.delta.object_store();
        self.table.limited(store.put(path, bytes.into())).await?.map_err(|error| failed(error.to_string()))?;
        self.table.limited(self.table.durable.flush(path)).await?.map_err(|error| failed(error.to_string()))?;
        Ok(size)
    }
}

/// Writes one batch; one outcome per delivery id. The part that changes anything runs in a task of its own: a caller
/// that stops waiting does not stop it half-way.
pub(super) async fn write(mut writer: OwnedMutexGuard<Writer>, batch: &[&Delivery]) -> Result<HashMap<String, Outcome>, Error> {
    for _ in 0..ATTEMPTS {
        let known = writer.known(batch).await?;
        writer.reached(Step::LookedUp)?;
        let mut outcomes: HashMap<String, Outcome> =
            known.into_iter().map(|(id, batch)| (id, Outcome::Delivered { receipt: batch.receipt() })).collect();
        let encoded = writer.encode(batch, &mut outcomes).await?;
        writer.reached(Step::Encoded)?;
        if encoded.deliveries.is_empty() {
            return Ok(outcomes);
        }
        let dataset = writer.table.dataset.clone();
        let task = tokio::spawn(async move {
            let committed = writer.commit(&encoded).await;
            (writer, encoded, committed)
        });
        let (back, encoded, committed) = task.await.map_err(|error| Error::reason(&dataset, error))?;
        if let Some(batch) = committed? {
            for id in encoded.deliveries {
                outcomes.insert(id, Outcome::Delivered { receipt: batch.receipt() });
            }
            return Ok(outcomes);
        }
        writer = back;
    }
    Err(Error::Conflict { dataset: writer.table.dataset.clone() })
}
