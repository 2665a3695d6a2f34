//! The master person index: which citizen a record speaks of.
//!
//! Each business system knows its people by its own ids. [`PersonIndex::resolve`] gives every mention of a person the
//! key under which the whole province knows that person. The deterministic rules, in order:
//!
//! 1. An identity number that a person with a compatible name holds: that person. With an incompatible name the number
//!    proves nothing; the record goes on to the next rule and a review item is opened.
//! 2. The same (system, reference): the same person. When the reference gains a number that somebody with a compatible
//!    name holds, the two persons are one: the older key survives and `person.merged` goes to the outbox.
//! 3. What the rules leave open is put to the [`Matcher`]; without one it is a new person.
//!
//! [`link`] is the probabilistic part: a pure engine that weighs evidence, for whole files and for the matcher.
//!
//! Two different valid numbers never become one person without a human decision.
//!
//! ```text
//! query -> standard form (number class, folded name) -> cache --hit--> key
//!                                                          \-miss-> look-up -> plan -> write, commit -> cache
//! ```
//!
//! Keys are committed before anybody sees them, and found again by number or reference after a crash. Several routers
//! may work at once: unique indexes decide who was first, the others roll back and look again.

mod cache;
pub mod index;
pub mod keys;
pub mod link;
pub mod matcher;
mod name;
pub mod number;
mod plan;
pub mod standard;
mod write;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use index::StoreIndex;
pub use keys::IdentityKeys;
pub use matcher::{Matcher, NoMatcher, Verdict};
pub use standard::Standard;

use crate::{
    envelope::{EventId, PersonKey, Quality, System},
    store,
};

/// One mention of a person in a record.
#[derive(Clone)]
pub struct PersonQuery {
    pub system: System,
    /// The system's own stable id of the person. Empty when it has none: then the event stands in, and only the same
    /// record finds the person again.
    pub reference: String,
    pub name: Option<String>,
    pub number: Option<String>,
    /// `yyyy-mm-dd`.
    pub birth_date: Option<String>,
    pub sex: Option<String>,
    pub phone: Option<String>,
    /// The record that mentions the person; kept with what is concluded from it.
    pub event: EventId,
}

/// What a key rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A number and a compatible name.
    Number,
    /// The system's own id.
    Reference,
    /// The matcher, with the weight of evidence in tenths of a bit.
    Match { tenths: i64, model: String },
    /// Nobody like this was known.
    New,
}

/// The answer to one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    pub key: PersonKey,
    pub evidence: Evidence,
    /// Whether this query made the person.
    pub created: bool,
    /// Doubts, to travel beside the record.
    pub remarks: Vec<Quality>,
}

/// Finds or makes the person of each query. Answers are in the order of the queries.
#[async_trait]
pub trait PersonIndex: Send + Sync {
    /// Every key in the answer is committed.
    ///
    /// # Errors
    /// The store failed, or lost races too often; nothing was kept, and the same batch may be tried again.
    async fn resolve(&self, batch: &[PersonQuery]) -> Result<Vec<Resolution>, store::Error>;
}
