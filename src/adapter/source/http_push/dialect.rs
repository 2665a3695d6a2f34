//! How one object of a system is sent: its form, and the signature of its vendor.

use serde_json::{Value, json};

use super::{ObjectTable, Options, Problem, ROW_LIMIT, TOO_MANY_ROWS, signature::Signature};
use crate::{
    adapter::{
        decode::{
            jsonfile, options,
            xml::{self, Rules},
        },
        source::{Batch, Row},
    },
    envelope::System,
    error::Fault,
    json::{self, Limits},
};
use axum::http::StatusCode;

/// Options of an object that are the format's, for bodies in XML.
const OF_XML: [&str; 4] = ["rows", "encoding", "declared", "lists"];
/// The largest distance of clocks, and the one when nothing is said.
const LONGEST_SKEW: i64 = 3_600_000;
const SKEW: i64 = 300_000;

/// One object.
pub struct Dialect {
    pub object: String,
    pub signature: Signature,
    pub id_header: String,
    form: Form,
}

/// What bodies are made of.
enum Form {
    /// JSON pointer to the rows.
    Json(String),
    Xml(Rules),
}

impl Dialect {
    /// The last part of its address, and the object; what its table does not say is as for the whole source.
    ///
    /// # Errors
    /// Every wrong option.
    pub(super) fn new(system: &System, object: &str, table: ObjectTable, source: &Options) -> Result<(String, Self), Vec<Fault>> {
        let mut faults = Vec::new();
        let path = table.path.clone().unwrap_or_else(|| object.to_owned());
        let last = path.strip_prefix(&format!("/in/{system}/")).unwrap_or(&path).to_owned();
        if last.is_empty() || last.contains('/') {
            faults.push(options::bad("path", "is no address of this system").expected(format!("`/in/{system}/<name>`")));
        }
        let form = form(&table).map_err(|more| faults.extend(more));
        let header = |own: &Option<String>, all: &Option<String>, default: &str| {
            own.as_ref().or(all.as_ref()).map_or_else(|| default.to_owned(), Clone::clone)
        };
        let skew = table.skew.as_ref().or(source.skew.as_ref());
        let signature = Signature {
            secrets: secrets(&table, source).map_err(|fault| faults.push(fault)).unwrap_or_default(),
            header: header(&table.signature_header, &source.signature_header, "x-signature"),
            timestamp_header: header(&table.timestamp_header, &source.timestamp_header, "x-timestamp"),
            skew: millis(skew).map_err(|fault| faults.push(fault)).unwrap_or(SKEW),
        };
        let id_header = header(&table.id_header, &source.id_header, "x-delivery-id");
        match form {
            Ok(form) if faults.is_empty() => Ok((last, Self { object: object.to_owned(), signature, id_header, form })),
            _ => Err(faults),
        }
    }

    /// The rows of a body.
    pub(super) fn batch(&self, delivery: &str, body: &[u8], limits: &Limits) -> Result<Batch, Problem> {
        let rows = self.form.rows(body, limits)?;
        let row = |(at, data): (usize, Value)| Row {
            object: self.object.clone(),
            origin: format!("push/{delivery}#{}", at + 1),
            file: format!("/in/{}", self.object),
            number: 0,
            data,
            meta: json!({}),
        };
        Ok(Batch { rows: rows.into_iter().enumerate().map(row).collect(), ..Batch::default() })
    }
}

impl Form {
    fn rows(&self, body: &[u8], limits: &Limits) -> Result<Vec<Value>, Problem> {
        match self {
            Self::Json(items) => json_rows(items, body, limits),
            Self::Xml(rules) => xml_rows(rules, body),
        }
    }
}

/// The rows of a body by the table of its object alone.
pub(super) fn rows(table: &ObjectTable, body: &[u8]) -> Result<Vec<Value>, Vec<Fault>> {
    form(table)?.rows(body, &Limits::default()).map_err(|problem| problem.1)
}

/// A vendor with a secret of its own does not open the door with another's.
fn secrets(table: &ObjectTable, source: &Options) -> Result<Vec<String>, Fault> {
    let own = table.secret.is_some();
    let (now, next) = if own { (&table.secret, &table.secret_next) } else { (&source.secret, &source.secret_next) };
    if !own && table.secret_next.is_some() {
        return Err(options::bad("secret_next", "needs a `secret` beside it"));
    }
    let secrets: Vec<String> = [now, next].into_iter().flatten().filter(|secret| !secret.is_empty()).cloned().collect();
    if now.is_none() || secrets.is_empty() {
        return Err(options::bad("secret", "is missing, for the source or for this object"));
    }
    if secrets.iter().any(|secret| secret.len() < 16) {
        return Err(options::bad("secret", "is too short").expected("at least 16 bytes"));
    }
    Ok(secrets)
}

fn millis(skew: Option<&toml::Value>) -> Result<i64, Fault> {
    let given = match skew {
        None => Some(SKEW),
        Some(toml::Value::Integer(seconds)) => seconds.checked_mul(1000),
        Some(value) => value.as_str().and_then(options::millis),
    };
    let good = given.filter(|skew| (1..=LONGEST_SKEW).contains(skew));
    good.ok_or_else(|| options::bad("skew", "must be a time of at most an hour"))
}

fn form(table: &ObjectTable) -> Result<Form, Vec<Fault>> {
    let of_xml = [table.rows.is_some(), table.encoding.is_some(), table.declared.is_some(), !table.lists.is_empty()];
    match table.format.as_deref() {
        None | Some("json") => match of_xml.iter().position(|given| *given) {
            Some(at) => Err(vec![options::bad(OF_XML[at], "is of use with `format = \"xml\"` only")]),
            None => Ok(Form::Json(table.items.clone().unwrap_or_default())),
        },
        Some("xml") => {
            if table.items.is_some() {
                return Err(vec![options::bad("items", "is of use with JSON only; XML has `rows`")]);
            }
            let mut rules = toml::Table::new();
            let texts = [("rows", &table.rows), ("encoding", &table.encoding), ("declared", &table.declared)];
            rules.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into()))));
            rules.insert("lists".to_owned(), table.lists.clone().into());
            Ok(Form::Xml(Rules::new(&rules)?))
        }
        Some(other) => Err(vec![options::unknown(options::BAD_OPTION, "format of a push", other, &["json", "xml"])]),
    }
}

/// The options of the format among those of an object, for samples.
pub fn xml_options(options: &toml::Table) -> toml::Table {
    options
        .iter()
        .filter(|(name, _)| OF_XML.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn json_rows(items: &str, body: &[u8], limits: &Limits) -> Result<Vec<Value>, Problem> {
    let document = json::strict(body, limits).map_err(|faults| Problem(StatusCode::BAD_REQUEST, faults))?;
    let rows = jsonfile::items(document, items).map_err(|fault| Problem::one(StatusCode::BAD_REQUEST, fault))?;
    few(rows.len())?;
    let wrong = rows.iter().enumerate().filter(|(_, row)| !row.is_object());
    let shape = |at: usize| Fault::new(jsonfile::SHAPE, "the row is not an object").at_pointer(format!("{items}/{at}"));
    let faults: Vec<Fault> = wrong.take(20).map(|(at, _)| shape(at)).collect();
    if faults.is_empty() { Ok(rows) } else { Err(Problem(StatusCode::BAD_REQUEST, faults)) }
}

/// As with JSON, a delivery is taken whole or not at all: its sender gets every fault and mends it.
fn xml_rows(rules: &Rules, body: &[u8]) -> Result<Vec<Value>, Problem> {
    let document = xml::document(body, rules).map_err(|fault| Problem::one(StatusCode::BAD_REQUEST, fault))?;
    few(document.rows.len())?;
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for row in document.rows {
        match row {
            Ok(row) => rows.push(row.data),
            Err(bad) => faults.extend(bad.faults),
        }
    }
    faults.truncate(20);
    if faults.is_empty() { Ok(rows) } else { Err(Problem(StatusCode::BAD_REQUEST, faults)) }
}

fn few(rows: usize) -> Result<(), Problem> {
    if rows <= ROW_LIMIT {
        return Ok(());
    }
    let fault = Fault::new(TOO_MANY_ROWS, format!("the delivery has {rows} rows")).expected(format!("at most {ROW_LIMIT}"));
    Err(Problem::one(StatusCode::PAYLOAD_TOO_LARGE, fault))
}
