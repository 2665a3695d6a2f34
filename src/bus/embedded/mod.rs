//! The embedded bus: durable queues on `fjall`, in this process, with the semantics of the production bus.
//!
//! One thread writes and shares each sync among all who wait for it ([`writer`]); consumers read ranges of the disk
//! ([`consumer`]) and keep only what is handed out in memory ([`queue`]). A process that dies loses nothing that was
//! confirmed: what was handed out and not settled comes again, flagged as redelivered.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, mpsc},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Bus, Confirm, Consumer, Depth, Error, Message, Queue, Topology};

mod consumer;
mod core;
mod layout;
mod queue;
mod registry;
mod storage;
mod writer;

use self::{
    consumer::EmbeddedConsumer,
    core::{Core, TIME_LIMIT},
    registry::Registry,
    storage::Storage,
    writer::{DEAD, Request, Writer},
};

/// A bus in a folder. One process may use the folder at a time.
pub struct EmbeddedBus {
    core: Arc<Core>,
}

/// A message shown without being handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    pub id: String,
    /// For a dead letter the queue it comes from.
    pub origin: Option<String>,
    pub body: Bytes,
}

impl EmbeddedBus {
    /// Opens the folder, made if missing, and starts the writer thread.
    ///
    /// Blocks for as long as recovery takes: call it while starting, not from a busy task.
    /// Fails with [`Error::Storage`] when the folder cannot be used or another process has it open.
    pub fn open(dir: &Path) -> Result<Arc<Self>, Error> {
        let storage = Storage::open(dir)?;
        let registry = Arc::new(Registry::default());
        registry.set_partitions(storage.partitions()?);
        let mut records = HashMap::new();
        for (name, record) in storage.queues()? {
            records.insert(record.id, record);
            registry.add(name.clone(), Arc::new(queue::Queue::new(name, &record)));
        }
        let (requests, inbox) = mpsc::channel();
        let writer = Writer::new(storage.clone(), Arc::clone(&registry), records);
        std::thread::Builder::new()
            .name("bus-writer".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| Error::Storage(error.to_string()))?;
        Ok(Arc::new(Self { core: Arc::new(Core::new(registry, requests, storage)) }))
    }

    /// The oldest messages of a queue, handed out or not; nothing changes. For tools that look.
    pub async fn peek(&self, queue: &Queue, limit: usize) -> Result<Vec<Peeked>, Error> {
        let Some(queue) = self.core.registry.queue(&queue.name()) else { return Ok(Vec::new()) };
        let (from, to) = {
            let state = queue.state();
            (state.low(), state.tail)
        };
        let messages = self.core.read(move |storage| storage.range(queue.id, from, to, limit, PEEK_BYTES)).await?;
        Ok(messages
            .into_iter()
            .map(|(_, message)| Peeked {
                id: message.id,
                origin: Some(message.origin).filter(|origin| !origin.is_empty()),
                body: message.body,
            })
            .collect())
    }
}

/// One look shows no more than this.
const PEEK_BYTES: usize = 16 << 20;

#[async_trait]
impl Bus for EmbeddedBus {
    async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        let records = Queue::records(topology.partitions);
        let deliver = topology.subscriptions.iter().cloned().map(Queue::Deliver);
        let names = records.chain(deliver).map(|queue| queue.name()).chain([DEAD.to_owned()]).collect();
        let partitions = topology.partitions;
        self.core.ask(|reply| Request::Declare { names, partitions, reply }).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm> {
        let mut confirms = Vec::with_capacity(batch.len());
        let mut entries = Vec::with_capacity(batch.len());
        for message in batch {
            let queue = self.core.registry.route(&message.route);
            match (queue, layout::encode_message(&message.id, "", &message.body)) {
                (None, _) => confirms.push(Confirm::Returned),
                (_, None) => confirms.push(Confirm::Nacked),
                (Some(queue), Some(stored)) => {
                    confirms.push(Confirm::Stored);
                    entries.push((queue, stored));
                }
            }
        }
        if entries.is_empty() {
            return confirms;
        }
        let verdict = self.write(entries).await;
        for confirm in confirms.iter_mut().filter(|confirm| **confirm == Confirm::Stored) {
            *confirm = verdict.clone();
        }
        confirms
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        self.core.registry.check()?;
        let name = queue.name();
        let queue = self.core.registry.queue(&name).ok_or_else(|| Error::Refused(format!("queue `{name}` is not declared")))?;
        Ok(Box::new(EmbeddedConsumer::new(Arc::clone(&self.core), queue, prefetch)))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, Error> {
        self.core.registry.check()?;
        Ok(self.core.registry.queue(&queue.name()).map(|queue| queue.depth()).unwrap_or_default())
    }

    async fn close(&self) {
        if tokio::time::timeout(TIME_LIMIT, self.core.shut()).await.is_err() {
            tracing::warn!("the embedded bus did not close in time");
        }
    }
}

impl EmbeddedBus {
    /// What became of all these messages: they share one commit, so they share one answer.
    async fn write(&self, entries: Vec<(Arc<queue::Queue>, Vec<u8>)>) -> Confirm {
        let bytes = entries.iter().map(|(_, body)| body.len()).sum();
        let Some(permit) = self.core.admit(bytes).await else { return Confirm::TimedOut };
        match self.core.ask(|reply| Request::Publish { entries, permit, reply }).await {
            Ok(()) => Confirm::Stored,
            Err(error) => {
                tracing::warn!(%error, "a batch was not stored");
                Confirm::Nacked
            }
        }
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        // Ends the writer even while a forgotten consumer lives; `close` waits for it, a drop does not.
        drop(self.core.shut());
    }
}

#[cfg(test)]
mod tests;
