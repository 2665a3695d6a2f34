//! One Delta table: opened, created or widened once, then carried forward commit by commit.
//!
//! The loaded state is kept and advanced by what was committed since; the log is not replayed per batch. When the
//! outcome of a step is unknown the state is dropped and read again at the next use.

use std::{collections::HashMap, time::Duration};

use deltalake_core::{
    DeltaTable, DeltaTableBuilder, DeltaTableError,
    kernel::{
        Action, StructField, Transaction,
        transaction::{CommitBuilder, CommitConflictError, CommitProperties, TransactionError},
    },
    logstore::commit_uri_from_version,
    protocol::{DeltaOperation, SaveMode},
    table::config::TableProperty,
};
use url::Url;

use super::{
    LakeOptions,
    columns::{Columns, INGEST_DATE},
    durable::Durable,
    error::{Error, INCOMPATIBLE},
    file::STATS_COLUMNS,
};
use crate::error::{Fault, Faults};

/// How often a commit is tried again after another writer's.
const ATTEMPTS: usize = 5;

/// One table and its loaded state.
#[derive(Clone)]
pub(super) struct Table {
    pub dataset: String,
    pub delta: DeltaTable,
    pub durable: Durable,
    limit: Duration,
}

/// Awaits the table's storage, for a while.
pub(super) async fn limited<T>(dataset: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    let timed_out = |_| Error::TimedOut { dataset: dataset.to_owned(), seconds: limit.as_secs() };
    tokio::time::timeout(limit, work).await.map_err(timed_out)
}

impl Table {
    /// Opens the table of a dataset; creates it when missing, adds columns that it lacks.
    ///
    /// # Errors
    /// [`INCOMPATIBLE`] for every column that has another type; what the storage says.
    pub(super) async fn open(dataset: &str, url: Url, columns: &Columns, options: &LakeOptions) -> Result<Self, Error> {
        let durable = Durable::of(&url);
        let builder = DeltaTableBuilder::from_url(url).map_err(|error| Error::table(dataset, error))?;
        let delta =
            builder.with_storage_options(options.storage.clone()).build().map_err(|error| Error::table(dataset, error))?;
        let mut table = Self { dataset: dataset.to_owned(), delta, durable, limit: options.time_limit };
        if !table.exists().await? {
            table.create(columns, options).await?;
        }
        table.refresh().await?;
        table.widen(columns).await?;
        Ok(table)
    }

    async fn exists(&self) -> Result<bool, Error> {
        self.limited(self.delta.verify_deltatable_existence()).await?.map_err(|error| self.error(error))
    }

    async fn create(&mut self, columns: &Columns, options: &LakeOptions) -> Result<(), Error> {
        let days = |duration: Duration| Some(format!("interval {} seconds", duration.as_secs()));
        let create = self
            .delta
            .create()
            .with_table_name(self.dataset.clone())
            .with_columns(columns.delta())
            .with_partition_columns([INGEST_DATE])
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_configuration_property(TableProperty::CheckpointInterval, Some(options.checkpoint_every.max(1).to_string()))
            .with_configuration_property(TableProperty::LogRetentionDuration, days(options.log_retention))
            .with_configuration_property(TableProperty::DeletedFileRetentionDuration, days(options.file_retention))
            .with_configuration_property(TableProperty::DataSkippingStatsColumns, Some(STATS_COLUMNS));
        match self.limited(create.into_future()).await? {
            Ok(_) => {
                tracing::info!(dataset = %self.dataset, "table created in the lake");
                let _ = self.durable.flush(&commit_uri_from_version(Some(0))).await;
                Ok(())
            }
            // Another process was faster: then it is there.
            Err(error) => {
                if self.exists().await? {
                    Ok(())
                } else {
                    Err(self.error(error))
                }
            }
        }
    }

    /// Adds the columns that the table lacks.
    async fn widen(&mut self, columns: &Columns) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let missing = self.missing(columns)?;
            if missing.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = missing.iter().map(|field| field.name().clone()).collect();
            match self.limited(self.delta.clone().add_columns().with_fields(missing).into_future()).await? {
                Ok(_) => tracing::info!(dataset = %self.dataset, columns = ?names, "columns added to the table in the lake"),
                Err(DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_)) => {}
                Err(error) => return Err(self.error(error)),
            }
            self.refresh().await?;
        }
        Err(Error::Conflict { dataset: self.dataset.clone() })
    }

    fn missing(&self, columns: &Columns) -> Result<Vec<StructField>, Error> {
        let schema = self.delta.snapshot().map_err(|error| self.error(error))?.schema();
        let present: HashMap<String, &StructField> = schema.fields().map(|field| (field.name().to_lowercase(), field)).collect();
        let (mut missing, mut faults) = (Vec::new(), Vec::new());
        for field in columns.delta() {
            match present.get(&field.name().to_lowercase()) {
                None => missing.push(field),
                Some(found) if found.data_type() == field.data_type() && found.name() == field.name() => {}
                Some(found) => {
                    let message =
                        format!("column `{}` of the table of `{}` is `{}`", field.name(), self.dataset, found.data_type());
                    let fault = Fault::new(INCOMPATIBLE, message).in_file(self.delta.table_url().path()).at_column(field.name());
                    let hint = "a change of type needs a new major version of the dataset, or a table rewritten by hand";
                    faults.push(fault.expected(field.data_type().to_string()).hint(hint));
                }
            }
        }
        if faults.is_empty() { Ok(missing) } else { Err(Faults(faults).into()) }
    }

    /// Takes in what was committed since the last look, by anyone.
    pub(super) async fn refresh(&mut self) -> Result<(), Error> {
        let mut delta = self.delta.clone();
        let read = self.limited(delta.update_state()).await?;
        read.map_err(|error| self.error(error))?;
        self.delta = delta;
        Ok(())
    }

    /// The state, read again when an earlier step left none.
    async fn loaded(&mut self) -> Result<(), Error> {
        if self.delta.state.is_none() { self.refresh().await } else { Ok(()) }
    }

    pub(super) fn version(&self) -> Option<u64> {
        self.delta.version()
    }

    /// The last transaction number of an application id; 0 for none.
    pub(super) async fn transaction(&self, app_id: &str) -> Result<i64, Error> {
        let state = self.delta.snapshot().map_err(|error| self.error(error))?;
        let log = self.delta.log_store();
        let found = self.limited(state.transaction_version(log.as_ref(), app_id)).await?;
        Ok(found.map_err(|error| self.error(error))?.unwrap_or(0))
    }

    /// Commits with an application transaction. Other writers' commits in between are no obstacle, but one under the same
    /// application id is: then someone has taken over, and the answer is [`Error::Conflict`].
    pub(super) async fn append(&mut self, actions: Vec<Action>, transaction: Transaction) -> Result<u64, Error> {
        for _ in 0..ATTEMPTS {
            let write = DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![INGEST_DATE.to_owned()]),
                predicate: None,
            };
            let properties = properties().with_application_transaction(transaction.clone());
            match self.commit(actions.clone(), write, properties).await? {
                Ok(version) => return Ok(version),
                // The table got new columns meanwhile: ours are still a subset.
                Err(TransactionError::CommitConflict(CommitConflictError::MetadataChanged)) => self.refresh().await?,
                Err(TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_)) => break,
                Err(error) => return Err(Error::table(&self.dataset, error)),
            }
        }
        self.delta.state = None;
        Err(Error::Conflict { dataset: self.dataset.clone() })
    }

    /// Replaces files by others with the same rows. Only on exactly the state that was read: the library's own check does
    /// not see that two rewrites remove the same file.
    pub(super) async fn rewrite(
        &mut self,
        actions: Vec<Action>,
        target_bytes: u64,
        transaction: Transaction,
    ) -> Result<Option<u64>, Error> {
        let optimize = DeltaOperation::Optimize { predicate: None, target_size: i64::try_from(target_bytes).unwrap_or(i64::MAX) };
        let properties = properties().with_max_retries(0).with_application_transaction(transaction);
        match self.commit(actions, optimize, properties).await? {
            Ok(version) => Ok(Some(version)),
            Err(TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_)) => Ok(None),
            Err(error) => Err(Error::table(&self.dataset, error)),
        }
    }

    /// One commit. The outer error means that the outcome is unknown or the storage failed.
    async fn commit(
        &mut self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        properties: CommitProperties,
    ) -> Result<Result<u64, TransactionError>, Error> {
        self.loaded().await?;
        let log = self.delta.log_store();
        let committed = {
            let state = self.delta.snapshot().map_err(|error| self.error(error))?;
            let commit = CommitBuilder::from(properties).with_actions(actions).build(Some(state), log, operation);
            let write = async { commit.into_prepared_commit_future().await?.await };
            self.limited(write).await
        };
        let committed = match committed {
            Ok(Ok(committed)) => committed,
            Ok(Err(DeltaTableError::Transaction { source })) => return Ok(Err(source)),
            failed => {
                self.delta.state = None;
                failed?.map_err(|error| self.error(error))?;
                return Err(Error::Conflict { dataset: self.dataset.clone() });
            }
        };
        let version = committed.version;
        // From here on the rows are in the table: a failure to flush leaves the batch open, and it is found again.
        self.flush(version).await?;
        self.delta.state = match self.limited(committed.into_future()).await {
            Ok(Ok(done)) => Some(done.snapshot),
            _ => None,
        };
        Ok(Ok(version))
    }

    /// Makes a commit outlive a power cut.
    pub(super) async fn flush(&self, version: u64) -> Result<(), Error> {
        let flushed = self.limited(self.durable.flush(&commit_uri_from_version(Some(version)))).await?;
        flushed.map_err(|error| Error::reason(&self.dataset, error))
    }

    pub(super) async fn limited<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        limited(&self.dataset, self.limit, work).await
    }

    pub(super) fn error(&self, error: DeltaTableError) -> Error {
        Error::table(&self.dataset, error)
    }
}

/// Checkpoints and cleaning are [`super::maintain`]'s: a commit does nothing else.
fn properties() -> CommitProperties {
    CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false))
}
