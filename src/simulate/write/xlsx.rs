//! Workbooks as county offices make them in Excel: a merged title, a header, cells of every kind.

use std::path::Path;

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};
use time::Date;

use crate::simulate::error::Error;

/// One cell.
#[derive(Debug, Clone)]
pub enum Cell {
    Blank,
    Text(String),
    Number(f64),
    /// A serial, shown as a date.
    Date(Date),
    /// A serial in a cell that is not formatted as a date.
    Serial(Date),
    /// A formula with the result it had.
    Formula(String, String),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// A sheet: lines above the header, the header, rows, and regions of one column merged from row to row.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    pub name: String,
    pub titles: Vec<String>,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
    /// First row, last row (counted from 0 below the header) and column.
    pub merged: Vec<(u32, u32, u16)>,
}

impl Sheet {
    pub fn new(name: &str, titles: &[&str], columns: &[&str]) -> Self {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Self { name: name.to_owned(), titles: texts(titles), columns: texts(columns), ..Self::default() }
    }

    /// Adds a row and gives its number as Excel counts.
    pub fn push(&mut self, row: Vec<Cell>) -> u64 {
        self.rows.push(row);
        (self.titles.len() + 1 + self.rows.len()) as u64
    }
}

/// Writes a workbook.
///
/// # Errors
/// When a sheet has a name Excel does not take, or the file cannot be written.
pub fn write(path: &Path, sheets: &[Sheet]) -> Result<(), Error> {
    let bytes = bytes(sheets).map_err(|error| Error::file(path)(std::io::Error::other(error.to_string())))?;
    std::fs::write(path, bytes).map_err(Error::file(path))
}

/// A workbook in memory.
///
/// # Errors
/// When a sheet has a name Excel does not take.
pub fn bytes(sheets: &[Sheet]) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    // The same sheets are the same bytes: the day a workbook was made is part of it.
    book.set_properties(&DocProperties::new().set_creation_datetime(&ExcelDateTime::from_ymd(2017, 7, 3)?));
    for sheet in sheets {
        fill(book.add_worksheet(), sheet)?;
    }
    book.save_to_buffer()
}

fn fill(to: &mut Worksheet, sheet: &Sheet) -> Result<(), XlsxError> {
    let bold = Format::new().set_bold();
    to.set_name(&sheet.name)?;
    let width = u16::try_from(sheet.columns.len()).unwrap_or(1).max(1);
    let mut row = 0;
    for title in &sheet.titles {
        if width > 1 {
            to.merge_range(row, 0, row, width - 1, title, &bold)?;
        } else {
            to.write_string(row, 0, title)?;
        }
        row += 1;
    }
    for (column, name) in (0..).zip(&sheet.columns) {
        to.write_string_with_format(row, column, name, &bold)?;
    }
    let first = row + 1;
    // Cells come after the merging: it blanks the region.
    for (from, last, column) in &sheet.merged {
        to.merge_range(first + from, *column, first + last, *column, "", &Format::new())?;
    }
    for (row, cells) in (first..).zip(&sheet.rows) {
        for (column, cell) in (0..).zip(cells) {
            put(to, row, column, cell)?;
        }
    }
    Ok(())
}

fn put(to: &mut Worksheet, row: u32, column: u16, cell: &Cell) -> Result<(), XlsxError> {
    match cell {
        Cell::Blank => Ok(to),
        Cell::Text(text) => to.write_string(row, column, text),
        Cell::Number(number) => to.write_number(row, column, *number),
        Cell::Date(date) => to.write_number_with_format(row, column, serial(*date), &Format::new().set_num_format("yyyy-mm-dd")),
        Cell::Serial(date) => to.write_number(row, column, serial(*date)),
        Cell::Formula(formula, result) => {
            to.write_formula(row, column, rust_xlsxwriter::Formula::new(formula).set_result(result))
        }
    }
    .map(drop)
}

/// Days since 1899-12-30, as Excel counts from March 1900.
fn serial(date: Date) -> f64 {
    f64::from(date.to_julian_day() - 2_415_019)
}
