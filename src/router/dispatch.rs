//! Govern and dispatch: one copy for each receiver, with only the fields of its agreement.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use time::Date;

use super::{Fate, Item, NO_AGREEMENT};
use crate::{
    bus::{Message, Route, send::Ordered},
    envelope::{DeliveryId, Event, SubscriptionId},
    error::Fault,
    govern::{Agreements, Outgoing},
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

/// Decides the receivers of every open record.
pub(crate) fn dispatch(items: &mut [Item], agreements: &Agreements, today: Date) {
    for item in items.iter_mut().filter(|item| matches!(item.fate, Fate::Open)) {
        let copies: Vec<Copy> = agreements.outgoing(&item.event, today).into_iter().map(|outgoing| copy(&item.event, outgoing)).collect();
        item.fate = if copies.is_empty() {
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

fn copy(event: &Event, outgoing: Outgoing) -> Copy {
    let id = DeliveryId::derive(&event.id, &outgoing.subscription);
    let copy = Event {
        deliveryid: Some(id.clone()),
        subscription: Some(outgoing.subscription.clone()),
        purpose: Some(outgoing.purpose.clone()),
        data: outgoing.data,
        ..without_data(event)
    };
    let mut hasher = FxHasher::default();
    (outgoing.subscription.as_str(), event.partitionkey.as_str()).hash(&mut hasher);
    Copy {
        message: Message { route: Route::Deliver(outgoing.subscription.clone()), id: id.as_str().to_owned(), body: copy.to_bytes().into() },
        order: hasher.finish(),
        subscription: outgoing.subscription,
        agreement: outgoing.agreement,
        purpose: outgoing.purpose,
    }
}

/// The attributes alone: the data of a copy are built up from the agreement, never stripped down.
fn without_data(event: &Event) -> Event {
    Event {
        specversion: event.specversion,
        id: event.id.clone(),
        source: event.source.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        dataschema: event.dataschema.clone(),
        datacontenttype: event.datacontenttype.clone(),
        division: event.division.clone(),
        sequence: event.sequence,
        partitionkey: event.partitionkey.clone(),
        contenthash: event.contenthash.clone(),
        occurrence: event.occurrence.clone(),
        bookdate: event.bookdate.clone(),
        purpose: None,
        authorization: event.authorization.clone(),
        traceparent: event.traceparent.clone(),
        deliveryid: None,
        subscription: None,
        data: crate::envelope::Data { record: serde_json::Value::Null, quality: Vec::new() },
    }
}
