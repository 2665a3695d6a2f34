//! From the root to the rows: what stands outside them, and where the document as a whole is wrong.

use std::{io::Read, sync::Arc};

use quick_xml::{
    Error, Reader, XmlVersion,
    events::{BytesDecl, BytesStart, Event},
};
use serde_json::{Map, Value};

use super::{
    DECLARED, DEEPEST, DEPTH, DTD, PATH, Rules, SYNTAX, TOKEN_BYTES, TOO_LARGE,
    build::{Builder, attributes, resolve},
    misfit,
    text::{MISFIT, Stop, Text},
};
use crate::{
    adapter::decode::{BadRow, Decoded, ENCODING, ROW_TOO_LONG, UNREADABLE, charset::Charset},
    error::Fault,
};

const XML: XmlVersion = XmlVersion::Implicit1_0;
/// Facts outside the rows that are kept, and the length of each.
const FACTS: usize = 64;
const FACT_BYTES: usize = 4096;
/// Names longer than this are no names: the parser keeps those of all open elements.
const NAME_BYTES: usize = 256;

/// Walks through a document, row by row.
pub struct Walker<R: Read> {
    reader: Reader<Text<R>>,
    buffer: Vec<u8>,
    rules: Arc<Rules>,
    /// Values of rows are kept; otherwise rows are only looked at, with all the same checks.
    keeps: bool,
    begun: bool,
    rooted: bool,
    /// Open elements outside rows, and how many of them, from the root, are those of the path.
    depth: usize,
    matched: usize,
    parent_seen: bool,
    number: u64,
    header: Map<String, Value>,
    /// The innermost element outside rows, while it has no children.
    leaf: Option<(String, String)>,
    /// Rows beyond ASCII, and those of them that do not fit the charset.
    chinese: u64,
    misfits: u64,
    /// The start tag of the row that comes next.
    first: Option<BytesStart<'static>>,
    over: bool,
}

/// What a document goes on with.
enum Step {
    More,
    Row,
    End,
}

impl<R: Read> Walker<R> {
    pub fn new(input: R, rules: Arc<Rules>) -> Self {
        let mut reader = Reader::from_reader(Text::new(input, rules.charset, rules.bytes));
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            buffer: Vec::new(),
            parent_seen: rules.path.len() == 1,
            rules,
            keeps: true,
            begun: false,
            rooted: false,
            depth: 0,
            matched: 0,
            number: 0,
            header: Map::new(),
            leaf: None,
            chinese: 0,
            misfits: 0,
            first: None,
            over: false,
        }
    }

    /// The same walk and the same faults; its rows are empty.
    #[must_use]
    pub fn only_looking(mut self) -> Self {
        self.keeps = false;
        self
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn into_header(self) -> Map<String, Value> {
        self.header
    }

    /// The next row, good or bad; none at the end of the document.
    ///
    /// # Errors
    /// The fault for which the document is refused from here on.
    pub fn step(&mut self) -> Result<Option<Result<Decoded, BadRow>>, Fault> {
        while !self.over {
            self.reader.get_mut().token(false);
            match self.outside()? {
                Step::More => {}
                Step::Row => return self.row().map(Some),
                Step::End => self.over = true,
            }
        }
        Ok(None)
    }

    /// One event outside the rows.
    fn outside(&mut self) -> Result<Step, Fault> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let event = self.reader.read_event_into(&mut buffer);
        let step = match event {
            Err(error) => Err(self.broken(&error)),
            Ok(event) => self.see(&event).map_err(|fault| self.at_line(fault)),
        };
        self.buffer = buffer;
        self.begun = true;
        step
    }

    fn see(&mut self, event: &Event<'_>) -> Result<Step, Fault> {
        match event {
            Event::Decl(declaration) => self.declared(declaration)?,
            Event::DocType(_) => {
                let fault = Fault::new(DTD, "the document has a DTD, which is not read").expected("XML without `<!DOCTYPE`");
                return Err(fault.hint("the sender must leave it out; entities other than those of XML are not taken"));
            }
            Event::Start(start) => return self.open(start),
            Event::End(_) => self.close(),
            Event::Text(text) => self.text(&text.xml_content(XML))?,
            Event::CData(text) => self.text(&text.xml_content(XML))?,
            Event::GeneralRef(reference) => {
                let c = resolve(reference)?;
                self.text(c.encode_utf8(&mut [0; 4]))?;
            }
            Event::Eof => return self.end(),
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        Ok(Step::More)
    }

    fn declared(&self, declaration: &BytesDecl<'_>) -> Result<(), Fault> {
        if self.begun {
            return Err(Fault::new(SYNTAX, "an XML declaration stands in the midst of the document"));
        }
        let Some(name) = declaration.encoding() else { return Ok(()) };
        let name = name.map_err(|_| Fault::new(SYNTAX, "the XML declaration is not well-formed"))?;
        let expected = self.rules.charset;
        if self.rules.declared_lies || Charset::named(Some(&name)) == Ok(expected) {
            return Ok(());
        }
        let fault = Fault::new(DECLARED, "the document declares another charset than the adapter expects");
        Err(fault.expected(expected.name()).hint("check `encoding`; if the declaration lies, set `declared = \"ignore\"`"))
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<Step, Fault> {
        if self.depth == 0 && std::mem::replace(&mut self.rooted, true) {
            return Err(Fault::new(SYNTAX, "the document has a second root"));
        }
        if start.name().as_ref().len() > NAME_BYTES {
            return Err(Fault::new(TOO_LARGE, "the name of an element is too long"));
        }
        if self.depth >= DEEPEST {
            return Err(Fault::new(DEPTH, format!("elements nest deeper than {DEEPEST}")));
        }
        let local = start.local_name();
        if self.matched == self.depth && self.rules.path.get(self.depth).is_some_and(|name| name == local.as_ref()) {
            self.matched += 1;
            self.parent_seen |= self.matched + 1 == self.rules.path.len();
            if self.matched == self.rules.path.len() {
                self.matched -= 1;
                self.leaf = None;
                self.first = Some(start.to_owned());
                return Ok(Step::Row);
            }
        }
        self.depth += 1;
        let name = local.as_ref().to_owned();
        let header = &mut self.header;
        attributes(start, |attribute, value| {
            keep(header, format!("{name}@{attribute}"), value?);
            Ok(())
        })?;
        self.leaf = Some((name, String::new()));
        Ok(Step::More)
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.matched = self.matched.min(self.depth);
        if let Some((name, text)) = self.leaf.take() {
            keep(&mut self.header, name, text);
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        if self.depth == 0 && !text.trim().is_empty() {
            return Err(Fault::new(SYNTAX, "text stands outside the root of the document"));
        }
        if text.contains(MISFIT) {
            return Err(misfit(self.rules.charset));
        }
        if let Some((_, leaf)) = self.leaf.as_mut().filter(|(_, leaf)| leaf.len() + text.len() <= FACT_BYTES) {
            leaf.push_str(text);
        }
        Ok(())
    }

    fn end(&self) -> Result<Step, Fault> {
        if self.depth > 0 || !self.rooted {
            return Err(Fault::new(SYNTAX, "the document ends too early").hint("it was cut, or is empty; ask for it again"));
        }
        if !self.parent_seen || (self.rules.path.len() == 1 && self.number == 0) {
            let fault = Fault::new(PATH, "the document has no rows where the adapter expects them");
            return Err(fault
                .expected(format!("elements `{}`", self.rules.path.join("/")))
                .hint("compare `rows` with the document"));
        }
        Ok(Step::End)
    }

    /// Reads a row from behind its start tag to its end.
    fn row(&mut self) -> Result<Result<Decoded, BadRow>, Fault> {
        self.number += 1;
        let rules = Arc::clone(&self.rules);
        let mut builder = Builder::new(&rules, self.keeps);
        if let Some(start) = self.first.take() {
            builder.open(&start);
        }
        let begin = self.reader.get_ref().given();
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            buffer.clear();
            self.reader.get_mut().token(true);
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return Err(self.broken(&error)),
            };
            if self.take(&mut builder, &event).map_err(|fault| self.at_line(fault))? {
                break;
            }
            if self.reader.get_ref().given() - begin > rules.row_bytes {
                let fault = Fault::new(ROW_TOO_LONG, "the row is too long");
                builder
                    .refuse(fault.expected(format!("at most {} bytes", rules.row_bytes)).hint("raise `row_limit` if it is good"));
            }
        }
        self.buffer = buffer;
        Ok(self.finish(builder))
    }

    /// One event of a row; true at its end.
    fn take(&self, builder: &mut Builder<'_>, event: &Event<'_>) -> Result<bool, Fault> {
        match event {
            Event::Start(start) => {
                if start.name().as_ref().len() > NAME_BYTES {
                    return Err(Fault::new(TOO_LARGE, "the name of an element is too long"));
                }
                if builder.depth() + self.depth >= DEEPEST {
                    return Err(Fault::new(DEPTH, format!("elements nest deeper than {DEEPEST}")));
                }
                builder.open(start);
            }
            Event::End(_) => return Ok(builder.close()),
            Event::Text(text) => builder.text(&text.xml_content(XML)),
            Event::CData(text) => builder.text(&text.xml_content(XML)),
            Event::GeneralRef(reference) => builder.reference(reference),
            Event::Eof => return Err(Fault::new(SYNTAX, "the document ends in the midst of a row")),
            Event::DocType(_) => return Err(Fault::new(DTD, "the document has a DTD in the midst of a row")),
            Event::Decl(_) => return Err(Fault::new(SYNTAX, "an XML declaration stands in the midst of a row")),
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
        }
        Ok(false)
    }

    fn finish(&mut self, builder: Builder<'_>) -> Result<Decoded, BadRow> {
        let beyond_ascii = builder.beyond_ascii;
        let row = builder.finish();
        let misfit = row.as_ref().is_err_and(|fault| fault.code == ENCODING);
        self.chinese += u64::from(beyond_ascii || misfit);
        self.misfits += u64::from(misfit);
        match row {
            Ok(data) => {
                let mut meta = Map::new();
                if self.keeps && !self.header.is_empty() {
                    meta.insert("header".to_owned(), Value::Object(self.header.clone()));
                }
                Ok(Decoded { number: self.number, data, meta })
            }
            Err(fault) => Err(BadRow::new(self.number, vec![fault], self.reader.get_ref().tape())),
        }
    }

    /// The fault of a document that is in another charset throughout; known at its end.
    pub fn misdeclared(&self) -> Option<Fault> {
        let foreign = self.misfits > 0 && self.misfits == self.chinese;
        (foreign || self.reader.get_ref().is_utf8_after_all()).then(|| misfit(self.rules.charset))
    }

    /// What ended the parser. Its messages may show content: they stay here.
    fn broken(&self, error: &Error) -> Fault {
        let fault = match (self.reader.get_ref().stop, error) {
            (Some(Stop::Document), _) => {
                Fault::new(TOO_LARGE, "the document is too large").expected(format!("at most {} bytes", self.rules.bytes))
            }
            (Some(Stop::Token), _) => Fault::new(TOO_LARGE, "one tag or text of the document is too large")
                .expected(format!("at most {TOKEN_BYTES} bytes")),
            (Some(Stop::Utf16), _) => Fault::new(DECLARED, "the document is UTF-16").expected(self.rules.charset.name()),
            (Some(Stop::Input(kind)), _) => Fault::new(UNREADABLE, format!("reading the file failed: {kind}")),
            (None, Error::IllFormed(_)) => Fault::new(SYNTAX, "tags do not pair, or a tag is not well-formed"),
            (None, _) => Fault::new(SYNTAX, "this is not XML"),
        };
        self.at_line(fault)
    }

    fn at_line(&self, fault: Fault) -> Fault {
        fault.at_row(self.reader.get_ref().line())
    }
}

/// Keeps a fact, as long as there are few.
fn keep(header: &mut Map<String, Value>, name: String, text: String) {
    if (header.len() < FACTS || header.contains_key(&name)) && text.len() <= FACT_BYTES {
        header.insert(name, Value::String(text));
    }
}
