//! What the metrics tell of a receiver.

use super::{
    Outcome,
    lane::{Lane, circuit::State},
};
use crate::telemetry::record;

/// Notes the outcomes of one call, and how the circuit stands after it.
pub(super) fn offered(lane: &Lane, outcomes: &[Outcome]) {
    record::deliveries(lane.subscription(), outcomes.iter().map(word));
    circuit(lane);
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
