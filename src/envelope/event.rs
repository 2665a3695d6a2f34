//! [`Event`]: a CloudEvents 1.0 record with the hub's extension attributes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::{ContentHash, Dataset, DeliveryId, EventId, Occurrence, PartitionKey, SubscriptionId, System};
use crate::clock;

/// Media type of one event in structured mode.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// What happened to the object: the second half of CloudEvents `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Upsert,
    Delete,
    Event,
}

impl Op {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Event => "event",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Upsert, Self::Delete, Self::Event].into_iter().find(|op| op.as_str() == text)
    }
}

/// How bad a data-quality remark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QualityLevel {
    Warn,
    Fix,
}

/// A repair or doubt noted while mapping; travels beside the record. Holds no value, only the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    pub rule: String,
    pub level: QualityLevel,
    pub field: String,
}

/// The `data` of an event: the canonical record and what was noted about its quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Data {
    pub record: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<Quality>,
}

/// One CloudEvent. Attributes carry no personal data; only `data` does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always `1.0`.
    pub specversion: SpecVersion,
    pub id: EventId,
    /// `/systems/<slug>`.
    pub source: String,
    /// `<dataset>.<op>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source's own key, or its HMAC where the key is an identity number.
    pub subject: String,
    /// When it happened at the source, RFC 3339 with +08:00.
    pub time: String,
    /// `<dataset>/v<major>`.
    pub dataschema: String,
    pub datacontenttype: String,
    /// Twelve digits.
    pub division: String,
    /// Grows with every change of one source object; older ones are superseded.
    pub sequence: i64,
    pub partitionkey: PartitionKey,
    pub contenthash: ContentHash,
    pub occurrence: Occurrence,
    /// Day of the books, `yyyy-mm-dd`: the day on which the hub read the row.
    pub bookdate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Set by dispatch on the copy for one receiver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliveryid: Option<DeliveryId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    pub data: Data,
}

/// The version of CloudEvents; any other is refused while parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecVersion {
    #[serde(rename = "1.0")]
    V1,
}

impl Event {
    /// Slug of the system that said this.
    pub fn system(&self) -> System {
        System::from(self.source.strip_prefix("/systems/").unwrap_or(&self.source))
    }

    pub fn dataset(&self) -> Dataset {
        Dataset::from(self.kind.rsplit_once('.').map_or(self.kind.as_str(), |(dataset, _)| dataset))
    }

    pub fn op(&self) -> Option<Op> {
        self.kind.rsplit_once('.').and_then(|(_, op)| Op::parse(op))
    }

    /// Routing key on the bus: `<dataset>.<county>.<op>`.
    pub fn routing_key(&self) -> String {
        let county = self.division.get(..6).unwrap_or("000000");
        let (dataset, op) = self.kind.rsplit_once('.').unwrap_or((&self.kind, "event"));
        format!("{dataset}.{county}.{op}")
    }

    /// The structured-mode JSON bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising strings, numbers and maps with string keys into memory has no failing case.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The attributes alone, for a message whose data must not be looked into. `None` if even they are not there, or cannot be
/// kept (a text with U+0000).
pub fn attributes_of(body: &[u8]) -> Option<Event> {
    let parts: std::collections::BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_slice(body).ok()?;
    let mut attributes = serde_json::Map::new();
    for (name, raw) in parts.iter().filter(|(name, _)| *name != "data") {
        if raw.get().contains("\\u0000") {
            return None;
        }
        attributes.insert(name.clone(), serde_json::from_str(raw.get()).ok()?);
    }
    attributes.insert("data".to_owned(), serde_json::json!({ "record": null }));
    serde_json::from_value(Value::Object(attributes)).ok()
}

/// Stands for a message that is no event, so that it is counted and kept like any other.
pub fn stand_in(body: &[u8]) -> Event {
    let content = ContentHash::of(&Value::String(hex::encode(body)));
    let id = EventId::derive(&"unknown".into(), "message", "", &content, 0);
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "bus"),
        partitionkey: PartitionKey::new(id.as_str()),
        id,
        source: "/systems/unknown".to_owned(),
        kind: format!("{}.event", Dataset::new("unknown")),
        subject: String::new(),
        time: clock::rfc3339(clock::now()),
        dataschema: String::new(),
        datacontenttype: "application/json".to_owned(),
        division: "000000000000".to_owned(),
        sequence: 0,
        contenthash: content,
        bookdate: clock::iso_date(clock::today()),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data { record: Value::Null, quality: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An event as text, with some attributes put in place of others.
    fn body(change: Value) -> Vec<u8> {
        let mut event = json!({
            "specversion": "1.0", "id": "e1", "source": "/systems/tekun", "type": "person.upsert", "subject": "k1",
            "time": "2017-07-03T09:00:00+08:00", "dataschema": "person/v1", "datacontenttype": "application/json",
            "division": "220171000000", "sequence": 1, "partitionkey": "p1", "contenthash": "c1", "occurrence": "o1",
            "bookdate": "2017-07-03", "data": { "record": { "name": "张伟" } }
        });
        event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::to_vec(&event).unwrap()
    }

    #[test]
    fn parts_of_type_and_source() {
        let event: Event = serde_json::from_slice(&body(json!({}))).unwrap();
        assert_eq!((event.system().as_str(), event.dataset().as_str(), event.op()), ("tekun", "person", Some(Op::Upsert)));
        assert_eq!(event.routing_key(), "person.220171.upsert");
        assert_eq!(serde_json::from_slice::<Event>(&event.to_bytes()).unwrap(), event);
        let odd: Event = serde_json::from_slice(&body(json!({ "type": "person", "source": "x", "division": "22" }))).unwrap();
        assert_eq!((odd.system().as_str(), odd.dataset().as_str(), odd.op()), ("x", "person", None));
        assert_eq!(odd.routing_key(), "person.000000.event");
    }

    #[test]
    fn another_version_of_cloudevents_is_refused() {
        assert!(serde_json::from_slice::<Event>(&body(json!({ "specversion": "0.3" }))).is_err());
    }

    #[test]
    fn attributes_without_a_look_into_the_data() {
        let text = String::from_utf8(body(json!({}))).unwrap();
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let event = attributes_of(text.replace(r#"{"record":{"name":"张伟"}}"#, r#""not an object""#).as_bytes()).unwrap();
        assert_eq!((event.occurrence.as_str(), &event.data.record), ("o1", &Value::Null));
        for bad in [
            &b"{"[..],
            b"[]",
            b"null",
            deep.as_bytes(),
            &body(json!({ "partitionkey": "a\u{0}b" })),
            &body(json!({ "sequence": "x" })),
        ] {
            assert_eq!(attributes_of(bad), None);
        }
    }

    #[test]
    fn a_stand_in_is_the_same_for_the_same_bytes_and_shows_none_of_them() {
        let (one, other) = (stand_in(b"\xff\x00 secret"), stand_in(b"other"));
        assert_eq!(one.id, stand_in(b"\xff\x00 secret").id);
        assert_ne!((&one.id, &one.occurrence), (&other.id, &other.occurrence));
        assert!(!String::from_utf8(one.to_bytes()).unwrap().contains("secret"));
    }
}
