//! Appending to a chain, inside the transaction of the work that it proves.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Entry;
use crate::{
    clock,
    envelope::unlike_numbers,
    store::{self, Store, Tx},
};

/// Rows between two checkpoints of a chain.
const CHECKPOINT_EVERY: i64 = 1000;

/// Hash before the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The writing end of one chain. One writer at a time: a second one makes the first one's commit fail, not the chain fork.
pub struct Chain {
    name: String,
    key: Arc<SigningKey>,
    /// End of the chain as committed.
    seq: i64,
    hash: String,
    /// End as appended in a transaction that has not committed yet.
    pending: Option<(i64, String)>,
    checkpointed: i64,
}

impl Chain {
    pub async fn open(store: &Store, name: &str, key: Arc<SigningKey>) -> Result<Self, store::Error> {
        let mut chain = Self { name: name.to_owned(), key, seq: 0, hash: GENESIS.to_owned(), pending: None, checkpointed: 0 };
        chain.reload(store).await?;
        Ok(chain)
    }

    /// Reads the end again, after a transaction failed.
    pub async fn reload(&mut self, store: &Store) -> Result<(), store::Error> {
        let rows = store.read("SELECT seq, hash FROM ledger_head WHERE chain = $1", &[self.name.as_str().into()]).await?;
        if let Some(row) = rows.first() {
            (self.seq, self.hash) = (row.int(0), row.text(1));
        }
        self.checkpointed = self.seq - self.seq % CHECKPOINT_EVERY;
        self.pending = None;
        Ok(())
    }

    /// Appends rows; call [`Self::committed`] after the transaction has committed, or [`Self::reload`] if it failed.
    pub async fn append(&mut self, tx: &mut Tx, entries: &[Entry]) -> Result<(), store::Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let at = clock::millis();
        let (old, mut hash) = self.pending.clone().unwrap_or_else(|| (self.seq, self.hash.clone()));
        let mut seq = old;
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            seq += 1;
            let body = entry.body.to_string();
            let place = (seq, at);
            hash = row_hash(
                &hash,
                &self.name,
                place,
                [entry.kind.as_str(), &entry.event_id, &entry.system, &entry.bookdate, &entry.dataset, &body],
            );
            rows.push(json!([seq, entry.kind.as_str(), entry.event_id, entry.system, entry.bookdate, entry.dataset, body, hash]));
        }
        tx.execute(
            "INSERT INTO ledger (chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash) \
             SELECT $2, CAST(value ->> 0 AS BIGINT), $3, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
             FROM {rows}",
            &[serde_json::Value::Array(rows).to_string().into(), self.name.as_str().into(), at.into()],
        )
        .await?;
        self.move_head(tx, old, seq, &hash, at).await?;
        self.pending = Some((seq, hash));
        Ok(())
    }

    async fn move_head(&mut self, tx: &mut Tx, old: i64, seq: i64, hash: &str, at: i64) -> Result<(), store::Error> {
        let signature = self.sign(seq, hash);
        let args = [self.name.as_str().into(), seq.into(), hash.into(), signature.as_str().into(), old.into()];
        let moved = tx
            .execute(
                "INSERT INTO ledger_head (chain, seq, hash, signature) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, signature = excluded.signature \
                 WHERE ledger_head.seq = $5",
                &args,
            )
            .await?;
        if moved != 1 {
            return Err(store::Error::Failed(format!("ledger chain `{}` has another writer", self.name)));
        }
        if seq - self.checkpointed >= CHECKPOINT_EVERY {
            self.checkpointed = seq;
            let args = [self.name.as_str().into(), seq.into(), hash.into(), at.into(), signature.into()];
            tx.execute("INSERT INTO ledger_checkpoint (chain, seq, hash, at, signature) VALUES ($1, $2, $3, $4, $5)", &args)
                .await?;
        }
        Ok(())
    }

    /// The transaction has committed.
    pub fn committed(&mut self) {
        if let Some((seq, hash)) = self.pending.take() {
            (self.seq, self.hash) = (seq, hash);
        }
    }

    fn sign(&self, seq: i64, hash: &str) -> String {
        hex::encode(self.key.sign(head_text(&self.name, seq, hash).as_bytes()).to_bytes())
    }
}

/// What the signature of a chain's end covers.
pub fn head_text(chain: &str, seq: i64, hash: &str) -> String {
    format!("civilhub ledger head\n{chain}\n{seq}\n{hash}")
}

/// Hash of a row: SHA-256 over the hash before it and every column, each preceded by its length, written so that no hash
/// looks like an identity number.
pub fn row_hash(before: &str, chain: &str, (seq, at): (i64, i64), columns: [&str; 6]) -> String {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(seq.to_be_bytes());
    hash.update(at.to_be_bytes());
    for text in std::iter::once(chain).chain(columns) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    unlike_numbers(&hash.finalize())
}
