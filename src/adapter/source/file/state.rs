//! Where a file source stands: the content of its [`Position`], and the table of files already read.

use serde::{Deserialize, Serialize};

use crate::{
    adapter::source::Position,
    clock,
    envelope::System,
    error::Fault,
    store::{Arg, Error, Store},
};

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Rows are still to come.
    Open,
    /// Read to its end.
    Read,
    /// Refused whole.
    Refused,
    /// It went away before its end.
    Gone,
}

/// The content of a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub file: String,
    /// SHA-256 of the content.
    pub digest: String,
    /// Which file exactly, see `Stamp`.
    pub stamp: String,
    /// Of an archive, the number of the file that the last row came from; 0 for a plain file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub member: u32,
    /// Number of the last row handed over, good or bad.
    pub row: u64,
    /// Data rows of the file, as verified.
    pub records: u64,
    pub stage: Stage,
    /// Why the file was refused, for its `.fault.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl State {
    pub fn of(position: &Position) -> Option<Self> {
        serde_json::from_value(position.0.clone()).ok()
    }

    pub fn position(&self) -> Position {
        Position(serde_json::to_value(self).unwrap_or_default())
    }

    /// Of the last row handed over: the same whenever the same row is read again.
    pub fn origin(&self) -> String {
        let digest = &self.digest[..16.min(self.digest.len())];
        match self.member {
            0 => format!("{digest}#{}", self.row),
            member => format!("{digest}/{member}#{}", self.row),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The table `file_seen` for one object.
#[derive(Clone)]
pub struct Seen {
    pub store: Store,
    pub system: System,
    pub object: String,
}

impl Seen {
    pub async fn contains(&self, digest: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM file_seen WHERE system = $1 AND object = $2 AND digest = $3";
        Ok(!self.store.read(sql, &self.key(digest)).await?.is_empty())
    }

    pub async fn add(&self, state: &State) -> Result<(), Error> {
        let sql = "INSERT INTO file_seen (system, object, digest, file, records, at, repeats) VALUES ($1, $2, $3, $4, $5, $6, 0) \
                   ON CONFLICT (system, object, digest) DO NOTHING";
        let mut args = self.key(&state.digest).to_vec();
        let records = i64::try_from(state.records).unwrap_or(i64::MAX);
        args.extend([state.file.clone().into(), records.into(), clock::millis().into()]);
        self.store.write(sql, &args).await.map(drop)
    }

    pub async fn repeat(&self, digest: &str) -> Result<(), Error> {
        let sql = "UPDATE file_seen SET repeats = repeats + 1 WHERE system = $1 AND object = $2 AND digest = $3";
        self.store.write(sql, &self.key(digest)).await.map(drop)
    }

    fn key(&self, digest: &str) -> [Arg; 3] {
        [self.system.as_str().into(), self.object.as_str().into(), digest.into()]
    }
}
