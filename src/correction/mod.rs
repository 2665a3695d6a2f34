//! Correction: a partner or an officer disputes a field, its owner answers, and whoever has the wrong value gets the right one.
//!
//! A dispute goes `opened` -> `sent` (it lies in the queue of the owning system's desk, with a deadline in workdays) ->
//! `answered` -> `closed`. The answer is a corrected record, which comes the way of every record, or a rejection with a
//! reason. The corrected record reaches by the router everyone whose agreement covers it ([`drive`] sees to the receipts);
//! who received the wrong value and may not have the corrected record is told to give the wrong one up ([`withdraw`]).
//!
//! The hub keeps no records, so values are compared as keyed hashes of what receivers were sent ([`compare`]). Every step
//! and its rows in the ledger are one transaction, and every id is derived: a death between two steps repeats the second.

use serde_json::Value;

use crate::error::Code;

pub mod answer;
mod book;
mod compare;
pub mod drive;
pub mod list;
pub mod open;
mod versions;
mod withdraw;

pub use book::Books;

#[cfg(test)]
mod tests;

/// Nothing like this was delivered to whoever disputes it.
pub const NOT_RECEIVED: Code = Code::new(7601);
/// The copy of the delivery is no longer kept: the event must be named.
pub const NO_COPY: Code = Code::new(7602);
/// The field was not received.
pub const NO_FIELD: Code = Code::new(7603);
/// A claim, a reason or an office is missing or too long.
pub const NO_WORDS: Code = Code::new(7604);
/// There is no such dispute.
pub const NO_DISPUTE: Code = Code::new(7605);
/// The dispute is answered, or the receiver needs no waiver.
pub const ANSWERED: Code = Code::new(7606);

/// Longest text of a claim or a reason, in characters.
pub const LONGEST: usize = 1000;

/// Who disputes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One that received it.
    Partner(String),
    /// An officer of the department.
    Office,
}

impl Who {
    /// As stored; no slug of a partner begins so.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Partner(slug) => slug,
            Self::Office => "@office",
        }
    }
}

/// What is disputed.
#[derive(Debug, Clone)]
pub enum What {
    /// A delivery, as long as its copy is kept.
    Delivery(String),
    /// A word of a source object by its attributes; the newest one without an event id.
    Record { source: String, dataschema: String, subject: String, event: Option<String> },
}

/// What is wrong about it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// JSON pointer into the record.
    pub pointer: String,
    /// What is wrong, in words.
    pub problem: String,
    /// What it should be, if that is known.
    pub proposed: Option<Value>,
}

/// `/members/0/name` as agreements write it: `members.name`.
fn dotted(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1).filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()));
    parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
}
