//! Rows of the ledger about disputes, sealed texts, and keyed hashes of values.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    clock,
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    envelope::unlike_numbers,
    error::Fault,
    ledger::{Entry, Kind, chain::Chain},
    store::{Backend, Error, Store, Tx},
};

/// The chain of all disputes.
const CHAIN: &str = "correction";
/// How often a transaction is tried whose chain another process has lengthened.
pub(super) const TRIES: u32 = 5;

/// What disputes are kept in.
#[derive(Clone)]
pub struct Books {
    pub store: Store,
    pub keys: Keys,
}

impl Books {
    /// Appends rows inside the transaction of the work that they prove.
    pub(super) async fn note(&self, tx: &mut Tx, rows: &[Entry]) -> Result<(), Error> {
        // With PostgreSQL writers come side by side: each waits here for the one before it, instead of failing at its commit.
        if tx.backend() == Backend::Postgres {
            tx.read("SELECT seq FROM ledger_head WHERE chain = $1 FOR UPDATE", &[CHAIN.into()]).await?;
        }
        let mut chain = Chain::open(&self.store, CHAIN, Arc::clone(&self.keys.ledger)).await?;
        chain.append(tx, rows).await
    }

    /// Texts of people at rest.
    pub(super) fn seal(&self, value: &Value) -> String {
        self.keys.seal(value.to_string().as_bytes())
    }

    /// The opposite of [`Self::seal`]; null for what cannot be opened.
    pub(super) fn open(&self, sealed: &str) -> Value {
        self.keys.open(sealed).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keyed hash of a value within one dispute: the same value has another hash in the next.
    pub(super) fn hash(&self, dispute: &str, value: &Value) -> String {
        let hash = KeyedHash::new(&self.keys.derive("correction")).hex(&format!("{dispute}\n{value}"));
        let bytes = hex::decode(hash).unwrap_or_default();
        unlike_numbers(&bytes[..bytes.len().min(16)])
    }
}

/// One row about a dispute, beside the rows of the record that it is about.
pub(super) fn entry(kind: Kind, (event, system, dataset): (&str, &str, &str), body: Value) -> Entry {
    Entry {
        kind,
        event_id: event.to_owned(),
        system: system.to_owned(),
        bookdate: clock::iso_date(clock::today()),
        dataset: dataset.to_owned(),
        body,
    }
}

pub(super) fn failed(error: Error) -> Fault {
    error.fault()
}
