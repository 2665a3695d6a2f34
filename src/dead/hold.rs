//! Which keys are held by letters set aside, and by which: what keeps the order of a key while part of it waits.
//!
//! A letter that is parked, or on its way again and not yet through, holds its key: younger messages of the key are set
//! aside behind it. A message that is itself a letter on its way again is held by older letters only.

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::store::{Error, Store};

/// Codes of letters that wait for no reason of their own: `router::BEHIND`, `deliver::BEHIND`, `deliver::webhook::KEY_HELD`
/// (a test compares them). They follow by themselves when what they wait for is through.
pub const FOLLOWERS: [&str; 3] = ["CH-5304", "CH-6502", "CH-6010"];

/// One letter of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub id: String,
    pub event_id: String,
    pub occurrence: String,
    pub state: String,
    /// Its turn among the letters of its key.
    pub place: i64,
}

impl Held {
    /// Whether younger messages of the key wait for it.
    pub fn holds(&self) -> bool {
        self.state == "parked" || self.is_underway()
    }

    /// Whether it is on its way again.
    pub fn is_underway(&self) -> bool {
        matches!(self.state.as_str(), "replaying" | "underway")
    }
}

/// The letters that matter for a batch: those that hold one of its keys, and those of its own events.
#[derive(Debug, Default)]
pub struct Letters(FxHashMap<String, Vec<Held>>);

impl Letters {
    /// One look-up for a batch of partition keys and event ids, at one stage and for one receiver (empty for the router).
    pub async fn look_up(store: &Store, stage: &str, subscription: &str, batch: &[(&str, &str)]) -> Result<Self, Error> {
        let rows: Vec<Value> = batch.iter().map(|(key, event)| json!([key, event])).collect();
        let sql = "SELECT partition_key, id, event_id, occurrence, state, place FROM dead \
                   WHERE stage = $2 AND subscription = $3 AND partition_key IN (SELECT value ->> 0 FROM {rows}) \
                   AND (state IN ('parked', 'replaying', 'underway') OR event_id IN (SELECT value ->> 1 FROM {rows})) ORDER BY place";
        let mut letters = Self::default();
        for row in store.read(sql, &[Value::Array(rows).to_string().into(), stage.into(), subscription.into()]).await? {
            let held =
                Held { id: row.text(1), event_id: row.text(2), occurrence: row.text(3), state: row.text(4), place: row.int(5) };
            letters.0.entry(row.text(0)).or_default().push(held);
        }
        Ok(letters)
    }

    /// The letter of this key that fits, if any.
    pub fn find(&self, key: &str, fits: impl Fn(&Held) -> bool) -> Option<&Held> {
        self.0.get(key)?.iter().find(|held| fits(held))
    }

    /// Whether a message of this key must wait behind a letter; `own` is the message's own letter.
    pub fn is_held(&self, key: &str, own: Option<&Held>) -> bool {
        let turn = own.map_or(i64::MAX, |own| own.place);
        self.0.get(key).into_iter().flatten().any(|held| held.holds() && held.place < turn)
    }

    /// The letter has gone through: it holds nobody any more.
    pub fn through(&mut self, key: &str, id: &str) {
        if let Some(letters) = self.0.get_mut(key) {
            letters.retain(|held| held.id != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(states: &[(&str, i64)]) -> Letters {
        let held = |(state, place): &(&str, i64)| Held {
            id: format!("l{place}"),
            event_id: "e".into(),
            occurrence: "o".into(),
            state: (*state).to_owned(),
            place: *place,
        };
        Letters(FxHashMap::from_iter([("k".to_owned(), states.iter().map(held).collect())]))
    }

    #[test]
    fn a_new_message_waits_behind_any_letter_that_holds() {
        for (states, expected) in [
            (vec![("parked", 1)], true),
            (vec![("replaying", 1)], true),
            (vec![("underway", 1)], true),
            (vec![("replayed", 1), ("discarded", 2), ("rejected", 3)], false),
            (vec![], false),
        ] {
            assert_eq!(letters(&states).is_held("k", None), expected, "{states:?}");
            assert!(!letters(&states).is_held("other", None));
        }
    }

    #[test]
    fn a_letter_on_its_way_waits_behind_older_ones_only() {
        let mut letters = letters(&[("replaying", 1), ("replayed", 2), ("parked", 3)]);
        let turn = |letters: &Letters, id: &str| letters.is_held("k", letters.find("k", |held| held.id == id));
        assert!(!turn(&letters, "l1"));
        assert!(turn(&letters, "l2"));
        letters.through("k", "l1");
        assert!(!turn(&letters, "l2"), "the younger one does not hold the older");
        assert!(!turn(&letters, "l3"), "a letter does not hold itself");
        assert!(letters.is_held("k", None));
    }
}
