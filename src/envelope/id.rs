//! Newtypes of every identifier, and the derivations that make effects happen once.
//!
//! Ids are derived from content, never drawn at random, so that a repeat is recognised wherever it turns up.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }
    )*};
}

text_id! {
    /// CloudEvents `id`: 32 hex digits, the first 16 bytes of SHA-256 over system, object, key and content.
    EventId
    /// Id of one delivery, derived from event and subscription; what a receiver sees on every retry.
    DeliveryId
    /// One appearance of a record at its source: event id plus origin (file and row, or watermark and key).
    /// A republished record has the same occurrence, a row the source really sent twice has another.
    Occurrence
    /// SHA-256 of the canonical JSON of a record, 64 hex digits.
    ContentHash
    /// Orders records of one citizen or case: equal keys go to one partition. Never personal data.
    PartitionKey
    /// Slug of one of the business systems, e.g. `urban-dibao`.
    System
    /// Name of a canonical dataset, e.g. `assistance-payment`.
    Dataset
    /// One receiver of one dataset's deliveries; names its queue `deliver.<subscription>`.
    SubscriptionId
    /// Key of a citizen in the master person index (a UUID); never changes its meaning.
    PersonKey
}

/// First 16 bytes of SHA-256 over the parts, each preceded by its length so that parts cannot run together.
fn derive(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    unlike_numbers(&hash.finalize()[..16])
}

/// Hex of a digest that cannot be taken for an identity number: while it has 15 decimal digits in a row, as one id in 150
/// has by chance, the SHA-256 of it is used instead, cut to the same length.
///
/// Ids stand in logs, lists and queues. There every run of so many digits is blanked or raises an alarm, and rightly.
pub fn unlike_numbers(digest: &[u8]) -> String {
    let mut digest = digest.to_vec();
    loop {
        let text = hex::encode(&digest);
        let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        if longest < 15 {
            return text;
        }
        let length = digest.len().min(32);
        digest = Sha256::digest(&digest)[..length].to_vec();
    }
}

impl EventId {
    /// Derived event id: the same word of the same source object always has the same id. The sequence is part of it, since
    /// a state that comes back (suspended, paid, suspended again) is news and has its own effects.
    pub fn derive(system: &System, object: &str, key: &str, content: &ContentHash, sequence: i64) -> Self {
        let sequence = sequence.to_be_bytes();
        let (system, content) = (system.as_str().as_bytes(), content.as_str().as_bytes());
        Self::new(derive(&[b"event", system, object.as_bytes(), key.as_bytes(), content, &sequence]))
    }
}

impl DeliveryId {
    pub fn derive(event: &EventId, subscription: &SubscriptionId) -> Self {
        Self::new(derive(&[b"delivery", event.as_str().as_bytes(), subscription.as_str().as_bytes()]))
    }
}

impl Occurrence {
    pub fn derive(event: &EventId, origin: &str) -> Self {
        Self::new(derive(&[b"occurrence", event.as_str().as_bytes(), origin.as_bytes()]))
    }
}

impl ContentHash {
    /// Hash of canonical JSON. `serde_json` maps are ordered by key here, so serialisation is canonical.
    pub fn of(record: &serde_json::Value) -> Self {
        Self::new(hex::encode(Sha256::digest(serde_json::to_vec(record).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_looks_like_an_identity_number() {
        let looks = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= 15);
        let plain = (0..20_000_u32).filter(|n| looks(&hex::encode(&Sha256::digest(n.to_be_bytes())[..16]))).count();
        assert!(plain > 50, "by chance they would: {plain}");
        for n in 0..20_000 {
            let id = derive(&[b"test", n.to_string().as_bytes()]);
            assert!(id.len() == 32 && !looks(&id), "{id}");
        }
        assert_eq!(unlike_numbers(&[0xab; 16]), "ab".repeat(16));
        assert!(!looks(&unlike_numbers(&[0x11; 32])));
    }
}
