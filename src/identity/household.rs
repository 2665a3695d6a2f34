//! Families: who lives with whom, as records of several systems describe it.
//!
//! Two descriptions are of one household when at least half of the members of the larger one are in both. A household is a
//! relation between persons; nothing here is ever evidence that two persons are one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{IdentityKeys, lore::uuid, write};
use crate::{
    clock,
    envelope::{EventId, PersonKey, System},
    store::{Arg, Error, Row, Store, Tx},
};

/// One record about a family.
#[derive(Debug, Clone)]
pub struct Family {
    pub system: System,
    /// The system's own id of the family.
    pub reference: String,
    /// Twelve digits.
    pub division: String,
    pub head: PersonKey,
    /// Each member with the relation to the head.
    pub members: Vec<(PersonKey, String)>,
    pub event: EventId,
}

/// One household, as far as the hub knows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Household {
    pub household_key: String,
    pub division: String,
    pub head: String,
    pub members: Vec<Member>,
    /// Systems that describe it.
    pub systems: Vec<String>,
}

/// A member of a household.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Member {
    pub person_key: String,
    pub relation: String,
}

/// `s`: a source that is known. `m`: members of households that share somebody with the batch.
const FIND: &str = "WITH asked AS (SELECT value ->> 's' AS s, value ->> 'm' AS m FROM {rows}), \
     near AS (SELECT DISTINCT f.household_key FROM asked a JOIN household_member h ON h.person_key = a.m \
        JOIN household_source f ON f.source_id = h.source_id) \
     SELECT 's' AS what, f.source_id AS a, f.household_key AS b FROM asked a JOIN household_source f ON f.source_id = a.s \
     UNION ALL SELECT DISTINCT 'm', f.household_key, COALESCE(r.new_key, h.person_key) FROM near \
        JOIN household_source f ON f.household_key = near.household_key JOIN household_member h ON h.source_id = f.source_id \
        LEFT JOIN person_redirect r ON r.old_key = h.person_key";
const PUT_HOUSEHOLDS: &str = "INSERT INTO household (household_key, division, head_key, changed_at) \
     SELECT value ->> 'k', value ->> 'd', value ->> 'p', $2 FROM {rows} WHERE 1 = 1 \
     ON CONFLICT (household_key) DO UPDATE SET division = excluded.division, head_key = excluded.head_key, changed_at = excluded.changed_at";
const PUT_SOURCES: &str = "INSERT INTO household_source (source_id, household_key, system, event_id, at) \
     SELECT value ->> 's', value ->> 'k', value ->> 'y', value ->> 'e', $2 FROM {rows} WHERE 1 = 1 \
     ON CONFLICT (source_id) DO UPDATE SET household_key = excluded.household_key, event_id = excluded.event_id, at = excluded.at";
const CLEAR: &str = "DELETE FROM household_member WHERE source_id IN (SELECT value ->> 's' FROM {rows})";
const PUT_MEMBERS: &str = "INSERT INTO household_member (source_id, person_key, relation) \
     SELECT value ->> 's', value ->> 'p', value ->> 'r' FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";
const OF_PERSON: &str = "SELECT DISTINCT f.household_key FROM household_member h JOIN household_source f ON f.source_id = h.source_id \
     LEFT JOIN person_redirect r ON r.old_key = h.person_key WHERE COALESCE(r.new_key, h.person_key) = $1 ORDER BY 1";
const ONE: &str = "SELECT k.household_key, k.division, COALESCE(q.new_key, k.head_key), COALESCE(r.new_key, h.person_key), h.relation, f.system \
     FROM household k JOIN household_source f ON f.household_key = k.household_key JOIN household_member h ON h.source_id = f.source_id \
     LEFT JOIN person_redirect r ON r.old_key = h.person_key LEFT JOIN person_redirect q ON q.old_key = k.head_key \
     WHERE k.household_key = $1 ORDER BY f.at DESC, h.relation, h.person_key";

/// Files families and answers the key of each one's household.
pub(super) async fn observe(store: &Store, keys: &IdentityKeys, families: &[Family]) -> Result<Vec<String>, Error> {
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    write::hold_households(&mut tx).await?;
    let mut known = Known::load(&mut tx, keys, families).await?;
    let found: Vec<String> = families.iter().map(|family| known.place(keys, family)).collect();
    put(&mut tx, keys, families, &found).await?;
    tx.commit().await?;
    Ok(found)
}

/// What the store knows near a batch.
#[derive(Default)]
struct Known {
    sources: BTreeMap<String, String>,
    members: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    async fn load(tx: &mut Tx, keys: &IdentityKeys, families: &[Family]) -> Result<Self, Error> {
        let sources = families.iter().map(|family| json!({"s": source_id(keys, family)}));
        let members = families.iter().flat_map(|family| &family.members).map(|(member, _)| json!({"m": member}));
        let rows: Value = sources.chain(members).collect();
        let mut known = Self::default();
        for row in tx.read(FIND, &[Arg::from(&rows)]).await? {
            if row.text(0) == "s" {
                known.sources.insert(row.text(1), row.text(2));
            } else {
                known.members.entry(row.text(1)).or_default().insert(row.text(2));
            }
        }
        Ok(known)
    }

    /// The household of a family: its own of before, else the one with which it shares most, else a new one.
    fn place(&mut self, keys: &IdentityKeys, family: &Family) -> String {
        let source = source_id(keys, family);
        let members: BTreeSet<String> = family.members.iter().map(|(member, _)| member.as_str().to_owned()).collect();
        let known = self.sources.get(&source).cloned();
        let key = known.or_else(|| self.like(&members)).unwrap_or_else(|| uuid(keys.hash(b"household", &[&source])));
        self.sources.insert(source, key.clone());
        self.members.entry(key.clone()).or_default().extend(members);
        key
    }

    fn like(&self, members: &BTreeSet<String>) -> Option<String> {
        let shared = |other: &BTreeSet<String>| other.intersection(members).count();
        let near = self.members.iter().filter(|(_, other)| overlaps(shared(other), members.len(), other.len()));
        near.max_by_key(|(key, other)| (shared(other), std::cmp::Reverse((*key).clone()))).map(|(key, _)| key.clone())
    }
}

/// Half of the larger one.
fn overlaps(shared: usize, one: usize, other: usize) -> bool {
    shared > 0 && shared * 2 >= one.max(other)
}

async fn put(tx: &mut Tx, keys: &IdentityKeys, families: &[Family], found: &[String]) -> Result<(), Error> {
    let now = [Arg::Int(clock::millis())];
    // A statement may not touch a row twice: the last word of the batch counts.
    let (mut households, mut sources) = (BTreeMap::new(), BTreeMap::new());
    let mut members: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (family, key) in families.iter().zip(found) {
        let source = source_id(keys, family);
        households.insert(key.clone(), json!({"k": key, "d": family.division, "p": family.head}));
        sources.insert(source.clone(), json!({"s": source, "k": key, "y": family.system, "e": family.event}));
        let rows = family.members.iter().map(|(member, relation)| json!({"s": source, "p": member, "r": relation}));
        members.insert(source.clone(), rows.collect());
    }
    let sources: Vec<Value> = sources.into_values().collect();
    write::run(tx, PUT_HOUSEHOLDS, households.into_values().collect(), "k", &now).await?;
    write::run(tx, CLEAR, sources.clone(), "s", &[]).await?;
    write::run(tx, PUT_SOURCES, sources, "s", &now).await?;
    write::run(tx, PUT_MEMBERS, members.into_values().flatten().collect(), "s", &[]).await?;
    Ok(())
}

fn source_id(keys: &IdentityKeys, family: &Family) -> String {
    hex::encode(&keys.hash(b"family", &[family.system.as_str(), &family.reference])[..16])
}

/// The households of a person, by today's key.
///
/// # Errors
/// The store failed.
pub async fn of_person(store: &Store, person: &PersonKey) -> Result<Vec<Household>, Error> {
    let mut households = Vec::new();
    for row in store.read(OF_PERSON, &[Arg::from(person.as_str())]).await? {
        households.extend(one(store, &row.text(0)).await?);
    }
    Ok(households)
}

/// One household.
///
/// # Errors
/// The store failed.
pub async fn one(store: &Store, key: &str) -> Result<Option<Household>, Error> {
    let rows = store.read(ONE, &[Arg::from(key)]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut household = Household {
        household_key: first.text(0),
        division: first.text(1),
        head: first.text(2),
        members: Vec::new(),
        systems: Vec::new(),
    };
    for row in &rows {
        add(&mut household, row);
    }
    Ok(Some(household))
}

/// The latest description comes first and says how a member is related.
fn add(household: &mut Household, row: &Row) {
    let (person_key, relation, system) = (row.text(3), row.text(4), row.text(5));
    if !household.members.iter().any(|member| member.person_key == person_key) {
        household.members.push(Member { person_key, relation });
    }
    if !household.systems.contains(&system) {
        household.systems.push(system);
    }
}

#[cfg(test)]
mod tests {
    use super::overlaps;

    #[test]
    fn half_of_the_larger_one() {
        assert!(overlaps(1, 1, 2) && overlaps(2, 4, 3) && overlaps(3, 3, 3));
        assert!(!overlaps(1, 3, 2) && !overlaps(0, 0, 0) && !overlaps(2, 5, 2));
    }
}
