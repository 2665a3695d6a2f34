//! XML: rows found by a path of local names, attributes and children as fields.
//!
//! A field that is repeated becomes an array, an attribute the field `@name`, text beside children the field `#text`.
//! Prefixes are dropped: one system's vendors write `<ns1:row>` and `<row>` for the same thing.
//!
//! What XML can do beyond rows is refused: a DTD with or without entities costs the document, a reference to an entity that
//! XML itself does not know costs its row, and so do depth, attributes and bytes beyond the limits. Nothing is ever fetched.

use std::{
    io::{Read, SeekFrom},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{BadRow, Decoded, ENCODING, Format, Input, RowReader, charset::Charset, options, unreadable};
use crate::error::{Code, Fault};

mod build;
mod text;
mod walk;

#[cfg(test)]
mod tests;

use walk::Walker;

/// The document, or a row of it, is not well-formed.
pub const SYNTAX: Code = Code::new(3450);
/// The document declares another charset than the adapter says.
pub const DECLARED: Code = Code::new(3451);
/// The document has a DTD.
pub const DTD: Code = Code::new(3452);
/// A row refers to an entity that XML itself does not know.
pub const ENTITY: Code = Code::new(3453);
/// Elements nest deeper than the limit.
pub const DEPTH: Code = Code::new(3454);
/// An element has more attributes than the limit.
pub const ATTRIBUTES: Code = Code::new(3455);
/// The path to the rows leads nowhere.
pub const PATH: Code = Code::new(3456);
/// The document, or one token of it, is larger than the limit.
pub const TOO_LARGE: Code = Code::new(3457);

/// Deepest nesting inside a row, and of the whole document.
const ROW_DEPTH: usize = 32;
const DEEPEST: usize = 1024;
/// Attributes of one element; the parser is quick however many there are, a reader of rows needs a handful.
const MOST_ATTRIBUTES: usize = 64;
/// Elements of one row: four bytes of `<a/>` become a value.
const MOST_ELEMENTS: usize = 10_000;
/// One tag, text or comment is held in memory.
const TOKEN_BYTES: u64 = 8 << 20;
/// The largest `row_limit`.
pub const LARGEST_ROW: i64 = 8 << 20;
const ROW_BYTES: u64 = 1 << 20;
const DOCUMENT_BYTES: u64 = 4 << 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    rows: String,
    encoding: Option<String>,
    declared: Option<String>,
    #[serde(default)]
    lists: Vec<String>,
    row_limit: Option<u64>,
    limit: Option<u64>,
}

/// How rows are found, and what they may be.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Local names from the root to the row.
    path: Vec<String>,
    charset: Charset,
    /// The declaration may lie: it stands in a text that has been decoded before.
    declared_lies: bool,
    /// Texts are handed on unchecked.
    unchecked: bool,
    /// Children that are arrays even when there is one.
    lists: Vec<String>,
    row_bytes: u64,
    bytes: u64,
}

impl Rules {
    /// Options: `rows` (`list/item`), `encoding` (`UTF-8`), `declared` (`check` or `ignore`), `lists`, `row_limit` (1 MiB),
    /// `limit` (4 GiB).
    ///
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        let mut faults = Vec::new();
        let path: Vec<String> = given.rows.split('/').map(str::to_owned).collect();
        if path.iter().any(|name| name.is_empty() || name.contains([':', '@', '*', ' '])) {
            let fault = options::bad("rows", "is no path of names");
            faults.push(fault.expected("local names from the root to the row, such as `list/item`"));
        }
        let charset = Charset::named(Some(given.encoding.as_deref().unwrap_or("UTF-8")));
        let charset = charset.map_err(|fault| faults.push(fault)).unwrap_or(Charset::Utf8);
        let declared = given.declared.as_deref().unwrap_or("check");
        if !["check", "ignore"].contains(&declared) {
            faults.push(options::bad("declared", "is neither `check` nor `ignore`"));
        }
        let (row_bytes, bytes) = (given.row_limit.unwrap_or(ROW_BYTES), given.limit.unwrap_or(DOCUMENT_BYTES));
        if row_bytes == 0 || row_bytes > TOKEN_BYTES {
            faults.push(options::bad("row_limit", format!("must be 1 to {TOKEN_BYTES} bytes")));
        }
        let declared_lies = declared == "ignore";
        if faults.is_empty() {
            Ok(Self { path, charset, declared_lies, unchecked: false, lists: given.lists, row_bytes, bytes })
        } else {
            Err(faults)
        }
    }

    /// The same for a document that came as text inside another: it is UTF-8 by now, whatever it declares.
    #[must_use]
    pub fn inside(mut self) -> Self {
        (self.charset, self.declared_lies) = (Charset::Utf8, true);
        self
    }

    /// The same for an envelope around such a document: a damaged character is left to be found in the row it belongs to.
    #[must_use]
    pub fn around(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// The same for a document of at most `bytes`.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }
}

/// A document held in memory.
#[derive(Debug, Default)]
pub struct Document {
    pub rows: Vec<Result<Decoded, BadRow>>,
    /// Texts of elements outside the rows by their local names, and of their attributes by `name@attribute`.
    pub header: Map<String, Value>,
}

/// Reads a document whole.
///
/// # Errors
/// The fault for which all of it is refused.
pub fn document(bytes: &[u8], rules: &Rules) -> Result<Document, Fault> {
    let mut walker = Walker::new(bytes, Arc::new(rules.clone()));
    let mut document = Document::default();
    while let Some(row) = walker.step()? {
        document.rows.push(row);
    }
    if let Some(fault) = walker.misdeclared() {
        return Err(fault);
    }
    document.header = walker.into_header();
    Ok(document)
}

/// The format `xml`.
pub struct Xml {
    rules: Arc<Rules>,
}

impl Xml {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        Ok(Self { rules: Arc::new(Rules::new(table)?) })
    }
}

impl Format for Xml {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        input.seek(SeekFrom::Start(0)).map_err(|error| vec![unreadable(&error)])?;
        let mut walker = Walker::new(input, Arc::clone(&self.rules)).only_looking();
        let mut count = 0;
        while let Some(_row) = walker.step().map_err(|fault| vec![fault])? {
            count += 1;
        }
        match walker.misdeclared() {
            Some(fault) => Err(vec![fault]),
            None => Ok(count),
        }
    }

    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        Ok(Box::new(Rows { walker: Walker::new(input, Arc::clone(&self.rules)), ended: false }))
    }
}

struct Rows<R: Read> {
    walker: Walker<R>,
    ended: bool,
}

impl<R: Read + Send> RowReader for Rows<R> {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        if self.ended {
            return None;
        }
        self.walker.step().unwrap_or_else(|fault| {
            self.ended = true;
            Some(Err(BadRow::new(self.walker.number() + 1, vec![fault], &[])))
        })
    }
}

/// The fault of a document whose bytes are not what it says.
fn misfit(charset: Charset) -> Fault {
    let other = if charset == Charset::Utf8 { Charset::Gb18030 } else { Charset::Utf8 };
    let fault = Fault::new(ENCODING, format!("the file is read as {} but its Chinese text is not", charset.name()));
    fault.expected(charset.name()).hint(format!("the text is probably {}: check `encoding`", other.name()))
}
