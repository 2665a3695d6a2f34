//! Strict JSON: what the hub takes in, it must be able to keep and hand on unchanged.
//!
//! RFC 8259 leaves much to the parser: duplicate names, deep nesting, numbers beyond the reader's precision, lone
//! surrogates. Each of them lets two readers of one message disagree, so each is refused here with a code and a place.
//! One pass, no recursion: the depth of the input never reaches our stack.

use serde_json::{Map, Value};

use crate::error::{Code, Fault};

mod number;
mod text;

#[cfg(test)]
mod tests;

/// The text is not JSON (RFC 8259).
pub const SYNTAX: Code = Code::new(2050);
/// Arrays and objects nest deeper than the limit.
pub const DEPTH: Code = Code::new(2051);
/// An object names the same member twice.
pub const DUPLICATE_KEY: Code = Code::new(2052);
/// A text holds the character U+0000, which PostgreSQL and many receivers cannot keep.
pub const NUL: Code = Code::new(2053);
/// A `\u` escape is half of a surrogate pair.
pub const SURROGATE: Code = Code::new(2054);
/// The bytes are not UTF-8.
pub const UTF8: Code = Code::new(2055);
/// A number would lose digits on its way through the hub.
pub const NUMBER: Code = Code::new(2056);
/// The text, or what it unfolds to in memory, is larger than the limit.
pub const TOO_LARGE: Code = Code::new(2057);
/// Something follows the end of the JSON value.
pub const TRAILING: Code = Code::new(2058);

/// Bounds of one JSON text.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest size in bytes; 1 MiB, the size above which bodies travel by claim check.
    pub bytes: usize,
    /// Deepest nesting of arrays and objects.
    pub depth: usize,
    /// How many faults are listed before the reader gives up.
    pub faults: usize,
    /// Most memory that the values may take, in bytes: eight characters of `{"a":0},` become some 700 bytes.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, depth: 64, faults: 20, memory: 16 << 20 }
    }
}

/// Memory of one value in an array or object, of a node of an object, and the members that share a node.
const VALUE_BYTES: usize = 32;
const NODE_BYTES: usize = 640;
const NODE_MEMBERS: usize = 8;

/// Parses one JSON text; on failure every fault that can be told apart, each with line, byte column and JSON pointer.
///
/// # Errors
/// Faults [`SYNTAX`] to [`TRAILING`]. Syntax faults end the reading; the others are collected up to `limits.faults`.
pub fn strict(bytes: &[u8], limits: &Limits) -> Result<Value, Vec<Fault>> {
    match salvage(bytes, limits)? {
        (value, faults) if faults.is_empty() => Ok(value),
        (_, faults) => Err(faults),
    }
}

/// As [`strict`], for a text with many records: a fault that leaves the structure whole (duplicate name, lone surrogate,
/// U+0000, number) comes beside the value, so that it costs only the record at its pointer. What stands there in the
/// value is not what was sent.
///
/// # Errors
/// Faults that end the reading, and all faults when there are more than `limits.faults`.
pub fn salvage(bytes: &[u8], limits: &Limits) -> Result<(Value, Vec<Fault>), Vec<Fault>> {
    if bytes.len() > limits.bytes {
        let message = format!("the JSON text has {} bytes", bytes.len());
        return Err(vec![Fault::new(TOO_LARGE, message).expected(format!("at most {} bytes", limits.bytes))]);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let fault = Fault::new(UTF8, "the bytes are not UTF-8").hint("send UTF-8 without a byte order mark");
        vec![place(fault, bytes, error.valid_up_to())]
    })?;
    let mut parser = Parser { text, bytes, at: 0, limits, stack: Vec::new(), faults: Vec::new(), memory: 0 };
    match parser.document() {
        Ok(value) => Ok((value, parser.faults)),
        Err(Stop::Fault(fault)) => {
            parser.faults.push(*fault);
            Err(parser.faults)
        }
        Err(Stop::Full) => Err(parser.faults),
    }
}

/// An array or object that is still open.
enum Frame {
    Array(Vec<Value>),
    /// The members so far, and the name whose value is being read.
    Object(Map<String, Value>, String),
}

/// Why reading ended early.
enum Stop {
    Fault(Box<Fault>),
    /// As many faults as the caller wants are listed.
    Full,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: &'a Limits,
    stack: Vec<Frame>,
    faults: Vec<Fault>,
    /// Taken by the values so far, roughly.
    memory: usize,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, Stop> {
        loop {
            // A value begins here. An opened array or object that is not empty goes on to its first value.
            let Some(mut value) = self.begin()? else { continue };
            // A value has ended: it goes into its parent, which may end with it.
            loop {
                match self.stack.pop() {
                    None => return self.end(value),
                    Some(Frame::Array(mut items)) => {
                        items.push(value);
                        if self.more(b']')? {
                            self.stack.push(Frame::Array(items));
                            break;
                        }
                        value = Value::Array(items);
                    }
                    Some(Frame::Object(mut members, name)) => {
                        members.insert(name, value);
                        if self.more(b'}')? {
                            self.stack.push(Frame::Object(members, String::new()));
                            self.name()?;
                            break;
                        }
                        value = Value::Object(members);
                    }
                }
            }
        }
    }

    /// Reads a scalar or an empty container whole; `None` after opening a container with content.
    fn begin(&mut self) -> Result<Option<Value>, Stop> {
        self.space();
        self.take(VALUE_BYTES)?;
        let value = match self.peek() {
            Some(b'{') => return self.open(b'}'),
            Some(b'[') => return self.open(b']'),
            Some(b'"') => Value::String(self.string()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return Err(self.syntax("a value")),
        };
        Ok(Some(value))
    }

    fn open(&mut self, close: u8) -> Result<Option<Value>, Stop> {
        if self.stack.len() >= self.limits.depth {
            let fault = Fault::new(DEPTH, format!("arrays and objects nest deeper than {}", self.limits.depth))
                .hint("send a flat record; the hub reads no deeper");
            return Err(self.stop(fault));
        }
        self.at += 1;
        self.space();
        let empty = self.peek() == Some(close);
        let frame = if close == b'}' { Frame::Object(Map::new(), String::new()) } else { Frame::Array(Vec::new()) };
        if empty {
            self.at += 1;
            return Ok(Some(if close == b'}' { Value::Object(Map::new()) } else { Value::Array(Vec::new()) }));
        }
        self.stack.push(frame);
        if close == b'}' {
            self.name()?;
        }
        Ok(None)
    }

    /// After a value inside a container: true at a comma, false at the closing bracket.
    fn more(&mut self, close: u8) -> Result<bool, Stop> {
        self.space();
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(false);
            }
            _ => return Err(self.syntax(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
        Ok(true)
    }

    /// Reads `"name":` of the object on top of the stack.
    fn name(&mut self) -> Result<(), Stop> {
        self.space();
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a member name in double quotes"));
        }
        let start = self.at;
        let read = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.syntax("`:`"));
        }
        self.at += 1;
        self.take(read.len())?;
        let Some(Frame::Object(members, name)) = self.stack.last_mut() else { return Ok(()) };
        let node = members.len() % NODE_MEMBERS == 0;
        let twice = members.contains_key(&read);
        *name = read;
        if twice {
            let fault = Fault::new(DUPLICATE_KEY, "an object names this member twice").hint("send each member once");
            self.note(fault, start)?;
        }
        if node { self.take(NODE_BYTES) } else { Ok(()) }
    }

    /// Counts memory that is about to be taken.
    fn take(&mut self, bytes: usize) -> Result<(), Stop> {
        self.memory += bytes;
        if self.memory <= self.limits.memory {
            return Ok(());
        }
        let fault =
            Fault::new(TOO_LARGE, "the JSON text unfolds to more values than the hub holds").hint("send fewer rows at a time");
        Err(self.stop(fault))
    }

    fn end(&mut self, value: Value) -> Result<Value, Stop> {
        self.space();
        if self.at < self.bytes.len() {
            let fault =
                Fault::new(TRAILING, "something follows the end of the JSON value").expected("one JSON value and no more");
            return Err(self.stop(fault));
        }
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Stop> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn syntax(&self, expected: &str) -> Stop {
        let message = if self.at >= self.bytes.len() { "the JSON text ends too early" } else { "this is not JSON" };
        self.stop(Fault::new(SYNTAX, message).expected(expected))
    }

    fn stop(&self, fault: Fault) -> Stop {
        Stop::Fault(Box::new(self.placed(fault, self.at)))
    }

    /// Lists a fault and reads on.
    fn note(&mut self, fault: Fault, at: usize) -> Result<(), Stop> {
        let fault = self.placed(fault, at);
        self.faults.push(fault);
        if self.faults.len() >= self.limits.faults { Err(Stop::Full) } else { Ok(()) }
    }

    fn placed(&self, fault: Fault, at: usize) -> Fault {
        place(fault, self.bytes, at).at_pointer(self.pointer())
    }

    /// The JSON pointer (RFC 6901) of the value being read. Names that may be content, not structure, are left out.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for frame in self.stack.iter().take(16) {
            pointer.push('/');
            match frame {
                Frame::Array(items) => pointer.push_str(&items.len().to_string()),
                Frame::Object(_, name) if structural(name) => pointer.push_str(name),
                Frame::Object(..) => pointer.push('*'),
            }
        }
        pointer
    }
}

/// A name a programmer chose: ASCII letters, digits and `_ - .`, short, and fewer digits than a phone number has. A Chinese
/// name may be a column's, or a citizen's.
pub fn structural(name: &str) -> bool {
    let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    plain && name.len() <= 64 && digits < 8
}

fn place(fault: Fault, bytes: &[u8], at: usize) -> Fault {
    let before = &bytes[..at.min(bytes.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    fault.at_row(line as u64).at_column(format!("byte {}", at - start + 1))
}
