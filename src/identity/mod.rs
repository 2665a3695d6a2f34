//! The master person index: which citizen a record speaks of.
//!
//! Each business system knows its people by its own ids. [`PersonIndex::resolve`] gives every mention of a person the
//! key under which the whole province knows that person:
//!
//! 1. The same (system, reference): the same person. When the reference gains a number that somebody with a compatible
//!    name holds, the two persons are one: the older key survives and `person.merged` goes to the outbox.
//! 2. Else the linking engine ([`link`]) decides, as for a whole file: a number under a compatible name, or the weight of
//!    evidence. What it leaves open is put to a human ([`review`]).
//!
//! Two different valid numbers never become one person without a human decision, and who was told apart stays apart.
//! Humans merge and split by [`hand`]; both can be undone.
//!
//! ```text
//! query -> standard form -> cache --hit--> key
//!                               \-miss-> says what it said before --yes--> key
//!                                            \-no-> candidates of the batch -> engine -> write, commit -> cache
//! ```
//!
//! Keys are committed before anybody sees them, and derived from the record that is first seen: a batch that comes again
//! after a crash makes the same persons. Several routers may work at once: whoever has something to decide does so alone.

mod batch;
mod cache;
mod golden;
pub mod hand;
mod hot;
pub mod household;
pub mod index;
pub mod keys;
pub mod link;
mod load;
mod lore;
pub mod number;
pub mod person;
mod prepare;
mod remark;
pub mod review;
pub mod standard;
pub mod timings;
mod write;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use golden::{Golden, Word};
pub use household::Family;
pub use index::StoreIndex;
pub use keys::IdentityKeys;
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
    pub address: Option<String>,
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
    /// The engine, with the weight of evidence in tenths of a bit.
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

    /// Files who lives with whom; answers the key of each family's household.
    ///
    /// # Errors
    /// The store failed; the same families may be filed again.
    async fn households(&self, families: &[Family]) -> Result<Vec<String>, store::Error>;
}
