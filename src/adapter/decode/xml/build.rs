//! One row: events of the parser become a JSON object.

use quick_xml::{
    Error, XmlVersion,
    escape::EscapeError,
    events::{BytesRef, BytesStart},
};
use serde_json::{Map, Value};

use super::{ATTRIBUTES, DEPTH, ENTITY, MOST_ATTRIBUTES, MOST_ELEMENTS, ROW_DEPTH, Rules, SYNTAX, text::MISFIT};
use crate::{
    adapter::decode::{ENCODING, NUL, ROW_TOO_LONG},
    error::Fault,
    json,
};

/// An element that is still open.
struct Frame {
    name: String,
    members: Map<String, Value>,
    text: String,
    nil: bool,
}

/// A row being read. After its first fault nothing is kept any more.
pub struct Builder<'r> {
    rules: &'r Rules,
    /// Values are kept; otherwise the row is only looked at, with all the same checks.
    keeps: bool,
    frames: Vec<Frame>,
    elements: usize,
    /// Open elements, also those that are not kept.
    depth: usize,
    pub fault: Option<Fault>,
    /// It holds characters beyond ASCII.
    pub beyond_ascii: bool,
}

impl<'r> Builder<'r> {
    pub fn new(rules: &'r Rules, keeps: bool) -> Self {
        Self { rules, keeps, frames: Vec::new(), elements: 0, depth: 0, fault: None, beyond_ascii: false }
    }

    /// Open elements, that of the row included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    pub fn open(&mut self, start: &BytesStart<'_>) {
        self.depth += 1;
        self.elements += 1;
        if self.fault.is_some() {
            return;
        }
        if self.depth > ROW_DEPTH {
            return self.refuse(Fault::new(DEPTH, format!("elements nest deeper than {ROW_DEPTH}")).hint("send a flat record"));
        }
        if self.elements > MOST_ELEMENTS {
            let fault = Fault::new(ROW_TOO_LONG, "the row has too many elements");
            return self.refuse(fault.expected(format!("at most {MOST_ELEMENTS}")));
        }
        let name = if self.keeps { start.local_name().as_ref().to_owned() } else { String::new() };
        let mut frame = Frame { name, members: Map::new(), text: String::new(), nil: false };
        let read = attributes(start, |name, value| {
            let value = value?;
            check(&value, &mut self.beyond_ascii)?;
            if name == "nil" && matches!(&*value, "true" | "1") {
                frame.nil = true;
            } else if frame.members.insert(format!("@{name}"), Value::String(value)).is_some() {
                return Err(Fault::new(SYNTAX, "an element has an attribute twice"));
            }
            Ok(())
        });
        self.frames.push(frame);
        if let Err(fault) = read {
            self.refuse(fault);
        }
    }

    /// True when the row is at its end.
    pub fn close(&mut self) -> bool {
        self.depth -= 1;
        if self.fault.is_none() && self.depth > 0 {
            self.fold();
        }
        self.depth == 0
    }

    pub fn text(&mut self, text: &str) {
        if self.fault.is_some() {
            return;
        }
        let checked = if self.rules.unchecked { Ok(()) } else { check(text, &mut self.beyond_ascii) };
        match checked {
            Ok(()) => {
                if let Some(frame) = self.frames.last_mut().filter(|_| self.keeps) {
                    frame.text.push_str(text);
                }
            }
            Err(fault) => self.refuse(fault),
        }
    }

    pub fn reference(&mut self, reference: &BytesRef<'_>) {
        match resolve(reference) {
            Ok(c) => self.text(c.encode_utf8(&mut [0; 4])),
            Err(fault) => self.refuse(fault),
        }
    }

    /// Refuses the row; the place names the innermost element if a programmer chose its name.
    pub fn refuse(&mut self, fault: Fault) {
        if self.fault.is_some() {
            return;
        }
        let name = self.frames.get(1..).and_then(<[Frame]>::last).map(|frame| frame.name.as_str()).unwrap_or_default();
        let fault = if !name.is_empty() && json::structural(name) { fault.at_column(name) } else { fault };
        self.fault = Some(fault);
        self.frames.clear();
    }

    /// The row, always an object.
    pub fn finish(mut self) -> Result<Value, Fault> {
        match (self.fault, self.frames.pop()) {
            (None, Some(mut frame)) => {
                text_beside(&mut frame);
                Ok(Value::Object(frame.members))
            }
            (fault, _) => Err(fault.unwrap_or_else(|| Fault::new(SYNTAX, "the row is not well-formed"))),
        }
    }

    /// The innermost element has ended: it becomes a field of its parent.
    fn fold(&mut self) {
        let Some(mut frame) = self.frames.pop() else { return };
        if !self.keeps {
            return;
        }
        let value = if frame.nil {
            Value::Null
        } else if frame.members.is_empty() {
            Value::String(frame.text)
        } else {
            text_beside(&mut frame);
            Value::Object(frame.members)
        };
        let list = self.rules.lists.contains(&frame.name);
        let Some(parent) = self.frames.last_mut() else { return };
        match parent.members.get_mut(&frame.name) {
            // No other value is an array.
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(parent.members.insert(frame.name, if list { Value::Array(vec![value]) } else { value })),
        }
    }
}

fn text_beside(frame: &mut Frame) {
    if !frame.text.trim().is_empty() {
        frame.members.insert("#text".to_owned(), Value::String(std::mem::take(&mut frame.text)));
    }
}

/// Hands on the attributes of an element by local name, without declarations of namespaces.
pub fn attributes(
    start: &BytesStart<'_>,
    mut each: impl FnMut(&str, Result<String, Fault>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    // The parser's own check for doubles compares each attribute with all before it.
    for (count, attribute) in start.attributes().with_checks(false).enumerate() {
        if count >= MOST_ATTRIBUTES {
            let fault = Fault::new(ATTRIBUTES, "an element has too many attributes");
            return Err(fault.expected(format!("at most {MOST_ATTRIBUTES}")));
        }
        let attribute = attribute.map_err(|_| Fault::new(SYNTAX, "an attribute is not well-formed"))?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| match error {
            Error::Escape(EscapeError::UnrecognizedEntity(..) | EscapeError::TooManyNestedEntities) => unknown_entity(),
            _ => Fault::new(SYNTAX, "an attribute is not well-formed"),
        });
        each(attribute.key.local_name().as_ref(), value.map(std::borrow::Cow::into_owned))?;
    }
    Ok(())
}

/// The character of `&lt;` or `&#1234;`.
pub fn resolve(reference: &BytesRef<'_>) -> Result<char, Fault> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => Ok(c),
        Err(_) => Err(Fault::new(SYNTAX, "a character reference names no character")),
        Ok(None) => match reference.as_ref() {
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "amp" => Ok('&'),
            "apos" => Ok('\''),
            "quot" => Ok('"'),
            _ => Err(unknown_entity()),
        },
    }
}

fn unknown_entity() -> Fault {
    Fault::new(ENTITY, "an entity is not known").expected("`&lt;`, `&gt;`, `&amp;`, `&apos;`, `&quot;` or a character reference")
}

/// Refuses what a record cannot hold.
fn check(text: &str, beyond_ascii: &mut bool) -> Result<(), Fault> {
    let ascii = text.is_ascii();
    *beyond_ascii |= !ascii;
    // All bytes at once, without a branch for each: nearly every text is good.
    let control = |byte: u8| byte < b' ' && byte != b'\t' && byte != b'\n' && byte != b'\r';
    if ascii && !text.bytes().fold(false, |found, byte| found | control(byte)) {
        return Ok(());
    }
    let foreign = |c: char| matches!(c, MISFIT | '\u{fffe}') || (c < ' ' && !matches!(c, '\t' | '\n' | '\r'));
    match text.chars().find(|c| foreign(*c)) {
        None => Ok(()),
        Some(MISFIT) => {
            let fault = Fault::new(ENCODING, "the bytes of the row do not fit the charset");
            Err(fault.hint("the row is damaged; ask the sender for it again, or check `encoding`"))
        }
        Some('\0') => Err(Fault::new(NUL, "the row holds the character U+0000").hint("the file may be damaged or binary")),
        Some(_) => Err(Fault::new(SYNTAX, "the row holds a control character that XML does not allow")),
    }
}
