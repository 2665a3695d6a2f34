//! The lake target: one Delta table per dataset under `<root>/<dataset>/`, partitioned by the day of ingest.
//!
//! Every delivery becomes exactly one row, whatever dies when: see [`write`]. The columns come from the dataset's
//! JSON Schema: see [`columns`]. A value that does not fit is refused with a fault that names the field; nothing is
//! dropped on the way. Small files are merged by [`LakeTarget::maintain`].

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use self::{
    book::Book,
    maintain::Due,
    step::{Unwatched, Watch},
    table::Table,
    write::Writer,
};
use super::{Delivery, Outcome, Target};
use crate::{
    clock,
    error::{Fault, Faults},
    store::Store,
};

mod book;
pub mod columns;
mod compact;
mod counts;
mod durable;
mod error;
mod file;
mod maintain;
mod rows;
pub mod step;
mod table;
#[cfg(test)]
mod tests;
mod write;

pub use compact::Compacted;
pub use counts::counts;
pub use error::{CONFLICT, Error, INCOMPATIBLE, LOCATION, MISFIT, SCHEMA, STOPPED, TIMED_OUT, UNKNOWN_DATASET, UNREACHABLE};
pub use maintain::Upkeep;

/// Shared definitions of the schemas, by `$id` or file name.
pub type Shared = Arc<BTreeMap<String, Value>>;

/// The JSON Schema from which a dataset's table gets its columns.
#[derive(Debug, Clone)]
pub struct LakeSchema {
    pub dataset: String,
    pub schema: Value,
    /// What `$ref`s that leave the document lead to.
    pub shared: Shared,
}

impl LakeSchema {
    /// A schema whose references, if any, stay within it.
    pub fn new(dataset: impl Into<String>, schema: Value) -> Self {
        Self { dataset: dataset.into(), schema, shared: Shared::default() }
    }

    /// With the shared definitions (`schemas/common`).
    pub fn with_shared(mut self, shared: Shared) -> Self {
        self.shared = shared;
        self
    }
}

/// How the lake is written and kept.
#[derive(Clone)]
pub struct LakeOptions {
    /// Names this writer in the tables; two processes with one name get into each other's way, but harm nothing.
    pub writer: String,
    /// Options of the object store (`aws_region`, …); none for a local folder.
    pub storage: HashMap<String, String>,
    /// Longest wait for one answer of the storage.
    pub time_limit: Duration,
    /// The most deliveries of one call, hence of one file.
    pub batch_size: usize,
    /// Below this many bytes a file is small …
    pub small_file: u64,
    /// … and more than this many small ones in a partition are merged …
    pub small_files: usize,
    /// … into one of at most this many bytes.
    pub target_bytes: u64,
    /// Commits between two checkpoints of a table's log.
    pub checkpoint_every: u64,
    /// How long old log entries stay; set when a table is created (`delta.logRetentionDuration`).
    pub log_retention: Duration,
    /// How long replaced files stay for readers and time travel; set when a table is created.
    pub file_retention: Duration,
    /// Between two searches for files that nobody refers to.
    pub vacuum_every: Duration,
    /// How long a delivery id is remembered.
    pub remember: Duration,
    /// Stops the writer between two steps, in tests.
    pub watch: Arc<dyn Watch>,
}

const HOUR: Duration = Duration::from_secs(3_600);

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            writer: "hub".to_owned(),
            storage: HashMap::new(),
            time_limit: Duration::from_secs(30),
            batch_size: 4_096,
            small_file: 32 << 20,
            small_files: 16,
            target_bytes: 128 << 20,
            checkpoint_every: 100,
            log_retention: 48 * HOUR,
            file_retention: 7 * 24 * HOUR,
            vacuum_every: 12 * HOUR,
            remember: 90 * 24 * HOUR,
            watch: Arc::new(Unwatched),
        }
    }
}

/// The lake as a receiver of deliveries. Share it behind an `Arc`: each table takes one batch at a time.
pub struct LakeTarget {
    writers: BTreeMap<String, Arc<Mutex<Writer>>>,
    options: Arc<LakeOptions>,
    book: Book,
    vacuum: Mutex<Due>,
}

impl LakeTarget {
    /// Opens the lake at a folder or URL: creates missing tables, adds missing columns, finishes or forgets the
    /// batches that an earlier run left open.
    ///
    /// # Errors
    /// [`LOCATION`], [`SCHEMA`] and [`INCOMPATIBLE`], all of them at once; or what the store or the storage says.
    pub async fn open(root: &str, store: Store, schemas: &[LakeSchema], options: LakeOptions) -> Result<Self, Error> {
        let root = location(root)?;
        let options = Arc::new(options);
        let book = Book(store);
        let mut writers = BTreeMap::new();
        let mut faults = Vec::new();
        for schema in schemas {
            match Self::writer(&root, schema, &book, &options).await {
                Ok(writer) => {
                    writers.insert(schema.dataset.clone(), Arc::new(Mutex::new(writer)));
                }
                Err(Error::Faults(Faults(found))) => faults.extend(found),
                Err(error) => return Err(error),
            }
        }
        if !faults.is_empty() {
            return Err(Faults(faults).into());
        }
        Ok(Self { writers, options, book, vacuum: Mutex::new(Due(Instant::now())) })
    }

    async fn writer(root: &Url, schema: &LakeSchema, book: &Book, options: &Arc<LakeOptions>) -> Result<Writer, Error> {
        let dataset = schema.dataset.as_str();
        let columns = columns::Columns::of(schema).map_err(Faults)?;
        let url = table_url(root, dataset)?;
        let table = Table::open(dataset, url, &columns, options).await?;
        let app_id = format!("civilhub-{}/{dataset}", options.writer);
        let mut writer = Writer { table, columns, book: book.clone(), options: Arc::clone(options), app_id, transaction: 0 };
        writer.recover().await?;
        Ok(writer)
    }

    /// Merges the small files of one partition (`yyyy-mm-dd`) into one of at most `target_bytes`; `None` when there are
    /// fewer than two. Rows stay as they are, and deliveries go on meanwhile.
    ///
    /// # Errors
    /// [`UNREACHABLE`], [`TIMED_OUT`] or [`CONFLICT`]; the table is then as before.
    pub async fn compact(&self, dataset: &str, ingest_date: &str, target_bytes: u64) -> Result<Option<Compacted>, Error> {
        match self.writers.get(dataset) {
            Some(writer) => compact::compact(writer, ingest_date, target_bytes).await,
            None => Err(Faults(vec![self.unknown(dataset)]).into()),
        }
    }

    /// One round of upkeep; call it every minute or so, from one task, and again at once while it merges something.
    /// A round merges at most one partition.
    ///
    /// # Errors
    /// The first failure; what was done before it stays done, and the next round takes up the rest.
    pub async fn maintain(&self) -> Result<Upkeep, Error> {
        let mut upkeep = Upkeep::default();
        let mut worst: Option<(&Arc<Mutex<Writer>>, String, usize)> = None;
        for (dataset, writer) in &self.writers {
            if maintain::checkpoint(writer).await? {
                upkeep.checkpoints.push(dataset.clone());
            }
            let partition = maintain::worst_partition(&writer.lock().await.table, &self.options);
            if let Some((day, files)) = partition
                && worst.as_ref().is_none_or(|(_, _, most)| files > *most)
            {
                worst = Some((writer, day, files));
            }
        }
        if let Some((writer, day, _)) = worst {
            upkeep.compacted = compact::compact(writer, &day, self.options.target_bytes).await?;
        }
        if self.vacuum.lock().await.is_due(&self.options) {
            for writer in self.writers.values() {
                upkeep.removed += maintain::vacuum(writer).await?;
            }
        }
        let remember = i64::try_from(self.options.remember.as_millis()).unwrap_or(i64::MAX);
        upkeep.forgotten = self.book.prune(clock::millis().saturating_sub(remember).max(0)).await?;
        Ok(upkeep)
    }

    fn unknown(&self, dataset: &str) -> Fault {
        let known: Vec<_> = self.writers.keys().map(String::as_str).collect();
        Fault::new(UNKNOWN_DATASET, format!("the lake has no table for dataset `{dataset}`"))
            .expected(format!("one of {}", known.join(", ")))
            .hint("add its schema to `schemas/` and restart, or end the subscription")
    }

    async fn deliver_dataset(&self, dataset: &str, batch: &[&Delivery]) -> HashMap<String, Outcome> {
        let all = |outcome: Outcome| batch.iter().map(|delivery| (delivery.id.as_str().to_owned(), outcome.clone())).collect();
        let Some(writer) = self.writers.get(dataset) else { return all(Outcome::Refused(self.unknown(dataset))) };
        // A table that hangs keeps its lock until its own limits end it; this call does not wait for that.
        let limit = self.options.time_limit * 4;
        let work = async { write::write(Arc::clone(writer).lock_owned().await, batch).await };
        let written = table::limited(dataset, limit, work).await.and_then(|written| written);
        written.unwrap_or_else(|error| {
            tracing::warn!(%dataset, deliveries = batch.len(), %error, "the lake did not take a batch");
            all(Outcome::Unavailable { fault: error.fault(), retry_after: None })
        })
    }
}

#[async_trait]
impl Target for LakeTarget {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let mut datasets: BTreeMap<String, Vec<&Delivery>> = BTreeMap::new();
        for delivery in batch {
            datasets.entry(delivery.event.dataset().as_str().to_owned()).or_default().push(delivery);
        }
        let work = datasets.iter().map(|(dataset, batch)| self.deliver_dataset(dataset, batch));
        let mut outcomes: HashMap<String, Outcome> = HashMap::with_capacity(batch.len());
        for answered in futures_util::future::join_all(work).await {
            outcomes.extend(answered);
        }
        let missing =
            || Outcome::Unavailable { fault: Fault::new(UNREACHABLE, "no answer for this delivery"), retry_after: None };
        batch.iter().map(|delivery| outcomes.get(delivery.id.as_str()).cloned().unwrap_or_else(missing)).collect()
    }

    fn batch_size(&self) -> usize {
        self.options.batch_size
    }
}

/// The root as a URL that ends with a slash; a local folder is made if missing.
fn location(root: &str) -> Result<Url, Error> {
    let fault = |message: String| {
        let fault = Fault::new(LOCATION, message).expected("a folder, a file:// URL, or an address whose storage this build has");
        Error::from(Faults(vec![fault.hint("set `lake.url`")]))
    };
    let url = if root.contains("://") {
        Url::parse(root).map_err(|error| fault(format!("`{root}` is not a URL: {error}")))?
    } else {
        let path = std::path::absolute(root).map_err(|error| fault(format!("`{root}` is not a folder: {error}")))?;
        Url::from_directory_path(&path).map_err(|()| fault(format!("`{root}` is not a folder")))?
    };
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| fault(format!("`{root}` is not a folder")))?;
        std::fs::create_dir_all(&path).map_err(|error| fault(format!("`{root}` cannot be made: {error}")))?;
        return Url::from_directory_path(path).map_err(|()| fault(format!("`{root}` is not a folder")));
    }
    if !deltalake_core::logstore::object_store_factories().iter().any(|factory| factory.key().scheme() == url.scheme()) {
        return Err(fault(format!("this build has no storage for `{}`", url.scheme())));
    }
    let mut url = url;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn table_url(root: &Url, dataset: &str) -> Result<Url, Error> {
    let plain =
        !dataset.is_empty() && dataset.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let fault = || {
        Faults(vec![
            Fault::new(SCHEMA, format!("`{dataset}` is no name of a dataset")).expected("lower-case letters, digits and -"),
        ])
    };
    if !plain {
        return Err(fault().into());
    }
    let url = root.join(&format!("{dataset}/")).map_err(|_| fault())?;
    if let (true, Ok(path)) = (url.scheme() == "file", url.to_file_path()) {
        std::fs::create_dir_all(path).map_err(|error| Error::reason(dataset, error))?;
    }
    Ok(url)
}
