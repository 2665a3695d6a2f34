//! Commit: counts, fence, dead letters and ledger of a batch, in one transaction of a few statements.

use serde_json::{Value, json};

use super::{
    Fate, Item,
    fence::{object_id, said},
    supervise,
};
use crate::{
    config::keys::Keys,
    dead::{self, Letter, replay},
    disaster, disclosure,
    domain::keyed_hash::KeyedHash,
    envelope::Event,
    ledger::{Entry, Kind, chain::Chain},
    store::{Error, Store, Tx},
    telemetry::trace::Context,
};

/// Makes the fates of a batch durable. Nothing is acked before this returns.
pub(crate) async fn commit(store: &Store, keys: &Keys, hash: &KeyedHash, chain: &mut Chain, items: &[Item]) -> Result<(), Error> {
    let result = try_commit(store, keys, hash, chain, items).await;
    match result {
        Ok(()) => chain.committed(),
        Err(_) => chain.reload(store).await?,
    }
    result
}

async fn try_commit(store: &Store, keys: &Keys, hash: &KeyedHash, chain: &mut Chain, items: &[Item]) -> Result<(), Error> {
    let decided: Vec<&Item> = items.iter().filter(|item| !matches!(item.fate, Fate::Open | Fate::Seen)).collect();
    if decided.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    count(&mut tx, &decided).await?;
    keep_past(&mut tx, &decided).await?;
    raise_fence(&mut tx, &decided).await?;
    name_persons(&mut tx, &decided).await?;
    supervise::note(&mut tx, keys, hash, &decided).await?;
    let passed = decided.iter().filter(|item| matches!(item.fate, Fate::Dispatched(_)));
    disaster::note(&mut tx, passed.clone().map(|item| &item.event)).await?;
    disclosure::note(&mut tx, keys, passed.map(|item| &item.event), object_id).await?;
    let letters: Vec<Letter> = decided.iter().filter_map(|item| letter(item)).collect();
    dead::file(&mut tx, keys, &letters).await?;
    let entries: Vec<Entry> = decided.iter().flat_map(|item| entries(item)).collect();
    chain.append(&mut tx, &entries).await?;
    let followers = close_letters(&mut tx, &decided).await?;
    chain.append(&mut tx, &followers).await?;
    tx.commit().await
}

/// Letters that came by again are through: they are counted under their new occurrence, and what waited behind them follows.
async fn close_letters(tx: &mut Tx, decided: &[&Item]) -> Result<Vec<Entry>, Error> {
    let letters: Vec<_> = decided.iter().filter_map(|item| Some((item, item.letter.as_ref()?))).collect();
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    replay::through(tx, letters.iter().map(|(_, letter)| letter.id.as_str())).await?;
    let occurrences = dead::json_ids(letters.iter().map(|(_, letter)| letter.occurrence.as_str()));
    tx.execute("DELETE FROM arrival WHERE occurrence IN (SELECT value ->> 0 FROM {rows})", &[occurrences.into()]).await?;
    replay::follow(tx, "route", "", letters.iter().map(|(item, _)| item.event.partitionkey.as_str())).await
}

async fn count(tx: &mut Tx, decided: &[&Item]) -> Result<(), Error> {
    let rows: Vec<Value> = decided
        .iter()
        .map(|item| {
            let (state, open, parked) = match &item.fate {
                Fate::Dispatched(copies) => ("dispatched", copies.len(), 0),
                Fate::Parked(_) => ("dispatched", 1, 1),
                Fate::Rejected(_) => ("rejected", 0, 0),
                Fate::Superseded => ("superseded", 0, 0),
                _ => ("duplicate", 0, 0),
            };
            let event = &item.event;
            json!([event.occurrence.as_str(), event.system().as_str(), event.bookdate, state, open, parked])
        })
        .collect();
    // A lane may have been quicker and have counted its delivery already: numbers are added, never set.
    tx.execute(
        "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS BIGINT), CAST(value ->> 5 AS BIGINT) FROM {rows} WHERE true \
         ON CONFLICT (occurrence) DO UPDATE SET state = excluded.state, open = arrival.open + excluded.open, parked = arrival.parked + excluded.parked",
        &[Value::Array(rows).to_string().into()],
    )
    .await?;
    Ok(())
}

/// Which persons each dispatched event speaks of, under the keys that its receivers get.
async fn name_persons(tx: &mut Tx, decided: &[&Item]) -> Result<(), Error> {
    let dispatched = decided.iter().filter(|item| matches!(item.fate, Fate::Dispatched(_)));
    let mut rows: Vec<(&str, &str)> =
        dispatched.flat_map(|item| item.persons.iter().map(|person| (person.as_str(), item.event.id.as_str()))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable();
    rows.dedup();
    let sql = "INSERT INTO person_event (person_key, event_id) SELECT value ->> 0, value ->> 1 FROM {rows} WHERE true ON CONFLICT DO NOTHING";
    tx.execute(sql, &[json!(rows).to_string().into()]).await.map(|_| ())
}

/// Keeps the words that the fence is about to forget: who received an object's earlier words is found by them. A first word,
/// and so the load of a whole system, costs nothing.
async fn keep_past(tx: &mut Tx, decided: &[&Item]) -> Result<(), Error> {
    let raises = |item: &&&Item| matches!(item.fate, Fate::Dispatched(_) | Fate::Duplicate { later: true });
    let renewed: Vec<&&Item> = decided.iter().filter(raises).filter(|item| item.renews).collect();
    if renewed.is_empty() {
        return Ok(());
    }
    let objects: std::collections::BTreeSet<String> = renewed.iter().map(|item| object_id(&item.event)).collect();
    let sql = "INSERT INTO object_past (object_id, event_id, sequence) SELECT fence.object_id, fence.event_id, fence.sequence \
               FROM {rows} JOIN fence ON fence.object_id = value ->> 0 WHERE true ON CONFLICT DO NOTHING";
    let rows: Vec<Value> = objects.iter().map(|object| json!([object])).collect();
    tx.execute(sql, &[Value::Array(rows).to_string().into()]).await?;
    // Of several words in one batch the fence keeps the last; the others, and that one too, stand here.
    let mut rows = std::collections::BTreeMap::new();
    for item in decided.iter().filter(raises) {
        let event = &item.event;
        let object = object_id(event);
        if objects.contains(&object) {
            rows.insert((object.clone(), event.id.as_str()), json!([object, event.id.as_str(), event.sequence]));
        }
    }
    let sql = "INSERT INTO object_past (object_id, event_id, sequence) SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT) \
               FROM {rows} WHERE true ON CONFLICT DO NOTHING";
    tx.execute(sql, &[Value::Array(rows.into_values().collect()).to_string().into()]).await?;
    Ok(())
}

async fn raise_fence(tx: &mut Tx, decided: &[&Item]) -> Result<(), Error> {
    // Of one object only the last word in the batch: a statement may not touch a row twice.
    let mut last = std::collections::BTreeMap::new();
    for item in decided.iter().filter(|item| matches!(item.fate, Fate::Dispatched(_) | Fate::Duplicate { later: true })) {
        let event = &item.event;
        last.insert(object_id(event), json!([object_id(event), event.sequence, said(event), event.id.as_str(), item.state]));
    }
    if last.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = last.into_values().collect();
    tx.execute(
        "INSERT INTO fence (object_id, sequence, said, event_id, state) \
         SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2, value ->> 3, COALESCE(value ->> 4, '') FROM {rows} WHERE true \
         ON CONFLICT (object_id) DO UPDATE SET sequence = excluded.sequence, said = excluded.said, event_id = excluded.event_id, \
         state = CASE WHEN excluded.state = '' AND excluded.said NOT LIKE 'delete:%' THEN fence.state ELSE excluded.state END \
         WHERE excluded.sequence >= fence.sequence",
        &[Value::Array(rows).to_string().into()],
    )
    .await?;
    Ok(())
}

fn letter(item: &Item) -> Option<Letter> {
    let (state, faults) = match &item.fate {
        Fate::Rejected(faults) => (dead::State::Rejected, faults.clone()),
        Fate::Parked(fault) => (dead::State::Parked, vec![fault.clone()]),
        _ => return None,
    };
    // Set aside again, it keeps its turn.
    let place = item.letter.as_ref().map(|letter| letter.place);
    Some(Letter { place, ..Letter::of_event(&item.event, "route", "", state, faults, &item.body) })
}

fn entries(item: &Item) -> Vec<Entry> {
    let event: &Event = &item.event;
    let occurrence = event.occurrence.as_str();
    let to = |item: &Item| match &item.fate {
        Fate::Dispatched(copies) => copies.iter().map(|copy| json!([copy.subscription, copy.agreement, copy.purpose])).collect(),
        _ => Vec::new(),
    };
    let mut received = json!({ "occurrence": occurrence, "to": to(item), "persons": item.persons, "division": event.division });
    if let Some(context) = Context::of(event) {
        received["trace"] = Value::String(context.trace_id().to_owned());
    }
    let mut entries = vec![Entry::of(Kind::Received, event, received)];
    let codes = |faults: &[crate::error::Fault]| json!({ "occurrence": occurrence, "codes": faults.iter().map(|fault| fault.code.to_string()).collect::<Vec<_>>() });
    match &item.fate {
        Fate::Rejected(faults) => entries.push(Entry::of(Kind::Rejected, event, codes(faults))),
        Fate::Parked(fault) => entries.push(Entry::of(Kind::Parked, event, codes(std::slice::from_ref(fault)))),
        Fate::Superseded => entries.push(Entry::of(Kind::Superseded, event, json!({ "occurrence": occurrence }))),
        Fate::Duplicate { .. } => entries.push(Entry::of(Kind::Duplicate, event, json!({ "occurrence": occurrence }))),
        _ => {}
    }
    if !item.flags.is_empty() {
        let codes: Vec<String> = item.flags.iter().map(|flag| flag.code.to_string()).collect();
        entries.push(Entry::of(Kind::Flagged, event, json!({ "occurrence": occurrence, "codes": codes })));
    }
    entries
}
