//! How many rows each table of the lake has, from the statistics in its log: no data file is read.

use std::{collections::HashMap, time::Duration};

use deltalake_core::{DeltaTableBuilder, kernel::LogicalFileView};
use serde_json::Value;

use super::{Error, location, table::limited};

/// Longest wait for one answer of the lake's storage.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Stands in errors where no dataset is known yet.
const ROOT: &str = "(root)";

/// Rows per dataset, by name. Tables that the hub did not make are counted too.
///
/// # Errors
/// [`super::LOCATION`] for an unusable root, or what the storage says.
pub async fn counts(root: &str, storage: &HashMap<String, String>) -> Result<Vec<(String, u64)>, Error> {
    let root = location(root)?;
    let failed = |error| Error::table(ROOT, error);
    let lake = DeltaTableBuilder::from_url(root.clone()).map_err(failed)?.with_storage_options(storage.clone());
    let store = lake.build_storage().map_err(failed)?.object_store(None);
    let listed = limited(ROOT, TIME_LIMIT, store.list_with_delimiter(None)).await?;
    let folders = listed.map_err(|error| Error::reason(ROOT, error))?.common_prefixes;
    let mut counts = Vec::with_capacity(folders.len());
    for dataset in folders.iter().filter_map(|folder| folder.filename()) {
        let failed = |error| Error::table(dataset, error);
        let url = root.join(&format!("{dataset}/")).map_err(|error| Error::reason(dataset, error))?;
        let builder = DeltaTableBuilder::from_url(url).map_err(failed)?.with_storage_options(storage.clone());
        let mut table = builder.build().map_err(failed)?;
        if !limited(dataset, TIME_LIMIT, table.verify_deltatable_existence()).await?.map_err(failed)? {
            continue;
        }
        limited(dataset, TIME_LIMIT, table.load()).await?.map_err(failed)?;
        let state = table.snapshot().map_err(failed)?;
        counts.push((dataset.to_owned(), state.log_data().iter().map(|file| rows(&file)).sum()));
    }
    counts.sort();
    Ok(counts)
}

/// Rows of a file less those that a deletion vector hides.
pub(super) fn rows(file: &LogicalFileView) -> u64 {
    let parsed = file.num_records().map(|rows| rows as u64);
    let raw = || {
        let stats: Value = serde_json::from_str(&file.stats()?).ok()?;
        stats.get("numRecords")?.as_u64()
    };
    let deleted = file.deletion_vector_descriptor().map_or(0, |vector| u64::try_from(vector.cardinality).unwrap_or(0));
    parsed.or_else(raw).unwrap_or(0).saturating_sub(deleted)
}
