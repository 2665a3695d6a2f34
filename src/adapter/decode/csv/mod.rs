//! CSV as county systems write it: GB18030 or UTF-8, Excel's `="2201…"` and leading apostrophes, a control line at the end.
//!
//! Records are split on bytes before they are decoded, so that one record in a broken charset spoils only itself. A
//! stray quote would swallow the rows after it: a record of several lines that does not have the right number of fields
//! is refused as its first line alone, and its other lines are read again as records.

use std::{
    collections::HashSet,
    io::{Read, SeekFrom},
};

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    BadRow, Decoded, EMPTY, Format, Input, ROW_TOO_LONG, RowReader, charset::Charset, charset::Watch, options, unreadable,
};
use crate::error::{Code, Fault};

mod record;
#[cfg(test)]
mod tests;

use record::{Record, Records};

/// A column the adapter needs is not in the header line, or the header names a column twice.
pub const COLUMNS: Code = Code::new(2020);
/// A row has more or fewer fields than the header.
pub const FIELD_COUNT: Code = Code::new(2021);
/// A quoted field does not end.
pub const QUOTE: Code = Code::new(2022);
/// The control line at the end is missing, or its count or digest is not that of the file.
pub const TRAILER: Code = Code::new(2023);

/// A header of nothing but delimiters has a fault for each of them.
const FAULTS_SHOWN: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    encoding: Option<String>,
    delimiter: Option<String>,
    trailer: Option<String>,
    columns: Option<Vec<String>>,
    header: Option<bool>,
    row_limit: Option<usize>,
}

/// The format `csv`. Options: `encoding`, `delimiter` (one character, `,`), `trailer = "count-md5"`, `columns` (must be in
/// the header; without a header line they name the fields in order), `header = true`, `row_limit` in bytes (65536).
pub struct Csv {
    charset: Charset,
    delimiter: u8,
    trailer: bool,
    columns: Vec<String>,
    header: bool,
    limit: usize,
}

impl Csv {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        let mut faults = Vec::new();
        let charset = Charset::named(given.encoding.as_deref()).unwrap_or_else(|fault| {
            faults.push(fault);
            Charset::Utf8
        });
        let delimiter = match given.delimiter.as_deref().unwrap_or(",").as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => *byte,
            _ => {
                faults.push(options::bad("delimiter", "must be one ASCII character").expected("for example `,`, `;` or a tab"));
                b','
            }
        };
        if !matches!(given.trailer.as_deref(), None | Some("count-md5" | "none")) {
            faults.push(options::bad("trailer", "unknown kind of control line").expected("`count-md5` or `none`"));
        }
        let header = given.header.unwrap_or(true);
        let columns = given.columns.unwrap_or_default();
        if !header && columns.is_empty() {
            faults.push(options::bad("columns", "a file without a header line needs the names of its columns"));
        }
        let trailer = given.trailer.as_deref() == Some("count-md5");
        let limit = given.row_limit.unwrap_or(64 * 1024);
        if faults.is_empty() { Ok(Self { charset, delimiter, trailer, columns, header, limit }) } else { Err(faults) }
    }

    /// Reads the header line; the columns of the file.
    fn start(&self, records: &mut Records) -> Result<Vec<String>, Vec<Fault>> {
        if !self.header {
            records.width = self.columns.len();
            return Ok(self.columns.clone());
        }
        let first = records.next().map_err(|error| vec![unreadable(&error)])?;
        let Some(first) = first else {
            return Err(vec![Fault::new(EMPTY, "the file is empty").expected("a header line")]);
        };
        let bytes = first.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&first.bytes);
        let text = self.charset.decode(bytes).map_err(|fault| vec![fault.at_row(first.number)])?;
        let columns: Vec<String> = record::fields(&text, self.delimiter).into_iter().map(|name| name.trim().to_owned()).collect();
        let faults = self.header_faults(&columns, first.number);
        records.width = columns.len();
        if faults.is_empty() { Ok(columns) } else { Err(faults) }
    }

    fn header_faults(&self, columns: &[String], row: u64) -> Vec<Fault> {
        let known: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut faults = Vec::new();
        for needed in self.columns.iter().filter(|needed| !columns.contains(needed)) {
            let fault = Fault::new(COLUMNS, format!("the header has no column `{needed}`")).at_row(row).at_column(needed.clone());
            // Where the header is missing a person stands in its place: only what is much like the column is told.
            let nearest = options::unknown(COLUMNS, "column", needed, &known).hint;
            faults.push(fault.hint(nearest.unwrap_or_else(|| "compare the first line of the file with `columns`".to_owned())));
        }
        let mut seen = HashSet::new();
        for (at, name) in columns.iter().enumerate().filter(|(_, name)| !seen.insert(name.as_str())) {
            let shown = if self.columns.contains(name) { format!("column `{name}`") } else { "a column".to_owned() };
            let fault = Fault::new(COLUMNS, format!("the header names {shown} twice"));
            faults.push(fault.at_row(row).at_column((at + 1).to_string()));
        }
        faults.truncate(FAULTS_SHOWN);
        faults
    }

    /// Compares the control line `EOF,count,md5` with the file: `count` data records, MD5 of every byte before the line.
    fn check_trailer(&self, line: Option<&Record>, count: u64, input: &mut dyn Input) -> Result<(), Vec<Fault>> {
        let form = "`EOF,<number of data rows>,<MD5 of all bytes before this line>`";
        let Some(line) = line else {
            let hint = "the file may be cut off; ask the sender for it again";
            return Err(vec![Fault::new(TRAILER, "the control line at the end is missing").expected(form).hint(hint)]);
        };
        let text = String::from_utf8_lossy(&line.bytes);
        let parts: Vec<&str> = text.split([',', char::from(self.delimiter)]).map(str::trim).collect();
        let place = |fault: Fault| fault.at_row(line.number);
        let [_, said, digest] = parts[..] else {
            return Err(vec![place(Fault::new(TRAILER, "the control line has the wrong form").expected(form))]);
        };
        let mut faults = Vec::new();
        if said.parse() != Ok(count) {
            let fault = Fault::new(TRAILER, format!("the file holds {count} data rows, its control line says otherwise"));
            faults.push(place(fault.expected("the count of the control line")));
        }
        let real = md5_of(input, line.offset).map_err(|error| vec![unreadable(&error)])?;
        if !digest.eq_ignore_ascii_case(&real) {
            let fault = Fault::new(TRAILER, "the MD5 of the file is not that of its control line");
            faults.push(place(fault.hint("the file was changed or cut after it was written; ask the sender for it again")));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl Format for Csv {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        let read_error = |error: std::io::Error| vec![unreadable(&error)];
        let mut records = Records::new(&mut *input, self.limit, self.delimiter, self.charset, self.trailer);
        self.start(&mut records)?;
        let (mut count, mut watch) = (0, Watch::default());
        while let Some(record) = records.next().map_err(read_error)? {
            count += 1;
            watch.row(self.charset, record.number, &record.bytes);
        }
        let trailer = records.trailer.take();
        drop(records);
        if self.trailer {
            self.check_trailer(trailer.as_ref(), count, input)?;
        }
        watch.verdict(self.charset).map_or(Ok(count), |fault| Err(vec![fault]))
    }

    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        let mut records = Records::new(input, self.limit, self.delimiter, self.charset, self.trailer);
        let columns = self.start(&mut records)?;
        Ok(Box::new(Rows { records, columns, charset: self.charset, delimiter: self.delimiter, ended: false }))
    }
}

fn md5_of(input: &mut dyn Input, length: u64) -> std::io::Result<String> {
    input.seek(SeekFrom::Start(0))?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut rest = input.take(length);
    loop {
        let read = rest.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

struct Rows<'a> {
    records: Records<'a>,
    columns: Vec<String>,
    charset: Charset,
    delimiter: u8,
    ended: bool,
}

impl Rows<'_> {
    fn decode(&self, record: &Record) -> Result<Decoded, Fault> {
        if record.too_long {
            return Err(Fault::new(ROW_TOO_LONG, "the row is longer than `row_limit`"));
        }
        if record.open_quote {
            return Err(
                Fault::new(QUOTE, "a quoted field does not end").expected("a closing `\"`, or `\"\"` for a quote in the text")
            );
        }
        let text = self.charset.decode(&record.bytes)?;
        let fields = record::fields(&text, self.delimiter);
        if fields.len() != self.columns.len() {
            let fault = Fault::new(FIELD_COUNT, format!("the row has {} fields", fields.len()));
            return Err(fault.expected(format!("{} fields as in the header", self.columns.len())));
        }
        let data: Map<String, Value> = self.columns.iter().cloned().zip(fields.into_iter().map(Value::String)).collect();
        Ok(Decoded { number: record.number, data: Value::Object(data), meta: Map::new() })
    }
}

impl RowReader for Rows<'_> {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        if self.ended {
            return None;
        }
        match self.records.next() {
            Ok(Some(record)) => {
                Some(self.decode(&record).map_err(|fault| BadRow::new(record.number, vec![fault], &record.bytes)))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(BadRow::new(self.records.line(), vec![unreadable(&error)], &[])))
            }
        }
    }
}
