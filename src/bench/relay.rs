//! The bare relay: the same library, the same two hops and confirms, the same payload, no processing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::meter::{Measure, Meter};
use crate::bus::{
    Bus, Error, Message, Queue, Route, Settle,
    send::{Ordered, publish_all},
};

const BATCH: usize = 512;
const WAIT: Duration = Duration::from_millis(200);

/// Moves `records` messages of the payload over `records.<n>` and `deliver.<subscription>` and measures it.
pub async fn run(
    bus: Arc<dyn Bus>,
    partitions: u16,
    subscription: &str,
    payload: Bytes,
    records: u64,
    prefetch: u16,
) -> Result<Measure, Error> {
    let cancel = CancellationToken::new();
    let meter = Meter::start();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(produce(Arc::clone(&bus), payload, records, cancel.clone()));
    for partition in 0..partitions {
        tasks.spawn(forward(Arc::clone(&bus), partition, subscription.to_owned(), prefetch, cancel.clone()));
    }
    let mut consumer = bus.consume(&Queue::Deliver(subscription.into()), prefetch).await?;
    let mut received = 0;
    while received < records {
        let batch = consumer.next(BATCH, WAIT).await?;
        received += batch.len() as u64;
        let acks: Vec<_> = batch.iter().map(|message| (message.tag, Settle::Ack)).collect();
        consumer.settle(&acks).await?;
    }
    let measure = meter.stop(records);
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(measure)
}

async fn produce(bus: Arc<dyn Bus>, payload: Bytes, records: u64, cancel: CancellationToken) {
    let mut next = 0;
    while next < records {
        let end = (next + BATCH as u64).min(records);
        let message = |n: u64| Message {
            route: Route::Records { topic: "bench.220000.upsert".to_owned(), key: format!("{n}").into() },
            id: format!("r{n}"),
            body: payload.clone(),
        };
        let batch = (next..end).map(|n| Ordered { message: message(n), order: n }).collect();
        if !publish_all(bus.as_ref(), batch, &cancel).await {
            return;
        }
        next = end;
    }
}

async fn forward(bus: Arc<dyn Bus>, partition: u16, subscription: String, prefetch: u16, cancel: CancellationToken) {
    let Ok(mut consumer) = bus.consume(&Queue::Records(partition), prefetch).await else { return };
    while !cancel.is_cancelled() {
        let Ok(batch) = consumer.next(BATCH, WAIT).await else { return };
        let message = |id: &str, body: &Bytes| Message {
            route: Route::Deliver(subscription.as_str().into()),
            id: id.to_owned(),
            body: body.clone(),
        };
        let onward = batch
            .iter()
            .enumerate()
            .map(|(n, received)| Ordered { message: message(&received.id, &received.body), order: n as u64 })
            .collect();
        if !publish_all(bus.as_ref(), onward, &cancel).await {
            return;
        }
        let acks: Vec<_> = batch.iter().map(|received| (received.tag, Settle::Ack)).collect();
        if consumer.settle(&acks).await.is_err() {
            return;
        }
    }
}
