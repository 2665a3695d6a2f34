//! The production bus: RabbitMQ by `lapin`.
//!
//! Two connections: one publishes, one consumes and declares. A broker short of memory stops reading from connections
//! that publish; acks on the same connection would be stuck with them, and the memory would never be freed.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lapin::{options::QueueDeclareOptions, types::FieldTable};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Bus, Confirm, Consumer, Depth, Error, Message, Queue, Topology};

mod consumer;
pub mod health;
mod link;
mod publish;
pub mod tap;
mod topology;

use self::{
    consumer::RabbitConsumer,
    link::{Dial, Link, Live, Restore, limited},
    topology::Names,
};

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct RabbitOptions {
    /// `amqp://user:password@host:port/vhost` or `amqps://…`; the vhost `/` is written `%2f`. The nodes of a cluster are
    /// written `host1:port,host2:port`: the first that answers is used.
    pub url: SecretString,
    /// Starts the name of every exchange and queue, so that tenants and tests on one broker do not meet.
    pub prefix: String,
    /// Longest wait for the confirms of a batch.
    pub confirm_timeout: Duration,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for any other answer.
    pub call_timeout: Duration,
    /// A connection without a sign of life for twice as long is lost. Whole seconds.
    pub heartbeat: Duration,
}

impl RabbitOptions {
    /// The defaults for a broker at this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            prefix: String::new(),
            confirm_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
        }
    }
}

/// A bus on a RabbitMQ broker. Connects again by itself for as long as it lives.
pub struct RabbitBus {
    options: RabbitOptions,
    names: Names,
    publishing: Link,
    consuming: Link,
    restore: Restore,
    turn: AtomicUsize,
    /// What consumers of this process hold, by queue.
    unsettled: Mutex<Vec<(String, Weak<AtomicU64>)>>,
    stop: CancellationToken,
    supervisors: TaskTracker,
    /// Consumers that say goodbye to the broker.
    closing: TaskTracker,
    /// One repair at a time.
    repairing: Arc<AtomicBool>,
}

impl RabbitBus {
    /// Connects; fails when the broker does not answer in time or refuses the user or the vhost.
    pub async fn connect(options: RabbitOptions) -> Result<Arc<Self>, Error> {
        // The parser's message may quote the URL, and with it the password.
        let mut nodes = link::nodes(options.url.expose_secret())
            .map_err(|_| Error::Refused("the URL is not of the form `amqp://user:password@host:port/vhost`".to_owned()))?;
        for node in &mut nodes {
            node.query.heartbeat = Some(u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1));
        }
        let names = Names::new(&options.prefix);
        let restore = Restore { names: names.clone(), topology: Arc::default() };
        let (stop, supervisors) = (CancellationToken::new(), TaskTracker::new());
        let start = |name: &str, restore: Option<Restore>| {
            let dial = Dial {
                nodes: nodes.clone(),
                name: format!("civilhub {name}"),
                connect_limit: options.connect_timeout,
                call_limit: options.call_timeout,
            };
            let (link, supervisor) = Link::start(dial, restore, stop.clone());
            supervisors.spawn(supervisor);
            link
        };
        let bus = Self {
            publishing: start("publish", None),
            consuming: start("consume", Some(restore.clone())),
            options,
            names,
            restore,
            turn: AtomicUsize::new(0),
            unsettled: Mutex::default(),
            stop,
            supervisors,
            closing: TaskTracker::new(),
            repairing: Arc::default(),
        };
        bus.publishing.live(bus.within(bus.options.connect_timeout)).await?;
        bus.consuming.live(bus.within(bus.options.connect_timeout)).await?;
        Ok(Arc::new(bus))
    }

    fn within(&self, limit: Duration) -> Instant {
        Instant::now() + limit
    }

    /// A connection for anything but publishing.
    async fn link(&self) -> Result<Arc<Live>, Error> {
        self.consuming.live(self.within(self.options.connect_timeout)).await
    }

    /// Nothing is sent while the broker is blocked: it would only pile up here, once more with every retry.
    async fn wait_unblocked(live: &Live, deadline: Instant) -> bool {
        let mut blocked = live.blocked.clone();
        matches!(timeout_at(deadline, blocked.wait_for(|blocked| !blocked)).await, Ok(Ok(_)))
    }

    async fn publish_once(&self, batch: &[Message], deadline: Instant) -> Vec<Confirm> {
        let all = |confirm: Confirm| vec![confirm; batch.len()];
        let Ok(live) = self.publishing.live(deadline).await else { return all(Confirm::Closed) };
        if !Self::wait_unblocked(&live, deadline).await {
            return all(Confirm::TimedOut);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let publishing = match timeout_at(deadline, live.publishing(turn)).await {
            Ok(Ok(publishing)) => publishing,
            Ok(Err(_)) => return all(Confirm::Closed),
            Err(_) => return all(Confirm::TimedOut),
        };
        let Some(channel) = publishing.channel() else { return all(Confirm::Closed) };
        let confirms = publish::publish(channel, &self.names, batch, deadline).await;
        // After a time-out answers may still come for this channel, and nobody waits for them any more. And a channel that was
        // opened while a queue had lost its leader may refuse everything for that queue for as long as the old leader's node is
        // away (RabbitMQ 3.10 asks that node first): a new channel knows the new leader.
        if confirms.iter().any(|confirm| matches!(confirm, Confirm::TimedOut | Confirm::Nacked)) {
            publishing.forget();
        }
        confirms
    }

    /// A returned message means that someone has removed a queue or a binding: put it back for the next try.
    fn repair(&self) {
        if self.repairing.swap(true, Ordering::Relaxed) {
            return;
        }
        let (restore, consuming, repairing) = (self.restore.clone(), self.consuming.clone(), Arc::clone(&self.repairing));
        let deadline = self.within(self.options.connect_timeout);
        self.supervisors.spawn(async move {
            let repaired = match consuming.live(deadline).await {
                Ok(live) => restore.declare(&live).await,
                Err(error) => Err(error),
            };
            repairing.store(false, Ordering::Relaxed);
            match repaired {
                Ok(()) => tracing::warn!("messages had no queue to go to; the queues are declared again"),
                Err(error) => tracing::warn!(%error, "messages had no queue to go to, and the queues could not be declared"),
            }
        });
    }

    fn count_for(&self, queue: &str) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let mut counts = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|(_, count)| count.strong_count() > 0);
        counts.push((queue.to_owned(), Arc::downgrade(&count)));
        count
    }

    fn unsettled_of(&self, queue: &str) -> u64 {
        let counts = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        let of_queue = counts.iter().filter(|(name, _)| name == queue);
        of_queue.filter_map(|(_, count)| count.upgrade()).map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[async_trait]
impl Bus for RabbitBus {
    async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        {
            let mut known = self.restore.topology.lock().unwrap_or_else(PoisonError::into_inner);
            known.partitions = known.partitions.max(topology.partitions);
            for subscription in &topology.subscriptions {
                if !known.subscriptions.contains(subscription) {
                    known.subscriptions.push(subscription.clone());
                }
            }
        }
        let live = self.link().await?;
        let channel = live.channel().await?;
        self.names.declare(&channel, topology, self.options.call_timeout).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm> {
        if batch.is_empty() {
            return Vec::new();
        }
        let confirms = self.publish_once(&batch, self.within(self.options.confirm_timeout)).await;
        if confirms.contains(&Confirm::Returned) {
            self.repair();
        }
        confirms
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let name = self.names.queue(queue);
        let channel = self.link().await?.channel().await?;
        let count = self.count_for(&name);
        let (limit, closing) = (self.options.call_timeout, self.closing.clone());
        Ok(Box::new(RabbitConsumer::start(channel, &name, prefetch, limit, count, closing).await?))
    }

    /// `unsettled` counts what consumers of this process hold: the protocol does not tell about others.
    async fn depth(&self, queue: &Queue) -> Result<Depth, Error> {
        let name = self.names.queue(queue);
        let channel = self.link().await?.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared =
            limited(self.options.call_timeout, channel.queue_declare(name.as_str().into(), passive, FieldTable::default())).await;
        match declared {
            Ok(queue) => Ok(Depth { ready: u64::from(queue.message_count()), unsettled: self.unsettled_of(&name) }),
            Err(Error::Refused(reason)) if reason.starts_with("NOT_FOUND") => Ok(Depth::default()),
            Err(error) => Err(error),
        }
    }

    async fn close(&self) {
        self.closing.close();
        let _ = timeout(self.options.call_timeout, self.closing.wait()).await;
        self.stop.cancel();
        self.supervisors.close();
        if timeout(self.options.call_timeout * 2, self.supervisors.wait()).await.is_err() {
            tracing::warn!("the broker did not say goodbye in time");
        }
    }
}

impl Drop for RabbitBus {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
