//! Tables of a database, polled by a composite watermark (value, key) with an overlap window.
//!
//! Time stamps are a poor cursor: rows share a second, clocks differ, and a long transaction commits rows older than
//! those already read. So pages are ordered by (watermark, key), and when the end is reached the next poll looks back by
//! `overlap`; rows that were already emitted with the same content are recognised by the window in the position.
//! Rows without a watermark, or with one in the future, would never or for ever be read: they are left out and reported
//! once a day.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};
use time::Duration;

use super::{
    BadRow, Batch, Error, ObjectOptions, Position, Row, Source, Sources, each, source_options, watermark::Kind, weight,
    window::fingerprint,
};
use crate::{
    adapter::decode::{ENCODING, NUL, ROW_TOO_LONG, options},
    clock,
    envelope::System,
    error::{Code, Fault},
};

mod catalogue;
mod children;
mod connection;
mod dialect;
mod gbk;
mod native;
mod odbc;
mod place;
mod query;
mod table;

use children::Child;
use connection::Connection;
use dialect::Dialect;
pub use odbc::{ODBC_DRIVER, ODBC_HANGS, ODBC_MISSING};
use place::Place;
use table::{NOT_UTF8, Table};

/// A table or column name has characters that no name should have.
pub const IDENTIFIER: Code = Code::new(2070);
/// A table or column is not in the database.
pub const TABLE: Code = Code::new(2071);
/// Rows have no watermark or one in the future: they are not read.
pub const UNREADABLE_WATERMARK: Code = Code::new(2072);
/// A page of rows does not get past its watermark.
pub const STUCK: Code = Code::new(2073);
/// The rows of a page have more child rows than can be held.
pub const TOO_MANY_CHILDREN: Code = Code::new(2074);

/// Pages skipped in one read because all their rows were known.
const PAGES_OF_A_READ: usize = 32;
/// Largest row, children included.
const ROW_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    url: String,
    dialect: Option<Dialect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableOptions {
    table: String,
    columns: Option<Vec<String>>,
    watermark: String,
    watermark_format: Option<Kind>,
    overlap: Option<toml::Value>,
    upper: Option<Upper>,
    gbk_in_latin1: Option<Vec<String>>,
    children: Option<Vec<toml::Table>>,
}

/// Where a run of pages ends, for watermarks that count changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Upper {
    /// At the greatest watermark when the run began: a run ends although the system goes on writing.
    Max,
    /// Before the oldest change that is not committed yet: what is below it is complete.
    Settled,
}

/// SQL sources of one system. Source options: `url`, and `dialect` with an `odbc:` URL. Object options: `table`, `columns` (all), `watermark`,
/// `watermark_format` (`timestamp`), `overlap` (`"5m"`, or a number in units of the watermark: seconds or counts),
/// `upper`, `gbk_in_latin1 = ["column"]`, `children = [{ name, table, on }]`.
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(system: &System, source: &toml::Table, objects: &[ObjectOptions]) -> Result<Sources, Vec<Fault>> {
    let given: Options = source_options(source)?;
    let connection = Connection::new(&given.url, given.dialect).map_err(|fault| vec![fault])?;
    let made = each(objects, |object| SqlSource::new(system, &connection, object))?;
    Ok(made.into_iter().map(|(name, source)| (name, Box::new(source) as Box<dyn Source>)).collect())
}

/// One table with its children.
struct SqlSource {
    system: System,
    object: String,
    key: Vec<String>,
    name: String,
    columns: Vec<String>,
    watermark: String,
    kind: Kind,
    overlap: i64,
    upper: Option<Upper>,
    gbk: Vec<String>,
    children: Vec<Child>,
    connection: Connection,
    /// As the catalogue describes it; looked up at the first read and after a failure.
    table: Option<Table>,
}

impl SqlSource {
    fn new(system: &System, connection: &Connection, object: &ObjectOptions) -> Result<Self, Vec<Fault>> {
        let given: TableOptions = options::read(&object.own())?;
        let mut faults = Vec::new();
        let kind = given.watermark_format.unwrap_or(Kind::Timestamp);
        let overlap = overlap(kind, given.overlap.as_ref()).unwrap_or_else(|fault| {
            faults.push(fault);
            0
        });
        let mut children = Vec::new();
        for child in given.children.iter().flatten() {
            match Child::new(child) {
                Ok(child) => children.push(child),
                Err(more) => faults.extend(more),
            }
        }
        let columns = given.columns.unwrap_or_default();
        let gbk = given.gbk_in_latin1.unwrap_or_default();
        faults.extend(check_gbk(&gbk, object.key.iter().chain([&given.watermark])));
        if given.upper == Some(Upper::Settled) && connection.dialect.settled().is_none() {
            let fault = options::bad("upper", "this database does not say which changes are not committed yet");
            faults.push(fault.expected("`max`, or none and an `overlap`"));
        }
        faults.extend(check_name("table", &given.table, true));
        for name in columns.iter().chain([&given.watermark]).chain(&object.key).chain(&gbk) {
            faults.extend(check_name("column", name, false));
        }
        if object.key.is_empty() {
            faults.push(options::bad("key", "names the columns that identify a row; needed to page through equal watermarks"));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            system: system.clone(),
            object: object.name.clone(),
            key: object.key.clone(),
            name: given.table,
            columns,
            watermark: given.watermark,
            kind,
            overlap,
            upper: given.upper,
            gbk,
            children,
            connection: connection.clone(),
            table: None,
        })
    }

    async fn table(&mut self) -> Result<Table, Error> {
        if let Some(table) = &self.table {
            return Ok(table.clone());
        }
        let table = self.connection.table(&self.name).await?;
        let mut needed: Vec<String> = self.key.iter().cloned().chain([self.watermark.clone()]).collect();
        for child in &mut self.children {
            needed.push(child.look_up(&self.connection, &table, &self.key).await?);
        }
        let table = table.reduce(&self.columns, &needed)?.with_gbk(&self.gbk)?;
        self.table = Some(table.clone());
        Ok(table)
    }

    /// Watermarks beyond tomorrow are mistakes: one such row would hide all honest ones after it.
    fn tomorrow(&self) -> Option<String> {
        let tomorrow = (clock::now() + Duration::DAY).unix_timestamp() * 1000;
        if self.kind.counts() { None } else { self.kind.text(tomorrow, "") }
    }

    /// Where this page must end: tomorrow, or sooner where the run has a bound.
    fn upper(&self, place: &Place) -> Option<String> {
        let tomorrow = self.tomorrow();
        let Some(bound) = &place.bound else { return tomorrow };
        let units = |text: &str| self.kind.units(text);
        match tomorrow {
            Some(tomorrow) if units(&tomorrow) < units(bound) => Some(tomorrow),
            _ => Some(bound.clone()),
        }
    }

    /// Sets the bound of a run that begins. False when the table has nothing below any bound.
    async fn bound(&self, table: &Table, place: &mut Place) -> Result<bool, Error> {
        let (Some(upper), None) = (self.upper, &place.bound) else { return Ok(true) };
        let query = match upper {
            Upper::Max => query::greatest(table, &self.watermark),
            Upper::Settled => {
                query::Query { sql: self.connection.dialect.settled().unwrap_or_default().to_owned(), args: Vec::new() }
            }
        };
        let found = self.connection.fetch(query, 1).await?.rows.into_iter().flatten().flatten().next();
        place.bound = match (upper, found.as_deref().and_then(|text| text.parse().ok())) {
            (Upper::Settled, Some(number)) => self.kind.text(number, "0x"),
            _ => found,
        };
        Ok(place.bound.is_some())
    }

    /// One page. The rows not seen before go into the batch; true when more rows wait.
    async fn page(&self, table: &Table, place: &mut Place, batch: &mut Batch, max: usize) -> Result<bool, Error> {
        let page = query::page(table, &self.watermark, &self.key, &place.cursor, self.upper(place).as_deref(), max);
        let answer = self.connection.fetch(page, table.columns.len()).await?;
        let full = answer.rows.len() >= max || !answer.complete;
        let mut rows: Vec<Map<String, Value>> = answer.rows.into_iter().map(|row| object(table, row)).collect();
        for child in &self.children {
            child.nest(&self.connection, &mut rows).await?;
        }
        let before = place.cursor.clone();
        for data in rows {
            let mark = text(&data, &self.watermark);
            let key: Vec<String> = self.key.iter().map(|column| text(&data, column)).collect();
            let data = Value::Object(data);
            let print = fingerprint(&key.join("\u{1f}"), &data);
            if place.step(self.kind, &mark, &key, print) {
                self.emit(batch, &mark, &key, print, data);
            }
        }
        if full && place.cursor == before {
            let fault = Fault::new(STUCK, "a page of rows does not get past its watermark").in_file(self.name.clone());
            return Err(Error::Refused(fault.hint("the key must be unique and the watermark exact: no binary floats")));
        }
        if full {
            place.trim(self.overlap);
        } else {
            place.rewind(self.kind, self.overlap);
        }
        Ok(full)
    }

    fn emit(&self, batch: &mut Batch, mark: &str, key: &[String], print: u64, data: Value) {
        let origin = format!("{mark}/{}/{:08x}", shown(&key.join(",")), print >> 32);
        let (object, file) = (self.object.clone(), self.name.clone());
        match row_fault(&data) {
            None => batch.rows.push(Row { object, origin, file, number: 0, data, meta: Value::Object(Map::new()) }),
            Some(fault) => batch.bad.push(BadRow { object, origin, faults: vec![fault.in_file(file)], raw: String::new() }),
        }
    }

    /// Once a day: how many rows no page will ever show.
    async fn report_unreadable(&self, table: &Table, place: &mut Place, batch: &mut Batch) -> Result<(), Error> {
        let today = clock::iso_date(clock::today());
        if place.checked == today {
            return Ok(());
        }
        let query = query::unreadable(table, &self.watermark, self.tomorrow().as_deref());
        let count = self.connection.fetch(query, 1).await?.rows.into_iter().flatten().flatten().next().unwrap_or_default();
        place.checked.clone_from(&today);
        if count == "0" {
            return Ok(());
        }
        tracing::warn!(system = %self.system, object = %self.object, rows = %count, "rows without a usable watermark");
        let fault =
            Fault::new(UNREADABLE_WATERMARK, format!("{count} rows have no watermark or one in the future; they are not read"))
                .in_file(self.name.clone())
                .at_column(self.watermark.clone())
                .expected("a watermark not later than tomorrow")
                .hint("correct the rows in the source system");
        let origin = format!("unreadable/{today}/{count}");
        batch.bad.push(BadRow { object: self.object.clone(), origin, faults: vec![fault], raw: String::new() });
        Ok(())
    }
}

#[async_trait]
impl Source for SqlSource {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, Error> {
        let table = self.table().await?;
        let mut place = Place::of(position);
        let mut batch = Batch::default();
        let read = async {
            self.report_unreadable(&table, &mut place, &mut batch).await?;
            if !self.bound(&table, &mut place).await? {
                return Ok(());
            }
            for _ in 0..PAGES_OF_A_READ {
                batch.more = self.page(&table, &mut place, &mut batch, max.max(2)).await?;
                if !batch.more || !batch.rows.is_empty() || !batch.bad.is_empty() {
                    break;
                }
            }
            Ok(())
        };
        let done: Result<(), Error> = read.await;
        if let Err(error) = done {
            // The table may have been changed: look it up again next time.
            self.table = None;
            return Err(error);
        }
        batch.next = place.position();
        Ok(batch)
    }
}

/// The overlap in units of the watermark: milliseconds or counts.
fn overlap(kind: Kind, given: Option<&toml::Value>) -> Result<i64, Fault> {
    let wrong =
        || options::bad("overlap", "is no length for this watermark").expected("for example `\"5m\"`, or a number of units");
    match (kind, given) {
        (Kind::Text, None) => Ok(0),
        (Kind::Text, Some(_)) => Err(options::bad("overlap", "a watermark of format `text` has no measure; leave it out")),
        (_, None) if kind.counts() => Ok(1000),
        (_, Some(toml::Value::Integer(count))) if kind.counts() && *count >= 0 => Ok(*count),
        (_, Some(_)) if kind.counts() => Err(wrong()),
        (_, None) => Ok(300_000),
        (_, Some(toml::Value::Integer(seconds))) if (0..=86_400 * 31).contains(seconds) => Ok(seconds * 1000),
        (_, Some(toml::Value::String(text))) => options::millis(text).ok_or_else(wrong),
        (_, Some(_)) => Err(wrong()),
    }
}

fn check_name(what: &str, name: &str, schema: bool) -> Option<Fault> {
    let fault = || Fault::new(IDENTIFIER, format!("`{}` is no {what} name", name.escape_debug()));
    (!dialect::valid_identifier(name, schema)).then(|| fault().expected("letters, digits, `_`, `$` and `#`"))
}

/// Keys and watermarks are compared in the database, which knows their bytes only.
fn check_gbk<'a>(gbk: &[String], compared: impl IntoIterator<Item = &'a String>) -> Option<Fault> {
    let wrong = compared.into_iter().find(|name| gbk.contains(name))?;
    Some(options::bad("gbk_in_latin1", format!("`{wrong}` is compared in the database and cannot be recoded")))
}

fn object(table: &Table, row: Vec<Option<String>>) -> Map<String, Value> {
    let value = |(column, text): (&table::Column, _)| (column.name.clone(), Value::from(table.value(column, text)));
    table.columns.iter().zip(row).map(value).collect()
}

fn text(row: &Map<String, Value>, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn row_fault(data: &Value) -> Option<Fault> {
    if weight(data) > ROW_BYTES {
        return Some(Fault::new(ROW_TOO_LONG, "the row is larger than 1 MiB").hint("leave large columns out by `columns`"));
    }
    let nul = find(data, '\0').map(|column| Fault::new(NUL, "a value holds the character U+0000").at_column(column));
    nul.or_else(|| {
        let fault = Fault::new(ENCODING, "a value is not in the charset of its column").at_column(find(data, NOT_UTF8)?);
        Some(fault.hint("correct the row in the source system, or set the charset of its connection"))
    })
}

/// The column whose text holds a character; columns of child rows as `MEMBERS/0/NAME`.
fn find(value: &Value, character: char) -> Option<String> {
    let below = |name: &str, value: &Value| match value {
        Value::String(text) => text.contains(character).then(|| name.to_owned()),
        _ => find(value, character).map(|path| format!("{name}/{path}")),
    };
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| below(name, value)),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, value)| below(&at.to_string(), value)),
        _ => None,
    }
}

/// A key for the origin: one that may be an identity number is replaced by its fingerprint.
fn shown(key: &str) -> String {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    if digits < 15 { key.to_owned() } else { format!("{:016x}", fingerprint(key, &Value::Null)) }
}
