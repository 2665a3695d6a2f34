//! Bounded memory of committed keys, in front of the store.
//!
//! An entry is a hint: another router may have merged its person meanwhile, so every batch asks the store which of the
//! cached keys are retired (one indexed look-up). What a human decision changes without retiring a key is noticed when
//! the entry's time is up.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use moka::sync::Cache;

use super::standard::{Profile, Standard};
use crate::envelope::PersonKey;

/// Longest that an entry is believed after it was written.
const TRUST: Duration = Duration::from_secs(60);

pub(super) struct KeyCache {
    numbers: Cache<u128, (PersonKey, u64)>,
    references: Cache<u128, PersonKey>,
    /// Names are compared by a hash that is random to this process.
    hasher: RandomState,
}

impl KeyCache {
    /// `capacity` numbers and as many references; about 200 bytes each.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            numbers: Cache::builder().max_capacity(capacity).time_to_live(TRUST).build(),
            references: Cache::builder().max_capacity(capacity).time_to_live(TRUST).build(),
            hasher: RandomState::new(),
        }
    }

    /// The key, if everything that the query says is already on record: nothing to write, nothing to compare.
    pub(super) fn find(&self, asked: &Standard) -> Option<PersonKey> {
        let by_reference = match asked.has_reference || asked.evidence().is_none() {
            true => Some(self.references.get(&short(&asked.reference_id))?),
            false => None,
        };
        let by_number = match asked.evidence() {
            Some(number) => Some(self.numbers.get(&short(&number.hash))?),
            None => None,
        };
        match (by_number, by_reference) {
            (Some((_, name)), _) if asked.profile.name.is_some() && name != self.name(&asked.profile) => None,
            (Some((number, _)), Some(reference)) if number != reference => None,
            (Some((key, _)), _) | (None, Some(key)) => Some(key),
            (None, None) => None,
        }
    }

    /// Remembers a committed reference.
    pub(super) fn put_reference(&self, id: &str, key: &PersonKey) {
        self.references.insert(short(id), key.clone());
    }

    /// Remembers a committed number with the name under which it is held.
    pub(super) fn put_number(&self, hash: &str, key: &PersonKey, profile: &Profile) {
        self.numbers.insert(short(hash), (key.clone(), self.name(profile)));
    }

    pub(super) fn forget(&self, asked: &Standard) {
        self.references.invalidate(&short(&asked.reference_id));
        if let Some(number) = &asked.number {
            self.numbers.invalidate(&short(&number.hash));
        }
    }

    fn name(&self, profile: &Profile) -> u64 {
        self.hasher.hash_one(&profile.name)
    }
}

/// The first half of a 256-bit hash in hex: enough to tell any two apart.
fn short(hash: &str) -> u128 {
    hash.get(..32).and_then(|half| u128::from_str_radix(half, 16).ok()).unwrap_or_default()
}
