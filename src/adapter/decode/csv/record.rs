//! CSV records: from bytes to the fields of one record (RFC 4180, and what Excel makes of it).

use std::{collections::VecDeque, io};

use crate::adapter::decode::{
    Input,
    charset::Charset,
    lines::{Line, Lines},
};

/// A quoted field may run over so many lines; a stray quote makes the reader look no further.
const LINES_OF_A_RECORD: usize = 64;

/// The bytes of one record.
#[derive(Debug)]
pub struct Record {
    /// Line number where it begins.
    pub number: u64,
    /// Byte offset in the file where it begins.
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub too_long: bool,
    /// It ends inside a quoted field.
    pub open_quote: bool,
}

/// Reads records; blank lines are left out, and so is the control line, which is kept in `trailer`.
pub struct Records<'a> {
    lines: Lines<'a>,
    /// Lines read ahead and given back.
    back: VecDeque<Line>,
    limit: usize,
    delimiter: u8,
    double_byte: bool,
    expect_trailer: bool,
    /// Fields of a record, 0 until the header is read.
    pub width: usize,
    pub trailer: Option<Record>,
}

impl<'a> Records<'a> {
    pub fn new(input: impl Input + 'a, limit: usize, delimiter: u8, charset: Charset, expect_trailer: bool) -> Self {
        let double_byte = charset == Charset::Gb18030;
        let lines = Lines::new(input, limit);
        Self { lines, back: VecDeque::new(), limit, delimiter, double_byte, expect_trailer, width: 0, trailer: None }
    }

    /// The number of the last line read.
    pub fn line(&self) -> u64 {
        self.lines.number()
    }

    pub fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(first) = self.next_line()? else { return Ok(None) };
        if self.expect_trailer && first.bytes.starts_with(b"EOF") && self.at_end()? {
            self.trailer = Some(single(first));
            return Ok(None);
        }
        if first.too_long || !self.opens(&first.bytes) {
            return Ok(Some(single(first)));
        }
        self.joined(first).map(Some)
    }

    /// A record whose first line ends inside quotes: joined with the lines up to the closing quote.
    fn joined(&mut self, first: Line) -> io::Result<Record> {
        let mut bytes = first.bytes.clone();
        let mut taken = Vec::new();
        while taken.len() < LINES_OF_A_RECORD {
            let Some(line) = self.raw_line()? else { break };
            bytes.extend_from_slice(if line.ending_before == 2 { b"\r\n" } else { b"\n" });
            bytes.extend_from_slice(&line.bytes);
            let too_long = line.too_long || bytes.len() > self.limit;
            taken.push(line);
            if too_long {
                break;
            }
            if !self.opens(&bytes) {
                if self.width == 0 || self.width_of(&bytes) == self.width {
                    return Ok(Record { bytes, ..single(first) });
                }
                break;
            }
        }
        for line in taken.into_iter().rev() {
            self.back.push_front(line);
        }
        Ok(Record { open_quote: true, ..single(first) })
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            match self.raw_line()? {
                Some(line) if line.bytes.is_empty() && !line.too_long => {}
                line => return Ok(line),
            }
        }
    }

    fn raw_line(&mut self) -> io::Result<Option<Line>> {
        match self.back.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.lines.read(),
        }
    }

    /// Nothing but blank lines follows.
    fn at_end(&mut self) -> io::Result<bool> {
        let line = self.next_line()?;
        let end = line.is_none();
        self.back.extend(line);
        Ok(end)
    }

    fn opens(&self, bytes: &[u8]) -> bool {
        // No second byte of a character is a quote: most rows have none.
        bytes.contains(&b'"') && self.scan(bytes).1
    }

    fn width_of(&self, bytes: &[u8]) -> usize {
        self.scan(bytes).0
    }

    /// Counts the fields of a record and tells whether it ends inside quotes.
    fn scan(&self, bytes: &[u8]) -> (usize, bool) {
        let (mut fields, mut quoted, mut began, mut start, mut at) = (1, false, false, true, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match byte {
                // The second byte of a GBK character may look like `|` or another delimiter.
                0x81..=0xfe if self.double_byte => at += usize::from(at < bytes.len()),
                b'"' if quoted => quoted = false,
                // At the start of a field, or right after a closing quote, which makes it a quote in the text.
                b'"' if start || (began && at >= 2 && bytes[at - 2] == b'"') => (quoted, began) = (true, true),
                _ if byte == self.delimiter && !quoted => {
                    fields += 1;
                    (start, began) = (true, false);
                    continue;
                }
                _ => {}
            }
            start = false;
        }
        (fields, quoted)
    }
}

fn single(line: Line) -> Record {
    Record { number: line.number, offset: line.offset, bytes: line.bytes, too_long: line.too_long, open_quote: false }
}

/// The fields of a record. `="2201…"` and `'2201…`, by which Excel keeps long numbers as text, are unwrapped.
pub fn fields(text: &str, delimiter: u8) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = field(rest, char::from(delimiter));
        fields.push(unwrap_excel(field));
        match after {
            Some(after) => rest = after,
            None => return fields,
        }
    }
}

/// The first field, and what follows its delimiter.
fn field(text: &str, delimiter: char) -> (String, Option<&str>) {
    let Some(mut rest) = text.strip_prefix('"') else {
        return match text.split_once(delimiter) {
            Some((field, after)) => (field.to_owned(), Some(after)),
            None => (text.to_owned(), None),
        };
    };
    let mut field = String::new();
    while let Some((part, after)) = rest.split_once('"') {
        field.push_str(part);
        rest = after;
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => break,
        }
    }
    // What stands between the closing quote and the delimiter belongs to the field, as in Excel.
    match rest.split_once(delimiter) {
        Some((tail, after)) => (field + tail, Some(after)),
        None => (field + rest, None),
    }
}

fn unwrap_excel(field: String) -> String {
    if let Some(inner) = field.strip_prefix("=\"").and_then(|inner| inner.strip_suffix('"')) {
        return inner.to_owned();
    }
    match field.strip_prefix('\'') {
        Some(inner) if inner.starts_with(|c: char| c.is_ascii_digit()) => inner.to_owned(),
        _ => field,
    }
}
