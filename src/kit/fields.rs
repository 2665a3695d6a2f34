//! The fields of a source: those that `adapter.toml` declares, those that its samples show, those that a program reads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde_json::Value;
use toml::Value as Toml;

use super::{
    Studied,
    flow::{ANY, Path},
};
use crate::adapter::{
    sample,
    source::Row,
    spec::{AdapterSpec, ObjectSpec},
};

/// What marks expected files among the samples.
const EXPECTED: &str = ".expected.ndjson";
/// What the hub itself puts into a row.
const OF_THE_HUB: &str = "_deleted";

/// Where a field is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Columns of `adapter.toml`.
    Declared,
    /// A fixed-width layout.
    Layout,
    Sample,
    /// Only the program names it.
    Program,
}

/// A golden sample of an object with its rows.
pub struct Sample {
    pub file: PathBuf,
    pub case: String,
    pub rows: Vec<Row>,
}

/// Every field of an object and where it is first known from; fields of the hub are left out.
pub fn of_object(studied: &Studied<'_>, samples: &[Sample]) -> BTreeMap<Path, Origin> {
    let mut found: BTreeMap<Path, Origin> = BTreeMap::new();
    let mut add = |path: Path, origin: Origin| {
        // Beside a row only the fields of a header record are the source's; the rest are facts that the hub knows.
        let first = path.parts.first().map_or("", String::as_str);
        let of_the_hub = first.is_empty() || if path.meta { first != "header" } else { first == OF_THE_HUB };
        if !of_the_hub {
            found.entry(path).or_insert(origin);
        }
    };
    for (path, origin) in declared(studied.object) {
        add(path, origin);
    }
    let key_and_clock = studied.object.key.iter().chain(&studied.object.sequence);
    let mut in_samples = BTreeSet::new();
    for row in samples.iter().flat_map(|sample| &sample.rows) {
        leaves(&row.data, &Path::default(), &mut in_samples);
        if let Some(header) = row.meta.get("header") {
            leaves(header, &Path { meta: true, parts: vec!["header".into()] }, &mut in_samples);
        }
    }
    // An empty list beside a filled one is no field of its own.
    let whole = |path: &Path| in_samples.iter().any(|other| path.parts.len() < other.parts.len() && path.covers(other));
    for path in in_samples.iter().filter(|path| !whole(path)) {
        add(path.clone(), Origin::Sample);
    }
    let known: Vec<Path> = key_and_clock.map(|name| Path::row(vec![name.clone()])).collect();
    for path in studied.flow.reads.keys().filter(|path| !path.parts.is_empty()).chain(&known) {
        add(path.clone(), Origin::Program);
    }
    // A field that only the program names, while others are a part of it or it of them, is no further field; nor is a key
    // that stands in a header.
    let others: Vec<Path> =
        found.iter().filter(|(_, origin)| **origin != Origin::Program).map(|(path, _)| path.clone()).collect();
    let header = |path: &Path| others.iter().any(|other| other.meta && other.last() == path.last());
    found.retain(|path, origin| *origin != Origin::Program || !(others.iter().any(|other| other.meets(path)) || header(path)));
    found
}

/// Fields that `adapter.toml` names.
fn declared(object: &ObjectSpec) -> Vec<(Path, Origin)> {
    let mut found = Vec::new();
    let row = |name: &str| Path::row(vec![name.to_owned()]);
    for name in texts(object.options.get("columns")) {
        found.push((row(name), Origin::Declared));
    }
    for child in tables(object.options.get("children")) {
        let name = child.get("name").and_then(Toml::as_str).unwrap_or_default();
        for column in texts(child.get("columns")) {
            found.push((row(name).join(ANY).join(column), Origin::Declared));
        }
    }
    for record in tables(object.options.get("record")) {
        let header = record.get("role").and_then(Toml::as_str).filter(|role| *role != "detail").map(str::to_owned);
        for field in tables(record.get("fields")) {
            let name = field.get("name").and_then(Toml::as_str).unwrap_or_default();
            // The line end is no field, and rows of a trailer are the decoder's alone.
            match header.as_deref() {
                _ if matches!(name, "CRLF" | "LF") => {}
                Some("header") => found.push((Path { meta: true, parts: vec!["header".into(), name.into()] }, Origin::Layout)),
                Some(_) => {}
                None => found.push((row(name), Origin::Layout)),
            }
        }
    }
    found
}

/// The rows of an object's golden samples; what cannot be read is told by the golden tests.
pub fn samples(spec: &AdapterSpec, object: &ObjectSpec) -> Vec<Sample> {
    let prefix = format!("{}.", object.name.to_lowercase());
    let mut files: Vec<PathBuf> = fs::read_dir(spec.dir.join("samples"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(rest) = name.strip_prefix(&prefix).filter(|_| !name.ends_with(EXPECTED)) else { continue };
        let case = rest.rsplit_once('.').map_or(rest, |(case, _)| case).to_owned();
        let (rows, _) = sample::rows_of(spec, object, &file).unwrap_or_default();
        samples.push(Sample { file, case, rows });
    }
    samples
}

/// Every leaf of a row; an empty list or object is one.
pub fn leaves(value: &Value, path: &Path, found: &mut BTreeSet<Path>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| leaves(value, &path.join(name), found));
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| leaves(item, &path.join(ANY), found)),
        _ if path.parts.is_empty() => {}
        _ => drop(found.insert(path.clone())),
    }
}

/// Texts of a list, or one text.
pub fn texts(value: Option<&Toml>) -> Vec<&str> {
    match value {
        Some(Toml::String(one)) => vec![one],
        Some(Toml::Array(many)) => many.iter().filter_map(Toml::as_str).collect(),
        _ => vec![],
    }
}

/// Tables of a list.
pub fn tables(value: Option<&Toml>) -> Vec<&toml::Table> {
    value.and_then(Toml::as_array).into_iter().flatten().filter_map(Toml::as_table).collect()
}
