//! Rows of the ledger about exchanges: who asked, what was refused, what was answered. No personal data.

use serde_json::Value;

use crate::{
    clock,
    config::keys::Keys,
    ledger::{Entry, Kind, chain::Chain},
    store::{Backend, Error, Store, Tx},
};

/// The chain of all exchanges.
const CHAIN: &str = "exchange";

/// How often a transaction is tried whose chain another process has lengthened.
pub const TRIES: u32 = 5;

/// What exchanges work with.
#[derive(Clone)]
pub struct Books {
    pub store: Store,
    pub keys: Keys,
}

impl Books {
    /// Appends rows inside the transaction of the work that they prove.
    pub async fn note(&self, tx: &mut Tx, rows: Vec<Entry>) -> Result<(), Error> {
        // With PostgreSQL writers come side by side: each waits here for the one before it, instead of failing at its commit.
        if tx.backend() == Backend::Postgres {
            tx.read("SELECT seq FROM ledger_head WHERE chain = $1 FOR UPDATE", &[CHAIN.into()]).await?;
        }
        let mut chain = Chain::open(&self.store, CHAIN, std::sync::Arc::clone(&self.keys.ledger)).await?;
        chain.append(tx, &rows).await
    }

    /// Personal data at rest.
    pub fn seal(&self, value: &impl serde::Serialize) -> String {
        self.keys.seal(&serde_json::to_vec(value).unwrap_or_default())
    }

    /// The opposite of [`Self::seal`].
    pub fn open<T: serde::de::DeserializeOwned>(&self, sealed: &str) -> Result<T, Error> {
        let bytes = self.keys.open(sealed).ok_or_else(|| Error::Failed("a sealed text cannot be opened".to_owned()))?;
        serde_json::from_slice(&bytes).map_err(|_| Error::Failed("a sealed text cannot be read".to_owned()))
    }
}

/// One row about a request or query.
pub fn entry(kind: Kind, number: &str, body: Value) -> Entry {
    Entry {
        kind,
        event_id: number.to_owned(),
        system: "exchange".to_owned(),
        bookdate: clock::iso_date(clock::today()),
        dataset: "asset-query".to_owned(),
        body,
    }
}
