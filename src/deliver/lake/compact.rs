//! Merging the small files of one partition into one. Rows and their order stay; the log says so (`dataChange = false`).

use std::{collections::HashSet, sync::Arc, time::Duration};

use deltalake_core::{
    arrow::datatypes::{Schema, SchemaRef},
    kernel::{Action, LogicalFileView, Transaction},
    logstore::object_store::{ObjectStore, ObjectStoreExt as _, buffered::BufWriter, path::Path},
    parquet::{
        arrow::{AsyncArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
        errors::ParquetError,
    },
};
use tokio::sync::Mutex;

use super::{
    columns::INGEST_DATE,
    counts,
    error::Error,
    file::{self, Stats},
    table::{Table, limited},
    write::Writer,
};

/// Rows read at a time.
const ROWS_AT_ONCE: usize = 8_192;
/// The most files that one merge takes: bounds its time and its commit.
const FILES_AT_ONCE: usize = 1_024;
/// How often the commit is tried while other commits come in between.
const ATTEMPTS: usize = 20;

/// What one merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    pub dataset: String,
    /// `yyyy-mm-dd`.
    pub ingest_date: String,
    /// Files before; after it is one.
    pub files: usize,
    pub rows: u64,
}

/// The files of one merge, oldest first.
struct Plan {
    files: Vec<LogicalFileView>,
    rows: u64,
}

/// The ingest date of a file.
pub(super) fn partition(file: &LogicalFileView) -> Option<String> {
    file.partition_values_map().remove(INGEST_DATE).flatten()
}

/// Small files of a partition that, together, stay below `target_bytes`: a file that is big enough is not written over
/// and over. A file with deleted rows is left alone: its vector belongs to the file as it is.
fn plan(table: &Table, ingest_date: &str, small_file: u64, target_bytes: u64) -> Result<Plan, Error> {
    let state = table.delta.snapshot().map_err(|error| table.error(error))?;
    let small = |file: &LogicalFileView| {
        size(file) < small_file && partition(file).as_deref() == Some(ingest_date) && file.deletion_vector_descriptor().is_none()
    };
    let mut files: Vec<_> = state.log_data().iter().filter(small).collect();
    files.sort_by_cached_key(|file| (file.modification_time(), file.path().into_owned()));
    let mut bytes = 0;
    let fitting = files.iter().take(FILES_AT_ONCE).take_while(|file| {
        bytes += size(file);
        bytes <= target_bytes
    });
    let count = fitting.count();
    files.truncate(count);
    let rows = files.iter().map(counts::rows).sum();
    Ok(Plan { files, rows })
}

fn size(file: &LogicalFileView) -> u64 {
    u64::try_from(file.size()).unwrap_or(0)
}

/// Merges the small files of one partition; `None` when there is nothing to merge. Deliveries go on meanwhile: the
/// table is held only to commit.
///
/// # Errors
/// What the storage says; [`Error::Conflict`] when other commits always came first. The files stay as they were.
pub(super) async fn compact(writer: &Mutex<Writer>, ingest_date: &str, target_bytes: u64) -> Result<Option<Compacted>, Error> {
    let (table, options) = {
        let mut writer = writer.lock().await;
        writer.table.refresh().await?;
        (writer.table.clone(), Arc::clone(&writer.options))
    };
    let plan = plan(&table, ingest_date, options.small_file, target_bytes)?;
    if plan.files.len() < 2 {
        return Ok(None);
    }
    let path = file::new_path(ingest_date, "merged");
    let merge = Merge {
        dataset: table.dataset.clone(),
        store: table.delta.object_store(),
        schema: file_schema(&table)?,
        inputs: plan.files.iter().map(LogicalFileView::object_store_path).collect(),
        output: path.clone(),
        limit: options.time_limit,
    };
    // Decoding and encoding are work for a thread that may block; its awaits are still the runtime's.
    let runtime = tokio::runtime::Handle::current();
    let merged = tokio::task::spawn_blocking(move || runtime.block_on(merge.run())).await;
    let (stats, bytes) = merged.map_err(|error| Error::reason(&table.dataset, error))??;
    if stats.rows != plan.rows {
        let reason = format!("the merged file has {} rows and its sources have {}", stats.rows, plan.rows);
        return Err(Error::reason(&table.dataset, reason));
    }
    table.limited(table.durable.flush(&path)).await?.map_err(|error| Error::reason(&table.dataset, error))?;
    let add = Action::Add(stats.action(&path, bytes, ingest_date, false));
    commit(writer, &plan, add, target_bytes).await?;
    let done =
        Compacted { dataset: table.dataset, ingest_date: ingest_date.to_owned(), files: plan.files.len(), rows: plan.rows };
    tracing::info!(dataset = %done.dataset, day = %done.ingest_date, files = done.files, rows = done.rows, "small files merged");
    Ok(Some(done))
}

/// Swaps the files, if all of them are still there. All civilhub writers share the application id of merges: should two
/// merge at once, the second finds its sources gone.
async fn commit(writer: &Mutex<Writer>, plan: &Plan, add: Action, target_bytes: u64) -> Result<(), Error> {
    let mut actions: Vec<Action> = plan.files.iter().map(|file| Action::Remove(file.remove_action(false))).collect();
    actions.push(add);
    let mut writer = writer.lock().await;
    let table = &mut writer.table;
    let app_id = format!("civilhub-merge/{}", table.dataset);
    for _ in 0..ATTEMPTS {
        table.refresh().await?;
        let state = table.delta.snapshot().map_err(|error| table.error(error))?;
        let present: HashSet<String> = state.log_data().iter().map(|file| file.path().into_owned()).collect();
        if !plan.files.iter().all(|file| present.contains(file.path().as_ref())) {
            break;
        }
        let transaction = Transaction::new(&app_id, table.transaction(&app_id).await? + 1);
        if table.rewrite(actions.clone(), target_bytes, transaction).await?.is_some() {
            return Ok(());
        }
    }
    Err(Error::Conflict { dataset: table.dataset.clone() })
}

/// The columns of the table as they are in its files: also those that this program does not know.
fn file_schema(table: &Table) -> Result<SchemaRef, Error> {
    let state = table.delta.snapshot().map_err(|error| table.error(error))?;
    let schema = state.snapshot().arrow_schema();
    let fields: Vec<_> = schema.fields().iter().filter(|field| field.name() != INGEST_DATE).cloned().collect();
    Ok(Arc::new(Schema::new(fields)))
}

struct Merge {
    dataset: String,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    inputs: Vec<Path>,
    output: Path,
    limit: Duration,
}

impl Merge {
    /// Streams all inputs into the output; holds one input (a small file), one read batch and one row group.
    async fn run(self) -> Result<(Stats, u64), Error> {
        let failed = |error: ParquetError| Error::reason(&self.dataset, error);
        let sink = BufWriter::new(Arc::clone(&self.store), self.output.clone());
        let mut writer = AsyncArrowWriter::try_new(sink, Arc::clone(&self.schema), Some(file::properties())).map_err(failed)?;
        let mut stats = Stats::default();
        for path in &self.inputs {
            let bytes = self.limited(async { self.store.get(path).await?.bytes().await }).await?;
            let bytes = bytes.map_err(|error| Error::reason(&self.dataset, error))?;
            let opened = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?;
            for batch in opened.with_batch_size(ROWS_AT_ONCE).build().map_err(failed)? {
                let batch = file::align(&batch.map_err(ParquetError::from).map_err(failed)?, &self.schema).map_err(failed)?;
                stats.add(&batch);
                self.limited(writer.write(&batch)).await?.map_err(failed)?;
            }
        }
        self.limited(writer.finish()).await?.map_err(failed)?;
        Ok((stats, writer.bytes_written() as u64))
    }

    async fn limited<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        limited(&self.dataset, self.limit, work).await
    }
}
