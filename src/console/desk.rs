//! What the pages look up and write: records by the source's own key, what may be seen, and the row of the ledger that says
//! who saw personal values.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{Console, NOT_THERE, PERSONAL_WORD, session::Viewer};
use crate::{
    adapter::event::has_identity_number,
    clock,
    domain::{keyed_hash::KeyedHash, resident_id::ResidentId, text},
    error::Fault,
    ledger::{Entry, Kind, chain::Chain},
    router::object_of,
    store::{self, Store},
    telemetry::log::blank_numbers,
};

/// Name of the console's chain.
pub(super) const CHAIN: &str = "console";
/// Consoles of several processes write to one chain: how often one tries again when another was quicker.
const TRIES: usize = 5;
/// Records of one case that are listed.
const MOST_HITS: i64 = 50;

/// A record that was found.
pub(super) struct Hit {
    pub event_id: String,
    pub object_id: String,
    pub system: String,
    pub dataset: String,
    pub division: String,
}

/// What somebody is about to see in plain.
pub(super) struct Sight<'a> {
    /// `record`, `review` or `citizen`.
    pub what: &'a str,
    /// Id of the event, or key of the person.
    pub about: &'a str,
    pub system: &'a str,
    pub dataset: &'a str,
}

/// Nothing of that name that this viewer may see; whether there is one elsewhere is not told.
pub(super) fn not_there() -> Fault {
    Fault::new(NOT_THERE, "there is nothing of that name in your divisions")
}

/// Whether a search word is a value of a person: an identity number, or a mobile number.
fn is_personal(word: &str) -> bool {
    let word = text::compact_upper(word, word.len());
    let bytes = word.as_bytes();
    let valid =
        |length: usize| bytes.windows(length).any(|run| std::str::from_utf8(run).is_ok_and(|run| ResidentId::parse(run).is_ok()));
    let mobile = word.len() == 11 && word.starts_with('1') && bytes.iter().all(u8::is_ascii_digit);
    mobile || valid(18) || word.len() == 15 && valid(15)
}

impl Console {
    /// Records by the source's own key, or by the number of their case: exact, by an index, never by a part of it.
    ///
    /// # Errors
    /// The word is a personal value: matching would tell who is in the hub.
    pub(super) async fn find(&self, viewer: &Viewer, key: &str) -> Result<Vec<Hit>, Fault> {
        if is_personal(key) {
            return Err(
                Fault::new(PERSONAL_WORD, "records are not searched by personal values").hint("use the number of the case")
            );
        }
        let mut hits = self.by_subject(key).await.map_err(|error| error.fault())?;
        let case = KeyedHash::new(&self.hub.keys.hmac).hex(key)[..32].to_owned();
        let sql = "SELECT f.event_id, f.object_id, f.system, f.dataset FROM fact_link l JOIN fact f ON f.object_id = l.object_id \
                   WHERE l.kind = 'case' AND l.value = $1 ORDER BY f.at, f.object_id LIMIT $2";
        for row in self.hub.store.read(sql, &[case.into(), MOST_HITS.into()]).await.map_err(|error| error.fault())? {
            if hits.iter().all(|hit| hit.object_id != row.text(1)) {
                let [event_id, object_id, system, dataset] = [0, 1, 2, 3].map(|column| row.text(column));
                hits.push(Hit { event_id, object_id, system, dataset, division: String::new() });
            }
        }
        let events: Vec<&str> = hits.iter().map(|hit| hit.event_id.as_str()).collect();
        let divisions = divisions(&self.hub.store, &events).await.map_err(|error| error.fault())?;
        for hit in &mut hits {
            hit.division = divisions.get(&hit.event_id).cloned().unwrap_or_default();
        }
        hits.retain(|hit| viewer.sees(&hit.division));
        Ok(hits)
    }

    /// The newest word of each object that a source calls so.
    async fn by_subject(&self, key: &str) -> Result<Vec<Hit>, store::Error> {
        // As the events say it: a key with a long number is hidden.
        let subject = if has_identity_number(key) { KeyedHash::new(&self.hub.keys.hmac).hex(key) } else { key.to_owned() };
        let mut objects = BTreeMap::new();
        for spec in &self.hub.adapters {
            for dataset in spec.objects.iter().flat_map(|object| &object.datasets) {
                let Some(schema) = self.hub.registry.latest(dataset) else { continue };
                let id = object_of(&format!("/systems/{}", spec.slug), &schema.id(), &subject);
                objects.insert(id, (spec.slug.to_string(), dataset.to_string()));
            }
        }
        let rows: Value = objects.keys().map(|id| json!([id])).collect();
        let sql = "SELECT object_id, event_id FROM fence WHERE object_id IN (SELECT value ->> 0 FROM {rows})";
        let found = self.hub.store.read(sql, &[(&rows).into()]).await?;
        let hit = |row: &store::Row| {
            let (object_id, event_id) = (row.text(0), row.text(1));
            let (system, dataset) = objects.get(&object_id).cloned().unwrap_or_default();
            Hit { event_id, object_id, system, dataset, division: String::new() }
        };
        Ok(found.iter().map(hit).collect())
    }

    /// Writes down who is about to see what, and why. Nothing is shown unless this has been stored.
    pub(super) async fn saw(&self, viewer: &Viewer, sight: &Sight<'_>, reason: &str) -> Result<(), Fault> {
        let body =
            json!({ "what": sight.what, "by": viewer.name, "role": viewer.role.as_str(), "reason": blank_numbers(reason) });
        let entry = Entry {
            kind: Kind::Seen,
            event_id: sight.about.to_owned(),
            system: sight.system.to_owned(),
            bookdate: clock::iso_date(clock::today()),
            dataset: sight.dataset.to_owned(),
            body,
        };
        let _turn = self.writing.lock().await;
        let mut failed = None;
        for _ in 0..TRIES {
            match self.append(&entry).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(not_there, |error| error.fault()))
    }

    async fn append(&self, entry: &Entry) -> Result<(), store::Error> {
        let mut chain = Chain::open(&self.hub.store, CHAIN, Arc::clone(&self.hub.keys.ledger)).await?;
        let mut tx = self.hub.store.begin().await?;
        chain.append(&mut tx, std::slice::from_ref(entry)).await?;
        tx.commit().await
    }
}

/// The division of each event, as the router counted it.
pub(super) async fn divisions(store: &Store, events: &[&str]) -> Result<BTreeMap<String, String>, store::Error> {
    if events.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Value = events.iter().map(|event| json!([event])).collect();
    let sql = "SELECT event_id, body FROM ledger WHERE event_id IN (SELECT value ->> 0 FROM {rows}) AND kind = 'received'";
    let division = |row: &store::Row| {
        let body: Value = serde_json::from_str(&row.text(1)).unwrap_or_default();
        Some((row.text(0), body["division"].as_str()?.to_owned()))
    };
    Ok(store.read(sql, &[(&rows).into()]).await?.iter().filter_map(division).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_values_are_no_search_words() {
        for word in ["220171197001010053", "x220171197001010053x", "２２０１７１１９７００１０１００５３", "13800001111"]
        {
            assert!(is_personal(word), "{word}");
        }
        for word in ["HD2017062000000001", "5500027", "SQ22017100000001", "123456789012345678", "张伟", ""] {
            assert!(!is_personal(word), "{word}");
        }
    }
}
