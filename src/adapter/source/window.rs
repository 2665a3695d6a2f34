//! What a polling source has emitted lately: the memory behind an overlap window.
//!
//! A source that polls by watermark looks back a little each time, for rows committed late. This set tells the rows it
//! has already emitted from those it has not. It is part of the position, so it must stay small: it forgets from the
//! old end, which costs a repeat at worst, and a repeat has no effect downstream.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// How many rows are remembered; 16 hex digits each in the position.
pub const CAPACITY: usize = 10_000;

/// Fingerprints of emitted rows by the place of their watermark.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Window {
    rows: BTreeMap<i64, BTreeSet<u64>>,
    count: usize,
}

impl Window {
    pub fn from_json(value: &Value) -> Self {
        let mut window = Self::default();
        for (units, prints) in value.as_object().into_iter().flatten() {
            let (Ok(units), Some(prints)) = (units.parse(), prints.as_str()) else { continue };
            for print in prints.as_bytes().chunks(16) {
                let print = std::str::from_utf8(print).ok().and_then(|print| u64::from_str_radix(print, 16).ok());
                window.insert(units, print.unwrap_or_default());
            }
        }
        window
    }

    pub fn to_json(&self) -> Value {
        let text = |prints: &BTreeSet<u64>| prints.iter().map(|print| format!("{print:016x}")).collect::<String>();
        Value::Object(self.rows.iter().map(|(units, prints)| (units.to_string(), text(prints).into())).collect::<Map<_, _>>())
    }

    /// Remembers a row; false when it was known.
    pub fn insert(&mut self, units: i64, print: u64) -> bool {
        let new = self.rows.entry(units).or_default().insert(print);
        self.count += usize::from(new);
        new
    }

    /// Forgets rows before `floor`.
    pub fn forget_before(&mut self, floor: i64) {
        self.rows = self.rows.split_off(&floor);
        self.count = self.rows.values().map(BTreeSet::len).sum();
    }

    /// Forgets whole watermarks from the old end until [`CAPACITY`] is kept. True when something was forgotten: looking
    /// back further than [`Self::oldest`] would repeat rows.
    pub fn shrink(&mut self) -> bool {
        let before = self.rows.len();
        while self.count > CAPACITY {
            let Some((_, prints)) = self.rows.pop_first() else { break };
            self.count -= prints.len();
        }
        self.rows.len() < before
    }

    /// The oldest place that is remembered.
    pub fn oldest(&self) -> Option<i64> {
        self.rows.first_key_value().map(|(units, _)| *units)
    }
}

/// Eight bytes of SHA-256 over the key and the content of a row.
pub fn fingerprint(key: &str, content: &Value) -> u64 {
    let mut hash = Sha256::new();
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(content.to_string());
    hash.finalize()[..8].iter().fold(0, |print, byte| print << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_the_position() {
        let mut window = Window::default();
        assert!(window.insert(-5, 1) && window.insert(7, u64::MAX) && window.insert(7, 0) && !window.insert(7, 0));
        assert_eq!(Window::from_json(&window.to_json()), window);
        window.forget_before(7);
        assert!(window.insert(-5, 1));
    }

    #[test]
    fn it_never_grows_beyond_its_capacity() {
        let mut window = Window::default();
        for row in 0..3 * CAPACITY as u64 {
            window.insert(i64::try_from(row).unwrap() / 100, row);
            window.shrink();
        }
        assert!(window.count <= CAPACITY);
        // One watermark with more rows than fit is forgotten whole.
        let mut window = Window::default();
        for row in 0..=CAPACITY as u64 {
            window.insert(1, row);
        }
        assert_eq!((window.shrink(), window.count, window.oldest()), (true, 0, None));
    }
}
