//! What the metrics tell of a routed batch.

use super::{Fate, Item};
use crate::telemetry::{
    export::{self, Lap},
    record,
};

/// Counts the fates of a batch. Called when they are committed, so that a batch that is tried again counts once.
pub(super) fn routed(items: &[Item]) {
    record::routed(items.iter().map(|item| (item.event.system(), word(&item.fate))));
}

/// The same for the collector of traces.
pub(super) fn traced(items: &[Item], lap: Lap) {
    for item in items {
        let fault = match &item.fate {
            Fate::Rejected(faults) => faults.first().map(|fault| fault.code),
            Fate::Parked(fault) => Some(fault.code),
            _ => None,
        };
        export::routed(&item.event, word(&item.fate), fault, lap);
    }
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Open => "open",
        Fate::Seen => "seen",
        Fate::Duplicate { .. } => "duplicate",
        Fate::Superseded => "superseded",
        Fate::Dispatched(_) => "dispatched",
        Fate::Rejected(_) => "rejected",
        Fate::Parked(_) => "parked",
    }
}
