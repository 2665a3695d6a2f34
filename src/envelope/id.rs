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
    hex::encode(&hash.finalize()[..16])
}

impl EventId {
    /// Derived event id: the same source object with the same content always has the same id.
    pub fn derive(system: &System, object: &str, key: &str, content: &ContentHash) -> Self {
        Self::new(derive(&[b"event", system.as_str().as_bytes(), object.as_bytes(), key.as_bytes(), content.as_str().as_bytes()]))
    }
}

impl DeliveryId {
    /// Derived from the occurrence, not from the event: when an object goes from A to B and back to A, the second A has the
    /// event id of the first, and its delivery must not be taken for a repeat.
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
        Self::new(hex::encode(Sha256::digest(record.to_string())))
    }
}
