//! The exchanges and queues on the broker.
//!
//! ```text
//! <prefix>records (topic) -#-> <prefix>partitions (x-consistent-hash over `partitionkey`) -10-> <prefix>records.<n>
//! <prefix>deliver (direct) -<subscription>-> <prefix>deliver.<subscription>
//! <prefix>deliver (direct) -records.priority-> <prefix>records.priority
//! every queue, on reject or too many deliveries -> <prefix>dead (fanout) -> <prefix>dead
//! ```
//!
//! The topic exchange is there for others who want to listen; the hash exchange picks one partition per key. Adding or
//! removing partitions moves keys: let the queues run empty first, or the order of a moved key is lost for a moment.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::link::limited;
use crate::bus::{Error, PRIORITY, Queue, Topology};

/// Deliveries after which the broker gives a message up. Practically never: the hub's own attempt counter finds what kills
/// it, while the broker counts every message that lay in a prefetch buffer when a hub ended. A low limit would take
/// innocent messages away from a hub that is started often while a receiver is away. It is set all the same, because newer
/// brokers have a low one by default.
const DELIVERY_LIMIT: i32 = 1_000_000;
/// Header that the hash exchange reads.
pub(super) const PARTITION_HEADER: &str = "partitionkey";
/// Share of the hash ring per partition.
const WEIGHT: &str = "10";

/// Routing key of what overtakes bulk loads; no receiver has such a name.
pub(super) const PRIORITY_KEY: &str = "records.priority";

/// All names carry a prefix, so that tenants and tests on one broker do not meet.
#[derive(Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn queue(&self, queue: &Queue) -> String {
        format!("{}{}", self.prefix, queue.name())
    }

    pub(super) fn records(&self) -> String {
        format!("{}records", self.prefix)
    }

    pub(super) fn deliver(&self) -> String {
        format!("{}deliver", self.prefix)
    }

    fn partitions(&self) -> String {
        format!("{}partitions", self.prefix)
    }

    fn dead(&self) -> String {
        format!("{}dead", self.prefix)
    }

    /// Declares everything; `limit` holds for each request.
    pub(super) async fn declare(&self, channel: &Channel, topology: &Topology, limit: Duration) -> Result<(), Error> {
        let declare = Declare { channel, limit };
        declare.exchange(&self.dead(), ExchangeKind::Fanout, FieldTable::default()).await?;
        declare.queue(&self.dead(), quorum()).await?;
        declare.bind(&self.dead(), &self.dead(), "").await?;

        let mut hash = FieldTable::default();
        hash.insert("hash-header".into(), AMQPValue::LongString(PARTITION_HEADER.into()));
        declare.exchange(&self.records(), ExchangeKind::Topic, FieldTable::default()).await?;
        declare.exchange(&self.partitions(), ExchangeKind::Custom("x-consistent-hash".into()), hash).await?;
        declare.join(&self.records(), &self.partitions()).await?;
        for partition in 0..topology.partitions {
            let name = self.queue(&Queue::Records(partition));
            declare.queue(&name, self.work()).await?;
            declare.bind(&name, &self.partitions(), WEIGHT).await?;
        }

        declare.exchange(&self.deliver(), ExchangeKind::Direct, FieldTable::default()).await?;
        if topology.partitions > 0 {
            let name = self.queue(&Queue::Records(PRIORITY));
            declare.queue(&name, self.work()).await?;
            declare.bind(&name, &self.deliver(), PRIORITY_KEY).await?;
        }
        for subscription in &topology.subscriptions {
            let name = self.queue(&Queue::Deliver(subscription.clone()));
            declare.queue(&name, self.work()).await?;
            declare.bind(&name, &self.deliver(), subscription.as_str()).await?;
        }
        Ok(())
    }

    /// Arguments of a queue that work is taken from. Dead letters move only once the dead-letter queue has confirmed
    /// them, which the broker offers with `reject-publish` alone.
    fn work(&self) -> FieldTable {
        let mut arguments = quorum();
        for (name, value) in [
            ("x-dead-letter-exchange", self.dead().as_str()),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ] {
            arguments.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
        // Order per citizen or case holds for receivers too: one process at a time serves a partition or a receiver.
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// One request after the other, each with its time limit.
struct Declare<'a> {
    channel: &'a Channel,
    limit: Duration,
}

impl Declare<'_> {
    async fn exchange(&self, name: &str, kind: ExchangeKind, arguments: FieldTable) -> Result<(), Error> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        limited(self.limit, self.channel.exchange_declare(name.into(), kind, options, arguments)).await
    }

    async fn queue(&self, name: &str, arguments: FieldTable) -> Result<(), Error> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        limited(self.limit, self.channel.queue_declare(name.into(), options, arguments)).await.map(drop)
    }

    async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        let options = QueueBindOptions::default();
        limited(self.limit, self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()))
            .await
    }

    async fn join(&self, from: &str, to: &str) -> Result<(), Error> {
        let options = ExchangeBindOptions::default();
        limited(self.limit, self.channel.exchange_bind(to.into(), from.into(), "#".into(), options, FieldTable::default())).await
    }
}
