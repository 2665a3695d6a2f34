//! Telling everybody who got a key that it was merged or split.
//!
//! An event of the outbox becomes one delivery for each receiver that was sent the key, under the purpose under which it
//! got it. Ids are derived from the event: after a crash the same deliveries are published again and known by their ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::SYSTEM;
use crate::{
    bus::{Bus, Confirm, Message, Route},
    clock,
    config::keys::Keys,
    envelope::{ContentHash, Data, DeliveryId, Event, EventId, Occurrence, PartitionKey, SubscriptionId, event::SpecVersion},
    identity::index::{IdentityEvent, OUTBOX},
    ledger::{Entry, Kind, chain::Chain},
    store::{Arg, Error, Store, Tx},
};

/// Events told in one go.
const MOST: i64 = 1_000;
const PAUSE: Duration = Duration::from_secs(1);
/// Division of all events of the index: the province.
const PROVINCE: &str = "220000000000";

const SENT: &str = "SELECT DISTINCT value ->> 'k', l.event_id, l.body FROM {rows} JOIN person_event e ON e.person_key = value ->> 'k' \
     JOIN ledger l ON l.event_id = e.event_id AND l.kind = 'received'";
const MOVED: &str = "SELECT s.person_key, h.event_id FROM {rows} JOIN source_record s ON s.person_key = value ->> 'k' \
     JOIN said h ON h.reference_id = s.reference_id";
const KNOW: &str = "INSERT INTO person_event (person_key, event_id) SELECT value ->> 'k', value ->> 'e' FROM {rows} WHERE 1 = 1 ON CONFLICT DO NOTHING";
const ARRIVED: &str = "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) \
     SELECT value ->> 'o', $2, value ->> 'd', 'dispatched', CAST(value ->> 'n' AS BIGINT), 0 FROM {rows} WHERE 1 = 1 \
     ON CONFLICT (occurrence) DO UPDATE SET state = excluded.state, open = arrival.open + excluded.open";
const HANDED_OVER: &str = "INSERT INTO handed_over (system, bookdate, records, refused) SELECT $2, value ->> 'd', COUNT(*), 0 FROM {rows} \
     WHERE 1 = 1 GROUP BY value ->> 'd' ON CONFLICT (system, bookdate) DO UPDATE SET records = handed_over.records + excluded.records";
const DONE: &str =
    "UPDATE identity_event SET published = 1 FROM {rows} WHERE identity_event.id = value ->> 'id' AND published = 0";

/// What one receiver was sent under a key.
#[derive(Default)]
struct Sent {
    agreement: String,
    purpose: String,
    events: BTreeSet<String>,
}

type Receivers = BTreeMap<String, Sent>;

/// The task of a running hub.
pub async fn run(bus: Arc<dyn Bus>, store: Store, keys: Keys, subscriptions: Vec<SubscriptionId>, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        match tell(bus.as_ref(), &store, &keys, &subscriptions).await {
            Ok(0) => {}
            Ok(told) => tracing::info!(deliveries = told, "receivers are told of changed person keys"),
            Err(error) => tracing::warn!(%error, "changes of person keys could not be told yet"),
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Whether somebody must still be told.
///
/// # Errors
/// The store failed.
pub async fn pending(store: &Store) -> Result<bool, Error> {
    Ok(!store.read("SELECT id FROM identity_event WHERE published = 0 LIMIT 1", &[]).await?.is_empty())
}

/// One go: the oldest events of the outbox. Answers the number of deliveries.
///
/// # Errors
/// The store failed, or another router was quicker; nothing is marked.
pub async fn tell(bus: &dyn Bus, store: &Store, keys: &Keys, subscriptions: &[SubscriptionId]) -> Result<usize, Error> {
    let outbox: Vec<IdentityEvent> = store.read(OUTBOX, &[Arg::Int(MOST)]).await?.iter().map(IdentityEvent::of).collect();
    if outbox.is_empty() {
        return Ok(0);
    }
    let mut chain = Chain::open(store, "person-index", Arc::clone(&keys.ledger)).await?;
    let (holders, moved) = (holders(store, &outbox).await?, moved(store, &outbox).await?);
    let mut told = Vec::new();
    let mut messages = Vec::new();
    for event in outbox {
        let mut receivers = holders.get(old_key(&event)).map(copies).unwrap_or_default();
        receivers.retain(|name, _| subscriptions.iter().any(|known| known.as_str() == name));
        let moved = moved.get(event.other_key.as_str());
        messages.extend(receivers.iter().map(|(name, sent)| message(&event, name, sent, moved)));
        told.push((event, receivers));
    }
    let count = messages.len();
    let confirms = bus.publish(messages).await;
    // A queue that has gone has nobody behind it; anything else is tried again.
    if confirms.iter().any(|confirm| !matches!(confirm, Confirm::Stored | Confirm::Returned)) {
        return Err(Error::Unreachable("the bus has not confirmed the deliveries".to_owned()));
    }
    mark(store, &mut chain, &told).await?;
    Ok(count)
}

/// The key that changed its meaning for whoever has it.
fn old_key(event: &IdentityEvent) -> &str {
    if event.kind == "person.split" { event.person_key.as_str() } else { event.other_key.as_str() }
}

fn copies(receivers: &Receivers) -> Receivers {
    let copy =
        |sent: &Sent| Sent { agreement: sent.agreement.clone(), purpose: sent.purpose.clone(), events: sent.events.clone() };
    receivers.iter().map(|(name, sent)| (name.clone(), copy(sent))).collect()
}

/// Who was sent which key, from the ledger.
async fn holders(store: &Store, outbox: &[IdentityEvent]) -> Result<BTreeMap<String, Receivers>, Error> {
    let keys: BTreeSet<&str> = outbox.iter().map(old_key).collect();
    let rows: Value = keys.into_iter().map(|key| json!({"k": key})).collect();
    let mut holders: BTreeMap<String, Receivers> = BTreeMap::new();
    for row in store.read(SENT, &[Arg::from(&rows)]).await? {
        let body: Value = serde_json::from_str(&row.text(2)).unwrap_or_default();
        for to in body["to"].as_array().into_iter().flatten() {
            let text = |place: usize| to[place].as_str().unwrap_or_default().to_owned();
            let sent = holders.entry(row.text(0)).or_default().entry(text(0)).or_default();
            (sent.agreement, sent.purpose) = (text(1), text(2));
            sent.events.insert(row.text(1));
        }
    }
    Ok(holders)
}

/// The events behind the records of persons that were split off.
async fn moved(store: &Store, outbox: &[IdentityEvent]) -> Result<BTreeMap<String, BTreeSet<String>>, Error> {
    let split = outbox.iter().filter(|event| event.kind == "person.split");
    let rows: Value = split.map(|event| json!({"k": event.other_key})).collect();
    let mut moved: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in store.read(MOVED, &[Arg::from(&rows)]).await? {
        moved.entry(row.text(0)).or_default().insert(row.text(1));
    }
    Ok(moved)
}

fn moment(at: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(clock::CHINA)
}

fn event_id(event: &IdentityEvent) -> EventId {
    EventId::derive(&SYSTEM.into(), "person", &event.id, &ContentHash::of(&Value::Null), event.at)
}

fn occurrence(event: &IdentityEvent) -> Occurrence {
    Occurrence::derive(&event_id(event), SYSTEM)
}

fn bookdate(event: &IdentityEvent) -> String {
    clock::iso_date(moment(event.at).date())
}

/// What a receiver is told. Of a split only those records are named that it was sent.
fn record(event: &IdentityEvent, sent: &Sent, moved: Option<&BTreeSet<String>>) -> Value {
    match event.kind.as_str() {
        "person.split" => {
            let events: Vec<&String> = moved.into_iter().flatten().filter(|id| sent.events.contains(*id)).collect();
            json!({"person_key": event.person_key, "split_key": event.other_key, "events": events})
        }
        _ => json!({"person_key": event.person_key, "retired_key": event.other_key}),
    }
}

fn message(event: &IdentityEvent, receiver: &str, sent: &Sent, moved: Option<&BTreeSet<String>>) -> Message {
    let (subscription, record) = (SubscriptionId::new(receiver), record(event, sent, moved));
    let delivery = DeliveryId::derive(&occurrence(event), &subscription);
    let copy = Event {
        specversion: SpecVersion::V1,
        id: event_id(event),
        source: format!("/systems/{SYSTEM}"),
        kind: event.kind.clone(),
        subject: old_key(event).to_owned(),
        time: clock::rfc3339(moment(event.at)),
        dataschema: "person-key/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: PROVINCE.to_owned(),
        sequence: event.at,
        partitionkey: PartitionKey::new(event.person_key.as_str()),
        contenthash: ContentHash::of(&record),
        occurrence: occurrence(event),
        bookdate: bookdate(event),
        purpose: Some(sent.purpose.clone()),
        authorization: None,
        traceparent: None,
        deliveryid: Some(delivery.clone()),
        subscription: Some(subscription.clone()),
        data: Data { record, quality: Vec::new() },
    };
    Message { route: Route::Deliver(subscription), id: delivery.as_str().to_owned(), body: copy.to_bytes().into() }
}

/// Books, ledger and outbox, in one transaction.
async fn mark(store: &Store, chain: &mut Chain, told: &[(IdentityEvent, Receivers)]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let ids: Value = told.iter().map(|(event, _)| json!({"id": event.id})).collect();
    if tx.execute(DONE, &[Arg::from(&ids)]).await? < told.len() as u64 {
        return Err(Error::Failed("another router was quicker".to_owned()));
    }
    count(&mut tx, told).await?;
    let entries: Vec<Entry> = told.iter().filter(|(_, receivers)| !receivers.is_empty()).map(entry).collect();
    chain.append(&mut tx, &entries).await?;
    tx.commit().await?;
    chain.committed();
    Ok(())
}

async fn count(tx: &mut Tx, told: &[(IdentityEvent, Receivers)]) -> Result<(), Error> {
    let heard = || told.iter().filter(|(_, receivers)| !receivers.is_empty());
    let arrived: Vec<Value> = heard()
        .map(|(event, receivers)| json!({"o": occurrence(event), "d": bookdate(event), "n": receivers.len().to_string()}))
        .collect();
    if arrived.is_empty() {
        return Ok(());
    }
    let arrived = Value::from(arrived);
    tx.execute(ARRIVED, &[Arg::from(&arrived), SYSTEM.into()]).await?;
    tx.execute(HANDED_OVER, &[Arg::from(&arrived), SYSTEM.into()]).await?;
    // Whoever was told has the new key too, and is told when that one changes.
    let keys =
        heard().flat_map(|(event, _)| [&event.person_key, &event.other_key].map(|key| json!({"k": key, "e": event_id(event)})));
    tx.execute(KNOW, &[Arg::from(&Value::from_iter(keys))]).await.map(|_| ())
}

fn entry((event, receivers): &(IdentityEvent, Receivers)) -> Entry {
    let to: Vec<Value> = receivers.iter().map(|(name, sent)| json!([name, sent.agreement, sent.purpose])).collect();
    let persons = [&event.person_key, &event.other_key];
    let body = json!({"occurrence": occurrence(event), "to": to, "persons": persons, "change": event.kind});
    Entry {
        kind: Kind::Received,
        event_id: event_id(event).as_str().to_owned(),
        system: SYSTEM.to_owned(),
        bookdate: bookdate(event),
        dataset: "person".to_owned(),
        body,
    }
}
