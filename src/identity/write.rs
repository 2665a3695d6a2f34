//! The statements of one batch. Each is one round trip, and rows are sorted, so that locks are taken in one order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Evidence,
    batch::{Ask, Batch, Link, is_about_two, tenths},
    golden,
    lore::{self, Lore},
};
use crate::{
    clock,
    store::{Arg, Backend, Error, Tx},
};

/// Whoever may make or change persons does so alone until the transaction ends.
const HOLD: &str = "SELECT turn FROM identity_turn WHERE name = 'index' FOR UPDATE";
/// SQLite has one writer, and this transaction is it.
const TURN: &str = "SELECT turn FROM identity_turn WHERE name = 'index'";
const NEXT_TURN: &str = "UPDATE identity_turn SET turn = turn + 1 WHERE name = 'index'";
const HOLD_HOUSEHOLDS: &str = "UPDATE identity_turn SET turn = turn + 1 WHERE name = 'households'";
const ADD_PERSONS: &str = "INSERT INTO person (person_key, state, profile, version, created_at, seq, turn) \
     SELECT value ->> 'k', 'active', value ->> 'p', 1, $2, CAST(value ->> 'seq' AS BIGINT), \
     (SELECT turn FROM identity_turn WHERE name = 'index') FROM {rows}";
pub(super) const CHANGE_PERSONS: &str = "UPDATE person SET version = version + 1, profile = value ->> 'p', \
     turn = (SELECT turn FROM identity_turn WHERE name = 'index') FROM {rows} WHERE person_key = value ->> 'k'";
const ADD_NUMBERS: &str = "INSERT INTO person_identifier (number_hash, person_key, number, class, active, event_id, since) \
     SELECT value ->> 'h', value ->> 'k', value ->> 'n', value ->> 'c', 1, value ->> 'e', $2 FROM {rows} \
     WHERE 1 = 1 ON CONFLICT DO NOTHING";
const ADD_STATEMENTS: &str = "INSERT INTO statement (said_id, sealed) SELECT value ->> 'i', value ->> 'v' FROM {rows} WHERE 1 = 1 \
     ON CONFLICT DO NOTHING";
const ADD_LINKS: &str = "INSERT INTO source_record \
     (reference_id, system, reference, person_key, evidence, event_id, linked_at, said_id, said_at, remarks, first_key) \
     SELECT value ->> 'id', value ->> 's', value ->> 'r', value ->> 'k', value ->> 'v', value ->> 'e', $2, value ->> 'i', $2, \
     value ->> 'm', value ->> 'k' FROM {rows}";
const CHANGE_LINKS: &str = "UPDATE source_record SET said_id = value ->> 'i', said_at = $2, remarks = value ->> 'm' FROM {rows} \
     WHERE reference_id = value ->> 'id'";
const ADD_SAID: &str = "INSERT INTO said (reference_id, said_id, event_id, at) SELECT value ->> 'id', value ->> 'i', value ->> 'e', $2 \
     FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";
const COUNT_NAMES: &str = "INSERT INTO name_count (hash, records, turn) \
     SELECT CAST(value ->> 'h' AS BIGINT), CAST(value ->> 'n' AS BIGINT), (SELECT turn FROM identity_turn WHERE name = 'index') \
     FROM {rows} WHERE 1 = 1 \
     ON CONFLICT (hash) DO UPDATE SET records = name_count.records + excluded.records, turn = excluded.turn";
/// What moves when a person turns out to be an older one. `value` has `old` and `new` key.
const RETIRE: [&str; 9] = [
    "UPDATE person_identifier SET person_key = value ->> 'new' FROM {rows} WHERE person_key = value ->> 'old'",
    "UPDATE source_record SET person_key = value ->> 'new' FROM {rows} WHERE person_key = value ->> 'old'",
    "UPDATE person_redirect SET new_key = value ->> 'new' FROM {rows} WHERE new_key = value ->> 'old'",
    "INSERT INTO person_redirect (old_key, new_key, reason, event_id, at) \
     SELECT value ->> 'old', value ->> 'new', value ->> 'why', value ->> 'e', CAST(value ->> 'at' AS BIGINT) FROM {rows}",
    "UPDATE person SET state = 'merged', version = version + 1, turn = (SELECT turn FROM identity_turn WHERE name = 'index') \
     FROM {rows} WHERE person_key = value ->> 'old'",
    "UPDATE review_item SET person_key = value ->> 'new' FROM {rows} WHERE person_key = value ->> 'old' AND state = 'open'",
    "UPDATE review_item SET other_key = value ->> 'new' FROM {rows} WHERE other_key = value ->> 'old' AND state = 'open'",
    "UPDATE review_item SET state = 'closed', decision = 'joined', closed_at = CAST(value ->> 'at' AS BIGINT) FROM {rows} \
     WHERE state = 'open' AND person_key = value ->> 'new' AND other_key = value ->> 'new' \
     AND reason IN ('uncertain-match', 'ambiguous')",
    "INSERT INTO identity_event (id, kind, person_key, other_key, event_id, at, published) \
     SELECT value ->> 'id', 'person.merged', value ->> 'new', value ->> 'old', value ->> 'e', CAST(value ->> 'at' AS BIGINT), 0 FROM {rows}",
];
const ADD_REVIEWS: &str = "INSERT INTO review_item (id, reason, state, person_key, other_key, system, event_id, evidence, decision, \
     opened_at, closed_at, tenths, fields, model, reference_id, said_id) \
     SELECT value ->> 'id', value ->> 'r', 'open', value ->> 'k', value ->> 'o', value ->> 's', value ->> 'e', value ->> 'v', '', $2, 0, \
     CAST(value ->> 't' AS BIGINT), value ->> 'f', value ->> 'm', value ->> 'ref', value ->> 'i' FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";

/// Waits until no other router is in the middle of a decision. Answers how many decisions there were so far.
pub(super) async fn hold(tx: &mut Tx) -> Result<i64, Error> {
    let sql = if tx.backend() == Backend::Postgres { HOLD } else { TURN };
    Ok(tx.read(sql, &[]).await?.first().map_or(0, |row| row.int(0)))
}

/// The same for a decision that is certain to change something.
pub(super) async fn hold_to_change(tx: &mut Tx) -> Result<(), Error> {
    tx.execute(NEXT_TURN, &[]).await.map(|_| ())
}

/// Waits until nobody else files families.
pub(super) async fn hold_households(tx: &mut Tx) -> Result<(), Error> {
    tx.execute(HOLD_HOUSEHOLDS, &[]).await.map(|_| ())
}

/// Writes a batch, as one decision more. Nothing is committed here.
pub(super) async fn write(tx: &mut Tx, batch: &mut Batch<'_>, lore: &Lore) -> Result<(), Error> {
    number_new(batch);
    hold_to_change(tx).await?;
    let now = [Arg::Int(batch.now)];
    run(tx, ADD_PERSONS, persons(batch, lore, true)?, "k", &now).await?;
    run(tx, CHANGE_PERSONS, persons(batch, lore, false)?, "k", &[]).await?;
    run(tx, ADD_STATEMENTS, statements(batch, lore)?, "i", &[]).await?;
    run(tx, ADD_LINKS, links(batch, false), "id", &now).await?;
    run(tx, CHANGE_LINKS, links(batch, true), "id", &now).await?;
    run(tx, ADD_SAID, batch.links.iter().map(|link| link_row(batch, link)).collect(), "id", &now).await?;
    run(tx, COUNT_NAMES, names(batch), "h", &[]).await?;
    retire(tx, retired(batch)).await?;
    run(tx, ADD_NUMBERS, numbers(batch, lore)?, "h", &now).await?;
    let reviews = batch.asks.iter().map(|ask| review_row(batch, ask, lore)).collect();
    run(tx, ADD_REVIEWS, reviews, "id", &now).await?;
    Ok(())
}

/// Retires keys.
pub(super) async fn retire(tx: &mut Tx, rows: Vec<Value>) -> Result<(), Error> {
    for statement in RETIRE {
        run(tx, statement, rows.clone(), "old", &[]).await?;
    }
    Ok(())
}

/// One statement over rows in the order of a field; none when there are none.
pub(super) async fn run(tx: &mut Tx, statement: &str, mut rows: Vec<Value>, by: &str, more: &[Arg]) -> Result<u64, Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    rows.sort_by(|one, other| one[by].as_str().cmp(&other[by].as_str()));
    let args: Vec<Arg> = [Arg::Text(Value::from(rows).to_string())].into_iter().chain(more.iter().cloned()).collect();
    tx.execute(statement, &args).await
}

/// New persons who are still themselves get their places.
fn number_new(batch: &mut Batch<'_>) {
    for person in 0..batch.seats.len() {
        let is_root = u32::try_from(person).is_ok_and(|person| batch.root(person) == person);
        if is_root && batch.seats[person].is_new {
            batch.last += 1;
            batch.seats[person].seq = batch.last;
        }
    }
}

fn persons(batch: &Batch<'_>, lore: &Lore, is_new: bool) -> Result<Vec<Value>, Error> {
    let touched: BTreeSet<u32> = batch.touched.iter().map(|person| batch.root(*person)).collect();
    let mut rows = Vec::new();
    for seat in touched.into_iter().map(|person| batch.person(person)).filter(|seat| seat.is_new == is_new) {
        let golden = golden::golden(&lore.rules, &seat.voices());
        let sealed = golden::seal(&lore.keys, &golden)?;
        rows.push(json!({"k": seat.key, "p": sealed, "seq": seat.seq.to_string()}));
    }
    Ok(rows)
}

fn statements(batch: &Batch<'_>, lore: &Lore) -> Result<Vec<Value>, Error> {
    let mut rows = BTreeMap::new();
    let linked = batch.links.iter().map(|link| &link.statement);
    for statement in linked.chain(batch.asks.iter().map(|ask| &ask.statement)) {
        if !rows.contains_key(&statement.id) {
            rows.insert(statement.id.clone(), json!({"i": statement.id, "v": lore.seal(&statement.said)?}));
        }
    }
    Ok(rows.into_values().collect())
}

/// Of a record that spoke twice in the batch, its first link and its last word.
fn links(batch: &Batch<'_>, is_known: bool) -> Vec<Value> {
    let wanted = batch.links.iter().filter(|link| link.is_known == is_known);
    let rows: BTreeMap<&str, Value> = wanted.map(|link| (link.asked.reference_id.as_str(), link_row(batch, link))).collect();
    rows.into_values().collect()
}

fn link_row(batch: &Batch<'_>, link: &Link<'_>) -> Value {
    let (asked, key) = (link.asked, &batch.person(link.person).key);
    json!({"id": asked.reference_id, "s": asked.system, "r": asked.reference, "k": key, "v": text(&link.evidence), "e": asked.event,
        "i": link.statement.id, "m": link.remarks})
}

fn names(batch: &Batch<'_>) -> Vec<Value> {
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for (_, hash) in batch.links.iter().filter_map(|link| link.statement.name) {
        *counts.entry(hash).or_default() += 1;
        *counts.entry(0).or_default() += 1;
    }
    counts.into_iter().map(|(hash, count)| json!({"h": hash.to_string(), "n": count.to_string()})).collect()
}

fn numbers(batch: &Batch<'_>, lore: &Lore) -> Result<Vec<Value>, Error> {
    let mut rows = Vec::new();
    for (person, number, asked) in &batch.numbers {
        let sealed = lore.keys.seal(lore::NUMBER, &number.text)?;
        let key = &batch.person(*person).key;
        rows.push(json!({"h": number.hash, "k": key, "n": sealed, "c": number.class.as_str(), "e": asked.event}));
    }
    Ok(rows)
}

/// Persons that existed and are now somebody else; one that was made and merged in this batch was never seen.
fn retired(batch: &Batch<'_>) -> Vec<Value> {
    let seen = batch.merges.iter().filter(|(retired, _)| !batch.seats[*retired as usize].is_new);
    let rows = seen.map(|(retired, asked)| {
        let (old, new) = (&batch.seats[*retired as usize], batch.person(*retired));
        retired_row(old.key.as_str(), new.key.as_str(), "evidence", asked.event.as_str())
    });
    rows.collect()
}

/// A row for [`retire`]. A key may come back by a split and retire again: the moment tells its events apart.
pub(super) fn retired_row(old: &str, new: &str, why: &str, event: &str) -> Value {
    let at = clock::millis();
    json!({"old": old, "new": new, "why": why, "e": event, "at": at.to_string(), "id": format!("merged:{old}:{at}")})
}

/// The id of a review is derived from the question, so that the same question is asked once, whatever was answered.
fn review_row(batch: &Batch<'_>, ask: &Ask<'_>, lore: &Lore) -> Value {
    let (person, other) = (&batch.person(ask.person).key, &batch.person(ask.other).key);
    let hash = ask.statement.number.as_ref().map_or("", |number| &number.hash);
    let id = hex::encode(&lore.keys.hash(b"review", &[ask.reason, person.as_str(), other.as_str(), hash])[..16]);
    let (asked, score) = (ask.asked, ask.score.as_ref());
    let bits = score.map_or(0, |score| tenths(score.bits));
    let evidence = match is_about_two(ask.reason) {
        true => Evidence::Match { tenths: bits, model: lore.weights.version.clone() },
        false => Evidence::Number,
    };
    let fields = score.map_or_else(Vec::new, |score| batch.engine.judge.explain(score));
    let fields: Value =
        fields.into_iter().map(|(field, level, bits)| json!({"field": field, "level": level, "tenths": tenths(bits)})).collect();
    json!({"id": id, "r": ask.reason, "k": person, "o": other, "s": asked.system, "e": asked.event, "v": text(&evidence),
        "t": bits.to_string(), "f": fields.to_string(), "m": lore.weights.version, "ref": asked.reference_id, "i": ask.statement.id})
}

fn text(evidence: &Evidence) -> String {
    // An enum of numbers and texts has no failing case.
    serde_json::to_string(evidence).unwrap_or_default()
}
