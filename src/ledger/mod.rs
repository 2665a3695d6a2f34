//! The ledger: hash-chained proof of what was received, delivered, rejected, and to whom a citizen's data went.
//!
//! Every writer (a router partition, a deliver lane, an adapter, an operator) has a chain of its own, so that chains never
//! wait for one another. A row hashes the row before it; the end of a chain is signed at every commit.

pub mod arrival;
pub mod books;
pub mod chain;
pub mod trace;
pub mod verify;

use serde_json::Value;

use crate::{
    envelope::Event,
    store::{Error, Store},
};

/// What a row proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The router has counted this occurrence.
    Received,
    /// It goes to the subscriptions named in the body.
    Dispatched,
    /// One receiver has it.
    Delivered,
    /// Never acceptable as it is.
    Rejected,
    /// Set aside with its key.
    Parked,
    /// Passed on, but the step of its case was none that may be, or a publicity was too short.
    Flagged,
    /// Older than what its source object already said.
    Superseded,
    /// The source said the same again.
    Duplicate,
    /// An operator sent a dead letter on its way again.
    Replayed,
    /// An operator gave a dead letter up, with a reason.
    Discarded,
    /// A human decided about persons, with a reason.
    Decided,
    /// A human saw personal values in plain, with a reason.
    Seen,
    /// A verification was asked for, under an authorisation; or the owner of a disputed record.
    Asked,
    /// A verification or an answer was refused.
    Refused,
    /// A provider, or the owner of a disputed record, has answered.
    Answered,
    /// A report was issued.
    Reported,
    /// An authorisation was taken back.
    Revoked,
    /// The details of a verification were destroyed when their time was over.
    Destroyed,
    /// A partner or an officer disputes a field of the record.
    Disputed,
    /// The record corrects another one.
    Corrected,
    /// A dispute is over: everyone who had the wrong value has a receipt for the right one, or it was rejected.
    Closed,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Dispatched => "dispatched",
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
            Self::Flagged => "flagged",
            Self::Superseded => "superseded",
            Self::Duplicate => "duplicate",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
            Self::Decided => "decided",
            Self::Seen => "seen",
            Self::Asked => "asked",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Reported => "reported",
            Self::Revoked => "revoked",
            Self::Destroyed => "destroyed",
            Self::Disputed => "disputed",
            Self::Corrected => "corrected",
            Self::Closed => "closed",
        }
    }
}

/// One row before it is chained.
#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: Kind,
    pub event_id: String,
    pub system: String,
    pub bookdate: String,
    pub dataset: String,
    /// Occurrence, subscription, purpose, person keys, codes. No personal data.
    pub body: Value,
}

impl Entry {
    pub fn of(kind: Kind, event: &Event, body: Value) -> Self {
        Self {
            kind,
            event_id: event.id.as_str().to_owned(),
            system: event.system().as_str().to_owned(),
            bookdate: event.bookdate.clone(),
            dataset: event.dataset().as_str().to_owned(),
            body,
        }
    }
}

/// A row as it stands in a chain.
#[derive(Debug, Clone)]
pub struct Written {
    pub at: i64,
    pub kind: String,
    pub event_id: String,
    pub system: String,
    pub body: String,
    /// Chain and place.
    pub proof: String,
}

/// The newest rows of a chain, the newest first.
///
/// # Errors
/// The store failed.
pub async fn newest(store: &Store, chain: &str, limit: i64) -> Result<Vec<Written>, Error> {
    let sql = "SELECT at, kind, event_id, system, body, seq FROM ledger WHERE chain = $1 ORDER BY seq DESC LIMIT $2";
    let written = |row: &crate::store::Row| Written {
        at: row.int(0),
        kind: row.text(1),
        event_id: row.text(2),
        system: row.text(3),
        body: row.text(4),
        proof: format!("{chain}#{}", row.int(5)),
    };
    Ok(store.read(sql, &[chain.into(), limit.into()]).await?.iter().map(written).collect())
}
