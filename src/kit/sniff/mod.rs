//! What a file is: encoding, format, delimiter, and what its columns hold. Nothing is certain: everything is a guess with a reason.

use std::io::Cursor;

use serde_json::Value;
use toml::Value as Toml;

use crate::{
    adapter::decode::{self, charset::Charset},
    error::{Code, Fault},
};

pub mod columns;

/// Nothing is known about the form of a file, or no row can be read in the form that was guessed.
pub const UNKNOWN_FORM: Code = Code::new(1021);

/// Most bytes of a file that are looked at.
pub const LIMIT: usize = 16 << 20;
/// Most rows that are looked at.
const MAX_ROWS: usize = 500;
/// Most lines that decide about a delimiter.
const MAX_LINES: usize = 50;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The form of a file, as the options of `adapter.toml` say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    pub format: String,
    /// `encoding`, `delimiter`, `items` and so on.
    pub options: toml::Table,
    /// Begins with a byte order mark.
    pub bom: bool,
    /// Lines end in CR LF.
    pub crlf: bool,
}

impl Form {
    fn new(format: &str, bytes: &[u8]) -> Self {
        let crlf = bytes.windows(2).take(1 << 16).any(|pair| pair == b"\r\n");
        Self { format: format.to_owned(), options: toml::Table::new(), bom: bytes.starts_with(BOM), crlf }
    }

    fn with(mut self, name: &str, value: impl Into<Toml>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// A text of the options.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Toml::as_str)
    }

    /// Columns of a CSV file in their order; none for other formats, whose rows are objects.
    pub fn header(&self, bytes: &[u8]) -> Vec<String> {
        if let Some(names) = self.options.get("columns").and_then(Toml::as_array) {
            return names.iter().filter_map(Toml::as_str).map(str::to_owned).collect();
        }
        let delimiter = self.option("delimiter").filter(|_| self.format == "csv");
        let Some(delimiter) = delimiter else { return vec![] };
        let text = text(bytes);
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        first.split(delimiter).map(|cell| cell.trim().trim_matches('"').to_owned()).collect()
    }

    /// The first rows of the file in this form.
    ///
    /// # Errors
    /// The form does not fit, or no row can be read.
    pub fn rows(&self, bytes: &[u8]) -> Result<Vec<Value>, Vec<Fault>> {
        let format = decode::open(&self.format, &self.options)?;
        let mut reader = format.rows(Box::new(Cursor::new(bytes.to_vec())))?;
        let (mut rows, mut faults) = (Vec::new(), Vec::new());
        while let Some(row) = reader.next() {
            match row {
                Ok(row) => rows.push(row.data),
                Err(bad) => faults.extend(bad.faults),
            }
            if rows.len() >= MAX_ROWS {
                break;
            }
        }
        if rows.is_empty() {
            faults.push(Fault::new(UNKNOWN_FORM, format!("no row can be read as `{}`", self.format)));
            return Err(faults);
        }
        Ok(rows)
    }
}

/// A way to know one format by its bytes: one line more for a format more.
type Sniffer = fn(&[u8]) -> Option<Form>;
const SNIFFERS: &[Sniffer] = &[zip, dbf, xml, json, ndjson, csv];

/// Guesses the form of a file; `fixed` is a layout such as `XH:8,HM:30`, since widths cannot be guessed.
///
/// # Errors
/// The layout is none, or no form fits.
pub fn sniff(bytes: &[u8], fixed: Option<&str>) -> Result<Form, Fault> {
    if let Some(layout) = fixed {
        return fixed_width(bytes, layout);
    }
    if bytes.is_empty() {
        return Err(Fault::new(UNKNOWN_FORM, "the file is empty").expected("a file with some rows"));
    }
    SNIFFERS.iter().find_map(|sniffer| sniffer(bytes)).ok_or_else(|| {
        Fault::new(UNKNOWN_FORM, "the form of the file is not known")
            .expected(format!("one of {}", decode::FORMATS.join(", ")))
            .hint("give the widths of a file of fixed width with --fixed NAME:BYTES,NAME:BYTES")
    })
}

/// The name of the charset as `adapter.toml` has it.
pub fn encoding(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(BOM) || std::str::from_utf8(bytes).is_ok() {
        return "UTF-8";
    }
    // The end of the look may lie inside a character.
    let whole = std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none());
    if whole {
        return "UTF-8";
    }
    if four_bytes(bytes) { "GB18030" } else { "GBK" }
}

/// Whether the text has a character of four bytes, which GBK does not know.
fn four_bytes(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        let second = bytes.get(at + 1).copied().unwrap_or_default();
        at += match bytes[at] {
            0x81..=0xfe if second.is_ascii_digit() => return true,
            0x81..=0xfe => 2,
            _ => 1,
        };
    }
    false
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let charset = if encoding(bytes) == "UTF-8" { Charset::Utf8 } else { Charset::Gb18030 };
    charset.decode(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), std::borrow::Cow::into_owned)
}

/// Workbooks are packed; `decode` knows whether it can read them.
fn zip(bytes: &[u8]) -> Option<Form> {
    bytes.starts_with(b"PK\x03\x04").then(|| Form::new("xlsx", bytes))
}

fn xml(bytes: &[u8]) -> Option<Form> {
    text(&bytes[..bytes.len().min(256)]).trim_start().starts_with('<').then(|| Form::new("xml", bytes))
}

fn dbf(bytes: &[u8]) -> Option<Form> {
    let version = matches!(bytes.first()?, 0x02 | 0x03 | 0x30 | 0x31 | 0x32 | 0x43 | 0x83 | 0x8b | 0xcb | 0xf5 | 0xfb);
    let header = usize::from(u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]));
    (version && header >= 33 && bytes.len() >= header).then(|| Form::new("dbf", bytes).with("encoding", "GBK"))
}

fn json(bytes: &[u8]) -> Option<Form> {
    let value: Value = serde_json::from_str(text(bytes).trim()).ok()?;
    let form = Form::new("json", bytes);
    match &value {
        Value::Array(items) => items.first()?.is_object().then_some(form),
        Value::Object(fields) => {
            let rows = |value: &Value| value.as_array().and_then(|items| items.first()).is_some_and(Value::is_object);
            let name = fields.iter().find(|(_, value)| rows(value)).map(|(name, _)| name);
            name.map_or_else(|| Some(Form::new("ndjson", bytes)), |name| Some(form.with("items", format!("/{name}"))))
        }
        _ => None,
    }
}

fn ndjson(bytes: &[u8]) -> Option<Form> {
    let text = text(bytes);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).take(MAX_LINES).peekable();
    lines.peek()?;
    let object = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
    lines.all(object).then(|| Form::new("ndjson", bytes))
}

fn csv(bytes: &[u8]) -> Option<Form> {
    if bytes.contains(&0) {
        return None;
    }
    let text = text(bytes);
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let trailer = lines.len() > 1 && lines.last().is_some_and(|line| line.starts_with("EOF"));
    lines.truncate(if trailer { lines.len() - 1 } else { lines.len() });
    lines.truncate(MAX_LINES);
    let delimiter = delimiter(&lines)?;
    let mut form = Form::new("csv", bytes).with("encoding", encoding(bytes)).with("delimiter", delimiter.to_string());
    if trailer {
        form = form.with("trailer", "count-md5");
    }
    let first: Vec<String> = lines.first()?.split(delimiter).map(|cell| cell.trim().trim_matches('"').to_owned()).collect();
    if !is_header(&first) {
        let names: Vec<Toml> = (1..=first.len()).map(|place| Toml::from(format!("F{place}"))).collect();
        form = form.with("header", false).with("columns", names);
    }
    Some(form)
}

/// The character that cuts every line into the same number of cells, the more the better.
fn delimiter(lines: &[&str]) -> Option<char> {
    let first = lines.first()?;
    let even = |delimiter: char| {
        let count = first.matches(delimiter).count();
        let same = lines.iter().filter(|line| line.matches(delimiter).count() == count).count();
        (count > 0 && same * 10 >= lines.len() * 8).then_some((count, delimiter))
    };
    let best = [',', '\t', ';', '|'].into_iter().filter_map(even).max_by_key(|(count, _)| *count);
    // One column is a table too, as long as it has a name.
    best.map(|(_, delimiter)| delimiter).or_else(|| (lines.len() > 1 && !first.contains(' ')).then_some(','))
}

/// Names of columns are not empty, not numbers, and each is there once.
fn is_header(cells: &[String]) -> bool {
    let named = |cell: &String| !cell.is_empty() && !cell.starts_with(|c: char| c.is_ascii_digit());
    cells.iter().all(named) && cells.iter().enumerate().all(|(place, cell)| !cells[..place].contains(cell))
}

/// A layout such as `XH:8,HM:30`, in bytes.
fn fixed_width(bytes: &[u8], layout: &str) -> Result<Form, Fault> {
    let wrong = || Fault::new(UNKNOWN_FORM, "the layout is not understood").expected("--fixed NAME:BYTES,NAME:BYTES");
    let (mut offset, mut fields) = (1_i64, Vec::new());
    for part in layout.split(',') {
        let (name, length) = part.split_once(':').ok_or_else(wrong)?;
        let length: i64 = length.trim().parse().ok().filter(|length| *length > 0).ok_or_else(wrong)?;
        let mut field = toml::Table::new();
        field.insert("name".to_owned(), name.trim().into());
        field.insert("offset".to_owned(), offset.into());
        field.insert("length".to_owned(), length.into());
        fields.push(Toml::Table(field));
        offset += length;
    }
    let mut record = toml::Table::new();
    record.insert("role".to_owned(), "detail".into());
    record.insert("fields".to_owned(), Toml::Array(fields));
    let form = Form::new("fixed", bytes).with("encoding", encoding(bytes)).with("record_length", offset - 1);
    Ok(form.with("record", vec![Toml::Table(record)]))
}

#[cfg(test)]
mod tests {
    use encoding_rs::GB18030;

    use super::*;

    #[test]
    fn forms_are_known_by_their_bytes() {
        let gbk = GB18030.encode("编号,姓名\n1,李明\n2,王芳\n").0.into_owned();
        type Case<'a> = (&'a [u8], &'a str, Option<&'a str>, Option<&'a str>);
        let cases: [Case<'_>; 7] = [
            (b"BH\tXM\n1\tA\n", "csv", Some("UTF-8"), Some("\t")),
            (&gbk, "csv", Some("GBK"), Some(",")),
            ("\u{feff}BH;XM\n1;李明\n".as_bytes(), "csv", Some("UTF-8"), Some(";")),
            (b"[{\"a\":1}]", "json", None, None),
            (b"{\"a\":1}\n{\"a\":2}\n", "ndjson", None, None),
            (b"PK\x03\x04..", "xlsx", None, None),
            (b"<?xml version='1.0'?><a/>", "xml", None, None),
        ];
        for (bytes, format, encoding, delimiter) in cases {
            let form = sniff(bytes, None).unwrap();
            assert_eq!((form.format.as_str(), form.option("encoding"), form.option("delimiter")), (format, encoding, delimiter));
        }
        assert_eq!(sniff(b"{\"data\":[{\"a\":1}]}", None).unwrap().option("items"), Some("/data"));
        assert!(sniff("\u{feff}BH;XM\n".as_bytes(), None).unwrap().bom);
        assert_eq!(encoding(&GB18030.encode("㐀张").0), "GB18030");
    }

    #[test]
    fn rows_without_a_header_and_of_fixed_width() {
        let form = sniff(b"1,20170703\n2,20170704\n", None).unwrap();
        assert_eq!(form.rows(b"1,20170703\n2,20170704\n").unwrap()[1]["F2"], "20170704");
        assert_eq!(form.header(b"1,20170703\n"), ["F1", "F2"]);
        let form = sniff(b"01AB\n02CD\n", Some("XH:2,HM:2")).unwrap();
        assert_eq!(form.rows(b"01AB\n02CD\n").unwrap()[1]["HM"], "CD");
        assert!(sniff(b"01AB", Some("XH")).is_err() && sniff(b"", None).is_err());
    }
}
