//! Taking records away from a person.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{NO_RECORD, NOTHING_LEFT, Why};
use crate::{
    clock,
    envelope::PersonKey,
    error::Fault,
    identity::{StoreIndex, golden, golden::Golden, write},
    store::{Arg, Error, Tx},
};

/// What a split did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Parted {
    /// Keeps the key.
    pub person_key: PersonKey,
    pub split_key: PersonKey,
    /// Whether the split person has a key back that a merge had retired.
    pub revived: bool,
    /// Records of the split person.
    pub records: usize,
}

/// A record of the person that is split.
#[derive(Clone)]
struct Filed {
    id: String,
    name: String,
    first_key: String,
}

const RECORDS: &str =
    "SELECT reference_id, system || '/' || reference, first_key FROM source_record WHERE person_key = $1 ORDER BY reference_id";
/// The eldest first: of the keys of a part it is the one that comes back.
const REDIRECTS: &str =
    "SELECT r.old_key FROM person_redirect r JOIN person p ON p.person_key = r.old_key WHERE r.new_key = $1 ORDER BY p.seq";
const ADD: &str = "INSERT INTO person (person_key, state, profile, version, created_at, seq, turn) \
     VALUES ($1, 'active', $2, 1, $3, (SELECT COALESCE(MAX(seq), 0) + 1 FROM person), \
     (SELECT turn FROM identity_turn WHERE name = 'index'))";
/// Keys that lead to either part may lead elsewhere than before.
const LED: &str = "UPDATE person SET turn = (SELECT turn FROM identity_turn WHERE name = 'index') \
     WHERE person_key IN (SELECT old_key FROM person_redirect WHERE new_key = $1 OR new_key = $2)";
const MOVE: &str = "UPDATE source_record SET person_key = $2 WHERE reference_id IN (SELECT value ->> 'r' FROM {rows})";

impl StoreIndex {
    /// Splits a person: the named records go one way, the others the other. A key that a merge had retired comes back to
    /// the records that came with it; else the larger part keeps the key. The two are told apart from then on.
    ///
    /// `records` are ids or beginnings of at least eight digits of them, or `system/reference`.
    ///
    /// # Errors
    /// No such person or record, nothing left on one side, or the store failed.
    pub async fn split(&self, tx: &mut Tx, key: &PersonKey, records: &[String], why: &Why) -> Result<Parted, Fault> {
        let (key, _) = self.held(tx, key).await?;
        let failed = |error: Error| error.fault();
        let filed = tx.read(RECORDS, &[key.as_str().into()]).await.map_err(failed)?;
        let filed: Vec<Filed> =
            filed.iter().map(|row| Filed { id: row.text(0), name: row.text(1), first_key: row.text(2) }).collect();
        let redirects = tx.read(REDIRECTS, &[key.as_str().into()]).await.map_err(failed)?;
        let redirects: Vec<String> = redirects.iter().map(|row| row.text(0)).collect();
        let (named, rest) = parts(filed, records)?;
        let (moved, stay, revived) = match (own_key(&named, &rest, &redirects), own_key(&rest, &named, &redirects)) {
            (Some(old), _) => (named, rest, Some(old)),
            (None, Some(old)) => (rest, named, Some(old)),
            _ if named.len() > rest.len() => (rest, named, None),
            _ => (named, rest, None),
        };
        let new = match &revived {
            Some(old) => self.revive(tx, old).await.map_err(failed)?,
            None => self.add(tx, &key, &moved).await.map_err(failed)?,
        };
        self.move_records(tx, &moved, &new).await.map_err(failed)?;
        self.follow(tx, (&redirects, &new), &moved, &stay).await.map_err(failed)?;
        self.take_events(tx, &new).await.map_err(failed)?;
        tx.execute(LED, &[key.as_str().into(), new.as_str().into()]).await.map_err(failed)?;
        self.tell_apart(tx, &key, &new, "split").await?;
        self.rebuild(tx, &[&key, &new]).await?;
        self.announce(tx, (&key, &new), &why.event).await?;
        Ok(Parted { person_key: key, split_key: new, revived: revived.is_some(), records: moved.len() })
    }

    async fn revive(&self, tx: &mut Tx, old: &str) -> Result<PersonKey, Error> {
        tx.execute("DELETE FROM person_redirect WHERE old_key = $1", &[old.into()]).await?;
        tx.execute("UPDATE person SET state = 'active', version = version + 1 WHERE person_key = $1", &[old.into()]).await?;
        Ok(PersonKey::from(old.to_owned()))
    }

    async fn add(&self, tx: &mut Tx, from: &PersonKey, moved: &[Filed]) -> Result<PersonKey, Error> {
        let now = clock::millis();
        let first = moved.first().map_or("", |filed| &filed.id);
        let key = self.lore.person_key(&[first, "split", from.as_str(), &now.to_string()]);
        let profile = golden::seal(&self.lore.keys, &Golden::default())?;
        tx.execute(ADD, &[key.as_str().into(), profile.into(), now.into()]).await?;
        Ok(key)
    }

    async fn move_records(&self, tx: &mut Tx, moved: &[Filed], new: &PersonKey) -> Result<(), Error> {
        let rows: Value = moved.iter().map(|filed| json!({"r": filed.id})).collect();
        tx.execute(MOVE, &[Arg::from(&rows), new.as_str().into()]).await.map(|_| ())
    }

    /// Whatever was sent about the records was sent about the split person.
    async fn take_events(&self, tx: &mut Tx, new: &PersonKey) -> Result<(), Error> {
        let sql = "INSERT INTO person_event (person_key, event_id) SELECT DISTINCT s.person_key, h.event_id FROM source_record s \
             JOIN said h ON h.reference_id = s.reference_id WHERE s.person_key = $1 ON CONFLICT DO NOTHING";
        tx.execute(sql, &[new.as_str().into()]).await.map(|_| ())
    }

    /// Retired keys go with their records, when all of them went.
    async fn follow(
        &self,
        tx: &mut Tx,
        (redirects, new): (&[String], &PersonKey),
        moved: &[Filed],
        stay: &[Filed],
    ) -> Result<(), Error> {
        let came_with = |old: &String, part: &[Filed]| part.iter().any(|filed| filed.first_key == *old);
        let gone = redirects.iter().filter(|old| *old != new.as_str() && came_with(old, moved) && !came_with(old, stay));
        let rows: Vec<Value> = gone.map(|old| json!({"old": old, "new": new})).collect();
        let sql = "UPDATE person_redirect SET new_key = value ->> 'new' FROM {rows} WHERE old_key = value ->> 'old'";
        write::run(tx, sql, rows, "old", &[]).await.map(|_| ())
    }
}

/// The named records and the others.
fn parts(filed: Vec<Filed>, records: &[String]) -> Result<(Vec<Filed>, Vec<Filed>), Fault> {
    let hint = "`civilhub citizen KEY` shows the ids of its records";
    let mut wanted = BTreeSet::new();
    for text in records.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let fits = |filed: &&Filed| filed.name == text || (text.len() >= 8 && filed.id.starts_with(text));
        let found: Vec<&Filed> = filed.iter().filter(fits).collect();
        match found.as_slice() {
            [one] => drop(wanted.insert(one.id.clone())),
            [] => return Err(Fault::new(NO_RECORD, "the person has no record that is called so").hint(hint)),
            _ => return Err(Fault::new(NO_RECORD, "several records of the person begin so").hint(hint)),
        }
    }
    let (named, rest): (Vec<Filed>, Vec<Filed>) = filed.into_iter().partition(|filed| wanted.contains(&filed.id));
    if named.is_empty() || rest.is_empty() {
        let fault = Fault::new(NOTHING_LEFT, "a split leaves records on both sides").expected("some, but not all records");
        return Err(fault.hint(hint));
    }
    Ok((named, rest))
}

/// The retired key under which a part was known: the eldest that came with its records, if none of the others did.
fn own_key(part: &[Filed], rest: &[Filed], redirects: &[String]) -> Option<String> {
    let own = |filed: &Filed| redirects.contains(&filed.first_key) && rest.iter().all(|other| other.first_key != filed.first_key);
    let eldest = redirects.iter().find(|old| part.iter().any(|filed| filed.first_key == **old));
    eldest.filter(|_| part.iter().all(own)).cloned()
}
