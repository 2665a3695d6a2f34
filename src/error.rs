//! Coded faults: what is wrong, where, what was expected and what to do.
//!
//! Every text a user may see about bad input or a failed step is a [`Fault`]. Its [`Code`] (`CH-nnnn`) has an
//! entry in `docs/errors.md` and is the same on the command line, in the API and in dead-letter lists.
//! A fault never carries the offending value of a personal field: it names the place, not the content.
//!
//! Module errors are `thiserror` enums called `Error`, used as `bus::Error`; `anyhow` only in `cli`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of an error, shown as `CH-nnnn`. Declared as a constant beside the code that raises it.
///
/// Ranges: 1xxx configuration and command line, 2xxx sources and formats, 3xxx mapping (34xx XML, SOAP and tokens), 4xxx schemas,
/// 5xxx router, identity and agreements, 6xxx delivery and lake, 7xxx bus (72xx settlement, 73xx supervision, 74xx cases, 75xx disasters, 76xx correction), 8xxx store and ledger, 9xxx inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// A new code; `number` is unique in the crate (a test checks it, and that `docs/errors.md` has it).
    pub const fn new(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CH-{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_prefix("CH-").and_then(|digits| digits.parse().ok());
        number.map(Self).ok_or_else(|| serde::de::Error::custom("a code looks like CH-2001"))
    }
}

/// Where a fault is. All parts are optional; none holds personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// File, table or endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Row or line, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Column name, or column number within a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// JSON pointer into the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// One fault of one input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: Code,
    #[serde(flatten)]
    pub place: Place,
    /// Lower case, no full stop, no personal data.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a place; add one with the `at_*` and `with_*` methods.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, place: Place::default(), message: message.into(), expected: None, hint: None }
    }

    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.place.file = Some(file.into());
        self
    }

    pub fn at_row(mut self, row: u64) -> Self {
        self.place.row = Some(row);
        self
    }

    pub fn at_column(mut self, column: impl Into<String>) -> Self {
        self.place.column = Some(column.into());
        self
    }

    pub fn at_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.place.pointer = Some(pointer.into());
        self
    }

    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(file) = &self.place.file {
            write!(f, " {file}")?;
        }
        if let Some(row) = self.place.row {
            write!(f, ":{row}")?;
        }
        if let Some(column) = &self.place.column {
            write!(f, " [{column}]")?;
        }
        if let Some(pointer) = &self.place.pointer {
            write!(f, " {pointer}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A list of faults as one error: everything that is wrong, at once.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Faults(pub Vec<Fault>);
