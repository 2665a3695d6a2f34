//! The statements of one batch, in an order that every router keeps: persons, numbers, references, merges, the rest.
//!
//! Each statement is one round trip. Rows are sorted, so that two routers meet in the same order and one waits for the
//! other instead of both for ever.

use serde_json::{Value, json};

use super::{
    Evidence, IdentityKeys,
    plan::{Person, Plan, Review},
    standard::Profile,
};
use crate::{
    clock,
    envelope::PersonKey,
    store::{Arg, Backend, Error, Tx},
};

const PROFILE: &str = "profile";
const NUMBER: &str = "number";

const FIND: &str = "SELECT 'n', i.number_hash, p.person_key, p.profile, p.version, p.created_at, i.number_hash \
     FROM {rows} JOIN person_identifier i ON i.number_hash = value ->> 'n' AND i.active = 1 JOIN person p ON p.person_key = i.person_key \
     UNION ALL \
     SELECT 'r', s.reference_id, p.person_key, p.profile, p.version, p.created_at, i.number_hash \
     FROM {rows} JOIN source_record s ON s.reference_id = value ->> 'r' JOIN person p ON p.person_key = s.person_key \
     LEFT JOIN person_identifier i ON i.person_key = p.person_key AND i.active = 1";
const FIND_KEYS: &str = "SELECT p.person_key, p.profile, p.version, p.created_at, i.number_hash FROM {rows} \
     JOIN person p ON p.person_key = value ->> 'k' AND p.state = 'active' \
     LEFT JOIN person_identifier i ON i.person_key = p.person_key AND i.active = 1";
const LOCK: &str = "SELECT p.person_key FROM {rows} JOIN person p ON p.person_key = value ->> 'k' \
     AND p.version = CAST(value ->> 'v' AS BIGINT) AND p.state = 'active' ORDER BY p.person_key FOR UPDATE OF p";
const ADD_PERSONS: &str = "INSERT INTO person (person_key, state, profile, version, created_at) \
     SELECT value ->> 'k', 'active', value ->> 'p', 1, CAST(value ->> 'at' AS BIGINT) FROM {rows}";
const CHANGE_PERSONS: &str =
    "UPDATE person SET version = version + 1, profile = value ->> 'p' FROM {rows} WHERE person_key = value ->> 'k'";
const ADD_NUMBERS: &str = "INSERT INTO person_identifier (number_hash, person_key, number, class, active, event_id, since) \
     SELECT value ->> 'h', value ->> 'k', value ->> 'n', value ->> 'c', 1, value ->> 'e', $2 FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";
const ADD_LINKS: &str = "INSERT INTO source_record (reference_id, system, reference, person_key, evidence, event_id, linked_at) \
     SELECT value ->> 'id', value ->> 's', value ->> 'r', value ->> 'k', value ->> 'v', value ->> 'e', $2 FROM {rows} WHERE 1 = 1 \
     ON CONFLICT DO NOTHING";
const RETIRE: [&str; 6] = [
    "UPDATE person_identifier SET person_key = value ->> 'new' FROM {rows} WHERE person_key = value ->> 'old'",
    "UPDATE source_record SET person_key = value ->> 'new' FROM {rows} WHERE person_key = value ->> 'old'",
    "UPDATE person_redirect SET new_key = value ->> 'new' FROM {rows} WHERE new_key = value ->> 'old'",
    "INSERT INTO person_redirect (old_key, new_key, reason, event_id, at) \
     SELECT value ->> 'old', value ->> 'new', 'number', value ->> 'e', CAST(value ->> 'at' AS BIGINT) FROM {rows}",
    "UPDATE person SET state = 'merged', version = version + 1 FROM {rows} WHERE person_key = value ->> 'old'",
    "INSERT INTO identity_event (id, kind, person_key, other_key, event_id, at, published) \
     SELECT value ->> 'id', 'person.merged', value ->> 'new', value ->> 'old', value ->> 'e', CAST(value ->> 'at' AS BIGINT), 0 FROM {rows}",
];
const ADD_REVIEWS: &str = "INSERT INTO review_item \
     (id, reason, state, person_key, other_key, system, event_id, evidence, decision, opened_at, closed_at) \
     SELECT value ->> 'id', value ->> 'r', 'open', value ->> 'k', value ->> 'o', value ->> 's', value ->> 'e', value ->> 'v', '', $2, 0 \
     FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";

/// Somebody else wrote first: roll back and look again.
#[derive(Debug)]
pub(super) struct LostRace;

/// Brings into the plan every person whom the rows (`n`: number hash, `r`: reference id) may speak of.
pub(super) async fn find(tx: &mut Tx, rows: &Value, keys: &IdentityKeys, plan: &mut Plan<'_>) -> Result<(), Error> {
    for row in tx.read(FIND, &[Arg::from(rows)]).await? {
        let key = PersonKey::from(row.text(2));
        let profile = if plan.knows(&key) { Profile::default() } else { open(keys, &row.text(3))? };
        let person = plan.know(key, profile, row.int(4), row.int(5));
        if let Some(hash) = row.optional_text(6) {
            plan.know_number(hash, person);
        }
        if row.text(0) == "r" {
            plan.know_reference(row.text(1), person);
        }
    }
    Ok(())
}

/// As [`find`], by person keys.
pub(super) async fn find_keys(tx: &mut Tx, wanted: &[&PersonKey], keys: &IdentityKeys, plan: &mut Plan<'_>) -> Result<(), Error> {
    let rows: Value = wanted.iter().map(|key| json!({"k": key})).collect();
    for row in tx.read(FIND_KEYS, &[Arg::from(&rows)]).await? {
        let person = plan.know(PersonKey::from(row.text(0)), open(keys, &row.text(1))?, row.int(2), row.int(3));
        if let Some(hash) = row.optional_text(4) {
            plan.know_number(hash, person);
        }
    }
    Ok(())
}

/// Writes the plan. Nothing is committed here.
pub(super) async fn write(tx: &mut Tx, plan: &Plan<'_>, keys: &IdentityKeys) -> Result<Result<(), LostRace>, Error> {
    if !lock(tx, plan).await? {
        return Ok(Err(LostRace));
    }
    let new = persons(plan, keys, |person| person.is_new)?;
    run(tx, ADD_PERSONS, &new, &[]).await?;
    let changed = persons(plan, keys, |person| person.is_changed && !person.is_new)?;
    run(tx, CHANGE_PERSONS, &changed, &[]).await?;
    let now = Arg::Int(clock::millis());
    for (statement, rows) in [(ADD_NUMBERS, numbers(plan, keys)?), (ADD_LINKS, links(plan))] {
        if run(tx, statement, &rows, std::slice::from_ref(&now)).await? < rows.len() as u64 {
            return Ok(Err(LostRace));
        }
    }
    let retired = retired(plan);
    for statement in RETIRE {
        run(tx, statement, &retired, &[]).await?;
    }
    let reviews = plan.reviews.iter().map(|review| review_row(plan, review, keys)).collect();
    run(tx, ADD_REVIEWS, &sorted(reviews, "id"), &[now]).await?;
    Ok(Ok(()))
}

/// One statement over rows; none when there are none.
async fn run(tx: &mut Tx, statement: &str, rows: &[Value], more: &[Arg]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let args: Vec<Arg> = [Arg::Text(Value::from(rows).to_string())].into_iter().chain(more.iter().cloned()).collect();
    tx.execute(statement, &args).await
}

/// Locks the existing persons that will be written to, in key order, and makes sure that they are as they were read.
/// SQLite has one writer, and this transaction is it.
async fn lock(tx: &mut Tx, plan: &Plan<'_>) -> Result<bool, Error> {
    if tx.backend() == Backend::Sqlite || plan.touched.is_empty() {
        return Ok(true);
    }
    let touched = plan.touched.iter().map(|place| &plan.persons[*place]);
    let rows: Value = touched.map(|person| json!({"k": person.key, "v": person.version})).collect();
    Ok(tx.read(LOCK, &[Arg::from(&rows)]).await?.len() == plan.touched.len())
}

/// Rows of the persons that are still themselves.
fn persons(plan: &Plan<'_>, keys: &IdentityKeys, wanted: impl Fn(&Person) -> bool) -> Result<Vec<Value>, Error> {
    let mut rows = Vec::new();
    for person in plan.persons.iter().filter(|person| person.merged_into.is_none() && wanted(person)) {
        rows.push(json!({"k": person.key, "p": seal(keys, &person.profile)?, "at": person.created_at}));
    }
    Ok(sorted(rows, "k"))
}

fn numbers(plan: &Plan<'_>, keys: &IdentityKeys) -> Result<Vec<Value>, Error> {
    let mut rows = Vec::new();
    for (person, asked) in &plan.numbers {
        let Some(number) = asked.evidence() else { continue };
        let key = &plan.persons[plan.root(*person)].key;
        let sealed = keys.seal(NUMBER, &number.text)?;
        rows.push(json!({"h": number.hash, "k": key, "n": sealed, "c": number.class.as_str(), "e": asked.event}));
    }
    Ok(sorted(rows, "h"))
}

fn links(plan: &Plan<'_>) -> Vec<Value> {
    let rows = plan.links.iter().map(|(person, asked, evidence)| {
        let key = &plan.persons[plan.root(*person)].key;
        json!({"id": asked.reference_id, "s": asked.system, "r": asked.reference, "k": key, "v": text(evidence), "e": asked.event})
    });
    sorted(rows.collect(), "id")
}

/// Persons that existed and are now somebody else; one that was made and merged in this batch was never seen.
fn retired(plan: &Plan<'_>) -> Vec<Value> {
    let merges = plan.merges.iter().filter(|(retired, _)| !plan.persons[*retired].is_new);
    let rows = merges.map(|(retired, asked)| {
        let (old, new) = (&plan.persons[*retired].key, &plan.persons[plan.root(*retired)].key);
        // A key retires once: its event has an id of its own for ever.
        json!({"old": old, "new": new, "e": asked.event, "at": clock::millis(), "id": format!("merged:{old}")})
    });
    sorted(rows.collect(), "old")
}

/// The id of a review is derived from the question, so that the same question is open once.
fn review_row(plan: &Plan<'_>, review: &Review<'_>, keys: &IdentityKeys) -> Value {
    let key = |person: usize| plan.persons[plan.root(person)].key.clone();
    let (person, other) = (key(review.person), key(review.other));
    let hash = review.asked.number.as_ref().map_or("", |number| &number.hash);
    let id = hex::encode(&keys.hash(b"review", &[review.reason, person.as_str(), other.as_str(), hash])[..16]);
    let (system, event) = (&review.asked.system, &review.asked.event);
    json!({"id": id, "r": review.reason, "k": person, "o": other, "s": system, "e": event, "v": text(&review.evidence)})
}

fn text(evidence: &Evidence) -> String {
    // An enum of numbers and texts has no failing case.
    serde_json::to_string(evidence).unwrap_or_default()
}

fn sorted(mut rows: Vec<Value>, field: &str) -> Vec<Value> {
    rows.sort_by(|one, other| one[field].as_str().cmp(&other[field].as_str()));
    rows
}

fn seal(keys: &IdentityKeys, profile: &Profile) -> Result<String, Error> {
    keys.seal(PROFILE, &serde_json::to_string(profile).unwrap_or_default())
}

fn open(keys: &IdentityKeys, sealed: &str) -> Result<Profile, Error> {
    let plain = keys.open(PROFILE, sealed)?;
    // The parser's text could quote the profile.
    serde_json::from_str(&plain).map_err(|_| Error::Failed("a profile of the person index is damaged".to_owned()))
}
