//! The part of routing that only looks at one record: parse, then every fault of the schema.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{Fate, Item, NOT_AN_EVENT};
use crate::{
    envelope::{Event, Op, event::stand_in},
    error::Fault,
    govern::Agreements,
    json::{self, Limits},
    schema::SchemaRegistry,
    telemetry::log::blank_numbers,
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

/// Reads one message strictly.
pub(crate) fn parse(body: &[u8]) -> Result<Event, Vec<Fault>> {
    let hint = "publish structured-mode CloudEvents 1.0 as docs/partners.md describes them";
    let not_an_event = |reason: &str| Fault::new(NOT_AN_EVENT, format!("not a CloudEvent of the hub: {reason}")).hint(hint);
    let value = json::strict(body, &Limits::default()).map_err(|faults| {
        let mut all = vec![not_an_event("the body is not the JSON that the hub reads")];
        all.extend(faults);
        all
    })?;
    let event = serde_json::from_value::<Event>(value).map_err(|error| {
        // The text of serde_json names attributes and types, and may quote a value: only its first words are safe.
        let reason = error.to_string();
        let known = ["missing field", "invalid type", "invalid length"].iter().any(|start| reason.starts_with(start));
        let reason =
            if known { reason.split(':').next().unwrap_or_default() } else { "an attribute has a value that it cannot have" };
        vec![not_an_event(reason)]
    })?;
    let faults: Vec<Fault> = malformed(&event)
        .into_iter()
        .map(|name| not_an_event("an attribute has a wrong form").at_pointer(format!("/{name}")))
        .collect();
    if faults.is_empty() { Ok(event) } else { Err(faults) }
}

/// Attributes that stand in lists, books and the ledger, and are not of the form that no personal data fits in.
fn malformed(event: &Event) -> Vec<&'static str> {
    let slug = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    let named = |text: &str| slug(text) && text.bytes().filter(u8::is_ascii_digit).count() < 15;
    let id =
        |text: &str| text.len() <= 128 && text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-') && blank_numbers(text) == text;
    let date = |text: &str| {
        text.len() == 10
            && text.bytes().enumerate().all(|(at, c)| if at == 4 || at == 7 { c == b'-' } else { c.is_ascii_digit() })
    };
    let (dataset, op) = event.kind.rsplit_once('.').unwrap_or((event.kind.as_str(), ""));
    let checks = [
        ("id", id(event.id.as_str())),
        ("source", event.source.strip_prefix("/systems/").is_some_and(named)),
        ("type", named(dataset) && (op.is_empty() || named(op))),
        ("occurrence", id(event.occurrence.as_str())),
        ("bookdate", date(&event.bookdate)),
        ("division", event.division.len() == 12 && event.division.bytes().all(|c| c.is_ascii_digit())),
    ];
    checks.into_iter().filter(|(_, good)| !good).map(|(name, _)| name).collect()
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
        return vec![
            Fault::new(NOT_AN_EVENT, "the schema that the event names is unknown")
                .at_pointer("/dataschema")
                .hint("`civilhub schema list` shows the known ones"),
        ];
    };
    match event.op() {
        None => vec![
            Fault::new(NOT_AN_EVENT, "the type does not end in an operation").expected("<dataset>.upsert, .delete or .event"),
        ],
        // A delete carries the key only.
        Some(Op::Delete) => Vec::new(),
        Some(Op::Upsert | Op::Event) => schema.validate(&event.data.record),
    }
}
