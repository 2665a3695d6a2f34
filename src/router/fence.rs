//! Fence: drops what is older than, or equal to, what the source object already said.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{BEHIND, Fate, Item};
use crate::{
    envelope::{Event, Op},
    error::Fault,
    store::{Error, Store},
};

/// What the store knows about the objects, occurrences and keys of a batch: one look-up for all of it.
#[derive(Default)]
pub(crate) struct Known {
    said: FxHashMap<String, (i64, String)>,
    seen: FxHashSet<String>,
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

/// What an event says: its operation and its content. A deletion may carry the very record that it deletes.
pub(crate) fn said(event: &Event) -> String {
    let op = event.op().map_or("event", Op::as_str);
    format!("{op}:{}", event.contenthash)
}

pub(crate) async fn look_up(store: &Store, items: &[Item]) -> Result<Known, Error> {
    let keys: Vec<_> = items
        .iter()
        .map(|item| json!([item.event.occurrence.as_str(), object_id(&item.event), item.event.partitionkey.as_str()]))
        .collect();
    let sql = "SELECT 'o', occurrence, '', CAST(0 AS BIGINT) FROM arrival \
               WHERE occurrence IN (SELECT value ->> 0 FROM {rows}) AND state <> 'early' \
               UNION ALL SELECT 'f', object_id, said, sequence FROM fence WHERE object_id IN (SELECT value ->> 1 FROM {rows}) \
               UNION ALL SELECT 'p', partition_key, '', CAST(0 AS BIGINT) FROM dead \
               WHERE partition_key IN (SELECT value ->> 2 FROM {rows}) AND state = 'parked' AND stage = 'route'";
    let mut known = Known::default();
    for row in store.read(sql, &[serde_json::Value::Array(keys).to_string().into()]).await? {
        match row.text(0).as_str() {
            "o" => drop(known.seen.insert(row.text(1))),
            "f" => drop(known.said.insert(row.text(1), (row.int(3), row.text(2)))),
            _ => drop(known.parked.insert(row.text(1))),
        }
    }
    Ok(known)
}

/// Decides, in the order of the batch, which records are news.
pub(crate) fn fence(items: &mut [Item], known: &mut Known) {
    for item in items {
        let event = &item.event;
        if !known.seen.insert(event.occurrence.as_str().to_owned()) {
            item.fate = Fate::Seen;
            continue;
        }
        if !matches!(item.fate, Fate::Open) {
            // A parked record holds back the rest of its key; a rejected one does not.
            if matches!(item.fate, Fate::Parked(_)) {
                known.parked.insert(event.partitionkey.as_str().to_owned());
            }
            continue;
        }
        if known.parked.contains(event.partitionkey.as_str()) {
            let hint = "it follows when the earlier record is replayed or discarded";
            item.fate = Fate::Parked(Fault::new(BEHIND, "an earlier record of the same key is set aside").hint(hint));
            continue;
        }
        item.fate = known.judge(event);
    }
}

impl Known {
    fn judge(&mut self, event: &Event) -> Fate {
        let news = (event.sequence, said(event));
        match self.said.get_mut(&object_id(event)) {
            // Said again, perhaps later: what is older than this repeat is old.
            Some((sequence, said)) if *said == news.1 => {
                *sequence = (*sequence).max(news.0);
                Fate::Duplicate
            }
            Some((sequence, _)) if *sequence > news.0 => Fate::Superseded,
            // An equal sequence with other content is a second change within the source's clock tick: the later one holds.
            _ => {
                self.said.insert(object_id(event), news);
                Fate::Open
            }
        }
    }
}
