//! A consumer on its own channel. A task reads ahead, as far as the prefetch allows.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions},
    types::FieldTable,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::link::limited;
use crate::bus::{Consumer, Error, Received, Settle, Tag};

/// Dropping it closes its channel; the broker then gives out again what is not settled.
pub(super) struct RabbitConsumer {
    channel: Channel,
    arriving: mpsc::Receiver<Received>,
    /// Set when the channel is gone: what is buffered then belongs to others already.
    gone: CancellationToken,
    /// Handed out and not settled, with the message, because a requeued one is handed out again from here.
    held: BTreeMap<u64, Received>,
    /// Requeued. The broker would put them behind what it has sent ahead, so they wait here and stay ours.
    returned: BTreeSet<u64>,
    /// Sent by the broker and not settled, for `depth`.
    unsettled: Arc<AtomicU64>,
    burst: Burst,
    call_limit: Duration,
    closing: TaskTracker,
}

impl RabbitConsumer {
    pub(super) async fn start(
        channel: Channel,
        queue: &str,
        prefetch: u16,
        call_limit: Duration,
        unsettled: Arc<AtomicU64>,
        closing: TaskTracker,
    ) -> Result<Self, Error> {
        let prefetch = prefetch.max(1);
        limited(call_limit, channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let consuming = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = limited(call_limit, consuming).await?;
        let (sender, arriving) = mpsc::channel(usize::from(prefetch));
        let gone = CancellationToken::new();
        tokio::spawn(read_ahead(deliveries, sender, gone.clone(), Arc::clone(&unsettled)));
        let (held, returned) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { channel, burst: Burst::default(), arriving, gone, held, returned, unsettled, call_limit, closing })
    }

    fn check(&self) -> Result<(), Error> {
        if self.gone.is_cancelled() || !self.channel.status().connected() {
            return Err(Error::Unreachable("the channel of this consumer is closed".to_owned()));
        }
        Ok(())
    }

    fn hold(&mut self, received: &Received) {
        self.held.insert(received.tag.0, received.clone());
    }

    /// Requeued messages, oldest first.
    fn take_returned(&mut self, max: usize) -> Vec<Received> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(tag) = self.returned.pop_first()
        {
            taken.extend(self.held.get(&tag).map(|received| Received { redelivered: true, ..received.clone() }));
        }
        taken
    }
}

async fn read_ahead(
    mut deliveries: lapin::Consumer,
    sender: mpsc::Sender<Received>,
    gone: CancellationToken,
    unsettled: Arc<AtomicU64>,
) {
    // An error or the end: the channel was closed, or the queue deleted.
    while let Some(Ok(delivery)) = deliveries.next().await {
        unsettled.fetch_add(1, Ordering::Relaxed);
        if sender.send(received(delivery)).await.is_err() {
            return;
        }
    }
    gone.cancel();
}

fn received(delivery: Delivery) -> Received {
    let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    Received { tag: Tag(delivery.delivery_tag), id, body: delivery.data.into(), redelivered: delivery.redelivered }
}

/// Splits acks into the longest run from the oldest unsettled message, which one frame covers, and the rest.
fn group(unsettled: impl Iterator<Item = u64>, acks: &BTreeSet<u64>) -> (Option<u64>, Vec<u64>) {
    let run = unsettled.take_while(|tag| acks.contains(tag)).last();
    let rest = acks.iter().copied().filter(|tag| run.is_none_or(|run| *tag > run)).collect();
    (run, rest)
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        self.check()?;
        let mut batch = self.take_returned(max);
        if batch.is_empty() && max > 0 {
            let deadline = Instant::now() + wait;
            let gone = self.gone.clone();
            tokio::select! {
                biased;
                () = gone.cancelled() => return self.check().map(|()| Vec::new()),
                first = timeout_at(deadline, self.arriving.recv()) => match first {
                    Ok(Some(first)) => batch.push(first),
                    Ok(None) => gone.cancel(),
                    Err(_) => {}
                },
            }
        }
        while batch.len() < max
            && let Ok(more) = self.arriving.try_recv()
        {
            batch.push(more);
        }
        self.check()?;
        batch.iter().for_each(|received| self.hold(received));
        Ok(batch)
    }

    async fn settle(&mut self, verdicts: &[(Tag, Settle)]) -> Result<(), Error> {
        self.check()?;
        let mut acks = BTreeSet::new();
        let mut dead = BTreeSet::new();
        for (tag, verdict) in verdicts {
            // A tag that is not held was settled before: telling the broker again would close the channel.
            match (self.held.contains_key(&tag.0), verdict) {
                (false, _) => {}
                (true, Settle::Ack) => drop(acks.insert(tag.0)),
                (true, Settle::Dead) => drop(dead.insert(tag.0)),
                (true, Settle::Requeue) => drop(self.returned.insert(tag.0)),
            }
        }
        acks.retain(|tag| !dead.contains(tag));
        let open = self.held.keys().copied().filter(|tag| !dead.contains(tag));
        let (run, rest) = group(open, &acks);

        let mut frames = Frames::default();
        for tag in &dead {
            frames.push(self.channel.basic_reject(*tag, BasicRejectOptions { requeue: false })).await;
        }
        if let Some(tag) = run {
            frames.push(self.channel.basic_ack(tag, BasicAckOptions { multiple: true })).await;
        }
        for tag in rest {
            frames.push(self.channel.basic_ack(tag, BasicAckOptions { multiple: false })).await;
        }
        self.burst.note(frames.0.len());
        limited(self.call_limit, frames.sent()).await?;
        for tag in acks.union(&dead) {
            self.held.remove(tag);
            self.returned.remove(tag);
        }
        self.unsettled.fetch_sub((acks.len() + dead.len()) as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// How many settling frames went out lately.
///
/// A channel has at most 32 commands under way to a quorum queue. It keeps further ones back, and forgets them when it
/// closes: the messages would come again although they were acked. So a close after a burst waits a little.
#[derive(Default)]
struct Burst {
    frames: usize,
    last: Option<Instant>,
}

impl Burst {
    /// Frames that the channel passes on at once, with room to spare.
    const HARMLESS: usize = 16;
    /// Time in which a queue takes what was kept back.
    const QUIET: Duration = Duration::from_secs(1);

    fn note(&mut self, frames: usize) {
        if self.left().is_zero() {
            self.frames = 0;
        }
        self.frames += frames;
        self.last = Some(Instant::now());
    }

    /// How long to wait before closing.
    fn drain(&self) -> Duration {
        if self.frames <= Self::HARMLESS { Duration::ZERO } else { self.left() }
    }

    fn left(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |last| Self::QUIET.saturating_sub(last.elapsed()))
    }
}

/// Frames on their way to the socket, in the order in which they were pushed.
#[derive(Default)]
struct Frames<'a>(Vec<Pin<Box<dyn Future<Output = lapin::Result<()>> + Send + 'a>>>);

impl<'a> Frames<'a> {
    async fn push(&mut self, frame: impl Future<Output = lapin::Result<()>> + Send + 'a) {
        let mut frame: Pin<Box<dyn Future<Output = lapin::Result<()>> + Send + 'a>> = Box::pin(frame);
        // The first poll hands the frame over; waiting for each in turn would be a round trip to the I/O thread per frame.
        let first = std::future::poll_fn(|context| std::task::Poll::Ready(frame.as_mut().poll(context))).await;
        self.0.push(match first {
            std::task::Poll::Ready(done) => Box::pin(std::future::ready(done)),
            std::task::Poll::Pending => frame,
        });
    }

    async fn sent(self) -> lapin::Result<()> {
        for frame in self.0 {
            frame.await?;
        }
        Ok(())
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (channel, limit) = (self.channel.clone(), self.call_limit);
        let drain = self.burst.drain();
        self.closing.spawn_on(
            async move {
                // No cancel first: it would let the next consumer of a partition begin before it gets back what this one held.
                sleep(drain).await;
                let _ = limited(limit, channel.close(200, "bye".into())).await;
            },
            &runtime,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_covers_the_run_from_the_oldest() {
        let acks = |tags: &[u64]| tags.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(group(1..=6, &acks(&[1, 2, 3])), (Some(3), vec![]));
        assert_eq!(group(1..=6, &acks(&[1, 2, 4, 5])), (Some(2), vec![4, 5]), "3 is still open");
        assert_eq!(group([1, 2, 4, 5].into_iter(), &acks(&[1, 2, 4, 5])), (Some(5), vec![]), "3 is gone");
        assert_eq!(group(1..=6, &acks(&[2, 3])), (None, vec![2, 3]));
        assert_eq!(group(std::iter::empty(), &acks(&[])), (None, vec![]));
    }
}
