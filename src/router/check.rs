//! The part of routing that only looks at one record: parse, then every fault of the schema.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;

use super::{Fate, Item, NOT_AN_EVENT};
use crate::{
    adapter::decode::json::{self, Limits},
    clock,
    envelope::{ContentHash, Data, Dataset, Event, EventId, Occurrence, Op, PartitionKey, event::SpecVersion},
    error::Fault,
    govern::Agreements,
    schema::SchemaRegistry,
};

/// Parses and validates one message; the item's fate is `Open` if it may go on.
pub(crate) fn check(body: &Bytes, registry: &SchemaRegistry) -> Item {
    match parse(body) {
        Ok(event) => {
            let faults = validate(&event, registry);
            let fate = if faults.is_empty() { Fate::Open } else { Fate::Rejected(faults) };
            Item { event, body: body.clone(), fate, persons: Vec::new() }
        }
        Err(faults) => Item { event: stand_in(body), body: body.clone(), fate: Fate::Rejected(faults), persons: Vec::new() },
    }
}

/// Does with one message all that could crash a process: for the child that tries suspects.
pub fn try_one(body: Vec<u8>, registry: &SchemaRegistry, agreements: &Agreements, today: time::Date) {
    let item = check(&Bytes::from(body), registry);
    if matches!(item.fate, Fate::Open) {
        let _ = agreements.outgoing(&item.event, today);
    }
}

fn parse(body: &[u8]) -> Result<Event, Vec<Fault>> {
    let value = json::strict(body, &Limits::default())?;
    serde_json::from_value::<Event>(value).map_err(|error| {
        let hint = "publish structured-mode CloudEvents 1.0 as docs/partners.md describes them";
        // The text of serde_json names attributes and types, and may quote a value: only its first part is safe.
        let reason = error.to_string();
        let reason = reason.split(':').next().unwrap_or("malformed").to_owned();
        vec![Fault::new(NOT_AN_EVENT, format!("not a CloudEvent of the hub: {reason}")).hint(hint)]
    })
}

/// Fault hook for the tests of the attempt counter: the environment variable holds `<subject>`, or `<subject>#<sequence>`,
/// of the events that make the process die. Looked at once; not set in production.
const FAULT_ABORT: &str = "CIVILHUB_FAULT_ABORT";

fn die_if_told(event: &Event) {
    static FATAL: OnceLock<Option<String>> = OnceLock::new();
    let Some(fatal) = FATAL.get_or_init(|| std::env::var(FAULT_ABORT).ok()) else { return };
    let sequence = fatal.strip_prefix(&event.subject).map(|rest| rest.strip_prefix('#').unwrap_or(rest));
    if sequence.is_some_and(|sequence| sequence.is_empty() || sequence == event.sequence.to_string()) {
        std::process::abort();
    }
}

fn validate(event: &Event, registry: &SchemaRegistry) -> Vec<Fault> {
    die_if_told(event);
    let Some(schema) = registry.get(&event.dataschema) else {
        return vec![Fault::new(NOT_AN_EVENT, format!("unknown schema `{}`", event.dataschema)).hint("`civilhub schema list` shows the known ones")];
    };
    match event.op() {
        None => vec![Fault::new(NOT_AN_EVENT, "the type does not end in an operation").expected("<dataset>.upsert, .delete or .event")],
        // A delete carries the key only.
        Some(Op::Delete) => Vec::new(),
        Some(Op::Upsert | Op::Event) => schema.validate(&event.data.record),
    }
}

/// Stands for a message that is no event, so that it is counted and kept like any other.
pub(crate) fn stand_in(body: &[u8]) -> Event {
    let content = ContentHash::of(&Value::String(hex::encode(body)));
    let id = EventId::derive(&"unknown".into(), "message", "", &content);
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
