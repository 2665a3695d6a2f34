//! [`Source`]: batches of raw rows from one legacy system, with a position to go on from.
//!
//! A kind of source is one module here and one arm in [`open`]. Pushed sources have no [`Source`]: their routes
//! ([`http_push`]) hand batches to an [`http_push::Intake`].

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    adapter::{decode::options, load::Load},
    envelope::System,
    error::{Code, Fault},
    store::Store,
};

pub mod file;
pub mod http_pull;
pub mod http_push;
pub mod secrets;
pub mod soap;
pub mod sql;
mod watermark;
mod web;
mod window;

/// The source could not be reached; it is tried again on schedule.
pub const UNREACHABLE: Code = Code::new(2001);
/// The source answered with something that no retry mends (bad credentials, missing table, wrong protocol).
pub const REFUSED: Code = Code::new(2002);

/// The kind of a source is not known.
pub const UNKNOWN_KIND: Code = Code::new(2005);

/// The names `kind` may have.
pub const KINDS: [&str; 5] = ["sql", "file", "http_pull", "http_push", "soap"];

/// Where to read on; opaque outside the source that made it. Stored only after every record of the batch is confirmed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

/// One raw row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which object of the system: table, file kind, endpoint. Selects the mapping program.
    pub object: String,
    /// Where exactly it came from, the same when read again: `<file digest>#<row>` or `<watermark>/<key>`.
    pub origin: String,
    /// File name, table or endpoint, for the place of faults.
    pub file: String,
    /// Row or line counted from 1; 0 where there is none.
    pub number: u64,
    /// A JSON object, column name to value; text stays text, nothing is guessed.
    pub data: Value,
    /// Facts beside the row (header fields of its file, receive time): becomes `%` in the mapping program.
    pub meta: Value,
}

/// A row that could not be decoded. Its faults hold the place; `raw` is the input as base64, for the dead letters only.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    pub object: String,
    pub origin: String,
    pub faults: Vec<Fault>,
    pub raw: String,
}

/// What one read gave.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: Vec<Row>,
    pub bad: Vec<BadRow>,
    /// The position after this batch.
    pub next: Position,
    /// What full load or delta the rows belong to, where the adapter tells them apart.
    pub load: Option<Load>,
    /// More is waiting now; else the source may rest until its schedule says otherwise.
    pub more: bool,
}

/// A source that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unreachable(Fault),
    #[error("{0}")]
    Refused(Fault),
}

/// One legacy system, or one object of it.
#[async_trait]
pub trait Source: Send {
    /// At most `max` rows after `position`. Reading again from the same position gives the same rows in the same order,
    /// as far as the legacy system allows.
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, Error>;

    /// Called after `position` is stored: files may be archived or quarantined now.
    async fn stored(&mut self, position: &Position) -> Result<(), Error> {
        let _ = position;
        Ok(())
    }
}

/// One `[[object]]` of an adapter, as far as its source is concerned.
#[derive(Debug, Clone, Default)]
pub struct ObjectOptions {
    pub name: String,
    /// The columns that identify a row at its source.
    pub key: Vec<String>,
    /// The rest of the object's table. Options of other owners (`program`, `datasets`, …) may be left in.
    pub options: toml::Table,
}

impl ObjectOptions {
    /// Options of an object that belong to the mapping, not to its source.
    const OF_OTHERS: [&'static str; 4] = ["name", "key", "datasets", "program"];

    fn own(&self) -> toml::Table {
        let own = |entry: &(&String, &toml::Value)| !Self::OF_OTHERS.contains(&entry.0.as_str());
        self.options.iter().filter(own).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// What sources need of the process they run in.
#[derive(Clone)]
pub struct SourceContext {
    pub store: Store,
    /// Parent of the drop folders, one per system.
    pub inbox: PathBuf,
    /// Values for `${NAME}` in options; they win over the environment.
    pub env: BTreeMap<String, String>,
}

/// Sources by the name of their object.
pub type Sources = Vec<(String, Box<dyn Source>)>;

/// Makes the sources of one system, one for each object, in the order of the adapter. `http_push` has none: see
/// [`http_push::open`]. Connects to nothing.
///
/// # Errors
/// Every unknown or wrong option of the source and of all objects, at once; the place names the object.
pub fn open(
    system: &System,
    source: &toml::Table,
    objects: &[ObjectOptions],
    context: &SourceContext,
) -> Result<Sources, Vec<Fault>> {
    let source = secrets::resolve(source, &context.env)?;
    match source.get("kind").and_then(toml::Value::as_str).unwrap_or_default() {
        "sql" => sql::open(system, &source, objects),
        "file" => file::open(system, &source, objects, context),
        "http_pull" => http_pull::open(system, &source, objects),
        "soap" => soap::open(system, &source, objects),
        "http_push" => http_push::open(system, &source, objects, context).map(|_| Vec::new()),
        other => Err(vec![options::unknown(UNKNOWN_KIND, "source kind", other, &KINDS)]),
    }
}

/// Makes one source per object; all faults of all objects are listed, with the object as their place.
fn each<T>(
    objects: &[ObjectOptions],
    make: impl Fn(&ObjectOptions) -> Result<T, Vec<Fault>>,
) -> Result<Vec<(String, T)>, Vec<Fault>> {
    let (mut made, mut faults) = (Vec::new(), Vec::new());
    for object in objects {
        match make(object) {
            Ok(source) => made.push((object.name.clone(), source)),
            Err(more) => faults.extend(more.into_iter().map(|fault| match &fault.place.pointer {
                None => fault.at_pointer(format!("/object/{}", object.name)),
                Some(_) => fault,
            })),
        }
    }
    if faults.is_empty() { Ok(made) } else { Err(faults) }
}

/// The options of the source's own table without `kind`.
fn source_options<T: serde::de::DeserializeOwned>(source: &toml::Table) -> Result<T, Vec<Fault>> {
    let mut rest = source.clone();
    rest.remove("kind");
    options::read(&rest)
}

/// A batch is cut short when its texts have so many bytes, however few rows they are.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes that a value takes in memory, roughly: texts, names, and the nodes of objects.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum::<usize>() + values.len() * 32,
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + weight(value) + 64).sum::<usize>() + 64,
        _ => 8,
    }
}
