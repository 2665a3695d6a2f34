//! The facts of persons, a batch of persons at a time: their own, and those that a household, case, account or
//! certificate holds to their own.
//!
//! Objects that state the same identity number are looked at as one person's, also where identity asks a human because the
//! names differ: an alert is a question to an office, and a misspelt name must not hide a death.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};

use crate::{
    config::keys::Keys,
    store::{Error, Store},
};

/// Facts of one person that are looked at, at most.
const MOST: usize = 2_000;

/// A fact as rules see it, with what the alert needs.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub object_id: String,
    pub dataset: String,
    pub system: String,
    pub subject: String,
    pub division: String,
    pub event_id: String,
    pub deleted: bool,
    pub body: Value,
}

/// One person, or one object that names nobody, with all that is known.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Empty for an object that names nobody.
    pub person: String,
    /// Place in the facts of the batch, and whether it is the person's own.
    pub facts: Vec<(usize, bool)>,
}

/// The units of a batch and their facts.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub units: Vec<Unit>,
    pub facts: Vec<Seen>,
}

/// Rows of one text each, as a statement's first parameter.
pub(super) fn rows<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    Value::Array(texts.into_iter().map(|text| json!([text])).collect()).to_string()
}

/// Persons whom the objects concern: those they name, and those of objects that are held to them.
///
/// `CROSS JOIN` keeps SQLite to the order as written, which begins with the few objects that are asked for; by itself it
/// begins with all links to persons.
pub(super) async fn concerned(store: &Store, objects: &[String]) -> Result<Vec<String>, Error> {
    let sql = "SELECT COALESCE(r.new_key, l.value) FROM (SELECT value ->> 0 AS id FROM {rows}) g CROSS JOIN fact_link l \
               LEFT JOIN person_redirect r ON r.old_key = l.value WHERE l.object_id = g.id AND l.kind = 'person' \
               UNION SELECT COALESCE(r.new_key, l.value) FROM (SELECT value ->> 0 AS id FROM {rows}) g CROSS JOIN fact_link a \
               CROSS JOIN fact_link b CROSS JOIN fact_link l LEFT JOIN person_redirect r ON r.old_key = l.value \
               WHERE a.object_id = g.id AND a.kind <> 'person' AND b.kind = a.kind AND b.value = a.value \
               AND l.object_id = b.object_id AND l.kind = 'person'";
    Ok(store.read(sql, &[rows(objects).into()]).await?.iter().map(|row| row.text(0)).collect())
}

/// Those of the objects that name nobody.
pub(super) async fn nameless(store: &Store, objects: &[String]) -> Result<Vec<String>, Error> {
    let sql = "SELECT f.object_id FROM fact f WHERE f.object_id IN (SELECT value ->> 0 FROM {rows}) \
               AND NOT EXISTS (SELECT 1 FROM fact_link l WHERE l.object_id = f.object_id AND l.kind = 'person')";
    Ok(store.read(sql, &[rows(objects).into()]).await?.iter().map(|row| row.text(0)).collect())
}

/// Everything about these persons and these objects.
pub(super) async fn gather(store: &Store, keys: &Keys, persons: &[String], objects: &[String]) -> Result<Batch, Error> {
    let mut own: Vec<(String, Vec<String>)> = own(store, persons).await?.into_iter().collect();
    own.sort();
    own.extend(objects.iter().map(|object| (String::new(), vec![object.clone()])));
    let same = held(store, &own, "a.kind = 'number'").await?;
    for (_, ids) in &mut own {
        let more: BTreeSet<&String> = ids.iter().filter_map(|id| same.get(id)).flatten().collect();
        let more: Vec<String> = more.into_iter().filter(|id| !ids.contains(id)).cloned().collect();
        ids.extend(more);
    }
    let beside = held(store, &own, "a.kind NOT IN ('person', 'number')").await?;
    let ids: BTreeSet<String> = own.iter().flat_map(|(_, ids)| ids).chain(beside.values().flatten()).cloned().collect();
    let facts = facts(store, keys, &ids).await?;
    let places: FxHashMap<&str, usize> = facts.iter().enumerate().map(|(place, fact)| (fact.object_id.as_str(), place)).collect();
    let units = own
        .iter()
        .map(|(person, ids)| {
            let mut seen: FxHashSet<usize> = FxHashSet::default();
            let mine = ids.iter().map(|id| (id, true));
            let others = ids.iter().filter_map(|id| beside.get(id)).flatten().map(|id| (id, false));
            let places = mine.chain(others).filter_map(|(id, own)| Some((*places.get(id.as_str())?, own)));
            let facts = places.filter(|(place, _)| seen.insert(*place)).take(MOST).collect();
            Unit { person: person.clone(), facts }
        })
        .collect();
    Ok(Batch { units, facts })
}

/// The objects that name each person, under the key that is in use.
async fn own(store: &Store, persons: &[String]) -> Result<FxHashMap<String, Vec<String>>, Error> {
    let sql = "SELECT l.value, l.object_id FROM fact_link l WHERE l.kind = 'person' AND l.value IN (SELECT value ->> 0 FROM {rows}) \
               UNION SELECT r.new_key, l.object_id FROM (SELECT value ->> 0 AS id FROM {rows}) g CROSS JOIN person_redirect r \
               CROSS JOIN fact_link l WHERE r.new_key = g.id AND l.kind = 'person' AND l.value = r.old_key";
    let mut own: FxHashMap<String, Vec<String>> = FxHashMap::default();
    for row in store.read(sql, &[rows(persons).into()]).await? {
        own.entry(row.text(0)).or_default().push(row.text(1));
    }
    Ok(own)
}

/// For each object those that a link of this kind holds to it.
async fn held(store: &Store, own: &[(String, Vec<String>)], kind: &str) -> Result<FxHashMap<String, Vec<String>>, Error> {
    let sql = format!(
        "SELECT DISTINCT a.object_id, b.object_id FROM (SELECT value ->> 0 AS id FROM {{rows}}) g CROSS JOIN fact_link a \
         CROSS JOIN fact_link b WHERE a.object_id = g.id AND {kind} AND b.kind = a.kind AND b.value = a.value \
         AND b.object_id <> a.object_id"
    );
    let ids: BTreeSet<String> = own.iter().flat_map(|(_, ids)| ids).cloned().collect();
    let mut held: FxHashMap<String, Vec<String>> = FxHashMap::default();
    for row in store.read(&sql, &[rows(&ids).into()]).await? {
        held.entry(row.text(0)).or_default().push(row.text(1));
    }
    Ok(held)
}

async fn facts(store: &Store, keys: &Keys, ids: &BTreeSet<String>) -> Result<Vec<Seen>, Error> {
    let sql = "SELECT object_id, dataset, system, subject, division, event_id, body, deleted FROM fact \
               WHERE object_id IN (SELECT value ->> 0 FROM {rows}) ORDER BY object_id";
    let read = store.read(sql, &[rows(ids).into()]).await?;
    let open = |sealed: &str| keys.open(sealed).and_then(|plain| serde_json::from_slice(&plain).ok());
    Ok(read
        .iter()
        .map(|row| Seen {
            object_id: row.text(0),
            dataset: row.text(1),
            system: row.text(2),
            subject: row.text(3),
            division: row.text(4),
            event_id: row.text(5),
            body: open(&row.text(6)).unwrap_or_default(),
            deleted: row.int(7) != 0,
        })
        .collect())
}
