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
    /// Id of one delivery, derived from occurrence and subscription; what a receiver sees on every retry.
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
    /// Derived from the occurrence, not from the event: when an object goes from A to B and back to A within one clock
    /// tick of its source, the second A has the event id of the first, and its delivery must not be taken for a repeat.
    pub fn derive(occurrence: &Occurrence, subscription: &SubscriptionId) -> Self {
        Self::new(derive(&[b"delivery", occurrence.as_str().as_bytes(), subscription.as_str().as_bytes()]))
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
    use serde_json::json;

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

    /// Ids are kept for years: a change of their derivation would make every record new. The values were computed apart
    /// from this code, with Python's hashlib.
    #[test]
    fn golden() {
        let content = ContentHash::of(&json!({ "b": [1, "张伟"], "a": null }));
        assert_eq!(content.as_str(), "c81080b9249910e8ff785fa89a39a7369570aeb9483a4d5f15d5cb6bba1b8dd9");
        let event = EventId::derive(&"tekun".into(), "person", "k1", &content, 7);
        assert_eq!(event.as_str(), "e09e9120ffc44b161d43fc757032d853");
        let occurrence = Occurrence::derive(&event, "file#1/0");
        assert_eq!(occurrence.as_str(), "5b7294ad542c399b3bdc07b0dc19f5ac");
        assert_eq!(DeliveryId::derive(&occurrence, &"bank-jlbank".into()).as_str(), "968559d541da40220cb1376416aa68c1");
    }

    #[test]
    fn parts_do_not_run_together() {
        let content = ContentHash::of(&json!(1));
        let id = |system: &str, object: &str, key: &str| EventId::derive(&system.into(), object, key, &content, 7);
        assert_ne!(id("a", "bc", "d"), id("ab", "c", "d"));
        assert_ne!(id("a", "b", "cd"), id("a", "bc", "d"));
        assert_ne!(Occurrence::derive(&id("a", "b", "c"), ""), Occurrence::derive(&id("a", "b", ""), "c"));
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let (one, other): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(r#"{"a":1,"b":{"d":2,"c":3}}"#).unwrap(),
            serde_json::from_str(r#"{"b":{"c":3,"d":2},"a":1}"#).unwrap(),
        );
        assert_eq!(ContentHash::of(&one), ContentHash::of(&other));
        assert_ne!(ContentHash::of(&json!("1")), ContentHash::of(&json!(1)));
    }
}
