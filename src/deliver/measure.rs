//! What the metrics tell of a receiver.

use super::{
    Delivery, Outcome,
    lane::{Lane, circuit::State},
};
use crate::telemetry::{
    export::{self, Lap},
    record,
};

/// Notes the outcomes of one call, and how the circuit stands after it.
pub(super) fn offered(lane: &Lane, outcomes: &[Outcome]) {
    record::deliveries(lane.subscription(), outcomes.iter().map(word));
    circuit(lane);
}

/// The same for the collector of traces; a delivery that is offered again is told of when it has ended.
pub(super) fn traced(lane: &Lane, deliveries: &[Delivery], outcomes: &[Outcome], lap: Lap) {
    for (delivery, outcome) in deliveries.iter().zip(outcomes) {
        let fault = match outcome {
            Outcome::Delivered { .. } => None,
            Outcome::Refused(fault) => Some(fault.code),
            Outcome::Unavailable { .. } => continue,
        };
        export::delivered(lane.subscription(), &delivery.event, &delivery.id, fault, lap);
    }
}

/// Notes how the circuit stands.
pub(super) fn circuit(lane: &Lane) {
    let state = match lane.state() {
        State::Closed => 0,
        State::HalfOpen => 1,
        State::Open { .. } => 2,
    };
    record::circuit(lane.subscription(), state);
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Refused(_) => "refused",
        Outcome::Unavailable { .. } => "unavailable",
    }
}
