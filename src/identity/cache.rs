//! Bounded memory of committed links, in front of the store.
//!
//! An entry is a hint: another router may have merged its person meanwhile, so every batch asks the store which of the
//! cached keys are retired (one indexed look-up). What a human decision changes without retiring a key is noticed when
//! the entry's time is up.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::{lore::Statement, standard::Standard};
use crate::envelope::PersonKey;

/// Longest that an entry is believed after it was written.
const TRUST: Duration = Duration::from_secs(60);

/// What a record was resolved to.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) key: PersonKey,
    /// Doubts, as they stand beside the link.
    pub(super) remarks: String,
    /// All that the record says.
    pub(super) statement: Arc<Statement>,
}

pub(super) struct LinkCache(Cache<u128, Link>);

impl LinkCache {
    /// So many records; about 250 bytes each.
    pub(super) fn new(capacity: u64) -> Self {
        Self(Cache::builder().max_capacity(capacity).time_to_live(TRUST).build())
    }

    /// The link, if the record says nothing new: nothing to write, nothing to compare.
    pub(super) fn find(&self, asked: &Standard) -> Option<Link> {
        self.0.get(&short(&asked.reference_id)).filter(|link| link.statement.said.covers(&asked.said))
    }

    /// Remembers a committed link.
    pub(super) fn put(&self, asked: &Standard, link: Link) {
        self.0.insert(short(&asked.reference_id), link);
    }

    pub(super) fn forget(&self, asked: &Standard) {
        self.0.invalidate(&short(&asked.reference_id));
    }
}

/// The first half of a hash in hex: enough to tell any two apart.
pub(super) fn short(hash: &str) -> u128 {
    hash.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()).unwrap_or_default()
}
