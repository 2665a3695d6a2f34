//! The envelope of every record: CloudEvents 1.0 in structured mode, the same on every bus, in webhooks and in files.

pub mod disposition;
pub mod event;
pub mod id;

pub use disposition::Disposition;
pub use event::{Data, Event, Op, Quality, QualityLevel};
pub use id::{
    ContentHash, Dataset, DeliveryId, EventId, Occurrence, PartitionKey, PersonKey, SubscriptionId, System, unlike_numbers,
};
