//! The rows of one sheet, read in a thread of their own.

use std::{
    io::Cursor,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    vec::IntoIter,
};

use calamine::{Cell, DataRef, Dimensions, Reader, SheetType, Xlsx, XlsxError};
use serde_json::{Map, Value};

use super::{BROKEN, HEADER, Kind, Plan, SHEET, Which, cell, scan::scan};
use crate::{
    adapter::decode::{BadRow, Decoded, ROW_TOO_LONG, RowReader, csv, options},
    domain::text::nfkc,
    error::Fault,
};

/// Rows above the header: titles, who filled it in.
const TITLE_ROWS: u32 = 30;
/// Rows handed over at once, and the bytes that end such a portion early.
const PORTION: (usize, usize) = (64, 1 << 20);

type Row = Result<Decoded, BadRow>;

enum Message {
    /// The header was found.
    Ready,
    Rows(Vec<Row>),
    /// The sheet is at its end.
    End,
    Refused(Vec<Fault>),
}

/// The receiving end.
pub struct Rows {
    from: Receiver<Message>,
    rows: IntoIter<Row>,
    last: u64,
    ended: bool,
}

impl Rows {
    /// Starts to read; waits until the workbook is scanned, unless it was before, and the header is found.
    pub fn start(bytes: Vec<u8>, plan: Plan, scanned: bool) -> Result<Self, Vec<Fault>> {
        let (to, from) = sync_channel(1);
        let work = move || {
            // A send fails when nobody wants the rows any more.
            let _ = match read(bytes, &plan, scanned, &to) {
                Ok(()) => to.send(Message::End),
                Err(Stop::Faults(faults)) => to.send(Message::Refused(faults)),
                Err(Stop::Unwanted) => Ok(()),
            };
        };
        thread::Builder::new().name("workbook".to_owned()).spawn(work).map_err(|error| vec![super::super::unreadable(&error)])?;
        let mut rows = Self { from, rows: Vec::new().into_iter(), last: 0, ended: false };
        match rows.from.recv() {
            Ok(Message::Ready) => Ok(rows),
            Ok(Message::Refused(faults)) => Err(faults),
            Ok(Message::Rows(more)) => {
                rows.rows = more.into_iter();
                Ok(rows)
            }
            Ok(Message::End) | Err(_) => Err(vec![crashed()]),
        }
    }

    /// Reads to the end.
    pub fn count(self) -> Result<u64, Vec<Fault>> {
        let mut count = 0;
        loop {
            match self.from.recv() {
                Ok(Message::Rows(rows)) => count += rows.len() as u64,
                Ok(Message::End) => return Ok(count),
                Ok(Message::Refused(faults)) => return Err(faults),
                Ok(Message::Ready) => {}
                Err(_) => return Err(vec![crashed()]),
            }
        }
    }
}

impl RowReader for Rows {
    fn next(&mut self) -> Option<Row> {
        loop {
            if let Some(row) = self.rows.next() {
                self.last = row.as_ref().map_or_else(|bad| bad.number, |row| row.number);
                return Some(row);
            }
            if self.ended {
                return None;
            }
            let faults = match self.from.recv() {
                Ok(Message::Rows(rows)) => {
                    self.rows = rows.into_iter();
                    continue;
                }
                Ok(Message::Ready) => continue,
                Ok(Message::End) => {
                    self.ended = true;
                    return None;
                }
                Ok(Message::Refused(faults)) => faults,
                Err(_) => vec![crashed()],
            };
            // Not reached after a good verification.
            self.ended = true;
            return Some(Err(BadRow::new(self.last + 1, faults, &[])));
        }
    }
}

/// The reading thread is gone: the library panicked.
fn crashed() -> Fault {
    Fault::new(BROKEN, "the workbook cannot be read").hint("open it in Excel and save it anew")
}

enum Stop {
    Faults(Vec<Fault>),
    Unwanted,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

/// The library's texts may quote cells, so they are left out.
fn library(error: &XlsxError) -> Fault {
    match error {
        XlsxError::Password => Fault::new(BROKEN, "the workbook is protected by a password").hint("send it without one"),
        _ => {
            Fault::new(BROKEN, "this is not a whole workbook").expected("an .xlsx file").hint("open it in Excel and save it anew")
        }
    }
}

fn read(bytes: Vec<u8>, plan: &Plan, scanned: bool, to: &SyncSender<Message>) -> Result<(), Stop> {
    if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        let fault = Fault::new(BROKEN, "this is a workbook of Excel 97, or one with a password").expected("an .xlsx file");
        return Err(fault.hint("save it in Excel as .xlsx, without a password").into());
    }
    if !scanned {
        scan(&bytes, &plan.limits)?;
    }
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(|error| library(&error))?;
    let name = choose(&book, &plan.sheet)?;
    let mut merged =
        if plan.fill_merged { book.merge_cells_by_sheet_name(&name).map_err(|error| library(&error))? } else { Vec::new() };
    merged.retain(|region| region.end.0 > region.start.0);
    merged.sort_by_key(|region| std::cmp::Reverse(region.start));
    let is_1904 = book.has_1904_epoch();
    let mut sheet = Sheet {
        plan,
        name: name.clone(),
        is_1904,
        header: Vec::new(),
        near: Vec::new(),
        merged,
        fill: Vec::new(),
        out: Out::new(to),
    };
    let mut cells = book.worksheet_cells_reader(&name).map_err(|error| library(&error))?;
    let (mut row, mut at) = (Vec::new(), None);
    while let Some(cell) = cells.next_cell().map_err(|error| library(&error))? {
        let this = cell.get_position().0;
        match at {
            Some(last) if this < last => return Err(Fault::new(BROKEN, "the rows of the sheet are not in order").into()),
            Some(last) if this > last => sheet.row(last, &std::mem::take(&mut row))?,
            _ => {}
        }
        at = Some(this);
        row.push(cell);
    }
    if let Some(last) = at {
        sheet.row(last, &row)?;
    }
    sheet.finish()
}

fn choose(book: &Xlsx<Cursor<Vec<u8>>>, which: &Which) -> Result<String, Fault> {
    let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    let names: Vec<&str> = sheets.map(|sheet| sheet.name.as_str()).collect();
    let found = match which {
        Which::Number(number) => names.get(number - 1).copied(),
        Which::Named(wanted) => names.iter().copied().find(|name| nfkc(name) == *wanted),
    };
    // Names of sheets are a county's own and may be names of people: they are not told.
    found.map(str::to_owned).ok_or_else(|| {
        let wanted = match which {
            Which::Number(number) => format!("a sheet {number}"),
            Which::Named(name) => format!("a sheet `{name}`"),
        };
        Fault::new(SHEET, format!("the workbook has {} sheets, not the one that is read", names.len())).expected(wanted)
    })
}

/// A column of the header: its place, its name, and what it holds.
struct Column {
    at: u32,
    name: String,
    kind: Kind,
}

struct Sheet<'a> {
    plan: &'a Plan,
    name: String,
    is_1904: bool,
    /// Empty until it is found.
    header: Vec<Column>,
    /// The names of the row most like a header so far, for the fault.
    near: Vec<String>,
    /// Regions of more than one row; the next one is the last.
    merged: Vec<Dimensions>,
    /// By column of the header: the last row of a merged region, and its value.
    fill: Vec<Option<(u32, Value)>>,
    out: Out<'a>,
}

impl Sheet<'_> {
    fn row(&mut self, number: u32, cells: &[Cell<DataRef<'_>>]) -> Result<(), Stop> {
        if self.header.is_empty() {
            return self.look_for_header(number, cells);
        }
        let record = self.record(number, cells);
        match record {
            Some(row) => self.out.push(row),
            None => Ok(()),
        }
    }

    fn look_for_header(&mut self, number: u32, cells: &[Cell<DataRef<'_>>]) -> Result<(), Stop> {
        if number >= TITLE_ROWS {
            return Err(Stop::Faults(self.no_header()));
        }
        let mut names: Vec<(u32, String)> = Vec::new();
        for cell in cells {
            let text = match cell.get_value() {
                DataRef::String(text) => nfkc(text).into_owned(),
                DataRef::SharedString(text) => nfkc(text).into_owned(),
                _ => continue,
            };
            if !text.is_empty() && text.len() <= 256 {
                names.push((cell.get_position().1, text));
            }
        }
        let has = |names: &[(u32, String)], wanted: &String| names.iter().any(|(_, name)| name == wanted);
        let found = self.plan.columns.iter().filter(|wanted| has(&names, wanted)).count();
        if found < self.plan.columns.len() {
            let before = self.plan.columns.iter().filter(|wanted| self.near.contains(wanted)).count();
            if found > before {
                self.near = names.into_iter().map(|(_, name)| name).collect();
            }
            return Ok(());
        }
        let known: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
        if let Some((_, twice)) = known.iter().enumerate().find(|(at, name)| known[..*at].contains(name)) {
            let fault = Fault::new(csv::COLUMNS, "the header names a column twice").at_row(u64::from(number) + 1);
            return Err(fault.at_column((*twice).to_owned()).into());
        }
        self.header = names.into_iter().map(|(at, name)| Column { at, kind: self.plan.kind(&name), name }).collect();
        self.fill = vec![None; self.header.len()];
        self.out.ready()
    }

    fn no_header(&self) -> Vec<Fault> {
        let missing: Vec<&String> = self.plan.columns.iter().filter(|wanted| !self.near.contains(wanted)).collect();
        let near: Vec<&str> = self.near.iter().map(String::as_str).collect();
        let fault = |wanted: &String| {
            let nearest = options::unknown(HEADER, "column", wanted, &near).hint;
            let fault = Fault::new(HEADER, format!("no row is a header with a column `{wanted}`")).at_column(wanted.clone());
            fault.hint(nearest.unwrap_or_else(|| "compare the sheet with the adapter's `columns`".to_owned()))
        };
        missing.into_iter().take(20).map(fault).collect()
    }

    fn record(&mut self, number: u32, cells: &[Cell<DataRef<'_>>]) -> Option<Row> {
        let shown = u64::from(number) + 1;
        let (mut data, mut faults, mut bytes) = (Map::new(), Vec::new(), 0);
        let mut blank = true;
        for column in &self.header {
            let cell =
                cells.iter().rev().find(|cell| cell.get_position().1 == column.at).map_or(&DataRef::Empty, Cell::get_value);
            bytes += length(cell);
            if bytes > self.plan.limits.row {
                let fault = Fault::new(ROW_TOO_LONG, "the texts of the row are too long");
                faults.push(fault.expected(format!("at most {} bytes", self.plan.limits.row)));
                blank = false;
                break;
            }
            match cell::text(cell, column.kind, self.is_1904) {
                Ok(text) => {
                    blank &= text.is_none();
                    data.insert(column.name.clone(), text.map_or(Value::Null, Value::from));
                }
                Err(fault) => {
                    blank = false;
                    faults.push(fault.at_column(column.name.clone()));
                }
            }
        }
        self.start_regions(number, &data);
        if blank {
            return None;
        }
        if !faults.is_empty() {
            return Some(Err(BadRow::new(shown, faults, Value::Object(data).to_string().as_bytes())));
        }
        self.fill_in(number, &mut data);
        let meta = Map::from_iter([("sheet".to_owned(), Value::from(self.name.clone()))]);
        Some(Ok(Decoded { number: shown, data: Value::Object(data), meta }))
    }

    /// Notes the values of merged regions that begin in this row.
    fn start_regions(&mut self, number: u32, data: &Map<String, Value>) {
        while let Some(region) = self.merged.pop_if(|region| region.start.0 <= number) {
            if region.start.0 < number {
                continue;
            }
            let value = self.header.iter().find(|column| column.at == region.start.1).and_then(|column| data.get(&column.name));
            let Some(value) = value.filter(|value| !value.is_null()) else { continue };
            for (column, fill) in self.header.iter().zip(&mut self.fill) {
                if (region.start.1..=region.end.1).contains(&column.at) {
                    *fill = Some((region.end.0, value.clone()));
                }
            }
        }
    }

    fn fill_in(&self, number: u32, data: &mut Map<String, Value>) {
        for (column, fill) in self.header.iter().zip(&self.fill) {
            if let Some((last, value)) = fill
                && *last >= number
                && data.get(&column.name).is_none_or(Value::is_null)
            {
                data.insert(column.name.clone(), value.clone());
            }
        }
    }

    fn finish(mut self) -> Result<(), Stop> {
        if self.header.is_empty() {
            return Err(Stop::Faults(self.no_header()));
        }
        self.out.flush()
    }
}

fn length(cell: &DataRef<'_>) -> usize {
    match cell {
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.len(),
        DataRef::SharedString(text) => text.len(),
        _ => 0,
    }
}

/// The sending end: rows in portions.
struct Out<'a> {
    to: &'a SyncSender<Message>,
    rows: Vec<Row>,
    bytes: usize,
}

impl<'a> Out<'a> {
    fn new(to: &'a SyncSender<Message>) -> Self {
        Self { to, rows: Vec::new(), bytes: 0 }
    }

    fn ready(&self) -> Result<(), Stop> {
        self.to.send(Message::Ready).map_err(|_| Stop::Unwanted)
    }

    fn push(&mut self, row: Row) -> Result<(), Stop> {
        self.bytes += row.as_ref().map_or(4096, |row| {
            row.data.as_object().map_or(0, |data| data.values().filter_map(Value::as_str).map(str::len).sum())
        });
        self.rows.push(row);
        if self.rows.len() < PORTION.0 && self.bytes < PORTION.1 { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() { Ok(()) } else { self.to.send(Message::Rows(rows)).map_err(|_| Stop::Unwanted) }
    }
}
