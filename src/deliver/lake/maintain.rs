//! Upkeep of the tables: one merge at a time, checkpoints of the log, removal of files nobody refers to.

use std::{collections::BTreeMap, time::Instant};

use deltalake_core::{
    checkpoints,
    kernel::LogicalFileView,
    logstore::object_store::{ObjectStoreExt as _, path::Path},
    operations::vacuum::VacuumMode,
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    LakeOptions,
    compact::{self, Compacted},
    error::Error,
    table::{Table, limited},
    write::Writer,
};

/// A merge, a vacuum or a checkpoint may take this many times the limit of one step.
const PATIENCE: u32 = 20;

/// What one round of upkeep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// At most one merge per round.
    pub compacted: Option<Compacted>,
    /// Datasets whose log got a checkpoint.
    pub checkpoints: Vec<String>,
    /// Files removed because no version within the retention refers to them.
    pub removed: usize,
    /// Old batches forgotten by the book.
    pub forgotten: u64,
}

/// The partition with the most small files, if it has too many of them.
pub(super) fn worst_partition(table: &Table, options: &LakeOptions) -> Option<(String, usize)> {
    let state = table.delta.snapshot().ok()?;
    let small = |file: &LogicalFileView| u64::try_from(file.size()).unwrap_or(0) < options.small_file;
    let mut partitions: BTreeMap<String, usize> = BTreeMap::new();
    for file in state.log_data().iter().filter(small) {
        if let Some(day) = compact::partition(&file) {
            *partitions.entry(day).or_default() += 1;
        }
    }
    partitions.into_iter().filter(|(_, files)| *files > options.small_files).max_by_key(|(_, files)| *files)
}

/// Writes a checkpoint when the last one is too many commits ago, and drops log entries past their retention.
pub(super) async fn checkpoint(writer: &Mutex<Writer>) -> Result<bool, Error> {
    let (table, options) = {
        let mut writer = writer.lock().await;
        writer.table.refresh().await?;
        (writer.table.clone(), writer.options.clone())
    };
    let version = table.version().unwrap_or_default();
    if version < last_checkpoint(&table).await?.unwrap_or(0) + options.checkpoint_every {
        return Ok(false);
    }
    let limit = options.time_limit * PATIENCE;
    let failed = |error| Error::table(&table.dataset, error);
    limited(&table.dataset, limit, checkpoints::create_checkpoint(&table.delta, None)).await?.map_err(failed)?;
    limited(&table.dataset, limit, checkpoints::cleanup_metadata(&table.delta, None)).await?.map_err(failed)?;
    Ok(true)
}

/// The version of the newest checkpoint, as the log's own pointer says.
async fn last_checkpoint(table: &Table) -> Result<Option<u64>, Error> {
    let path = Path::from("_delta_log/_last_checkpoint");
    let store = table.delta.object_store();
    let Ok(found) = table.limited(store.get(&path)).await? else { return Ok(None) };
    let bytes = table.limited(found.bytes()).await?.map_err(|error| Error::reason(&table.dataset, error))?;
    let pointer: Option<Value> = serde_json::from_slice(&bytes).ok();
    Ok(pointer.and_then(|pointer| pointer.get("version")?.as_u64()))
}

/// Removes files that neither the table nor a version within its retention refers to: left by a crash before its
/// commit, or replaced by a merge.
pub(super) async fn vacuum(writer: &Mutex<Writer>) -> Result<usize, Error> {
    let (table, limit) = {
        let mut writer = writer.lock().await;
        writer.table.refresh().await?;
        (writer.table.clone(), writer.options.time_limit * PATIENCE)
    };
    let work = table.delta.clone().vacuum().with_mode(VacuumMode::Full);
    let (_, metrics) = limited(&table.dataset, limit, work.into_future()).await?.map_err(|error| table.error(error))?;
    if !metrics.files_deleted.is_empty() {
        tracing::info!(dataset = %table.dataset, files = metrics.files_deleted.len(), "unreferenced files removed");
    }
    writer.lock().await.table.refresh().await?;
    Ok(metrics.files_deleted.len())
}

/// When the next vacuum is due.
pub(super) struct Due(pub Instant);

impl Due {
    pub(super) fn is_due(&mut self, options: &LakeOptions) -> bool {
        let due = self.0.elapsed() >= options.vacuum_every;
        if due {
            self.0 = Instant::now();
        }
        due
    }
}
