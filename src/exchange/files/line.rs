//! Lines of the files: fields by a layout, separated by commas or of fixed width, in GBK.
//!
//! The bytes are GB 18030, which writes everything that GBK has as GBK does, and the rare characters of names besides.

use encoding_rs::GB18030;

use super::FILE_FORM;
use crate::error::Fault;

/// How the fields of a line are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Commas; quotes where a field has one.
    Csv,
    /// Fields of fixed width in bytes, filled up with spaces.
    Fixed,
}

/// Names and widths of the fields of one kind of line; the first is its letter.
pub type Layout = &'static [(&'static str, usize)];

pub const HEADER: Layout =
    &[("H", 1), ("form", 6), ("bank", 8), ("day", 8), ("seq", 4), ("count", 8), ("algorithm", 6), ("digest", 64)];
pub const QUERY: Layout = &[("D", 1), ("query_no", 40), ("name", 80), ("id_type", 2), ("id_number", 20), ("as_of", 8)];
pub const ANSWER: Layout = &[
    ("D", 1),
    ("query_no", 40),
    ("name", 80),
    ("id_type", 2),
    ("id_number", 20),
    ("outcome", 8),
    ("account_no", 32),
    ("account_type", 2),
    ("account_status", 2),
    ("currency", 3),
    ("balance", 18),
    ("wealth_value", 18),
    ("joint", 1),
    ("large_outflows", 160),
];
pub const ERROR: Layout = &[("E", 1), ("code", 8), ("text", 60)];
pub const TRAILER: Layout = &[("T", 1), ("count", 8), ("signature", 88)];

/// One line with its end.
///
/// # Errors
/// A field that is wider than its place.
pub fn write(form: Form, layout: Layout, values: &[&str]) -> Result<Vec<u8>, Fault> {
    let mut line = Vec::new();
    for (at, ((name, width), value)) in layout.iter().zip(values).enumerate() {
        let value = value.replace(['\r', '\n'], " ");
        match form {
            Form::Csv => {
                if at > 0 {
                    line.push(b',');
                }
                line.extend_from_slice(&GB18030.encode(&quoted(&value)).0);
            }
            Form::Fixed => {
                let bytes = GB18030.encode(&value).0;
                if bytes.len() > *width {
                    let fault = Fault::new(FILE_FORM, "a value does not fit its place in the file").at_column(*name);
                    return Err(fault.expected(format!("at most {width} bytes")));
                }
                line.extend_from_slice(&bytes);
                line.resize(line.len() + width - bytes.len(), b' ');
            }
        }
    }
    line.extend_from_slice(b"\r\n");
    Ok(line)
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.to_owned() }
}

/// The fields of one line without its end.
///
/// # Errors
/// Another charset, another number of fields, another letter at the beginning.
pub fn read(form: Form, layout: Layout, line: &[u8]) -> Result<Vec<String>, Fault> {
    let wrong = |expected: String| Fault::new(FILE_FORM, "a line of the file is not of the agreed form").expected(expected);
    let text = |bytes: &[u8]| {
        let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes);
        text.map(|text| text.trim().to_owned()).ok_or_else(|| wrong("text in GBK".to_owned()))
    };
    let fields = match form {
        Form::Csv => split(&text(line)?),
        Form::Fixed => {
            let length: usize = layout.iter().map(|(_, width)| width).sum();
            if line.len() != length {
                return Err(wrong(format!("{length} bytes")));
            }
            let mut at = 0;
            let mut fields = Vec::with_capacity(layout.len());
            for (_, width) in layout {
                fields.push(text(&line[at..at + width])?);
                at += width;
            }
            fields
        }
    };
    if fields.len() != layout.len() || fields[0] != layout[0].0 {
        return Err(wrong(format!("`{}` and {} fields", layout[0].0, layout.len())));
    }
    Ok(fields)
}

fn split(line: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(|field| field.trim().to_owned()).collect()
}
