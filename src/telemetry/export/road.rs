//! The spans of the road.

use super::{Attribute, Kind, Lap, Span, is_on, is_wanted, send};
use crate::{
    envelope::{DeliveryId, Event, SubscriptionId, System},
    error::Code,
    telemetry::{
        label::Value,
        trace::{Context, derive},
    },
};

/// A batch was read, mapped and published: three laps, one publish for each record.
pub fn mapped(system: &System, rows: usize, events: &[Event], read: Lap, map: Lap, publish: Lap) {
    let Some(first) = events.first().filter(|_| is_on()).and_then(Context::of) else { return };
    let trace = first.trace_id().to_owned();
    if !is_wanted(&trace) {
        return;
    }
    let system = ("civilhub.system", Attribute::Text(Value::system(system).text));
    let span = |name: &'static str, id: String, parent: String, kind, lap, attributes| Span {
        trace: trace.clone(),
        id,
        parent,
        name,
        kind,
        lap,
        attributes,
        fault: None,
    };
    let count = |number: usize| Attribute::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let (read_id, map_id) = (derive("read", &trace, 8), derive("map", &trace, 8));
    send(span(
        "read",
        read_id.clone(),
        String::new(),
        Kind::Internal,
        read,
        vec![system.clone(), ("civilhub.rows", count(rows))],
    ));
    send(span(
        "map",
        map_id.clone(),
        read_id,
        Kind::Internal,
        map,
        vec![system.clone(), ("civilhub.records", count(events.len()))],
    ));
    for event in events {
        if let Some(context) = Context::of(event) {
            let attributes = [vec![system.clone()], of(event)].concat();
            send(span("publish", context.span_id().to_owned(), map_id.clone(), Kind::Producer, publish, attributes));
        }
    }
}

/// The router has decided about a record.
pub fn routed(event: &Event, outcome: &'static str, fault: Option<Code>, lap: Lap) {
    let Some(context) = wanted(event) else { return };
    let mut attributes = of(event);
    attributes.push(("civilhub.system", Attribute::Text(Value::system(&event.system()).text)));
    attributes.push(("civilhub.outcome", Attribute::Text(outcome.to_owned())));
    send(Span {
        trace: context.trace_id().to_owned(),
        id: derive("route", event.occurrence.as_str(), 8),
        parent: context.span_id().to_owned(),
        name: "route",
        kind: Kind::Consumer,
        lap,
        attributes,
        fault,
    });
}

/// A receiver has taken or refused a delivery. The span is the one in the `traceparent` that it was shown.
pub fn delivered(subscription: &SubscriptionId, event: &Event, delivery: &DeliveryId, fault: Option<Code>, lap: Lap) {
    let Some(context) = wanted(event) else { return };
    send(Span {
        trace: context.trace_id().to_owned(),
        id: context.at_delivery(delivery).span_id().to_owned(),
        parent: derive("route", event.occurrence.as_str(), 8),
        name: "deliver",
        kind: Kind::Client,
        lap,
        attributes: for_receiver(subscription, event, delivery),
        fault,
    });
}

/// Receipts are in the store and the ledger.
pub fn receipts<'a>(subscription: &SubscriptionId, proven: impl Iterator<Item = (&'a Event, &'a DeliveryId)>, lap: Lap) {
    if !is_on() {
        return;
    }
    for (event, delivery) in proven {
        let Some(context) = wanted(event) else { continue };
        send(Span {
            trace: context.trace_id().to_owned(),
            id: derive("receipt", delivery.as_str(), 8),
            parent: context.at_delivery(delivery).span_id().to_owned(),
            name: "receipt",
            kind: Kind::Internal,
            lap,
            attributes: for_receiver(subscription, event, delivery),
            fault: None,
        });
    }
}

fn wanted(event: &Event) -> Option<Context> {
    if !is_on() {
        return None;
    }
    Context::of(event).filter(|context| is_wanted(context.trace_id()))
}

fn for_receiver(subscription: &SubscriptionId, event: &Event, delivery: &DeliveryId) -> Vec<(&'static str, Attribute)> {
    let mut attributes = of(event);
    attributes.push(("civilhub.subscription", Attribute::Text(Value::subscription(subscription).text)));
    attributes.extend(id("civilhub.delivery_id", delivery.as_str()));
    attributes
}

/// What may be told of a record: its derived id. An event over the bus may say anything, so its form is checked.
fn of(event: &Event) -> Vec<(&'static str, Attribute)> {
    id("civilhub.event_id", event.id.as_str()).into_iter().collect()
}

fn id(name: &'static str, text: &str) -> Option<(&'static str, Attribute)> {
    let derived = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    derived.then(|| (name, Attribute::Text(text.to_owned())))
}
