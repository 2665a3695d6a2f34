//! Govern and dispatch: one copy for each receiver, with only the fields of its agreement.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashSet, FxHasher};
use time::Date;

use super::{Fate, Item, NO_AGREEMENT, fence::behind};
use crate::{
    bus::{Message, Route, send::Ordered},
    envelope::{PartitionKey, SubscriptionId},
    error::Fault,
    govern::{Agreements, Outgoing},
    telemetry::trace,
};

/// One copy of a record on its way to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub subscription: SubscriptionId,
    pub agreement: String,
    pub purpose: String,
    message: Message,
    order: u64,
}

/// Decides the receivers of every open record. One without a receiver holds back the rest of its key, in this batch as in
/// the next.
pub(crate) fn dispatch(items: &mut [Item], agreements: &Agreements, today: Date) {
    let mut held: FxHashSet<PartitionKey> = FxHashSet::default();
    for item in items.iter_mut().filter(|item| matches!(item.fate, Fate::Open)) {
        if held.contains(&item.event.partitionkey) {
            item.fate = behind();
            continue;
        }
        let copies: Vec<Copy> = agreements.outgoing(&item.event, today).into_iter().map(copy).collect();
        item.fate = if copies.is_empty() {
            held.insert(item.event.partitionkey.clone());
            let fault = Fault::new(NO_AGREEMENT, format!("no agreement in force covers `{}`", item.event.dataset()));
            Fate::Parked(fault.hint("add one under config/partners, then `civilhub dead replay`"))
        } else {
            Fate::Dispatched(copies)
        };
    }
}

/// The messages of all dispatched records, in order.
pub(crate) fn messages(items: &[Item]) -> Vec<Ordered> {
    let mut messages = Vec::new();
    for item in items {
        if let Fate::Dispatched(copies) = &item.fate {
            messages.extend(copies.iter().map(|copy| Ordered { message: copy.message.clone(), order: copy.order }));
        }
    }
    messages
}

fn copy(mut outgoing: Outgoing) -> Copy {
    trace::hand_on(&mut outgoing.event, &outgoing.delivery);
    let mut hasher = FxHasher::default();
    (outgoing.subscription.as_str(), outgoing.event.partitionkey.as_str()).hash(&mut hasher);
    let route = Route::Deliver(outgoing.subscription.clone());
    Copy {
        message: Message { route, id: outgoing.delivery.as_str().to_owned(), body: outgoing.event.to_bytes().into() },
        order: hasher.finish(),
        subscription: outgoing.subscription,
        agreement: outgoing.agreement,
        purpose: outgoing.purpose,
    }
}
