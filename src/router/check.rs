//! The part of routing that only looks at one record: parse, then every fault of the schema.

use bytes::Bytes;

use super::{Fate, Item, NOT_AN_EVENT};
use crate::{
    envelope::{Event, Op, event::stand_in},
    error::Fault,
    govern::Agreements,
    json::{self, Limits},
    schema::SchemaRegistry,
};

/// Parses and validates one message; the item's fate is `Open` if it may go on.
pub(crate) fn check(body: &Bytes, registry: &SchemaRegistry) -> Item {
    match parse(body) {
        Ok(event) => {
            let faults = validate(&event, registry);
            let fate = if faults.is_empty() { Fate::Open } else { Fate::Rejected(faults) };
            Item::new(event, body, fate)
        }
        Err(faults) => Item::new(stand_in(body), body, Fate::Rejected(faults)),
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

fn validate(event: &Event, registry: &SchemaRegistry) -> Vec<Fault> {
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
