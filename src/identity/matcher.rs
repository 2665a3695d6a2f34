//! The seam for evidence that the deterministic rules do not use.

use async_trait::async_trait;

use super::standard::Standard;
use crate::{
    envelope::PersonKey,
    store::{Error, Tx},
};

/// What a matcher says about a query that neither number nor reference decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Like nobody known.
    New,
    /// This person, by so many tenths of a bit under that version of the model.
    Same { key: PersonKey, tenths: i64, model: String },
    /// Perhaps this person: make a new one and ask a human.
    Review { key: PersonKey, tenths: i64, model: String },
}

/// Compares a query with the persons that are known. Runs inside the transaction that will use its verdicts.
#[async_trait]
pub trait Matcher: Send + Sync {
    /// One verdict for each query, in order.
    ///
    /// # Errors
    /// The store failed.
    async fn decide(&self, tx: &mut Tx, undecided: &[&Standard]) -> Result<Vec<Verdict>, Error>;

    /// Is told whom each query of a batch was resolved to when anything new was written, to keep its own tables in the
    /// same transaction. A query may come again after a retry.
    ///
    /// # Errors
    /// The store failed.
    async fn learn(&self, tx: &mut Tx, decided: &[(PersonKey, &Standard)]) -> Result<(), Error>;
}

/// Knows nothing: whoever is not found by number or reference is new.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMatcher;

#[async_trait]
impl Matcher for NoMatcher {
    async fn decide(&self, _: &mut Tx, undecided: &[&Standard]) -> Result<Vec<Verdict>, Error> {
        Ok(vec![Verdict::New; undecided.len()])
    }

    async fn learn(&self, _: &mut Tx, _: &[(PersonKey, &Standard)]) -> Result<(), Error> {
        Ok(())
    }
}
