//! The bus: durable queues with publisher confirms, in batches. Two backends, one trait, one test suite.
//!
//! Only [`Confirm::Stored`] is success. A nack, a returned message, a time-out and a closed channel are failures
//! and the caller publishes again; ids are derived, so a repeat does no harm.
//!
//! Two kinds of queue: the partitions `records.<n>`, chosen by the hash of the partition key and consumed by one
//! active consumer each, and one `deliver.<subscription>` per receiver, addressed by name. A partition of its own,
//! `records.priority`, has what must not wait behind bulk loads ([`HURRIED`]).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    envelope::{PartitionKey, SubscriptionId},
    error::{Code, Fault},
};

pub mod embedded;
pub mod rabbit;
pub mod send;
pub mod watched;

/// The partition of records that overtake all others.
pub const PRIORITY: u16 = u16::MAX;
/// Datasets whose records go there, all of them: the order of a key holds.
const HURRIED: [&str; 1] = ["disaster-report."];

/// The bus could not be reached, or did not answer in time.
pub const UNREACHABLE: Code = Code::new(7001);
/// The broker refused what was asked (permission, precondition, unknown queue).
pub const REFUSED: Code = Code::new(7002);
/// The folder of the embedded bus could not be read or written.
pub const STORAGE: Code = Code::new(7003);

/// Why a call on the bus failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in our own time limit, or the channel closed. Try again.
    #[error("{UNREACHABLE}: the bus is not reachable: {0}")]
    Unreachable(String),
    /// The broker refused; trying again does not help.
    #[error("{REFUSED}: the bus refused: {0}")]
    Refused(String),
    /// The embedded bus could not use its folder.
    #[error("{STORAGE}: the embedded bus could not use its folder: {0}")]
    Storage(String),
}

impl Error {
    pub fn fault(&self) -> Fault {
        let (code, hint) = match self {
            Self::Unreachable(_) => (UNREACHABLE, "check `bus.url` and that the broker runs"),
            Self::Refused(_) => (REFUSED, "check the user's permissions on the vhost"),
            Self::Storage(_) => (STORAGE, "check space and permissions of the data folder; one process may use it at a time"),
        };
        Fault::new(code, self.to_string()).hint(hint)
    }
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To the partition `records.<n>` of this key; `topic` is the routing key `<dataset>.<county>.<op>`.
    Records { topic: String, key: PartitionKey },
    /// To `deliver.<subscription>`.
    Deliver(SubscriptionId),
}

impl Route {
    /// Whether the record overtakes the others.
    pub fn is_priority(&self) -> bool {
        matches!(self, Self::Records { topic, .. } if HURRIED.iter().any(|dataset| topic.starts_with(dataset)))
    }
}

/// One persistent message. `body` is a structured-mode CloudEvent.
#[derive(Debug, Clone)]
pub struct Message {
    pub route: Route,
    /// Event or delivery id; becomes the message id, carries no personal data.
    pub id: String,
    pub body: Bytes,
}

/// What became of one published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirm {
    /// The broker has it durably, in at least one queue.
    Stored,
    /// No queue is bound for it.
    Returned,
    /// The broker said no.
    Nacked,
    /// No answer within our own time limit.
    TimedOut,
    /// The connection or channel went away before the answer came.
    Closed,
}

impl Confirm {
    /// The kind of failure, for metrics; `None` for the only success.
    pub fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Stored => None,
            Self::Returned => Some("returned"),
            Self::Nacked => Some("nacked"),
            Self::TimedOut => Some("timed_out"),
            Self::Closed => Some("closed"),
        }
    }
}

/// One queue of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Queue {
    Records(u16),
    Deliver(SubscriptionId),
    /// Where [`Settle::Dead`] puts messages.
    Dead,
}

impl Queue {
    /// The partitions of a bus that has so many, and the one of what is urgent.
    pub fn records(partitions: u16) -> impl Iterator<Item = Self> {
        (0..partitions).chain([PRIORITY]).map(Self::Records)
    }

    /// `records.<n>`, `records.priority`, `deliver.<subscription>` or `dead`.
    pub fn name(&self) -> String {
        match self {
            Self::Records(PRIORITY) => "records.priority".to_owned(),
            Self::Records(partition) => format!("records.{partition}"),
            Self::Deliver(subscription) => format!("deliver.{subscription}"),
            Self::Dead => "dead".to_owned(),
        }
    }

    /// The queue of that name.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "dead" {
            return Some(Self::Dead);
        }
        match name.split_once('.')? {
            ("records", "priority") => Some(Self::Records(PRIORITY)),
            ("records", partition) => partition.parse().ok().map(Self::Records),
            ("deliver", subscription) if !subscription.is_empty() => Some(Self::Deliver(subscription.into())),
            _ => None,
        }
    }
}

/// The queues that must exist.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// Number of `records.<n>` partitions.
    pub partitions: u16,
    pub subscriptions: Vec<SubscriptionId>,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting.
    pub ready: u64,
    /// Handed out, not yet settled.
    pub unsettled: u64,
}

/// Identifies a received message until it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// One received message.
#[derive(Debug, Clone)]
pub struct Received {
    pub tag: Tag,
    pub id: String,
    pub body: Bytes,
    /// It was handed out before and not settled: a consumer died or gave it back.
    pub redelivered: bool,
}

/// How a received message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Done; forget it.
    Ack,
    /// Give it back; it comes again, flagged as redelivered, before younger messages of the queue.
    Requeue,
    /// To the dead-letter queue `dead`.
    Dead,
}

/// The bus. Cheap to share behind an `Arc`; reconnects by itself.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Creates what is missing; may be repeated.
    async fn declare(&self, topology: &Topology) -> Result<(), Error>;

    /// Publishes a batch with pipelined confirms. The answer has one entry per message, in order, and never
    /// takes longer than the backend's own time limit.
    async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm>;

    /// Starts consuming. At most `prefetch` messages are out at a time. On `records.<n>` and `deliver.<subscription>` one
    /// consumer is active, the next takes over when it is dropped or dies.
    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, Error>;

    /// How full the queue is; zero for an unknown queue.
    async fn depth(&self, queue: &Queue) -> Result<Depth, Error>;

    /// Settles what is buffered and disconnects.
    async fn close(&self);
}

/// A running consumer of one queue; dropping it gives back what is not settled.
#[async_trait]
pub trait Consumer: Send {
    /// Up to `max` messages in queue order: waits up to `wait` for the first, then takes what is there.
    /// An empty answer means that nothing came. [`Error::Unreachable`] means that the consumer is gone: make a new one.
    async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error>;

    /// Settles messages; a contiguous run of acks is one frame. Acks are flushed when this returns.
    async fn settle(&mut self, verdicts: &[(Tag, Settle)]) -> Result<(), Error>;
}
