//! Fixed width, as banks and COBOL programs write it: offsets in bytes of GBK, a record type in front, control totals.
//!
//! The layout comes from the adapter: one record per type, with its role. The header's count and sum are compared with
//! the details before any row goes on; a file whose books do not balance is refused whole. A name cut in the middle of
//! a character by the width of its field loses the torso and is listed under `_cut` in the row's facts.

use serde_json::{Map, Value};

use super::{
    BadRow, Decoded, EMPTY, Format, Input, RowReader,
    charset::{Charset, Watch},
    lines::{Line, Lines},
    unreadable,
};
use crate::error::{Code, Fault};

mod layout;
#[cfg(test)]
mod tests;

use layout::{Layout, Record, Role};

/// A record has more or fewer bytes than its layout.
pub const RECORD_LENGTH: Code = Code::new(2030);
/// A record begins with a type the layout does not name, or its type stands at the wrong place of the file.
pub const RECORD_TYPE: Code = Code::new(2031);
/// The count or sum of the header is not that of the details.
pub const CONTROL_TOTAL: Code = Code::new(2032);
/// The file does not begin with its header record.
pub const HEADER_MISSING: Code = Code::new(2033);

/// The format `fixed`. Options: `encoding` (GBK), `record_length` in bytes with or without the line end, and
/// `[[object.record]]` with `type`, `role = "header" | "detail" | "trailer"`, `fields = [{ name, offset, length }]`
/// (offset from 1), on the header `count_field`, `sum_field` and `sum_of` (the summed field of the details).
pub struct Fixed {
    layout: Layout,
}

impl Fixed {
    /// # Errors
    /// Every unknown or wrong option of the format and its records.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        Ok(Self { layout: Layout::new(table)? })
    }
}

impl Format for Fixed {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        let mut lines = Lines::new(input, self.layout.longest());
        let mut totals = Totals::default();
        let mut watch = Watch::default();
        while let Some(line) = lines.read().map_err(|error| vec![unreadable(&error)])? {
            // The reader passes over it: it is no detail of a layout without types.
            if line.bytes.is_empty() && !line.too_long {
                continue;
            }
            watch.row(self.layout.charset, line.number, &line.bytes);
            totals.add(&self.layout, &line).map_err(|fault| vec![fault.at_row(line.number)])?;
        }
        if lines.number() == 0 {
            return Err(vec![Fault::new(EMPTY, "the file is empty").expected("fixed-width records")]);
        }
        let mut faults = totals.compare(&self.layout);
        faults.extend(watch.verdict(self.layout.charset));
        if faults.is_empty() { Ok(totals.details) } else { Err(faults) }
    }

    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        let lines = Lines::new(input, self.layout.longest());
        Ok(Box::new(Rows { lines, layout: self.layout.clone(), header: Value::Null, ended: false }))
    }
}

/// The control totals of a file, as its header says and as its details add up.
#[derive(Default)]
struct Totals {
    details: u64,
    sum: i128,
    said_count: Option<String>,
    said_sum: Option<String>,
    headers: u64,
}

impl Totals {
    fn add(&mut self, layout: &Layout, line: &Line) -> Result<(), Fault> {
        let Some(record) = layout.record_of(&line.bytes) else { return Ok(()) };
        let text = |name: &Option<String>| name.as_ref().and_then(|name| record.ascii(name, &line.bytes));
        match record.role {
            Role::Header => {
                self.headers += 1;
                if line.number > 1 {
                    return Err(Fault::new(RECORD_TYPE, "a second header record").expected("one header, in the first line"));
                }
                self.said_count = text(&record.count_field);
                self.said_sum = text(&record.sum_field);
            }
            Role::Detail => {
                self.details += 1;
                // An amount that cannot be read makes the sum differ, which is what it should do.
                let amount = layout.sum_of.as_ref().and_then(|name| record.ascii(name, &line.bytes));
                self.sum += amount.and_then(|amount| amount.parse::<i128>().ok()).unwrap_or_default();
            }
            Role::Trailer => {
                self.said_count = text(&record.count_field).or_else(|| self.said_count.take());
                self.said_sum = text(&record.sum_field).or_else(|| self.said_sum.take());
            }
        }
        Ok(())
    }

    fn compare(&self, layout: &Layout) -> Vec<Fault> {
        let mut faults = Vec::new();
        if layout.has(Role::Header) && self.headers == 0 {
            return vec![
                Fault::new(HEADER_MISSING, "the header record is missing").at_row(1).expected("a header in the first line"),
            ];
        }
        let mut check = |name: &Option<String>, said: &Option<String>, real: i128| {
            let Some(name) = name else { return };
            if said.as_ref().and_then(|said| said.parse::<i128>().ok()) != Some(real) {
                let fault = Fault::new(CONTROL_TOTAL, format!("control field `{name}` is not the total of the details, {real}"));
                faults.push(
                    fault
                        .at_row(1)
                        .at_column(name.clone())
                        .hint("the file is incomplete or changed; ask the sender for it again"),
                );
            }
        };
        for record in &layout.records {
            check(&record.count_field, &self.said_count, self.details.into());
            check(&record.sum_field, &self.said_sum, self.sum);
        }
        faults
    }
}

struct Rows {
    lines: Lines<'static>,
    layout: Layout,
    /// The fields of the header record.
    header: Value,
    ended: bool,
}

impl Rows {
    /// The row of a detail line; `None` for a header or trailer.
    fn decode(&mut self, line: &Line) -> Result<Option<Decoded>, Vec<Fault>> {
        let layout = &self.layout;
        let Some(record) = layout.record_of(&line.bytes) else {
            let fault = Fault::new(RECORD_TYPE, "the record begins with an unknown type");
            return Err(vec![fault.expected(format!("one of {}", layout.types()))]);
        };
        if line.too_long || !layout.fits(line.bytes.len()) {
            let message = format!("the record has {} bytes", line.bytes.len());
            return Err(vec![
                Fault::new(RECORD_LENGTH, message).expected(format!("{} bytes before the line end", layout.content())),
            ]);
        }
        let (data, cut) = fields(record, layout.charset, &line.bytes)?;
        if record.role != Role::Detail {
            if record.role == Role::Header {
                self.header = Value::Object(data);
            }
            return Ok(None);
        }
        let mut meta = Map::new();
        if !self.header.is_null() {
            meta.insert("header".to_owned(), self.header.clone());
        }
        if !cut.is_empty() {
            meta.insert("_cut".to_owned(), cut.into());
        }
        Ok(Some(Decoded { number: line.number, data: Value::Object(data), meta }))
    }
}

/// Field name to text, and the names of fields that were cut.
type Fields = (Map<String, Value>, Vec<String>);

/// The fields of one record without their padding, and the names of those that were cut inside a character.
fn fields(record: &Record, charset: Charset, bytes: &[u8]) -> Result<Fields, Vec<Fault>> {
    let (mut data, mut cut, mut faults) = (Vec::with_capacity(record.fields.len()), Vec::new(), Vec::new());
    for field in &record.fields {
        let (whole, torso) = charset.trim_cut(field.of(bytes));
        if torso {
            cut.push(field.name.clone());
        }
        match charset.decode(whole) {
            Ok(text) => data.push((field.name.clone(), Value::from(text.trim_matches(' ')))),
            Err(fault) => faults.push(fault.at_column(field.name.clone())),
        }
    }
    // A map that is made at once costs less than one that grows.
    if faults.is_empty() { Ok((data.into_iter().collect(), cut)) } else { Err(faults) }
}

impl RowReader for Rows {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        while !self.ended {
            let line = match self.lines.read() {
                Ok(Some(line)) if line.bytes.is_empty() && !line.too_long => continue,
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(BadRow::new(self.lines.number(), vec![unreadable(&error)], &[])));
                }
            };
            match self.decode(&line) {
                Ok(Some(row)) => return Some(Ok(row)),
                Ok(None) => {}
                Err(faults) => return Some(Err(BadRow::new(line.number, faults, &line.bytes))),
            }
        }
        None
    }
}
