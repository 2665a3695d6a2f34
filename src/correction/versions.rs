//! The words of one source object, who was sent each of them, and the copies that are still kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Books;
use crate::{
    envelope::{DeliveryId, Event, Occurrence, SubscriptionId},
    store::{Error, Store},
};

const EVENTS: &str = "SELECT event_id, sequence, said, CAST(1 AS BIGINT) FROM fence WHERE object_id = $1 \
     UNION ALL SELECT event_id, sequence, '', CAST(0 AS BIGINT) FROM object_past WHERE object_id = $1";
const RECEIVED: &str = "SELECT l.event_id, l.at, l.body FROM {rows} JOIN ledger l ON l.event_id = value ->> 'e' AND l.kind = 'received' \
     ORDER BY l.at, l.chain, l.seq";

/// One receiver of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct To {
    pub subscription: String,
    pub agreement: String,
    pub purpose: String,
    occurrence: String,
}

impl To {
    /// The delivery under which it went there.
    pub fn delivery(&self) -> String {
        let occurrence = Occurrence::from(self.occurrence.as_str());
        DeliveryId::derive(&occurrence, &SubscriptionId::from(self.subscription.as_str())).as_str().to_owned()
    }
}

/// One word of the object.
#[derive(Debug, Clone, Default)]
pub(super) struct Version {
    pub event_id: String,
    pub sequence: i64,
    /// The object's last word, whether it is one that was passed on or not.
    newest: bool,
    /// It is the newest and says that the object is gone.
    pub deleted: bool,
    at: i64,
    pub to: Vec<To>,
    pub persons: Vec<String>,
}

impl Version {
    pub fn to(&self, subscription: &str) -> Option<&To> {
        self.to.iter().find(|to| to.subscription == subscription)
    }
}

/// The words that were passed on to somebody, oldest first. `also` is one that is known by itself: records that passed before
/// earlier words were kept are found by their last word only.
pub(super) async fn of(store: &Store, object: &str, also: Option<(&str, i64)>) -> Result<Vec<Version>, Error> {
    let mut found: BTreeMap<String, Version> = BTreeMap::new();
    let mut add = |event: String, sequence: i64, said: &str, newest: bool| {
        let one = found.entry(event.clone()).or_insert_with(|| Version { event_id: event, sequence, ..Version::default() });
        one.newest |= newest;
        one.deleted |= said.starts_with("delete:");
    };
    for row in store.read(EVENTS, &[object.into()]).await? {
        add(row.text(0), row.int(1), &row.text(2), row.int(3) == 1);
    }
    if let Some((event, sequence)) = also {
        add(event.to_owned(), sequence, "", false);
    }
    let rows: Value = found.keys().map(|event| json!({ "e": event })).collect();
    for row in store.read(RECEIVED, &[(&rows).into()]).await? {
        let Some(version) = found.get_mut(&row.text(0)) else { continue };
        let body: Value = serde_json::from_str(&row.text(2)).unwrap_or_default();
        receive(version, row.int(1), &body);
    }
    let mut versions: Vec<Version> = found.into_values().filter(|version| !version.to.is_empty()).collect();
    versions.sort_by_key(|version| (version.newest, version.sequence, version.at));
    Ok(versions)
}

/// A record that was set aside and came again has a second row; a later one counts.
fn receive(version: &mut Version, at: i64, body: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    version.at = at;
    for to in body["to"].as_array().into_iter().flatten() {
        version.to.retain(|known| to[0] != known.subscription.as_str());
        version.to.push(To {
            subscription: text(&to[0]),
            agreement: text(&to[1]),
            purpose: text(&to[2]),
            occurrence: text(&body["occurrence"]),
        });
    }
    version.persons = body["persons"].as_array().into_iter().flatten().map(text).collect();
}

/// What was sent under these delivery ids, as far as copies are kept.
pub(super) async fn copies(books: &Books, deliveries: &[String]) -> Result<BTreeMap<String, Event>, Error> {
    let rows: Value = deliveries.iter().map(|id| json!({ "d": id })).collect();
    let sql = "SELECT s.delivery_id, s.body FROM {rows} JOIN partner_sent s ON s.delivery_id = value ->> 'd'";
    let mut copies = BTreeMap::new();
    for row in books.store.read(sql, &[(&rows).into()]).await? {
        let event = books.keys.open(&row.text(1)).and_then(|bytes| serde_json::from_slice::<Event>(&bytes).ok());
        copies.extend(event.map(|event| (row.text(0), event)));
    }
    Ok(copies)
}

/// The deliveries among these that have a receipt: when, and which.
pub(super) async fn receipts(store: &Store, deliveries: &[String]) -> Result<BTreeMap<String, (i64, String)>, Error> {
    let rows: Value = deliveries.iter().map(|id| json!({ "d": id })).collect();
    let sql = "SELECT r.delivery_id, r.at, r.receipt FROM {rows} JOIN receipt r ON r.delivery_id = value ->> 'd'";
    Ok(store.read(sql, &[(&rows).into()]).await?.iter().map(|row| (row.text(0), (row.int(1), row.text(2)))).collect())
}
