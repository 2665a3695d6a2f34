//! Withdrawals: a receiver of the wrong value whose agreement does not cover the corrected record is told that the record
//! is gone, with no more than the key it knows.

use serde_json::{Map, Value, json};

use super::{
    Books,
    book::entry,
    list::{self, Dispute, Receiver},
    versions::{self, Version},
};
use crate::{
    bus::{Bus, Confirm, Message, Route},
    clock,
    envelope::{ContentHash, Data, DeliveryId, Event, EventId, Occurrence, PartitionKey, SubscriptionId, event::SpecVersion},
    govern::Agreements,
    ledger::Kind,
    store::Error,
};

/// Where nothing tells the division: the province.
const PROVINCE: &str = "220000000000";

const ARRIVED: &str = "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) VALUES ($1, $2, $3, 'dispatched', 1, 0) \
     ON CONFLICT (occurrence) DO UPDATE SET state = excluded.state, open = arrival.open + excluded.open";
const HANDED_OVER: &str = "INSERT INTO handed_over (system, bookdate, records, refused) VALUES ($1, $2, 1, 0) \
     ON CONFLICT (system, bookdate) DO UPDATE SET records = handed_over.records + excluded.records";
const KNOW: &str =
    "INSERT INTO person_event (person_key, event_id) SELECT value ->> 'k', $2 FROM {rows} WHERE true ON CONFLICT DO NOTHING";

/// Publishes the withdrawals of a dispute that are due, then marks them. A death between repeats them under the same ids.
pub(super) async fn tell(bus: &dyn Bus, books: &Books, agreements: &Agreements, dispute: &Dispute) -> Result<(), Error> {
    let mut due = list::receivers(&books.store, &dispute.id).await?;
    // A partner that has no file any more has no queue: it stays due until it is waived.
    due.retain(|one| one.state == "due" && agreements.partner(&one.subscription).is_some());
    if due.is_empty() {
        return Ok(());
    }
    let words = versions::of(&books.store, &dispute.object_id, None).await?;
    let wrong: Vec<String> = due.iter().map(|one| one.wrong_delivery.clone()).collect();
    let copies = versions::copies(books, &wrong).await?;
    for one in &due {
        // A still newer record may have gone there meanwhile: a deletion after it would take the right value away. Not if the
        // withdrawal may be on the bus already: then it is counted, and its sequence is older than that of the record.
        let since = words.iter().rev().take_while(|word| word.event_id != dispute.fix_event);
        let newer = since.filter_map(|word| word.to(&one.subscription)).next();
        if let Some(to) = newer.filter(|_| one.delivery_id.is_empty()) {
            has_newer(books, dispute, one, &to.delivery()).await?;
            continue;
        }
        let copy = withdrawal(agreements, dispute, one, copies.get(&one.wrong_delivery));
        let Some(delivery) = copy.deliveryid.clone() else { continue };
        attempt(books, dispute, one, delivery.as_str()).await?;
        let route = Route::Deliver(SubscriptionId::from(one.subscription.as_str()));
        let message = Message { route, id: delivery.as_str().to_owned(), body: copy.to_bytes().into() };
        match bus.publish(vec![message]).await.first() {
            Some(Confirm::Stored) => mark(books, dispute, one, &copy, &words).await?,
            Some(Confirm::Returned) => {}
            _ => return Err(Error::Unreachable("the bus has not confirmed a withdrawal".to_owned())),
        }
    }
    Ok(())
}

/// From here on it may be on the bus.
async fn attempt(books: &Books, dispute: &Dispute, to: &Receiver, delivery: &str) -> Result<(), Error> {
    let sql = "UPDATE dispute_receiver SET delivery_id = $3 WHERE dispute_id = $1 AND subscription = $2 AND state = 'due'";
    books.store.write(sql, &[dispute.id.as_str().into(), to.subscription.as_str().into(), delivery.into()]).await.map(|_| ())
}

/// The receiver gets a record after all: its receipt is what is waited for.
async fn has_newer(books: &Books, dispute: &Dispute, to: &Receiver, delivery: &str) -> Result<(), Error> {
    let sql = "UPDATE dispute_receiver SET kind = 'version', state = 'sent', delivery_id = $3 \
               WHERE dispute_id = $1 AND subscription = $2 AND state = 'due'";
    books.store.write(sql, &[dispute.id.as_str().into(), to.subscription.as_str().into(), delivery.into()]).await.map(|_| ())
}

/// What the receiver is told: the deletion of the record as it knows it.
fn withdrawal(agreements: &Agreements, dispute: &Dispute, to: &Receiver, wrong: Option<&Event>) -> Event {
    let receiver = SubscriptionId::from(to.subscription.as_str());
    let record = key(agreements, to, wrong);
    let name = format!("{}/{}", dispute.id, to.subscription);
    let id = EventId::derive(
        &dispute.system.as_str().into(),
        "withdrawal",
        &name,
        &ContentHash::of(&Value::Null),
        dispute.fix_sequence,
    );
    let occurrence = Occurrence::derive(&id, "correction");
    // Times are those of the answer, so that the same withdrawal is the same bytes.
    let at = time::OffsetDateTime::from_unix_timestamp(dispute.answered_at / 1000)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        .to_offset(clock::CHINA);
    Event {
        specversion: SpecVersion::V1,
        source: format!("/systems/{}", dispute.system),
        kind: format!("{}.delete", dispute.dataset),
        subject: dispute.subject.clone(),
        time: clock::rfc3339(at),
        dataschema: dispute.dataschema.clone(),
        datacontenttype: "application/json".to_owned(),
        division: wrong.map_or_else(|| PROVINCE.to_owned(), |wrong| wrong.division.clone()),
        sequence: dispute.fix_sequence,
        partitionkey: wrong.map_or_else(|| PartitionKey::new(dispute.object_id.as_str()), |wrong| wrong.partitionkey.clone()),
        contenthash: ContentHash::of(&record),
        bookdate: clock::iso_date(at.date()),
        purpose: Some(to.purpose.clone()),
        authorization: None,
        traceparent: None,
        deliveryid: Some(DeliveryId::derive(&occurrence, &receiver)),
        subscription: Some(receiver),
        id,
        occurrence,
        data: Data { record, quality: Vec::new() },
    }
}

/// The key fields of the agreement, as the receiver has them; nothing without its copy, the subject names the record.
fn key(agreements: &Agreements, to: &Receiver, wrong: Option<&Event>) -> Value {
    let fields = agreements.deleted_with(&to.subscription, &to.agreement);
    let had = wrong.and_then(|wrong| wrong.data.record.as_object());
    let kept = had.into_iter().flatten().filter(|(name, _)| fields.contains(name));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// Books, ledger and state of one withdrawal, in one transaction.
async fn mark(books: &Books, dispute: &Dispute, to: &Receiver, copy: &Event, words: &[Version]) -> Result<(), Error> {
    let delivery = copy.deliveryid.as_ref().map(DeliveryId::as_str).unwrap_or_default();
    let persons = words.iter().find(|word| word.event_id == to.wrong_event).map(|word| word.persons.clone()).unwrap_or_default();
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE dispute_receiver SET state = 'sent', delivery_id = $3 WHERE dispute_id = $1 AND subscription = $2 AND state = 'due'";
    let args = [dispute.id.as_str().into(), to.subscription.as_str().into(), delivery.into()];
    if tx.execute(sql, &args).await? == 0 {
        // Another process was quicker, and has counted it.
        return Ok(());
    }
    let (system, day) = (dispute.system.as_str(), copy.bookdate.as_str());
    tx.execute(ARRIVED, &[copy.occurrence.as_str().into(), system.into(), day.into()]).await?;
    tx.execute(HANDED_OVER, &[system.into(), day.into()]).await?;
    let keys: Value = persons.iter().map(|key| json!({ "k": key })).collect();
    tx.execute(KNOW, &[(&keys).into(), copy.id.as_str().into()]).await?;
    let body = json!({ "occurrence": copy.occurrence, "to": [[to.subscription, to.agreement, to.purpose]], "persons": persons,
        "dispute": dispute.id, "withdraws": to.wrong_event, "division": copy.division });
    let row = entry(Kind::Received, (copy.id.as_str(), system, &dispute.dataset), body);
    books.note(&mut tx, &[crate::ledger::Entry { bookdate: day.to_owned(), ..row }]).await?;
    tx.commit().await
}
