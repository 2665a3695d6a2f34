//! JSON files: one document with an array of rows, or one document per line (NDJSON).

use std::{
    io::{Read, SeekFrom},
    vec::IntoIter,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    BadRow, Decoded, Format, Input, RowReader,
    lines::{Line, Lines},
    options, unreadable,
};
use crate::{
    error::{Code, Fault},
    json::{self, Limits},
};

/// The JSON has another shape than the adapter says: no array at `items`, or a row that is not an object.
pub const SHAPE: Code = Code::new(2059);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    items: Option<String>,
    limit: Option<usize>,
}

/// The array of rows at `items` (a JSON pointer; empty for the document itself). A single object counts as one row.
///
/// # Errors
/// [`SHAPE`] when there is neither an array nor an object.
pub fn items(mut document: Value, pointer: &str) -> Result<Vec<Value>, Fault> {
    match document.pointer_mut(pointer).map(Value::take) {
        Some(Value::Array(rows)) => Ok(rows),
        Some(row @ Value::Object(_)) => Ok(vec![row]),
        _ => Err(Fault::new(SHAPE, "there is no array of rows here")
            .at_pointer(pointer)
            .expected("an array of objects; check `items`")),
    }
}

/// The format `json`: a whole document. Options: `items`, `limit` in bytes (16 MiB; the document is held in memory).
pub struct Json {
    items: String,
    limits: Limits,
}

impl Json {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        let limits = Limits { bytes: given.limit.unwrap_or(16 << 20), memory: 64 << 20, ..Limits::default() };
        Ok(Self { items: given.items.unwrap_or_default(), limits })
    }

    fn load(&self, input: &mut dyn Input) -> Result<Vec<Value>, Vec<Fault>> {
        let read_error = |error: std::io::Error| vec![unreadable(&error)];
        input.seek(SeekFrom::Start(0)).map_err(read_error)?;
        let mut bytes = Vec::new();
        input.take(self.limits.bytes as u64 + 1).read_to_end(&mut bytes).map_err(read_error)?;
        items(json::strict(&bytes, &self.limits)?, &self.items).map_err(|fault| vec![fault])
    }
}

impl Format for Json {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        self.load(input).map(|rows| rows.len() as u64)
    }

    fn rows(&self, mut input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        Ok(Box::new(Items { rows: self.load(&mut *input)?.into_iter(), number: 0 }))
    }
}

struct Items {
    rows: IntoIter<Value>,
    number: u64,
}

impl RowReader for Items {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        let data = self.rows.next()?;
        self.number += 1;
        Some(row(data, self.number).map_err(|fault| BadRow::new(self.number, vec![fault], &[])))
    }
}

fn row(data: Value, number: u64) -> Result<Decoded, Fault> {
    if !data.is_object() {
        return Err(Fault::new(SHAPE, "the row is not an object").expected("a JSON object").at_row(number));
    }
    Ok(Decoded { number, data, meta: Map::new() })
}

/// The format `ndjson`: one object per line. Option: `limit` in bytes per line (1 MiB).
pub struct NdJson {
    limits: Limits,
}

impl NdJson {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        if given.items.is_some() {
            return Err(vec![options::bad("items", "a line of `ndjson` is one row; use the format `json`")]);
        }
        let defaults = Limits::default();
        Ok(Self { limits: Limits { bytes: given.limit.unwrap_or(defaults.bytes), ..defaults } })
    }
}

impl Format for NdJson {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        let mut lines = Lines::new(input, self.limits.bytes);
        let mut count = 0;
        while let Some(line) = lines.read().map_err(|error| vec![unreadable(&error)])? {
            count += u64::from(!blank(&line));
        }
        Ok(count)
    }

    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        Ok(Box::new(Documents { lines: Lines::new(input, self.limits.bytes), limits: self.limits, ended: false }))
    }
}

fn blank(line: &Line) -> bool {
    !line.too_long && line.bytes.iter().all(u8::is_ascii_whitespace)
}

struct Documents {
    lines: Lines<'static>,
    limits: Limits,
    ended: bool,
}

impl RowReader for Documents {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        while !self.ended {
            let line = match self.lines.read() {
                Ok(Some(line)) if blank(&line) => continue,
                Ok(Some(line)) => line,
                Ok(None) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(BadRow::new(self.lines.number(), vec![unreadable(&error)], &[])));
                }
            };
            let read =
                json::strict(&line.bytes, &self.limits).and_then(|data| row(data, line.number).map_err(|fault| vec![fault]));
            return Some(read.map_err(|faults| {
                // Each line is a document of its own: its faults all lie on this line.
                let faults = faults.into_iter().map(|fault| fault.at_row(line.number)).collect();
                BadRow::new(line.number, faults, &line.bytes)
            }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;

    fn read(format: &dyn Format, text: &[u8]) -> Vec<Result<Value, (u64, Code)>> {
        let mut rows = format.rows(Box::new(Cursor::new(text.to_vec()))).unwrap();
        std::iter::from_fn(|| rows.next())
            .map(|row| row.map(|row| row.data).map_err(|bad| (bad.number, bad.faults[0].code)))
            .collect()
    }

    #[test]
    fn a_hostile_line_stops_only_itself() {
        let format = NdJson::new(&"limit = 1000".parse().unwrap()).unwrap();
        let text = [
            "{\"a\":1}".to_owned(),
            "[".repeat(900),
            " ".to_owned(),
            "x".repeat(1 << 20),
            "[1]".to_owned(),
            "{\"b\":2}".to_owned(),
        ];
        let rows = read(&format, text.join("\n").as_bytes());
        let expected =
            [Ok(json!({"a": 1})), Err((2, json::DEPTH)), Err((4, json::TOO_LARGE)), Err((5, SHAPE)), Ok(json!({"b": 2}))];
        assert_eq!(rows, expected);
        assert_eq!(format.verify(&mut Cursor::new("{}\n\n{}")).unwrap(), 2);
    }

    #[test]
    fn rows_of_a_document_are_found_by_pointer() {
        let format = Json::new(&"items = '/data/list'".parse().unwrap()).unwrap();
        let rows = read(&format, br#"{"data":{"list":[{"a":1},2]}}"#);
        assert_eq!(rows, [Ok(json!({"a": 1})), Err((2, SHAPE))]);
        let faults = format.verify(&mut Cursor::new(r#"{"data":{}}"#)).unwrap_err();
        assert_eq!(faults[0].code, SHAPE);
    }
}
