//! A look at a whole workbook before the library opens it.
//!
//! The library trusts what it reads: it keeps every shared string and every style, and compares attributes with one
//! another. So everything that could make it slow or large is counted first, with the same XML parser, on what really
//! comes out of the archive. A declared dimension is not even looked at: neither we nor the library's cell reader use it.

use std::io::Cursor;

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use super::{BROKEN, Limits, SCRIPT};
use crate::{
    adapter::decode::inflate::{self, Budget, too_much},
    error::Fault,
};

/// Elements outside the cells: styles, relationships, names. The library keeps a structure for many of them.
const OTHER_ELEMENTS: u64 = 200_000;
/// Merged regions of all sheets.
const MERGED: u64 = 20_000;
/// Depth of elements; a workbook has about ten levels.
const DEPTH: usize = 64;

/// Refuses a workbook that holds more than its limits, or what no workbook holds.
///
/// # Errors
/// One fault, for the first thing found.
pub fn scan(bytes: &[u8], limits: &Limits) -> Result<(), Fault> {
    let mut archive = inflate::open(Cursor::new(bytes), &limits.container)?;
    let mut budget = Budget::new(limits.container);
    let mut counts = Counts::default();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|_| inflate::broken("an entry cannot be opened"))?;
        let name = entry.name_raw().to_ascii_lowercase();
        let is_xml = [&b".xml"[..], b".rels", b".vml"].iter().any(|end| name.ends_with(end));
        let inflated = budget.inflate(&mut entry)?;
        // Relations may name any entry as a sheet, so all are looked at; only in XML is bad XML a fault.
        match std::str::from_utf8(&inflated) {
            Ok(text) => part(text, is_xml, &mut counts, limits)?,
            Err(_) if is_xml => return Err(Fault::new(BROKEN, "a part of the workbook is not UTF-8")),
            Err(error) => part(text_before(&inflated, error.valid_up_to()), false, &mut counts, limits)?,
        }
    }
    Ok(())
}

fn text_before(bytes: &[u8], end: usize) -> &str {
    std::str::from_utf8(&bytes[..end]).unwrap_or_default()
}

/// What was seen so far, over all parts.
#[derive(Default)]
struct Counts {
    cells: u64,
    strings: u64,
    merged: u64,
    others: u64,
}

/// Where the next cell stands that does not say so itself.
#[derive(Default)]
struct Place {
    row: u64,
    column: u64,
}

fn part(text: &str, is_xml: bool, counts: &mut Counts, limits: &Limits) -> Result<(), Fault> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    (config.check_end_names, config.check_comments, config.allow_unmatched_ends) = (false, false, true);
    let (mut place, mut depth) = (Place::default(), 0_usize);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                depth += 1;
                if depth > DEPTH && is_xml {
                    return Err(too_much("elements are nested deeper", DEPTH as u64, "levels"));
                }
                self::element(&element, counts, &mut place, limits)?;
            }
            Ok(Event::Empty(element)) => self::element(&element, counts, &mut place, limits)?,
            Ok(Event::End(element)) => {
                depth = depth.saturating_sub(1);
                if element.local_name().as_ref() == "row" {
                    place = Place { row: place.row + 1, column: 0 };
                }
            }
            Ok(Event::DocType(_)) => {
                let fault = Fault::new(SCRIPT, "a part of the workbook declares a document type");
                return Err(fault.hint("no workbook does: the file is not from Excel, and may be an attack"));
            }
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => {}
            Err(_) if is_xml => return Err(Fault::new(BROKEN, "a part of the workbook is not XML").hint("the file is damaged")),
            Err(_) => return Ok(()),
        }
    }
}

fn element(element: &BytesStart<'_>, counts: &mut Counts, place: &mut Place, limits: &Limits) -> Result<(), Fault> {
    let most = limits.attributes;
    if element.attributes().with_checks(false).take(most + 1).count() > most {
        return Err(too_much("an element has more attributes", most as u64, "attributes"));
    }
    let over = |count: &mut u64, limit: u64, what: &str, unit: &str| {
        *count += 1;
        if *count > limit { Err(too_much(what, limit, unit)) } else { Ok(()) }
    };
    match element.local_name().as_ref() {
        "row" => {
            place.row =
                attribute(element, "r").and_then(|text| text.parse().ok()).map_or(place.row, |row: u64| row.saturating_sub(1));
            // Rows without cells cost nothing.
            Ok(())
        }
        "c" => {
            if let Some((row, column)) = attribute(element, "r").and_then(|text| position(&text)) {
                *place = Place { row, column };
            }
            place.column += 1;
            over(&mut counts.cells, limits.cells, "there are more cells", "cells")
        }
        // A cell that is only formatted has no value: whole columns are formatted down to the last row of the sheet.
        "v" | "is" => on_sheet(place, limits),
        "si" => over(&mut counts.strings, limits.strings, "there are more shared strings", "strings"),
        "mergeCell" => over(&mut counts.merged, MERGED, "there are more merged regions", "regions"),
        "t" | "f" | "r" => Ok(()),
        _ => over(&mut counts.others, OTHER_ELEMENTS, "there are more elements beside the cells", "elements"),
    }
}

fn on_sheet(place: &Place, limits: &Limits) -> Result<(), Fault> {
    if place.row >= limits.last_row {
        return Err(too_much("a cell stands in a row beyond", limits.last_row, "rows"));
    }
    if place.column > limits.last_column {
        return Err(too_much("a cell stands in a column beyond", limits.last_column, "columns"));
    }
    Ok(())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    element.try_get_attribute(name).ok().flatten().map(|attribute| attribute.value.into_owned())
}

/// `B7` as row 6 and column 1.
fn position(text: &str) -> Option<(u64, u64)> {
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let (letters, row) = text.split_at_checked(digits)?;
    let column = letters.bytes().take(8).try_fold(0_u64, |column, letter| {
        letter.is_ascii_alphabetic().then(|| column * 26 + u64::from(letter.to_ascii_uppercase() - b'A') + 1)
    })?;
    Some((row.parse::<u64>().ok()?.checked_sub(1)?, column.checked_sub(1)?))
}
