//! Tests of what only the embedded bus has; the shared behaviour is tested in `tests/it/bus.rs` on both backends.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::{
    bus::{Route, Settle, Tag},
    envelope::SubscriptionId,
};

const WAIT: Duration = Duration::from_secs(5);
const NOW: Duration = Duration::ZERO;

fn lake() -> SubscriptionId {
    SubscriptionId::from("lake")
}

fn queue() -> Queue {
    Queue::Deliver(lake())
}

async fn open(dir: &Path) -> Arc<EmbeddedBus> {
    let bus = EmbeddedBus::open(dir).unwrap();
    bus.declare(&Topology { partitions: 4, subscriptions: vec![lake()] }).await.unwrap();
    bus
}

fn messages(from: u64, count: u64, size: usize) -> Vec<Message> {
    let body = Bytes::from(vec![b'x'; size]);
    (from..from + count).map(|n| Message { route: Route::Deliver(lake()), id: n.to_string(), body: body.clone() }).collect()
}

fn acks(received: &[crate::bus::Received]) -> Vec<(Tag, Settle)> {
    received.iter().map(|message| (message.tag, Settle::Ack)).collect()
}

#[tokio::test]
async fn a_second_opening_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    let error = EmbeddedBus::open(dir.path()).err().unwrap();
    assert!(matches!(&error, Error::Storage(reason) if reason.contains("another process has it open")), "{error}");
    bus.close().await;
    open(dir.path()).await;
}

#[tokio::test]
async fn a_clean_end_flags_only_what_was_out() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    bus.publish(messages(0, 10, 10)).await;
    let mut consumer = bus.consume(&queue(), 100).await.unwrap();
    let received = consumer.next(4, WAIT).await.unwrap();
    consumer.settle(&acks(&received[..1])).await.unwrap();
    bus.close().await;
    assert!(matches!(consumer.next(1, NOW).await, Err(Error::Storage(_))), "a closed bus says so");

    let bus = open(dir.path()).await;
    let mut consumer = bus.consume(&queue(), 100).await.unwrap();
    let again: Vec<_> = consumer.next(100, WAIT).await.unwrap().into_iter().map(|m| (m.id, m.redelivered)).collect();
    let expected: Vec<_> = (1..10).map(|n| (n.to_string(), n < 4)).collect();
    assert_eq!(again, expected);
}

#[tokio::test]
async fn the_ends_of_a_lease_need_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    bus.publish(messages(0, 2, 10)).await;
    let mut first = bus.consume(&queue(), 10).await.unwrap();
    let mut second = bus.consume(&queue(), 10).await.unwrap();
    let held = first.next(2, WAIT).await.unwrap();
    second.settle(&acks(&held)).await.unwrap();
    first.settle(&acks(&held[..1])).await.unwrap();
    first.settle(&acks(&held[..1])).await.unwrap();
    assert_eq!(bus.depth(&queue()).await.unwrap(), Depth { ready: 0, unsettled: 1 });
}

#[tokio::test]
async fn dead_letters_tell_where_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    bus.publish(messages(0, 1, 10)).await;
    let mut consumer = bus.consume(&queue(), 10).await.unwrap();
    let received = consumer.next(1, WAIT).await.unwrap();
    // Named twice in one call: still one dead letter.
    consumer.settle(&[(received[0].tag, Settle::Dead), (received[0].tag, Settle::Dead)]).await.unwrap();
    let dead = bus.peek(&Queue::Dead, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].id.as_str(), dead[0].origin.as_deref()), ("0", Some("deliver.lake")));
    assert_eq!(bus.depth(&queue()).await.unwrap(), Depth::default());
    assert_eq!(bus.depth(&Queue::Dead).await.unwrap(), Depth { ready: 1, unsettled: 0 });
}

#[tokio::test]
async fn an_answer_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    bus.publish(messages(0, 12, 1 << 20)).await;
    let mut consumer = bus.consume(&queue(), 100).await.unwrap();
    assert_eq!(consumer.next(100, WAIT).await.unwrap().len(), 4);
    assert_eq!(consumer.next(100, WAIT).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_waiting_consumer_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    let mut consumer = bus.consume(&queue(), 10).await.unwrap();
    let waiting = tokio::spawn(async move { consumer.next(10, WAIT).await.unwrap().len() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    bus.publish(messages(0, 1, 10)).await;
    assert_eq!(waiting.await.unwrap(), 1);
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// Not a benchmark: it guards against a design that is slower by an order of magnitude (polling, a sync per message, a
/// scan over what was deleted).
#[tokio::test(flavor = "multi_thread")]
async fn batches_move_fast() {
    const COUNT: u64 = 20_480;
    let dir = tempfile::tempdir().unwrap();
    let bus = open(dir.path()).await;
    let started = Instant::now();
    for batch in 0..COUNT / 512 {
        assert!(bus.publish(messages(batch * 512, 512, 1_024)).await.iter().all(|confirm| *confirm == Confirm::Stored));
    }
    let published = started.elapsed();
    let mut consumer = bus.consume(&queue(), 1_024).await.unwrap();
    let started = Instant::now();
    let mut seen = 0;
    while seen < COUNT {
        let received = consumer.next(512, WAIT).await.unwrap();
        seen += received.len() as u64;
        consumer.settle(&acks(&received)).await.unwrap();
    }
    let consumed = started.elapsed();
    println!("published {COUNT} in {published:?}, consumed in {consumed:?}");
    assert!(published < Duration::from_secs(10) && consumed < Duration::from_secs(10), "{published:?} {consumed:?}");
}
