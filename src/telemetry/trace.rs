//! Trace contexts after W3C Trace Context (<https://www.w3.org/TR/trace-context/>): made when a batch is read, carried on
//! the event across the bus, given to receivers as the header `traceparent`.
//!
//! A batch is one trace. Its id is derived from the first record's occurrence, the span ids from the occurrence and from the
//! delivery id: a batch that is published again after a crash has the same contexts, so its deliveries are equal byte for
//! byte. A row that is read again within another batch (the overlap of a watermark) may carry another trace, under the same
//! event id.

use sha2::{Digest, Sha256};

use crate::envelope::{DeliveryId, Event};

/// Name of the header.
pub const HEADER: &str = "traceparent";

/// Version 00, and the flag that the trace is recorded.
const VERSION: &str = "00";
const SAMPLED: &str = "01";

/// One valid `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(String);

impl Context {
    /// Reads a `traceparent` strictly: what came over the bus goes into headers and logs.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts.as_slice() else { return None };
        let good = *version == VERSION && id(trace, 32) && id(span, 16) && hex(flags, 2);
        good.then(|| Self(text.to_owned()))
    }

    /// The context that an event carries, if it is a valid one.
    pub fn of(event: &Event) -> Option<Self> {
        event.traceparent.as_deref().and_then(Self::parse)
    }

    /// 32 hex digits, the same for a whole batch.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// 16 hex digits.
    pub fn span_id(&self) -> &str {
        self.0.get(36..52).unwrap_or_default()
    }

    /// As sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same trace at a delivery: the span id is the first half of the delivery id, by which `civilhub trace` finds it.
    pub fn at_delivery(&self, delivery: &DeliveryId) -> Self {
        let own = delivery.as_str().get(..16).filter(|half| id(half, 16));
        let span = own.map_or_else(|| derive("delivery", delivery.as_str(), 8), str::to_owned);
        Self(format!("{VERSION}-{}-{span}-{SAMPLED}", self.trace_id()))
    }
}

/// Gives every event of a batch its context.
pub fn stamp(batch: &mut [Event]) {
    let Some(first) = batch.first() else { return };
    let trace = derive("trace", first.occurrence.as_str(), 16);
    for event in batch {
        let span = derive("record", event.occurrence.as_str(), 8);
        event.traceparent = Some(format!("{VERSION}-{trace}-{span}-{SAMPLED}"));
    }
}

/// Sets the context on the copy for one receiver. An invalid one is dropped: it would reach a header of a partner.
pub fn hand_on(copy: &mut Event, delivery: &DeliveryId) {
    copy.traceparent = Context::of(copy).map(|context| context.at_delivery(delivery).0);
}

/// Hashed, so that a receiver of one record does not see the occurrence of another.
pub(super) fn derive(what: &str, from: &str, bytes: usize) -> String {
    let hash = Sha256::new().chain_update(what).chain_update("\n").chain_update(from).finalize();
    crate::envelope::id::unlike_numbers(&hash[..bytes])
}

/// Lower-case hex digits, not all zero.
fn id(text: &str, digits: usize) -> bool {
    hex(text, digits) && text.bytes().any(|byte| byte != b'0')
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{SubscriptionId, event::stand_in};

    fn batch() -> Vec<Event> {
        ["a", "b", "c"].iter().map(|body| stand_in(body.as_bytes())).collect()
    }

    #[test]
    fn a_batch_is_one_trace_and_a_repeat_is_equal() {
        let (mut first, mut again) = (batch(), batch());
        stamp(&mut first);
        stamp(&mut again);
        let contexts: Vec<Context> = first.iter().filter_map(Context::of).collect();
        assert_eq!(contexts.len(), 3, "all are valid");
        assert!(contexts.iter().all(|context| context.trace_id() == contexts[0].trace_id()));
        assert_ne!(contexts[0], contexts[1]);
        let parents = |events: &[Event]| events.iter().map(|event| event.traceparent.clone()).collect::<Vec<_>>();
        assert_eq!(parents(&first), parents(&again));
        // More rows at the end of the batch, as after a crash, change nothing for the first ones.
        let mut longer = batch();
        longer.push(stand_in(b"d"));
        stamp(&mut longer);
        assert_eq!(parents(&longer)[..3], parents(&first));
        stamp(&mut []);
    }

    #[test]
    fn a_delivery_keeps_the_trace_and_points_to_itself() {
        let mut event = batch().remove(0);
        stamp(std::slice::from_mut(&mut event));
        let trace = Context::of(&event).unwrap().trace_id().to_owned();
        let delivery = DeliveryId::derive(&event.occurrence, &SubscriptionId::from("bank"));
        hand_on(&mut event, &delivery);
        assert_eq!(event.traceparent, Some(format!("00-{trace}-{}-01", &delivery.as_str()[..16])));
    }

    #[test]
    fn what_is_no_context_goes_no_further() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            Context::parse(good).map(|context| context.trace_id().to_owned()).as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
            "00-220171197001010053-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(bad), None, "{bad}");
            let mut event = batch().remove(0);
            event.traceparent = Some(bad.to_owned());
            hand_on(&mut event, &DeliveryId::from("d"));
            assert_eq!(event.traceparent, None, "{bad}");
        }
    }
}
