//! Publishing until the bus has everything, without changing the order within a key.

use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio_util::sync::CancellationToken;

use super::{Bus, Confirm, Message};
use crate::telemetry::stage::{Stage, Step};

/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A message and the key within which its order matters.
#[derive(Debug, Clone)]
pub struct Ordered {
    pub message: Message,
    pub order: u64,
}

/// Publishes all messages; repeats what was not confirmed, and what followed it in its key, until everything is stored.
///
/// Returns `false` when cancelled before that: the caller must then treat nothing of the batch as published.
pub async fn publish_all(bus: &dyn Bus, batch: Vec<Ordered>, cancel: &CancellationToken) -> bool {
    Step::new(Stage::Publish).records(batch.len()).run(until_stored(bus, batch, cancel)).await
}

async fn until_stored(bus: &dyn Bus, batch: Vec<Ordered>, cancel: &CancellationToken) -> bool {
    let mut pause = PAUSE.0;
    let mut left = batch;
    loop {
        let confirms = bus.publish(left.iter().map(|ordered| ordered.message.clone()).collect()).await;
        left = unconfirmed(left, &confirms);
        if left.is_empty() {
            return true;
        }
        tracing::warn!(records = left.len(), pause_ms = pause.as_millis() as u64, "the bus has not confirmed part of a batch, publishing it again");
        tokio::select! {
            () = cancel.cancelled() => return false,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

/// What must be sent again: every message without a positive confirm, and the later ones of the same key.
fn unconfirmed(batch: Vec<Ordered>, confirms: &[Confirm]) -> Vec<Ordered> {
    let mut broken = FxHashSet::default();
    let mut left = Vec::new();
    for (index, ordered) in batch.into_iter().enumerate() {
        let stored = confirms.get(index) == Some(&Confirm::Stored);
        if !stored || broken.contains(&ordered.order) {
            broken.insert(ordered.order);
            left.push(ordered);
        }
    }
    left
}
