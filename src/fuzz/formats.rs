//! Files: every format, as adapters configure it.

use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    sync::Once,
};

use serde_json::Value;

use super::{
    check,
    shelf::{self, choose, forms, split},
    write,
};
use crate::{
    adapter::decode::{self, Decoded, Input, dbf::memo},
    error::Fault,
};

/// Stands between a table and its memos.
const MEMOS: &[u8] = b"--fpt--";
/// Rows that are written and read again.
const WRITTEN: usize = 50;

/// CSV; what was read is written as CSV and read again.
pub fn csv(bytes: &[u8]) {
    let rows = read("csv", bytes, true);
    again("csv", "encoding = 'UTF-8'\nrow_limit = 10000000", &rows, write::csv);
}

/// Fixed width.
pub fn fixed(bytes: &[u8]) {
    read("fixed", bytes, false);
}

/// DBF, with memos behind a mark.
pub fn dbf(bytes: &[u8]) {
    read("dbf", bytes, true);
}

/// XLSX. The library is known to panic on some damage: that stays in the thread that reads, and is a fault of the file.
pub fn xlsx(bytes: &[u8]) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some("workbook") {
                others(panic);
            }
        }));
    });
    read("xlsx", bytes, true);
}

/// XML; what was read is written as XML and read again.
pub fn xml(bytes: &[u8]) {
    let rows = read("xml", bytes, true);
    again("xml", "rows = 'list/item'", &rows, write::xml);
}

/// A JSON document.
pub fn json(bytes: &[u8]) {
    let rows = read("json", bytes, true);
    again("ndjson", "limit = 10000000", &rows, |rows| Some(write::lines(rows)));
}

/// JSON by lines; what was read is written and read again.
pub fn ndjson(bytes: &[u8]) {
    let rows = read("ndjson", bytes, true);
    again("ndjson", "limit = 10000000", &rows, |rows| Some(write::lines(rows)));
}

/// Archives of tables.
pub fn archive(bytes: &[u8]) {
    let (label, rest) = split(bytes);
    let Some(form) = choose(forms("archive"), bytes, label, |form| &form.label) else { return };
    // A member may turn out bad when its rows are read: it is counted only if it was good.
    check::format(&*form.format, false, &|| Box::new(Cursor::new(rest.to_vec())));
}

fn read(target: &str, bytes: &[u8], exact: bool) -> Vec<Decoded> {
    let (label, rest) = split(bytes);
    let Some(form) = choose(shelf::forms(target), bytes, label, |form| &form.label) else { return Vec::new() };
    let (file, second) = halves(rest);
    let open = || -> Box<dyn Input> { Box::new(Pair { file: Cursor::new(file.to_vec()), second: second.map(<[u8]>::to_vec) }) };
    check::good(check::format(&*form.format, exact, &open))
}

fn halves(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.windows(MEMOS.len()).position(|window| window == MEMOS) {
        Some(at) => (&bytes[..at], Some(&bytes[at + MEMOS.len()..])),
        None => (bytes, None),
    }
}

/// What was read, written by a writer of our own, must be read as the same.
fn again(format: &str, options: &str, rows: &[Decoded], write: impl Fn(&[Decoded]) -> Option<Vec<u8>>) {
    let rows = &rows[..rows.len().min(WRITTEN)];
    let Some(bytes) = write(rows).filter(|_| !rows.is_empty()) else { return };
    let table: toml::Table = options.parse().unwrap_or_default();
    let Ok(format) = decode::open(format, &table) else { return };
    let read = check::format(&*format, true, &|| Box::new(Cursor::new(bytes.clone())));
    let data = |row: &Decoded| row.data.clone();
    let read: Vec<Result<Value, Vec<Fault>>> =
        read.iter().map(|row| row.as_ref().map(data).map_err(|bad| bad.faults.clone())).collect();
    let given: Vec<Result<Value, Vec<Fault>>> = rows.iter().map(|row| Ok(data(row))).collect();
    assert_eq!(read, given, "what was read, written and read again is another");
}

/// A file with another beside it.
struct Pair {
    file: Cursor<Vec<u8>>,
    second: Option<Vec<u8>>,
}

impl Read for Pair {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for Pair {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Input for Pair {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        let second = self.second.as_ref().filter(|_| ending == memo::ENDING);
        Ok(second.map(|bytes| Box::new(Cursor::new(bytes.clone())) as Box<dyn Input>))
    }
}
