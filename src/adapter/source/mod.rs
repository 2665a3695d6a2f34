//! [`Source`]: batches of raw rows from one legacy system, with a position to go on from.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Code, Fault};

/// The source could not be reached; it is tried again on schedule.
pub const UNREACHABLE: Code = Code::new(2001);
/// The source answered with something that no retry mends (bad credentials, missing table, wrong protocol).
pub const REFUSED: Code = Code::new(2002);

/// Where to read on; opaque outside the source that made it. Stored only after every record of the batch is confirmed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub Value);

/// One raw row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which object of the system: table, file kind, endpoint. Selects the mapping program.
    pub object: String,
    /// Where exactly it came from, the same when read again: `<file digest>#<row>` or `<watermark>/<key>`.
    pub origin: String,
    /// File name, table or endpoint, for the place of faults.
    pub file: String,
    /// Row or line counted from 1; 0 where there is none.
    pub number: u64,
    /// A JSON object, column name to value; text stays text, nothing is guessed.
    pub data: Value,
    /// Facts beside the row (header fields of its file, receive time): becomes `%` in the mapping program.
    pub meta: Value,
}

/// A row that could not be decoded. Its faults hold the place; `raw` is the input as base64, for the dead letters only.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    pub object: String,
    pub origin: String,
    pub faults: Vec<Fault>,
    pub raw: String,
}

/// What one read gave.
#[derive(Debug, Default)]
pub struct Batch {
    pub rows: Vec<Row>,
    pub bad: Vec<BadRow>,
    /// The position after this batch.
    pub next: Position,
    /// More is waiting now; else the source may rest until its schedule says otherwise.
    pub more: bool,
}

/// A source that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unreachable(Fault),
    #[error("{0}")]
    Refused(Fault),
}

/// One legacy system, or one object of it.
#[async_trait]
pub trait Source: Send {
    /// At most `max` rows after `position`. Reading again from the same position gives the same rows in the same order,
    /// as far as the legacy system allows.
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, Error>;

    /// Called after `position` is stored: files may be archived or quarantined now.
    async fn stored(&mut self, position: &Position) -> Result<(), Error> {
        let _ = position;
        Ok(())
    }
}
