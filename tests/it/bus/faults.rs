//! A broker that dies, freezes, runs out of memory or loses a binding, with traffic on it all the time.
//! Nothing that was confirmed is lost, and everything flows again by itself.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use civilhub::bus::{Bus, Confirm, Queue, Settle, rabbit::RabbitBus};
use lapin::types::FieldTable;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{deliveries, lake_queue, options, publish_all, records, settle_as, topology};
use crate::support::{broker::Broker, eventually};

/// A broker that is well again must carry messages within this time.
const RECOVERY: Duration = Duration::from_secs(30);

/// A publisher and a consumer that never give up.
pub(super) struct Traffic {
    bus: Arc<RabbitBus>,
    confirmed: Arc<Mutex<BTreeSet<u32>>>,
    seen: Arc<Mutex<BTreeSet<u32>>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(super) async fn start(bus: Arc<RabbitBus>) -> Self {
        bus.declare(&topology()).await.unwrap();
        let (confirmed, seen, stop) = (Arc::default(), Arc::default(), CancellationToken::new());
        let publisher = tokio::spawn(publish(Arc::clone(&bus), Arc::clone(&confirmed), stop.clone()));
        let consumer = tokio::spawn(consume(Arc::clone(&bus), Arc::clone(&seen), stop.clone()));
        let traffic = Self { bus, confirmed, seen, stop, tasks: vec![publisher, consumer] };
        traffic.flows().await;
        traffic
    }

    fn counts(&self) -> (usize, usize) {
        (self.confirmed.lock().unwrap().len(), self.seen.lock().unwrap().len())
    }

    /// Waits until something new is both confirmed and consumed.
    pub(super) async fn flows(&self) {
        let (confirmed, seen) = self.counts();
        let started = Instant::now();
        eventually(RECOVERY, "traffic flows", async || {
            let now = self.counts();
            now.0 > confirmed + 50 && now.1 > seen + 50
        })
        .await;
        println!("flows after {:?}", started.elapsed());
    }

    /// Stops publishing, consumes the rest, and checks that what was confirmed has arrived.
    pub(super) async fn finish(self) {
        let all_seen = async || self.confirmed.lock().unwrap().is_subset(&self.seen.lock().unwrap());
        self.tasks[0].abort();
        eventually(RECOVERY, "all that was confirmed has arrived", all_seen).await;
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        println!("{} confirmed, {} seen", self.confirmed.lock().unwrap().len(), self.seen.lock().unwrap().len());
        self.bus.close().await;
    }
}

async fn publish(bus: Arc<RabbitBus>, confirmed: Arc<Mutex<BTreeSet<u32>>>, stop: CancellationToken) {
    let limit = options("amqp://").confirm_timeout + Duration::from_secs(3);
    for batch in 0.. {
        let numbers = batch * 20..batch * 20 + 20;
        loop {
            let started = Instant::now();
            let confirms = bus.publish(deliveries(numbers.clone())).await;
            assert!(started.elapsed() < limit, "publish took {:?}", started.elapsed());
            let stored = numbers.clone().zip(&confirms).filter(|(_, confirm)| **confirm == Confirm::Stored);
            confirmed.lock().unwrap().extend(stored.map(|(number, _)| number));
            if confirms.iter().all(|confirm| *confirm == Confirm::Stored) {
                break;
            }
            tracing::debug!(first = ?confirms[0], "not confirmed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if stop.is_cancelled() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn consume(bus: Arc<RabbitBus>, seen: Arc<Mutex<BTreeSet<u32>>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let Ok(mut consumer) = bus.consume(&lake_queue(), 100).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while let Ok(received) = consumer.next(100, Duration::from_millis(200)).await {
            seen.lock().unwrap().extend(received.iter().map(|message| message.id.parse::<u32>().unwrap()));
            if consumer.settle(&settle_as(&received, Settle::Ack)).await.is_err() || stop.is_cancelled() {
                break;
            }
        }
    }
}

async fn connect(broker: &Broker) -> Arc<RabbitBus> {
    RabbitBus::connect(options(broker.url())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_comes_back_with_everything() {
    let broker = Broker::private().await;
    let traffic = Traffic::start(connect(&broker).await).await;
    // Records wait in a queue that nobody consumes.
    publish_all(&*traffic.bus, records("case:1", 0..100)).await;
    // RabbitMQ writes the directory of its quorum queues late: one killed right after a queue was declared loses the queue.
    tokio::time::sleep(Duration::from_secs(3)).await;
    broker.kill().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.start().await;
    traffic.flows().await;
    let mut waiting = 0;
    for partition in 0..super::PARTITIONS {
        waiting += traffic.bus.depth(&Queue::Records(partition)).await.unwrap().ready;
    }
    assert_eq!(waiting, 100);
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_holds_nobody_for_ever() {
    let broker = Broker::private().await;
    let traffic = Traffic::start(connect(&broker).await).await;
    broker.freeze().await;
    let long = std::env::var_os("CIVILHUB_LONG").is_some();
    tokio::time::sleep(Duration::from_secs(if long { 60 } else { 15 })).await;
    broker.thaw().await;
    traffic.flows().await;
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_stops_publishers_and_no_one_else() {
    let broker = Broker::private().await;
    let traffic = Traffic::start(connect(&broker).await).await;
    let connections = async || {
        let mut list: Vec<String> = broker.ctl(&["list_connections", "pid"]).await.lines().map(str::to_owned).collect();
        list.sort();
        list
    };
    let before = connections().await;
    assert!(before.len() >= 2, "{before:?}");

    broker.alarm(true).await;
    eventually(RECOVERY, "publishing times out", async || traffic.bus.publish(deliveries(0..1)).await == [Confirm::TimedOut])
        .await;
    // Consuming and declaring go on.
    traffic.bus.declare(&topology()).await.unwrap();
    eventually(RECOVERY, "the queue runs empty", async || traffic.bus.depth(&lake_queue()).await.unwrap().ready == 0).await;
    assert_eq!(connections().await, before, "no connection was torn down");

    broker.alarm(false).await;
    traffic.flows().await;
    assert_eq!(connections().await, before, "no connection was torn down");
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_binding_is_reported_and_put_back() {
    let url = Broker::shared().await;
    let options = options(&url);
    let prefix = options.prefix.clone();
    let bus = RabbitBus::connect(options).await.unwrap();
    bus.declare(&topology()).await.unwrap();
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let vandal = connection.create_channel().await.unwrap();

    let (queue, exchange) = (format!("{prefix}deliver.lake"), format!("{prefix}deliver"));
    vandal.queue_unbind(queue.into(), exchange.into(), "lake".into(), FieldTable::default()).await.unwrap();
    assert_eq!(bus.publish(deliveries(0..2)).await, [Confirm::Returned, Confirm::Returned]);
    eventually(RECOVERY, "the binding is back", async || bus.publish(deliveries(0..1)).await == [Confirm::Stored]).await;

    let (from, to) = (format!("{prefix}records"), format!("{prefix}partitions"));
    let unbind = lapin::options::ExchangeUnbindOptions::default();
    vandal.exchange_unbind(to.into(), from.into(), "#".into(), unbind, FieldTable::default()).await.unwrap();
    assert_eq!(bus.publish(records("case:1", 0..1)).await, [Confirm::Returned]);
    eventually(RECOVERY, "the binding is back", async || bus.publish(records("case:1", 0..1)).await == [Confirm::Stored]).await;
    bus.close().await;
}

/// Half of each batch has a queue and half has none, and several batches are on their way at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_returned_is_told_from_its_neighbours() {
    let url = Broker::shared().await;
    let options = options(&url);
    let prefix = options.prefix.clone();
    let bus = RabbitBus::connect(options).await.unwrap();
    bus.declare(&topology()).await.unwrap();
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let vandal = connection.create_channel().await.unwrap();
    let (mut stored, mut returned) = (BTreeSet::new(), 0);
    for round in 0..10_u32 {
        let (queue, exchange) = (format!("{prefix}deliver.lake"), format!("{prefix}deliver"));
        vandal.queue_unbind(queue.into(), exchange.into(), "lake".into(), FieldTable::default()).await.unwrap();
        let publish = async |turn: u32| {
            let first = (round * 4 + turn) * 50;
            let pairs = records(&format!("case:{turn}"), first..first + 50).into_iter().zip(deliveries(first..first + 50));
            let batch: Vec<_> = pairs.flat_map(|(record, delivery)| [record, delivery]).collect();
            let ids: Vec<String> = batch.iter().map(|message| message.id.clone()).collect();
            (ids, bus.publish(batch).await)
        };
        let (a, b, c, d) = tokio::join!(publish(0), publish(1), publish(2), publish(3));
        for (ids, confirms) in [a, b, c, d] {
            returned += confirms.iter().filter(|confirm| **confirm == Confirm::Returned).count();
            let confirmed = ids.into_iter().zip(confirms).filter(|(_, confirm)| *confirm == Confirm::Stored);
            stored.extend(confirmed.map(|(id, _)| id).filter(|id| !id.contains(':')));
        }
        let bound = async || bus.publish(deliveries(1_000_000..1_000_001)).await == [Confirm::Stored];
        eventually(RECOVERY, "the binding is back", bound).await;
    }
    assert!(returned > 100, "nothing was returned");
    let mut there = BTreeSet::new();
    let mut consumer = bus.consume(&lake_queue(), 1_000).await.unwrap();
    loop {
        let received = consumer.next(1_000, Duration::from_secs(1)).await.unwrap();
        if received.is_empty() {
            break;
        }
        there.extend(received.iter().map(|message| message.id.clone()));
        consumer.settle(&settle_as(&received, Settle::Ack)).await.unwrap();
    }
    let lost: Vec<_> = stored.difference(&there).collect();
    assert!(lost.is_empty(), "{} of {} confirmed messages are in no queue", lost.len(), stored.len());
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_without_showing_them() {
    let url = Broker::shared().await.replace("guest:guest", "guest:s3cr3t");
    let error = RabbitBus::connect(options(&url)).await.err().unwrap();
    assert_eq!(error.fault().code, civilhub::bus::REFUSED, "{error}");
    assert!(!error.fault().to_string().contains("s3cr3t"));
    let error = RabbitBus::connect(options("amqp//guest:s3cr3t")).await.err().unwrap();
    assert!(matches!(&error, civilhub::bus::Error::Refused(_)) && !error.to_string().contains("s3cr3t"), "{error}");
}
