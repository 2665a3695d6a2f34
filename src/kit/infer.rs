//! `civilhub adapter infer`: what an adapter declares against what a file has.

use std::path::Path as FilePath;

use serde::Serialize;
use serde_json::Value;

use super::{
    Studied,
    coverage::ignore_key,
    fields,
    flow::Path,
    scaffold, sniff,
    sniff::columns::{self, Sort},
    study,
};
use crate::{
    adapter::{
        decode::charset::Charset,
        sample,
        spec::{AdapterSpec, ObjectSpec, SourceKind},
    },
    error::{Code, Fault},
};

/// A file differs from what its adapter declares.
pub const DRIFT: Code = Code::new(1024);

/// One line of the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// `format`, `encoding`, `column SFZH` and so on.
    pub what: String,
    /// Nothing where the adapter knows nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared: Option<String>,
    /// Nothing where the file has nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Drift {
    fn new(what: impl Into<String>, declared: Option<&str>, found: Option<&str>) -> Self {
        Self { what: what.into(), declared: declared.map(str::to_owned), found: found.map(str::to_owned) }
    }
}

/// Compares a file with an object of an adapter.
///
/// # Errors
/// The file cannot be read, or its form is not known.
pub fn infer(spec: &AdapterSpec, object: &ObjectSpec, input: &FilePath) -> Result<Vec<Drift>, Vec<Fault>> {
    let bytes = scaffold::read(input).map_err(|fault| vec![fault])?;
    let mut drifts = Vec::new();
    let declared = object.options.get("format").and_then(toml::Value::as_str);
    let rows = if declared == Some("fixed") || spec.kind != SourceKind::File {
        // Widths cannot be guessed, and a sample of a database or a web system is JSON: the declared form is taken.
        let (rows, bad) = sample::rows_of(spec, object, input)?;
        if rows.is_empty() && !bad.is_empty() {
            drifts.push(Drift::new("rows", Some("can be read"), Some("none can be read")));
        }
        rows.into_iter().map(|row| row.data).collect()
    } else {
        let form = sniff::sniff(&bytes, None).map_err(|fault| vec![fault])?;
        options(object, &form, &bytes, &mut drifts);
        form.rows(&bytes)?
    };
    if let Some(one) = study(spec).iter().find(|one| one.object.name == object.name) {
        compare_columns(spec, one, &rows, &mut drifts);
    }
    Ok(drifts)
}

fn options(object: &ObjectSpec, form: &sniff::Form, bytes: &[u8], drifts: &mut Vec<Drift>) {
    let declared = |name: &str| object.options.get(name).and_then(toml::Value::as_str);
    if declared("format") != Some(form.format.as_str()) {
        drifts.push(Drift::new("format", declared("format"), Some(&form.format)));
        return;
    }
    let charset = Charset::named(declared("encoding"));
    if let (Some(found), Ok(charset)) = (form.option("encoding"), charset)
        && matches!(form.format.as_str(), "csv")
        && (found == "UTF-8") != (charset == Charset::Utf8)
        && !bytes.is_ascii()
    {
        drifts.push(Drift::new("encoding", Some(charset.name()), Some(found)));
    }
    for (name, default) in [("delimiter", Some(",")), ("trailer", None), ("items", None)] {
        let (declared, found) = (declared(name).filter(|value| *value != "none").or(default), form.option(name).or(default));
        if declared != found {
            drifts.push(Drift::new(name, declared, found));
        }
    }
    let header = |value: Option<&toml::Value>| value.and_then(toml::Value::as_bool).unwrap_or(true);
    let (declared, found) = (header(object.options.get("header")), header(form.options.get("header")));
    if declared != found {
        drifts.push(Drift::new("header", Some(&declared.to_string()), Some(&found.to_string())));
    }
}

/// Columns that are new or gone, and columns that hold something else than in the golden samples.
fn compare_columns(spec: &AdapterSpec, one: &Studied<'_>, rows: &[Value], drifts: &mut Vec<Drift>) {
    let samples = fields::samples(spec, one.object);
    let known = fields::of_object(one, &samples);
    let of_row = |path: &&Path| !path.meta && path.parts.first().is_some_and(|part| !part.starts_with('_'));
    let found = columns::of(rows);
    let near = |path: &Path, other: &Path| path.meets(other);
    for path in known.keys().filter(of_row).filter(|path| !found.iter().any(|column| near(path, &column.path))) {
        drifts.push(Drift::new(format!("column {path}"), Some("is there"), None));
    }
    let is_known =
        |path: &Path| known.keys().any(|known| near(known, path)) || ignore_key(&spec.ignore, &one.object.name, path).is_some();
    for column in found.iter().filter(|column| of_row(&&column.path) && !is_known(&column.path)) {
        drifts.push(Drift::new(format!("column {}", column.path), None, Some(&column.sort.text())));
    }
    let before: Vec<Value> = samples.iter().flat_map(|sample| &sample.rows).map(|row| row.data.clone()).collect();
    for old in columns::of(&before).iter().filter(|column| is_strict(&column.sort)) {
        let now = found.iter().find(|column| column.path == old.path && !matches!(column.sort, Sort::Blank));
        if let Some(now) = now.filter(|now| now.sort != old.sort) {
            drifts.push(Drift::new(format!("column {}", old.path), Some(&old.sort.text()), Some(&now.sort.text())));
        }
    }
}

/// Sorts that are known by the values alone.
fn is_strict(sort: &Sort) -> bool {
    matches!(sort, Sort::Identity | Sort::Uscc | Sort::Mobile | Sort::Division | Sort::Time | Sort::Date)
}
