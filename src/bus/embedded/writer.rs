//! The one thread that writes. Requests that arrive while it waits for the disk share the next commit and its sync.
//!
//! Publishing and dead-lettering are synced to disk before they are answered. Acks only reach the operating system:
//! what a power cut takes of them comes again, flagged as redelivered. The journal keeps their order, so a commit is
//! never there without the ones before it.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
};

use fjall::{OwnedWriteBatch as WriteBatch, PersistMode};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    layout::{self, PARTITIONS_KEY, QueueRecord},
    queue::Queue,
    registry::Registry,
    storage::{self, Storage},
};

/// A commit takes no more requests after this many bytes of bodies.
const COMMIT_BYTES: usize = 8 << 20;
/// Name of the queue of dead letters.
pub(super) const DEAD: &str = "dead";

/// Tells the requester that the commit is done, or why not.
pub(super) type Reply = oneshot::Sender<Result<(), String>>;

/// What the writer is asked.
pub(super) enum Request {
    Declare {
        names: Vec<String>,
        partitions: u16,
        reply: Reply,
    },
    /// Stored forms of messages, each with its queue; the permit gives back its share of memory when they are written.
    Publish {
        entries: Vec<(Arc<Queue>, Vec<u8>)>,
        permit: OwnedSemaphorePermit,
        reply: Reply,
    },
    Settle {
        queue: Arc<Queue>,
        consumer: u64,
        acks: Vec<u64>,
        dead: Vec<u64>,
        reply: Reply,
    },
    /// Messages below `upto` are about to be handed out.
    HandOut {
        queue: Arc<Queue>,
        upto: u64,
        reply: Reply,
    },
    Close {
        reply: Reply,
    },
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish { entries, .. } => entries.iter().map(|(_, body)| body.len()).sum(),
            _ => 0,
        }
    }
}

/// The state of the writer thread.
pub(super) struct Writer {
    storage: Storage,
    registry: Arc<Registry>,
    records: HashMap<u32, QueueRecord>,
    /// Queue records to write with the commit that is being collected.
    touched: HashMap<u32, Arc<Queue>>,
}

impl Writer {
    pub(super) fn new(storage: Storage, registry: Arc<Registry>, records: HashMap<u32, QueueRecord>) -> Self {
        Self { storage, registry, records, touched: HashMap::new() }
    }

    /// Serves until asked to close, or until nobody is left to ask.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut group = vec![first];
            let mut bytes = group[0].bytes();
            while bytes < COMMIT_BYTES
                && let Ok(next) = requests.try_recv()
            {
                bytes += next.bytes();
                group.push(next);
            }
            if let Some(closed) = self.serve(group) {
                self.mark_exactly();
                self.registry.fail("it is closed");
                // The folder must be free before the answer, so that it can be opened again.
                drop(self);
                let _ = closed.send(Ok(()));
                return;
            }
        }
        self.mark_exactly();
    }

    /// One commit for the whole group; the answer is the requester who asked to close.
    fn serve(&mut self, group: Vec<Request>) -> Option<Reply> {
        let mut batch = self.storage.database.batch();
        let mut durable = false;
        let mut replies = Vec::with_capacity(group.len());
        let mut permits = Vec::new();
        let mut closing = None;
        for request in group {
            let staged = match request {
                Request::Declare { names, partitions, reply } => {
                    durable = true;
                    replies.push(reply);
                    self.declare(&mut batch, names, partitions)
                }
                Request::Publish { entries, permit, reply } => {
                    durable = true;
                    permits.push(permit);
                    replies.push(reply);
                    self.append(&mut batch, entries);
                    Ok(())
                }
                Request::Settle { queue, consumer, acks, dead, reply } => {
                    durable |= !dead.is_empty();
                    replies.push(reply);
                    self.settle(&mut batch, &queue, consumer, acks, dead)
                }
                Request::HandOut { queue, upto, reply } => {
                    durable = true;
                    replies.push(reply);
                    self.record(&queue).handed_out = upto;
                    Ok(())
                }
                Request::Close { reply } => {
                    closing = Some(reply);
                    Ok(())
                }
            };
            if let Err(reason) = staged {
                return self.give_up(replies, closing, &reason);
            }
        }
        match self.commit(batch, durable) {
            Ok(()) => replies.into_iter().for_each(|reply| drop(reply.send(Ok(())))),
            Err(reason) => return self.give_up(replies, closing, &reason),
        }
        closing
    }

    /// After a failed write nothing on disk is certain: the bus refuses everything until the folder is opened again.
    fn give_up(&self, replies: Vec<Reply>, closing: Option<Reply>, reason: &str) -> Option<Reply> {
        tracing::error!(reason, "the embedded bus stops: a write failed");
        self.registry.fail(reason);
        replies.into_iter().for_each(|reply| drop(reply.send(Err(reason.to_owned()))));
        closing
    }

    fn declare(&mut self, batch: &mut WriteBatch, names: Vec<String>, partitions: u16) -> Result<(), String> {
        for name in names {
            if self.registry.queue(&name).is_some() {
                continue;
            }
            let id = self.records.keys().max().map_or(1, |last| last + 1);
            let record = QueueRecord { id, ..QueueRecord::default() };
            self.records.insert(id, record);
            let queue = Arc::new(Queue::new(name.clone(), &record));
            self.touched.insert(id, Arc::clone(&queue));
            self.registry.add(name, queue);
        }
        if partitions > self.registry.partitions() {
            batch.insert(&self.storage.messages, PARTITIONS_KEY, partitions.to_be_bytes().as_slice());
            self.registry.set_partitions(partitions);
        }
        Ok(())
    }

    fn append(&mut self, batch: &mut WriteBatch, entries: Vec<(Arc<Queue>, Vec<u8>)>) {
        for (queue, stored) in entries {
            let record = self.record(&queue);
            let key = layout::message_key(record.id, record.next);
            record.next += 1;
            record.count += 1;
            batch.insert(&self.storage.messages, key.as_slice(), stored);
        }
    }

    fn settle(
        &mut self,
        batch: &mut WriteBatch,
        queue: &Arc<Queue>,
        consumer: u64,
        acks: Vec<u64>,
        dead: Vec<u64>,
    ) -> Result<(), String> {
        // A consumer that was dropped meanwhile has lost its leases: its late verdict counts for nothing, and the message repeats.
        let mut ended = Vec::with_capacity(acks.len() + dead.len());
        for sequence in dead {
            if queue.state().end(sequence, consumer) {
                self.bury(batch, queue, sequence)?;
                ended.push(sequence);
            }
        }
        let mut state = queue.state();
        ended.extend(acks.into_iter().filter(|sequence| state.end(*sequence, consumer)));
        let low = state.low();
        drop(state);
        let record = self.record(queue);
        record.low = low;
        record.count = record.count.saturating_sub(ended.len() as u64);
        let id = record.id;
        for sequence in ended {
            batch.remove(&self.storage.messages, layout::message_key(id, sequence).as_slice());
        }
        Ok(())
    }

    /// Copies a message to the dead letters, in the same commit that removes it from its queue.
    fn bury(&mut self, batch: &mut WriteBatch, queue: &Queue, sequence: u64) -> Result<(), String> {
        let message = self.storage.message(queue.id, sequence).map_err(|error| error.to_string())?;
        let Some(message) = message else { return Ok(()) };
        let stored = layout::encode_message(&message.id, &queue.name, &message.body);
        if let (Some(stored), Some(dead)) = (stored, self.registry.queue(DEAD)) {
            self.append(batch, vec![(dead, stored)]);
        }
        Ok(())
    }

    fn commit(&mut self, mut batch: WriteBatch, durable: bool) -> Result<(), String> {
        for id in self.touched.keys() {
            let (Some(record), Some(queue)) = (self.records.get(id), self.touched.get(id)) else { continue };
            batch.insert(&self.storage.messages, layout::queue_key(&queue.name), record.encode().as_slice());
        }
        let mode = if durable { PersistMode::SyncData } else { PersistMode::Buffer };
        batch.durability(Some(mode)).commit().map_err(|error| storage::explain(&error))?;
        for (id, queue) in self.touched.drain() {
            let Some(record) = self.records.get(&id) else { continue };
            let mut state = queue.state();
            state.tail = record.next;
            state.count = record.count;
            state.handed_out = record.handed_out;
            drop(state);
            queue.bell.notify_waiters();
        }
        Ok(())
    }

    /// On a clean end only what was really handed out is marked so.
    fn mark_exactly(&mut self) {
        for queue in self.registry.all() {
            let state = queue.state();
            let (low, handed_out) = (state.low(), state.cursor.max(state.suspect_below));
            drop(state);
            let record = self.record(&queue);
            (record.low, record.handed_out) = (low, handed_out.min(record.next));
        }
        let batch = self.storage.database.batch();
        if let Err(reason) = self.commit(batch, true) {
            tracing::warn!(
                reason,
                "the last marks of the embedded bus could not be written; some messages will be flagged as redelivered"
            );
        }
    }

    /// The record of a queue, to be written with this commit.
    fn record(&mut self, queue: &Arc<Queue>) -> &mut QueueRecord {
        self.touched.entry(queue.id).or_insert_with(|| Arc::clone(queue));
        self.records.entry(queue.id).or_insert_with(|| QueueRecord { id: queue.id, ..QueueRecord::default() })
    }
}
