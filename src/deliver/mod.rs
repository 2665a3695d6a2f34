//! Delivery: one queue, one rate limit and one circuit per receiver; attempt, retry, park or dead-letter.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    envelope::{DeliveryId, Event},
    error::{Code, Fault},
};

pub mod guard;
pub mod lake;
pub mod lane;
pub mod mailbox;
mod measure;
pub mod signing;
pub mod webhook;
pub mod worker;

/// A message of a deliver queue is not a delivery of the hub.
pub const NOT_A_DELIVERY: Code = Code::new(6501);
/// An earlier delivery of the same key is parked for this receiver: this one waits behind it.
pub const BEHIND: Code = Code::new(6502);

/// One event for one receiver: fields outside the agreement are already gone.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: Event,
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it; the receipt is its own word for it (HTTP status, Delta version, mailbox cursor).
    Delivered { receipt: String },
    /// This one is refused as it is: its key is parked, others flow.
    Refused(Fault),
    /// The receiver as a whole cannot take anything now: pause the subscription, then send the same again.
    Unavailable { fault: Fault, retry_after: Option<Duration> },
}

/// A receiver. Seeing the same delivery id twice must have one effect.
#[async_trait]
pub trait Target: Send + Sync {
    /// Delivers in order; one outcome per delivery, in order. Never takes longer than its own time limit.
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome>;

    /// The most deliveries that one call takes.
    fn batch_size(&self) -> usize {
        512
    }
}
