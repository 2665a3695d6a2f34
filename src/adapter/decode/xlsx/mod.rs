//! XLSX, the workbook of Excel 2007 and later: one sheet of it is one object.
//!
//! County ledgers are written by hand: titles above the header, merged cells, dates as words or as serials, identity
//! numbers that Excel took for numbers. The header is the first row that has all `columns`; every value becomes text.
//!
//! Workbooks come from outside and can be made to allocate without bound (calamine#684), so [`scan`] counts what is in
//! one before the library opens it. Reading happens in a thread of its own ([`sheet`]): the library's reader borrows its
//! workbook, and a panic in it must stay there.

use std::{
    io::Cursor,
    sync::{Mutex, PoisonError},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Format, Input, RowReader, inflate, options};
use crate::{
    domain::text::nfkc,
    error::{Code, Fault},
};

mod cell;
mod scan;
mod sheet;
#[cfg(test)]
mod tests;

/// The file is not a workbook, or is damaged.
pub const BROKEN: Code = Code::new(3400);
/// A part of the workbook has what no workbook has: a document type with entities.
pub const SCRIPT: Code = Code::new(3401);
/// The workbook has no such sheet.
pub const SHEET: Code = Code::new(3402);
/// No row of the sheet has all the columns of a header.
pub const HEADER: Code = Code::new(3403);
/// A long number was stored as a number: Excel has lost its last digits.
pub const DIGITS: Code = Code::new(3404);
/// A cell holds the error of a formula.
pub const CELL_ERROR: Code = Code::new(3405);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    sheet: Option<toml::Value>,
    columns: Option<Vec<String>>,
    text: Option<Vec<String>>,
    dates: Option<Vec<String>>,
    merged: Option<String>,
    row_limit: Option<usize>,
    file_limit: Option<u64>,
    inflated_limit: Option<u64>,
    ratio_limit: Option<u64>,
    entry_limit: Option<usize>,
    cell_limit: Option<u64>,
    last_row: Option<u64>,
    last_column: Option<u64>,
    string_limit: Option<u64>,
    attribute_limit: Option<usize>,
}

/// What a workbook may hold.
#[derive(Debug, Clone)]
struct Limits {
    file: u64,
    container: inflate::Limits,
    cells: u64,
    last_row: u64,
    last_column: u64,
    strings: u64,
    attributes: usize,
    /// Bytes of the texts of one row.
    row: usize,
}

impl Limits {
    fn of(given: &Options) -> Self {
        let total = given.inflated_limit.unwrap_or(64 << 20);
        let container = inflate::Limits {
            entries: given.entry_limit.unwrap_or(1000),
            entry: total,
            total,
            ratio: given.ratio_limit.unwrap_or(100),
        };
        Self {
            file: given.file_limit.unwrap_or(16 << 20),
            container,
            cells: given.cell_limit.unwrap_or(1_000_000),
            last_row: given.last_row.unwrap_or(100_000),
            last_column: given.last_column.unwrap_or(256),
            strings: given.string_limit.unwrap_or(500_000),
            attributes: given.attribute_limit.unwrap_or(64),
            row: given.row_limit.unwrap_or(64 * 1024),
        }
    }
}

/// Which sheet.
#[derive(Debug, Clone)]
enum Which {
    /// Counted from 1, in the order of the workbook.
    Number(usize),
    Named(String),
}

/// What a column is said to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    /// Numbers such as those of identity cards.
    Text,
    /// Serials are dates even where the cell is not formatted as one.
    Date,
}

/// What is read of a workbook.
#[derive(Debug, Clone)]
struct Plan {
    sheet: Which,
    /// In one form, see [`nfkc`].
    columns: Vec<String>,
    text: Vec<String>,
    dates: Vec<String>,
    fill_merged: bool,
    limits: Limits,
}

impl Plan {
    fn kind(&self, column: &str) -> Kind {
        let has = |list: &[String]| list.iter().any(|name| name == column);
        match (has(&self.text), has(&self.dates)) {
            (true, _) => Kind::Text,
            (_, true) => Kind::Date,
            _ => Kind::Any,
        }
    }
}

/// The format `xlsx`. Options: `sheet` (name or number, the first), `columns` (the header has them all), `text` (long
/// numbers, never stored as numbers), `dates` (serials, even unformatted), `merged = "fill" | "first"`, `row_limit`, and
/// the limits of a workbook.
pub struct Xlsx {
    plan: Plan,
    /// Digest of the last workbook that passed the scan: a file is verified and then read, and need not be scanned twice.
    scanned: Mutex<Option<[u8; 32]>>,
}

impl Xlsx {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        let mut faults = Vec::new();
        let limits = Limits::of(&given);
        let sheet = which(given.sheet).unwrap_or_else(|fault| {
            faults.push(fault);
            Which::Number(1)
        });
        let names = |list: Option<Vec<String>>| -> Vec<String> {
            list.unwrap_or_default().iter().map(|name| nfkc(name).into_owned()).collect()
        };
        let (columns, text, dates) = (names(given.columns), names(given.text), names(given.dates));
        if columns.is_empty() {
            faults.push(
                options::bad("columns", "the header row is found by the names of its columns").expected("at least one name"),
            );
        }
        if !matches!(given.merged.as_deref(), None | Some("fill" | "first")) {
            faults.push(options::bad("merged", "unknown value").expected("`fill` or `first`"));
        }
        let fill_merged = given.merged.as_deref() == Some("fill");
        let plan = Plan { sheet, columns, text, dates, fill_merged, limits };
        if faults.is_empty() { Ok(Self { plan, scanned: Mutex::new(None) }) } else { Err(faults) }
    }

    fn open(&self, input: &mut dyn Input) -> Result<sheet::Rows, Vec<Fault>> {
        let bytes = inflate::whole(input, self.plan.limits.file).map_err(|fault| vec![fault])?;
        let bytes = Cursor::into_inner(bytes);
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        let last = || self.scanned.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *last() == Some(digest);
        let rows = sheet::Rows::start(bytes, self.plan.clone(), known)?;
        *last() = Some(digest);
        Ok(rows)
    }
}

fn which(sheet: Option<toml::Value>) -> Result<Which, Fault> {
    match sheet {
        None => Ok(Which::Number(1)),
        Some(toml::Value::String(name)) => Ok(Which::Named(nfkc(&name).into_owned())),
        Some(toml::Value::Integer(number)) if number > 0 => Ok(Which::Number(usize::try_from(number).unwrap_or(usize::MAX))),
        Some(_) => Err(options::bad("sheet", "is neither a name nor a number from 1")),
    }
}

impl Format for Xlsx {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        self.open(input)?.count()
    }

    fn rows(&self, mut input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        Ok(Box::new(self.open(&mut *input)?))
    }
}
