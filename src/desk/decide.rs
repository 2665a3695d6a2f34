//! Decisions of humans. What changes and the proof of it are one transaction.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::SYSTEM;
use crate::{
    clock,
    envelope::{ContentHash, EventId, PersonKey},
    error::{Code, Fault},
    identity::{
        StoreIndex,
        hand::{Merged, Parted, Why},
        review::{Answer, Item},
    },
    ledger::{Entry, Kind, chain::Chain},
    store::{Store, Tx},
    telemetry::log::blank_numbers,
};

/// A decision without a reason.
pub const NO_REASON: Code = Code::new(5010);

/// Index, ledger and store of one hub.
pub struct Desk {
    pub store: Store,
    pub index: StoreIndex,
    /// Signs the ledger.
    pub key: Arc<SigningKey>,
}

impl Desk {
    /// Makes two persons one; `despite` also where a human told them apart.
    ///
    /// # Errors
    /// See [`StoreIndex::merge`]; or there is no reason.
    pub async fn merge(&self, one: &PersonKey, other: &PersonKey, reason: &str, despite: bool) -> Result<Merged, Fault> {
        let why = Why { event: decision("merge", &[one.as_str(), other.as_str()]), despite };
        let (mut chain, mut tx) = self.begin(reason).await?;
        let merged = self.index.merge(&mut tx, one, other, &why).await?;
        let body =
            json!({"decision": "merged", "persons": [merged.person_key, merged.retired_key], "reason": blank_numbers(reason)});
        self.end(&mut chain, tx, entry(why.event, body)).await?;
        Ok(merged)
    }

    /// Takes records away from a person.
    ///
    /// # Errors
    /// See [`StoreIndex::split`]; or there is no reason.
    pub async fn split(&self, key: &PersonKey, records: &[String], reason: &str) -> Result<Parted, Fault> {
        let why = Why { event: decision("split", &[key.as_str()]), despite: false };
        let (mut chain, mut tx) = self.begin(reason).await?;
        let parted = self.index.split(&mut tx, key, records, &why).await?;
        let persons = [&parted.person_key, &parted.split_key];
        let body = json!({"decision": "split", "persons": persons, "records": parted.records, "reason": blank_numbers(reason)});
        self.end(&mut chain, tx, entry(why.event, body)).await?;
        Ok(parted)
    }

    /// Answers a review.
    ///
    /// # Errors
    /// See [`StoreIndex::answer`]; or there is no reason.
    pub async fn answer(&self, id: &str, answer: Answer, reason: &str) -> Result<Item, Fault> {
        let (mut chain, mut tx) = self.begin(reason).await?;
        let item = self.index.answer(&mut tx, id, answer, reason).await?;
        let persons = [&item.person_key, &item.other_key];
        let body = json!({"decision": answer.as_str(), "review": item.id, "about": item.reason, "persons": persons,
            "tenths": (item.bits * 10.0).round(), "model": item.model, "reason": blank_numbers(reason)});
        self.end(&mut chain, tx, entry(item.event_id.clone(), body)).await?;
        Ok(item)
    }

    async fn begin(&self, reason: &str) -> Result<(Chain, Tx), Fault> {
        if reason.trim().is_empty() {
            return Err(Fault::new(NO_REASON, "a decision about persons needs a reason").hint("say it with --reason"));
        }
        let failed = |error: crate::store::Error| error.fault();
        self.index.check_keys().await.map_err(failed)?;
        let chain = Chain::open(&self.store, "operator", Arc::clone(&self.key)).await.map_err(failed)?;
        Ok((chain, self.store.begin().await.map_err(failed)?))
    }

    async fn end(&self, chain: &mut Chain, mut tx: Tx, entry: Entry) -> Result<(), Fault> {
        chain.append(&mut tx, &[entry]).await.map_err(|error| error.fault())?;
        tx.commit().await.map_err(|error| error.fault())?;
        chain.committed();
        Ok(())
    }
}

/// The id of a decision, in the form of an event's.
fn decision(what: &str, about: &[&str]) -> String {
    let content = ContentHash::of(&json!(about));
    EventId::derive(&SYSTEM.into(), what, &about.join(" "), &content, clock::millis()).as_str().to_owned()
}

fn entry(event_id: String, body: Value) -> Entry {
    let bookdate = clock::iso_date(clock::today());
    Entry { kind: Kind::Decided, event_id, system: SYSTEM.to_owned(), bookdate, dataset: "person".to_owned(), body }
}
