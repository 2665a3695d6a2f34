//! All datasets of the schema folder.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::Value;

use super::{codes::CodeSource, dataset::DatasetSchema, inline::Folder, meta::MetaSchema};
use crate::{
    envelope::Dataset,
    error::{Code, Fault},
};

/// A schema file is not at `<dataset>/v<major>.json` or `common/<name>.json`.
pub const MISPLACED: Code = Code::new(4005);
/// An event names a schema that the hub does not have.
pub const UNKNOWN_SCHEMA: Code = Code::new(4100);

/// Folder of the shared definitions; not a dataset.
const COMMON: &str = "common";

/// The compiled schemas, by `<dataset>/v<major>`.
#[derive(Debug, Default)]
pub struct SchemaRegistry {
    schemas: BTreeMap<String, DatasetSchema>,
}

impl SchemaRegistry {
    /// Reads and compiles every schema under `dir`.
    ///
    /// # Errors
    /// Every fault of every file at once; no schema is served from a folder with a fault.
    pub fn load(dir: &Path, codes: Arc<dyn CodeSource>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let folder = Folder::read(dir, &mut faults);
        let meta = MetaSchema::compile().map_err(|fault| vec![fault])?;
        let mut schemas = BTreeMap::new();
        for (file, raw) in &folder.files {
            let wrong = meta.check(file, raw);
            if !wrong.is_empty() {
                faults.extend(wrong);
            } else if let Some(schema) = load_one(&folder, file, raw, &codes, &mut faults) {
                schemas.insert(schema.id(), schema);
            }
        }
        if faults.is_empty() { Ok(Self { schemas }) } else { Err(faults) }
    }

    /// The schema an event names in `dataschema`, e.g. `person/v1`.
    pub fn get(&self, dataschema: &str) -> Option<&DatasetSchema> {
        self.schemas.get(dataschema)
    }

    /// As [`Self::get`], with the fault to reject an event by.
    ///
    /// # Errors
    /// The schema is not known; the name is not repeated, for it came with the event.
    pub fn require(&self, dataschema: &str) -> Result<&DatasetSchema, Fault> {
        self.get(dataschema).ok_or_else(|| {
            let known: Vec<&str> = self.schemas.keys().map(String::as_str).collect();
            Fault::new(UNKNOWN_SCHEMA, "the event's `dataschema` names a schema that the hub does not have")
                .expected(format!("one of {}", known.join(", ")))
                .hint("add the schema, or correct the dataset in the adapter's program")
        })
    }

    /// The highest version of a dataset.
    pub fn latest(&self, dataset: &Dataset) -> Option<&DatasetSchema> {
        self.schemas.values().filter(|schema| schema.dataset == *dataset).max_by_key(|schema| schema.major)
    }

    /// Every schema, ordered by its name.
    pub fn iter(&self) -> impl Iterator<Item = &DatasetSchema> {
        self.schemas.values()
    }
}

fn load_one(
    folder: &Folder,
    file: &str,
    raw: &Value,
    codes: &Arc<dyn CodeSource>,
    faults: &mut Vec<Fault>,
) -> Option<DatasetSchema> {
    let mut wrong = Vec::new();
    let inlined = folder.inline(file, &mut wrong);
    let place = file.split_once('/');
    // A shared file is compiled with the datasets that use it; alone only its references are of interest.
    if place.is_some_and(|(dataset, _)| dataset == COMMON) {
        faults.extend(wrong);
        return None;
    }
    let named =
        place.and_then(|(dataset, version)| Some((dataset, version.strip_prefix('v')?.strip_suffix(".json")?.parse().ok()?)));
    let Some((dataset, major)) = named else {
        faults.push(
            Fault::new(MISPLACED, "the file is not a version of a dataset").in_file(file).expected("`<dataset>/v<major>.json`"),
        );
        return None;
    };
    let compiled = DatasetSchema::compile(Dataset::from(dataset), major, raw.clone(), inlined, codes);
    let compiled = compiled.map_err(|faults| wrong.extend(faults.into_iter().map(|fault| fault.in_file(file))));
    faults.extend(wrong);
    compiled.ok()
}
