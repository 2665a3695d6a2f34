//! The bus: one suite against both backends, then what only a broker can suffer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use civilhub::{
    bus::{
        Bus, Confirm, Consumer, Message, Queue, Received, Route, Settle, Tag, Topology,
        embedded::EmbeddedBus,
        rabbit::{RabbitBus, RabbitOptions},
    },
    envelope::{PartitionKey, SubscriptionId},
};
use tempfile::TempDir;

use crate::support::{broker::Broker, logs, unique};

mod crash;
mod faults;
mod network;
mod shared;

/// Long enough for anything that is coming.
const WAIT: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_millis(500);
const PARTITIONS: u16 = 4;

/// A bus of one test, with `PARTITIONS` partitions and the subscription `lake`.
struct Fixture {
    bus: Arc<dyn Bus>,
    _dir: Option<TempDir>,
}

impl Fixture {
    async fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(dir.path()).unwrap();
        Self::declared(bus, Some(dir)).await
    }

    async fn rabbit() -> Self {
        let bus = RabbitBus::connect(options(&Broker::shared().await)).await.unwrap();
        Self::declared(bus, None).await
    }

    async fn declared(bus: Arc<dyn Bus>, dir: Option<TempDir>) -> Self {
        bus.declare(&topology()).await.unwrap();
        bus.declare(&topology()).await.unwrap();
        Self { bus, _dir: dir }
    }
}

/// Short limits, so that a test of a failure is short too.
fn options(url: &str) -> RabbitOptions {
    logs();
    RabbitOptions {
        prefix: format!("{}.", unique("test")),
        confirm_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        heartbeat: Duration::from_secs(5),
        ..RabbitOptions::new(url)
    }
}

fn topology() -> Topology {
    Topology { partitions: PARTITIONS, subscriptions: vec![lake()] }
}

fn lake() -> SubscriptionId {
    SubscriptionId::from("lake")
}

fn lake_queue() -> Queue {
    Queue::Deliver(lake())
}

/// Numbered messages of 1 KiB for the subscription `lake`.
fn deliveries(numbers: std::ops::Range<u32>) -> Vec<Message> {
    let body = Bytes::from(vec![b'x'; 1_024]);
    numbers.map(|number| Message { route: Route::Deliver(lake()), id: number.to_string(), body: body.clone() }).collect()
}

/// Numbered messages of one partition key.
fn records(key: &str, numbers: std::ops::Range<u32>) -> Vec<Message> {
    let route = |_| Route::Records { topic: "person.220102.upsert".into(), key: PartitionKey::from(key) };
    numbers
        .map(|number| Message { route: route(number), id: format!("{key}:{number}"), body: Bytes::from_static(b"{}") })
        .collect()
}

async fn publish_all(bus: &dyn Bus, batch: Vec<Message>) {
    let confirms = bus.publish(batch).await;
    assert!(confirms.iter().all(|confirm| *confirm == Confirm::Stored), "{confirms:?}");
}

/// Receives until `count` messages are there or nothing more comes.
async fn receive(consumer: &mut dyn Consumer, count: usize) -> Vec<Received> {
    let mut all = Vec::new();
    while all.len() < count {
        let some = consumer.next(count - all.len(), WAIT).await.unwrap();
        if some.is_empty() {
            break;
        }
        all.extend(some);
    }
    all
}

fn ids(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| message.id.as_str()).collect()
}

fn settle_as(received: &[Received], verdict: Settle) -> Vec<(Tag, Settle)> {
    received.iter().map(|message| (message.tag, verdict)).collect()
}
