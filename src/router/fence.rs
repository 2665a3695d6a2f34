//! Fence: drops what is older than, or equal to, what the source object already said.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{BEHIND, Fate, Item};
use crate::{
    cases,
    dead::{
        hold::{Held, Letters},
        replay::occurrence_again,
    },
    envelope::{Event, Op, Quality, event::QualityLevel},
    error::Fault,
    store::{Error, Store},
};

/// What the store knows about the objects, occurrences and keys of a batch.
#[derive(Default)]
pub(crate) struct Known {
    /// The last word of each object: sequence and content.
    said: FxHashMap<String, (i64, String)>,
    /// The state of each object that has one.
    states: FxHashMap<String, cases::Known>,
    seen: FxHashSet<String>,
    letters: Letters,
    /// Keys of which a record of this batch was set aside.
    parked: FxHashSet<String>,
}

/// Identity of a source object: its newest word is kept under this.
pub(crate) fn object_id(event: &Event) -> String {
    object_of(&event.source, &event.dataschema, &event.subject)
}

/// The same by its parts: `/systems/<slug>`, `<dataset>/v<major>` and the source's own key.
pub fn object_of(source: &str, dataschema: &str, subject: &str) -> String {
    let mut hash = Sha256::new();
    for part in [source, dataschema, subject] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// What an event says: its operation and its content. A deletion may carry the very record that it deletes.
pub(crate) fn said(event: &Event) -> String {
    let op = event.op().map_or("event", Op::as_str);
    format!("{op}:{}", event.contenthash)
}

/// One look-up for all of a batch, and a second one for the letters if any of its keys has some.
pub(crate) async fn look_up(store: &Store, items: &[Item]) -> Result<Known, Error> {
    let keys: Vec<_> = items
        .iter()
        .map(|item| json!([item.event.occurrence.as_str(), object_id(&item.event), item.event.partitionkey.as_str()]))
        .collect();
    let sql = "SELECT 'o', occurrence, '', CAST(0 AS BIGINT), '' FROM arrival \
               WHERE occurrence IN (SELECT value ->> 0 FROM {rows}) AND state <> 'early' \
               UNION ALL SELECT 'f', object_id, said, sequence, state FROM fence WHERE object_id IN (SELECT value ->> 1 FROM {rows}) \
               UNION ALL SELECT DISTINCT 'p', '', '', CAST(0 AS BIGINT), '' FROM dead \
               WHERE partition_key IN (SELECT value ->> 2 FROM {rows}) AND stage = 'route'";
    let (mut known, mut letters) = (Known::default(), false);
    for row in store.read(sql, &[serde_json::Value::Array(keys).to_string().into()]).await? {
        match row.text(0).as_str() {
            "o" => drop(known.seen.insert(row.text(1))),
            "f" => {
                known.states.extend(cases::Known::read(&row.text(4)).map(|state| (row.text(1), state)));
                known.said.insert(row.text(1), (row.int(3), row.text(2)));
            }
            _ => letters = true,
        }
    }
    if letters {
        let batch: Vec<(&str, &str)> =
            items.iter().map(|item| (item.event.partitionkey.as_str(), item.event.id.as_str())).collect();
        known.letters = Letters::look_up(store, "route", "", &batch).await?;
    }
    Ok(known)
}

/// Decides, in the order of the batch, which records are news.
pub(crate) fn fence(items: &mut [Item], known: &mut Known) {
    for item in items {
        if !known.seen.insert(item.event.occurrence.as_str().to_owned()) {
            item.fate = Fate::Seen;
            continue;
        }
        item.letter = known.own_letter(&item.event);
        if item.letter.as_ref().is_some_and(|letter| !letter.is_underway()) {
            // Its replay was taken back after the bus had it.
            item.fate = Fate::Seen;
            continue;
        }
        let key = item.event.partitionkey.clone();
        let key = key.as_str();
        if matches!(item.fate, Fate::Open) {
            item.fate = if known.parked.contains(key) || known.letters.is_held(key, item.letter.as_ref()) {
                behind()
            } else {
                let (fate, renews) = known.judge(&item.event);
                item.renews = renews;
                fate
            };
            if matches!(item.fate, Fate::Open) {
                known.watch(item);
            }
        }
        if let Some(letter) = &item.letter {
            known.letters.through(key, &letter.id);
        }
        // A parked record holds back the rest of its key; a rejected one does not.
        if matches!(item.fate, Fate::Parked(_)) {
            known.parked.insert(key.to_owned());
        }
    }
}

/// The fate of a record of whose key something is set aside.
pub(crate) fn behind() -> Fate {
    let hint = "it follows when the earlier record is replayed or discarded";
    Fate::Parked(Fault::new(BEHIND, "an earlier record of the same key is set aside").hint(hint))
}

impl Known {
    /// The letter that this record was before its replay.
    fn own_letter(&self, event: &Event) -> Option<Held> {
        let again =
            |held: &Held| held.event_id == event.id.as_str() && occurrence_again(&event.id, &held.occurrence) == event.occurrence;
        self.letters.find(event.partitionkey.as_str(), again).cloned()
    }

    /// What is new of a case is held against the state it was in. Findings travel with the record, and are filed with its batch.
    fn watch(&mut self, item: &mut Item) {
        let object = object_id(&item.event);
        let event = &mut item.event;
        if event.op() == Some(Op::Delete) {
            self.states.remove(&object);
            return;
        }
        let dataset = event.dataset();
        let (state, flags) = cases::watch(dataset.as_str(), &event.data.record, &event.time, self.states.get(&object));
        event.data.quality.extend(flags.iter().map(|flag| Quality {
            rule: flag.rule.to_owned(),
            level: QualityLevel::Warn,
            field: flag.field.to_owned(),
        }));
        item.state = state.as_ref().map(cases::Known::text);
        item.flags = flags;
        self.states.extend(state.map(|state| (object, state)));
    }

    /// The fate, and whether the object had said something before.
    fn judge(&mut self, event: &Event) -> (Fate, bool) {
        let (object, news) = (object_id(event), (event.sequence, said(event)));
        let before = self.said.get(&object);
        let renews = before.is_some();
        let fate = match before {
            Some((sequence, content)) if *content == news.1 => {
                // Said again, and later: what is older than this is old news too.
                let later = news.0 > *sequence;
                if later {
                    self.said.insert(object, news);
                }
                Fate::Duplicate { later }
            }
            Some((sequence, _)) if *sequence > news.0 => Fate::Superseded,
            // An equal sequence with other content is a second change within the source's clock tick: the later one holds.
            _ => {
                self.said.insert(object, news);
                Fate::Open
            }
        };
        (fate, renews)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::{ContentHash, EventId, Occurrence, event::stand_in};

    /// What one object says: its number, sequence, content, and whether it is a deletion.
    type Said = (u8, i64, u8, bool);

    fn item(n: usize, (object, sequence, content, deleted): Said) -> Item {
        let mut event = stand_in(b"");
        event.source = "/systems/tekun".to_owned();
        event.kind = format!("person.{}", if deleted { "delete" } else { "upsert" });
        event.subject = format!("k{object}");
        event.sequence = sequence;
        event.contenthash = ContentHash::new(format!("c{content}"));
        event.id = EventId::new(format!("e{object}{content}{deleted}"));
        event.occurrence = Occurrence::new(format!("o{n}"));
        event.partitionkey = format!("p{object}").into();
        Item::new(event, &Bytes::new(), Fate::Open)
    }

    fn letter(fate: &Fate) -> char {
        match fate {
            Fate::Open => 'o',
            Fate::Seen => 's',
            Fate::Duplicate { .. } => 'd',
            Fate::Superseded => 'u',
            Fate::Parked(_) => 'p',
            _ => '?',
        }
    }

    fn fates(said: &[Said], known: &mut Known) -> String {
        let mut items: Vec<Item> = said.iter().enumerate().map(|(n, said)| item(n, *said)).collect();
        fence(&mut items, known);
        items.iter().map(|item| letter(&item.fate)).collect()
    }

    #[test]
    fn what_is_news() {
        for (said, expected) in [
            // older, equal, newer, back to what was before the last word
            (&[(0, 2, 1, false), (0, 1, 2, false), (0, 3, 1, false), (0, 4, 2, false), (0, 5, 1, false)][..], "oudoo"),
            // said again, and later: what comes between is old
            (&[(0, 1, 1, false), (0, 5, 1, false), (0, 3, 2, false), (0, 6, 2, false)], "oduo"),
            // an equal sequence with other content: the later one holds
            (&[(0, 2, 1, false), (0, 2, 2, false)], "oo"),
            // a deletion of the very record is news, the second deletion is not, and the record may come back
            (&[(0, 1, 1, false), (0, 2, 1, true), (0, 3, 1, true), (0, 4, 1, false)], "oodo"),
            (&[(0, 2, 1, false), (1, 1, 1, false)], "oo"),
        ] {
            assert_eq!(fates(said, &mut Known::default()), expected, "{said:?}");
        }
    }

    #[test]
    fn a_repeat_of_an_occurrence_is_seen_and_a_parked_record_holds_its_key() {
        let mut items = vec![
            item(1, (0, 1, 1, false)),
            item(1, (0, 1, 1, false)),
            item(2, (0, 2, 2, false)),
            item(3, (1, 1, 1, false)),
            item(4, (0, 3, 3, false)),
        ];
        items[2].fate = Fate::Parked(Fault::new(BEHIND, "a culprit"));
        items[3].fate = Fate::Rejected(Vec::new());
        fence(&mut items, &mut Known::default());
        assert_eq!(items.iter().map(|item| letter(&item.fate)).collect::<String>(), "osp?p");
    }

    proptest! {
        /// Whatever comes in whatever batches: what passes of one object never goes back in sequence, says something new each
        /// time, and ends with the newest word.
        #[test]
        fn the_newest_word_wins(said in proptest::collection::vec((0_u8..3, 0_i64..6, 0_u8..3, any::<bool>()), 1..40), size in 1_usize..10) {
            let mut known = Known::default();
            let mut passed: FxHashMap<u8, Vec<Said>> = FxHashMap::default();
            for (batch, chunk) in said.chunks(size).enumerate() {
                let mut items: Vec<Item> = chunk.iter().enumerate().map(|(n, said)| item(batch * 100 + n, *said)).collect();
                // The next batch finds in the store what this one left there.
                let mut next = Known { said: std::mem::take(&mut known.said), ..Known::default() };
                fence(&mut items, &mut next);
                known = next;
                for (said, _) in chunk.iter().zip(&items).filter(|(_, item)| matches!(item.fate, Fate::Open)) {
                    passed.entry(said.0).or_default().push(*said);
                }
            }
            for (object, passed) in &passed {
                for pair in passed.windows(2) {
                    prop_assert!(pair[0].1 <= pair[1].1, "{pair:?}");
                    prop_assert!((pair[0].2, pair[0].3) != (pair[1].2, pair[1].3), "{pair:?}");
                }
                // The newest word of all that were said, the later of equals.
                let newest = said.iter().filter(|said| said.0 == *object).max_by_key(|said| said.1).unwrap();
                let last = passed.last().unwrap();
                prop_assert_eq!((last.2, last.3), (newest.2, newest.3));
            }
        }
    }
}
