//! Fence: drops what is older than, or equal to, what the source object already said.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{BEHIND, Fate, Item};
use crate::{
    dead::{
        hold::{Held, Letters},
        replay::occurrence_again,
    },
    envelope::{Event, Op},
    error::Fault,
    store::{Error, Store},
};

/// What the store knows about the objects, occurrences and keys of a batch.
#[derive(Default)]
pub(crate) struct Known {
    /// The last word of each object: sequence and content.
    said: FxHashMap<String, (i64, String)>,
    seen: FxHashSet<String>,
    letters: Letters,
    /// Keys of which a record of this batch was set aside.
    parked: FxHashSet<String>,
}

/// Identity of a source object: its newest word is kept under this.
pub(crate) fn object_id(event: &Event) -> String {
    let mut hash = Sha256::new();
    for part in [event.source.as_str(), event.dataschema.as_str(), event.subject.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

/// What an object said: a deletion says something else than the record that it deletes.
pub(crate) fn content(event: &Event) -> String {
    match event.op() {
        Some(Op::Delete) => format!("delete/{}", event.contenthash),
        _ => event.contenthash.as_str().to_owned(),
    }
}

/// One look-up for all of a batch, and a second one for the letters if any of its keys has some.
pub(crate) async fn look_up(store: &Store, items: &[Item]) -> Result<Known, Error> {
    let keys: Vec<_> = items
        .iter()
        .map(|item| json!([item.event.occurrence.as_str(), object_id(&item.event), item.event.partitionkey.as_str()]))
        .collect();
    let sql = "SELECT 'o', occurrence, '', CAST(0 AS BIGINT) FROM arrival \
               WHERE occurrence IN (SELECT value ->> 0 FROM {rows}) AND state <> 'early' \
               UNION ALL SELECT 'f', object_id, contenthash, sequence FROM fence WHERE object_id IN (SELECT value ->> 1 FROM {rows}) \
               UNION ALL SELECT DISTINCT 'p', '', '', CAST(0 AS BIGINT) FROM dead \
               WHERE partition_key IN (SELECT value ->> 2 FROM {rows}) AND stage = 'route'";
    let (mut known, mut letters) = (Known::default(), false);
    for row in store.read(sql, &[serde_json::Value::Array(keys).to_string().into()]).await? {
        match row.text(0).as_str() {
            "o" => drop(known.seen.insert(row.text(1))),
            "f" => drop(known.said.insert(row.text(1), (row.int(3), row.text(2)))),
            _ => letters = true,
        }
    }
    if letters {
        let batch: Vec<(&str, &str)> = items.iter().map(|item| (item.event.partitionkey.as_str(), item.event.id.as_str())).collect();
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
        let key = item.event.partitionkey.as_str();
        if matches!(item.fate, Fate::Open) {
            item.fate = if known.parked.contains(key) || known.letters.is_held(key, item.letter.as_ref()) {
                behind()
            } else {
                known.judge(&item.event)
            };
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
        let again = |held: &Held| held.event_id == event.id.as_str() && occurrence_again(&event.id, &held.occurrence) == event.occurrence;
        self.letters.find(event.partitionkey.as_str(), again).cloned()
    }

    fn judge(&mut self, event: &Event) -> Fate {
        let news = (event.sequence, content(event));
        match self.said.get(&object_id(event)) {
            Some((_, content)) if *content == news.1 => Fate::Duplicate,
            Some((sequence, _)) if *sequence > news.0 => Fate::Superseded,
            // An equal sequence with other content is a second change within the source's clock tick: the later one holds.
            _ => {
                self.said.insert(object_id(event), news);
                Fate::Open
            }
        }
    }
}
