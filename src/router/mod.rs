//! The router: validate -> fence -> reconcile -> govern -> dispatch, in batches, one partition per task.
//!
//! The order within a batch keeps the guarantees: person keys are committed first, then the deliveries are published and
//! their confirms awaited, then fence, counts and ledger are committed in one transaction, then the bus is acked. A death
//! between any two steps repeats work but not effects: ids are derived, and every effect is refused the second time.

pub mod check;
mod commit;
mod dispatch;
mod fence;
mod measure;
mod partition;
mod reconcile;
mod supervise;

pub use fence::object_of;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{
    attempt::probe::Child,
    bus::Bus,
    cases,
    config::keys::Keys,
    dead::hold::Held,
    domain::keyed_hash::KeyedHash,
    envelope::{Disposition, Event},
    error::{Code, Fault},
    govern::Agreements,
    identity::PersonIndex,
    schema::SchemaRegistry,
    store::Store,
};

/// A message on the bus is not a CloudEvent of the hub.
pub const NOT_AN_EVENT: Code = Code::new(5301);
/// No agreement in force covers the record: it is set aside, not lost.
pub const NO_AGREEMENT: Code = Code::new(5303);
/// An earlier record of the same key is set aside: this one waits behind it.
pub const BEHIND: Code = Code::new(5304);

/// Everything that the router works with; shared by its partitions.
pub struct Router {
    pub bus: Arc<dyn Bus>,
    pub store: Store,
    pub registry: Arc<SchemaRegistry>,
    pub agreements: Arc<Agreements>,
    pub index: Arc<dyn PersonIndex>,
    pub keys: Keys,
    /// Keyed hash of identity numbers, for joins without the number.
    pub hash: KeyedHash,
    pub child: Option<Child>,
    pub batch: usize,
    pub linger: std::time::Duration,
    pub prefetch: u16,
}

impl Router {
    /// Consumes `records.<n>` until cancelled; a broken consumer is made anew.
    pub async fn run(self: Arc<Self>, partition: u16, cancel: CancellationToken) {
        partition::run(self, partition, cancel).await;
    }
}

/// What the router decided about one record.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// Not decided yet.
    Open,
    /// Counted before: a repeat of the bus or of a publisher that did not hear the confirm.
    Seen,
    /// The same as the last word of its object; `later` if with a higher sequence.
    Duplicate {
        later: bool,
    },
    Superseded,
    Dispatched(Vec<dispatch::Copy>),
    Rejected(Vec<Fault>),
    Parked(Fault),
}

/// One record on its way through a batch.
pub(crate) struct Item {
    pub event: Event,
    /// As it came, for the dead letters.
    pub body: bytes::Bytes,
    pub fate: Fate,
    pub persons: Vec<String>,
    /// The letter that it was, if it was set aside before and is on its way again.
    pub letter: Option<Held>,
    /// The state its case is in now.
    pub state: Option<String>,
    /// Its object had a last word before this one.
    pub renews: bool,
    /// What the watch over cases found.
    pub flags: Vec<cases::Flag>,
}

impl Item {
    fn new(event: Event, body: &bytes::Bytes, fate: Fate) -> Self {
        Self { event, body: body.clone(), fate, persons: Vec::new(), letter: None, state: None, renews: false, flags: Vec::new() }
    }
}

impl Fate {
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Open => Disposition::Retry,
            Self::Seen | Self::Duplicate { .. } | Self::Superseded | Self::Dispatched(_) => Disposition::Accept,
            Self::Rejected(faults) => Disposition::Reject(faults.clone()),
            Self::Parked(fault) => Disposition::Park(fault.clone()),
        }
    }
}
