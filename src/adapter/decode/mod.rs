//! Formats: bytes to JSON rows, with the limits of every parser.
//!
//! A [`Format`] reads a file twice. [`Format::verify`] looks at the file as a whole (column names, trailer, control
//! totals, declared length, charset): a file that fails is refused whole, no row of it goes on. [`Format::rows`] then
//! streams it; a row that cannot be read is a [`BadRow`] and the next good row still comes. Memory is bounded by one
//! record, whatever the file holds. Text stays text: numbers and dates are read by the mapping program.
//!
//! Formats block: use them inside `tokio::task::spawn_blocking`.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek},
};

use serde_json::{Map, Value};

use crate::error::{Code, Fault};

pub mod beside;
pub mod charset;
pub mod csv;
pub mod dbf;
pub mod fixed;
pub mod inflate;
pub mod jsonfile;
pub mod lines;
pub mod options;
pub mod xlsx;
pub mod xml;

/// The format name is not known.
pub const UNKNOWN_FORMAT: Code = Code::new(2006);
/// The bytes do not fit the declared charset.
pub const ENCODING: Code = Code::new(2010);
/// A field holds the character U+0000.
pub const NUL: Code = Code::new(2011);
/// A record is longer than the limit of the format.
pub const ROW_TOO_LONG: Code = Code::new(2012);
/// The file could not be read to its end.
pub const UNREADABLE: Code = Code::new(2013);
/// The file is empty where a header or a trailer must be.
pub const EMPTY: Code = Code::new(2014);

/// How much of a refused record goes to the dead letters.
const RAW_LIMIT: usize = 4096;

/// The names of [`open`], for messages.
pub const FORMATS: [&str; 7] = ["csv", "fixed", "dbf", "json", "ndjson", "xlsx", "xml"];

/// What a format reads from: a file, or bytes in memory.
pub trait Input: Read + Seek + Send {
    /// The file that lies beside this one and has the same name with another ending, such as the memos of a DBF.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        let _ = ending;
        Ok(None)
    }
}

impl Input for File {}
impl<T: AsRef<[u8]> + Send> Input for Cursor<T> {}

impl<T: Input> Input for BufReader<T> {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        self.get_ref().beside(ending)
    }
}

impl<T: Input + ?Sized> Input for &mut T {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        (**self).beside(ending)
    }
}

impl<T: Input + ?Sized> Input for Box<T> {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        (**self).beside(ending)
    }
}

/// One decoded row.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Line or record number in the file, counted from 1.
    pub number: u64,
    /// A JSON object, column name to text or null.
    pub data: Value,
    /// Facts beside the row: the fields of the file's header record under `header`, cut fields under `_cut`.
    pub meta: Map<String, Value>,
}

/// A row that could not be decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// Line or record number in the file, counted from 1.
    pub number: u64,
    pub faults: Vec<Fault>,
    /// The bytes of the row, at most 4 KiB.
    pub raw: Vec<u8>,
}

impl BadRow {
    pub(crate) fn new(number: u64, faults: Vec<Fault>, raw: &[u8]) -> Self {
        let faults =
            faults.into_iter().map(|fault| if fault.place.row.is_none() { fault.at_row(number) } else { fault }).collect();
        Self { number, faults, raw: raw[..raw.len().min(RAW_LIMIT)].to_vec() }
    }
}

/// A stream of rows. After `None` there is nothing more.
pub trait RowReader: Send {
    /// The next row, or the next row that could not be read.
    fn next(&mut self) -> Option<Result<Decoded, BadRow>>;

    /// The file of an archive that the last row came from: its number from 1, and its name.
    fn member(&self) -> Option<(u32, &str)> {
        None
    }
}

/// One file format with its options.
pub trait Format: Send + Sync {
    /// Checks the file as a whole and counts its data rows.
    ///
    /// # Errors
    /// Every fault for which the whole file is refused.
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>>;

    /// Opens the file for reading row by row, from its start.
    ///
    /// # Errors
    /// Faults of the header; none when [`Format::verify`] has passed.
    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>>;

    /// The ending of a second file that belongs to each file, see [`Input::beside`].
    fn companion(&self) -> Option<&'static str> {
        None
    }
}

/// Makes the format `name` from its options, the adapter's object table without the keys of other owners.
///
/// # Errors
/// [`UNKNOWN_FORMAT`], and every unknown or wrong option.
pub fn open(name: &str, table: &toml::Table) -> Result<Box<dyn Format>, Vec<Fault>> {
    Ok(match name {
        "csv" => Box::new(csv::Csv::new(table)?),
        "fixed" => Box::new(fixed::Fixed::new(table)?),
        "dbf" => Box::new(dbf::Dbf::new(table)?),
        "json" => Box::new(jsonfile::Json::new(table)?),
        "xml" => Box::new(xml::Xml::new(table)?),
        "ndjson" => Box::new(jsonfile::NdJson::new(table)?),
        "xlsx" => Box::new(xlsx::Xlsx::new(table)?),
        _ => return Err(vec![options::unknown(UNKNOWN_FORMAT, "format", name, &FORMATS)]),
    })
}

/// The fault of a failed read, without the path (the caller knows the file).
pub(crate) fn unreadable(error: &std::io::Error) -> Fault {
    Fault::new(UNREADABLE, format!("reading the file failed: {}", error.kind())).hint("check the disk and the file's permissions")
}
