//! [`Watched`]: a bus that counts, in front of either backend: what left each queue, and what was not confirmed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Bus, Confirm, Consumer, Depth, Error, Message, Queue, Received, Settle, Tag, Topology};
use crate::telemetry::record;

/// How many messages this process has settled for good, by queue, since they were last taken.
#[derive(Debug, Default)]
pub struct Departures(Mutex<BTreeMap<String, u64>>);

impl Departures {
    /// Takes the counts; they start again from zero.
    pub fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds to the count of a queue: settled messages, or counts that were taken and could not be noted.
    pub fn add(&self, queue: &str, messages: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(queue) {
            Some(count) => *count += messages,
            None => drop(counts.insert(queue.to_owned(), messages)),
        }
    }
}

/// A bus that counts.
pub struct Watched {
    inner: Arc<dyn Bus>,
    departures: Arc<Departures>,
}

impl Watched {
    /// In front of `inner`.
    pub fn new(inner: Arc<dyn Bus>, departures: Arc<Departures>) -> Self {
        Self { inner, departures }
    }
}

#[async_trait]
impl Bus for Watched {
    async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        self.inner.declare(topology).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm> {
        let confirms = self.inner.publish(batch).await;
        record::confirms_failed(confirms.iter().filter_map(Confirm::failure));
        confirms
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let inner = self.inner.consume(queue, prefetch).await?;
        Ok(Box::new(WatchedConsumer { inner, queue: queue.name(), departures: Arc::clone(&self.departures) }))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, Error> {
        self.inner.depth(queue).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

struct WatchedConsumer {
    inner: Box<dyn Consumer>,
    queue: String,
    departures: Arc<Departures>,
}

#[async_trait]
impl Consumer for WatchedConsumer {
    async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        self.inner.next(max, wait).await
    }

    async fn settle(&mut self, verdicts: &[(Tag, Settle)]) -> Result<(), Error> {
        self.inner.settle(verdicts).await?;
        let left = verdicts.iter().filter(|(_, settle)| *settle != Settle::Requeue).count();
        if left > 0 {
            self.departures.add(&self.queue, left as u64);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Route, embedded::EmbeddedBus};

    #[tokio::test]
    async fn only_what_is_settled_for_good_has_left() {
        let folder = tempfile::tempdir().unwrap();
        let departures = Arc::new(Departures::default());
        let bus = Watched::new(EmbeddedBus::open(folder.path()).unwrap(), Arc::clone(&departures));
        let queue = Queue::Deliver("bank".into());
        bus.declare(&Topology { partitions: 1, subscriptions: vec!["bank".into()] }).await.unwrap();
        let message =
            |id: &str| Message { route: Route::Deliver("bank".into()), id: id.to_owned(), body: b"{}".as_slice().into() };
        assert_eq!(
            bus.publish(vec![message("a"), message("b"), message("c")]).await,
            [Confirm::Stored, Confirm::Stored, Confirm::Stored]
        );
        let mut consumer = bus.consume(&queue, 10).await.unwrap();
        let got = consumer.next(3, Duration::from_secs(5)).await.unwrap();
        let verdicts: Vec<_> = got.iter().map(|received| received.tag).zip([Settle::Ack, Settle::Ack, Settle::Requeue]).collect();
        consumer.settle(&verdicts).await.unwrap();
        assert_eq!(departures.take(), BTreeMap::from([("deliver.bank".to_owned(), 2)]));
        assert_eq!(departures.take(), BTreeMap::new());
        departures.add("deliver.bank", 2);
        departures.add("deliver.bank", 1);
        assert_eq!(departures.take()["deliver.bank"], 3);
        bus.close().await;
    }
}
