//! A consumer of one queue of the embedded bus.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use super::{
    core::Core,
    layout::Stored,
    queue::{Plan, Queue},
    writer::Request,
};
use crate::bus::{Consumer, Error, Received, Settle, Tag};

/// One answer holds no more after this many bytes of bodies.
const ANSWER_BYTES: usize = 4 << 20;
/// How far ahead the mark of what is handed out is set: one sync per so many messages.
const MARK_AHEAD: u64 = 8_192;

/// Dropping it gives back what it holds.
pub(super) struct EmbeddedConsumer {
    core: Arc<Core>,
    queue: Arc<Queue>,
    id: u64,
    prefetch: usize,
}

impl EmbeddedConsumer {
    pub(super) fn new(core: Arc<Core>, queue: Arc<Queue>, prefetch: u16) -> Self {
        let id = core.next_consumer();
        queue.join(id);
        Self { core, queue, id, prefetch: usize::from(prefetch.max(1)) }
    }

    /// What can be had without waiting.
    async fn take(&self, max: usize) -> Result<Vec<Received>, Error> {
        let _reading = self.queue.reading.lock().await;
        let plan = self.queue.plan(self.id, max, self.prefetch);
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let handed_out = plan.handed_out;
        let messages = self.read(plan).await?;
        let upto = messages.iter().map(|(sequence, _)| sequence + 1).max().unwrap_or_default();
        if upto > handed_out {
            self.core.ask(|reply| Request::HandOut { queue: Arc::clone(&self.queue), upto: upto + MARK_AHEAD, reply }).await?;
        }
        // From here on there is no await: whoever drops this future before has nothing leased.
        let mut state = self.queue.state();
        let received = messages.into_iter().map(|(sequence, message)| {
            let redelivered = state.lease(sequence, self.id);
            Received { tag: Tag(sequence), id: message.id, body: message.body, redelivered }
        });
        Ok(received.collect())
    }

    async fn read(&self, plan: Plan) -> Result<Vec<(u64, Stored)>, Error> {
        let queue = Arc::clone(&self.queue);
        self.core
            .read(move |storage| {
                let mut messages = Vec::new();
                let mut bytes = 0;
                for sequence in plan.returned {
                    match storage.message(queue.id, sequence)? {
                        Some(message) => {
                            bytes += message.body.len();
                            messages.push((sequence, message));
                        }
                        None => queue.state().forget(sequence),
                    }
                    if bytes >= ANSWER_BYTES {
                        return Ok(messages);
                    }
                }
                messages.extend(storage.range(queue.id, plan.from, plan.to, plan.fresh, ANSWER_BYTES - bytes)?);
                Ok(messages)
            })
            .await
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        let end = Instant::now() + wait;
        let queue = Arc::clone(&self.queue);
        loop {
            // Listening starts before looking: what comes in between still rings.
            let mut bell = std::pin::pin!(queue.bell.notified());
            bell.as_mut().enable();
            self.core.registry.check()?;
            let received = self.take(max).await?;
            let left = end.saturating_duration_since(Instant::now());
            if !received.is_empty() || left.is_zero() || tokio::time::timeout(left, bell).await.is_err() {
                return Ok(received);
            }
        }
    }

    async fn settle(&mut self, verdicts: &[(Tag, Settle)]) -> Result<(), Error> {
        self.core.registry.check()?;
        let tags = |wanted: Settle| verdicts.iter().filter(move |(_, verdict)| *verdict == wanted).map(|(tag, _)| tag.0);
        let (acks, dead): (Vec<u64>, Vec<u64>) = (tags(Settle::Ack).collect(), tags(Settle::Dead).collect());
        tags(Settle::Requeue).for_each(|sequence| self.queue.state().give_back(sequence, self.id));
        // Room for the next messages, or messages that came back: both are news for those who wait.
        self.queue.bell.notify_waiters();
        if acks.is_empty() && dead.is_empty() {
            return Ok(());
        }
        let (queue, consumer) = (Arc::clone(&self.queue), self.id);
        self.core.ask(|reply| Request::Settle { queue, consumer, acks, dead, reply }).await
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        self.queue.leave(self.id);
    }
}
