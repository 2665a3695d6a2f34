//! The loop of one receiver: consume, skip what it has, deliver in order, prove, ack.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{BEHIND, Delivery, NOT_A_DELIVERY, Outcome, lane::Lane};
use crate::{
    attempt::{self, Trial, probe::Child},
    bus::{self, Bus, Consumer, Queue, Received, Settle, Tag},
    clock,
    config::keys::Keys,
    dead::{self, Letter, State},
    envelope::{DeliveryId, Disposition, Event, SubscriptionId, event::attributes_of},
    error::Fault,
    ledger::{Entry, Kind, chain::Chain},
    store::{Error, Store, Tx},
};

const PAUSE: Duration = Duration::from_millis(500);
const WAIT: Duration = Duration::from_millis(500);
/// Longest pause that a receiver may ask for with Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One receiver's end of the road: its queue, its lane, its chain in the ledger.
pub struct Worker {
    pub subscription: SubscriptionId,
    pub lane: Lane,
    pub bus: Arc<dyn Bus>,
    pub store: Store,
    pub keys: Keys,
    pub child: Option<Child>,
    pub prefetch: u16,
    /// How long a batch waits for more deliveries.
    pub linger: Duration,
}

/// One message and where it stands.
struct Item {
    received: Received,
    delivery: Delivery,
    state: Step,
}

enum Step {
    /// To be delivered.
    Due,
    /// The receiver has it from an earlier try.
    Known,
    Delivered(String),
    Parked(Fault),
}

impl Item {
    fn disposition(&self) -> Disposition {
        match &self.state {
            Step::Due => Disposition::Retry,
            Step::Known | Step::Delivered(_) => Disposition::Accept,
            Step::Parked(fault) => Disposition::Park(fault.clone()),
        }
    }
}

impl Worker {
    /// Runs until cancelled; a broken consumer is made anew.
    pub async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let ended = AssertUnwindSafe(self.session(&cancel)).catch_unwind().await;
            if let Err(reason) = ended.unwrap_or_else(|_| Err("a delivery made it panic".to_owned())) {
                tracing::warn!(subscription = %self.subscription, reason, "the lane starts again");
                pause(PAUSE, &cancel).await;
            }
        }
    }

    async fn session(&self, cancel: &CancellationToken) -> Result<(), String> {
        let mut chain = Chain::open(&self.store, &format!("deliver.{}", self.subscription), Arc::clone(&self.keys.ledger)).await.map_err(|error| error.to_string())?;
        let mut consumer = self.bus.consume(&Queue::Deliver(self.subscription.clone()), self.prefetch).await.map_err(|error| error.to_string())?;
        while !cancel.is_cancelled() {
            let size = self.lane.batch_size();
            let mut batch = consumer.next(size, WAIT).await.map_err(|error| error.to_string())?;
            if !batch.is_empty() && batch.len() < size && !self.linger.is_zero() {
                batch.extend(consumer.next(size - batch.len(), self.linger).await.map_err(|error| error.to_string())?);
            }
            self.handle(&mut chain, consumer.as_mut(), &batch, cancel).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Delivers and settles a batch, part by part. What comes after something that is given back is given back too, so
    /// that the order is kept.
    async fn handle(&self, chain: &mut Chain, consumer: &mut dyn Consumer, batch: &[Received], cancel: &CancellationToken) -> Result<(), bus::Error> {
        let mut trial = match Trial::of(&self.store, "deliver", self.child.as_ref(), batch).await {
            Ok(trial) => trial,
            Err(error) => return self.again(consumer, batch, &error, cancel).await,
        };
        for part in trial.parts(batch.len()) {
            let rest = part.end;
            if let Err(error) = trial.in_hand(&self.store, "deliver", batch, &part).await {
                return self.again(consumer, &batch[part.start..], &error, cancel).await;
            }
            match self.deliver(chain, batch, part.clone(), &trial, cancel).await {
                Ok(verdicts) => {
                    let given_back = verdicts.iter().any(|(_, verdict)| *verdict == Settle::Requeue);
                    consumer.settle(&verdicts).await?;
                    if given_back {
                        return consumer.settle(&requeued(&batch[rest..])).await;
                    }
                }
                Err(error) => return self.again(consumer, &batch[part.start..], &error, cancel).await,
            }
        }
        Ok(())
    }

    async fn again(&self, consumer: &mut dyn Consumer, batch: &[Received], error: &Error, cancel: &CancellationToken) -> Result<(), bus::Error> {
        tracing::warn!(subscription = %self.subscription, %error, "the batch is tried again");
        pause(PAUSE, cancel).await;
        consumer.settle(&requeued(batch)).await
    }

    /// Delivers a part of a batch to its end. While the receiver is away it waits here, so that the order is kept.
    async fn deliver(
        &self,
        chain: &mut Chain,
        batch: &[Received],
        part: Range<usize>,
        trial: &Trial,
        cancel: &CancellationToken,
    ) -> Result<Vec<(Tag, Settle)>, Error> {
        let mut items: Vec<Item> = part.clone().map(|index| open(batch[index].clone(), trial.culprit(index).cloned())).collect();
        self.skip_known(&mut items).await?;
        let mut waited = false;
        loop {
            let wait = self.attempt(&mut items).await;
            self.commit(chain, &items).await?;
            match wait {
                Some(wait) if !cancel.is_cancelled() => {
                    // What was proven must not be proven again in the next round.
                    settle_proven(&mut items);
                    if !std::mem::replace(&mut waited, true) {
                        // It did not kill: however often the hub is started again while the receiver is away, that is no attempt.
                        attempt::forget(&self.store, "deliver", &batch[part.clone()]).await?;
                    }
                    pause(wait, cancel).await;
                }
                _ => break,
            }
        }
        attempt::forget(&self.store, "deliver", &batch[part]).await?;
        Ok(items.iter().map(|item| (item.received.tag, verdict(item))).collect())
    }

    /// One look-up: which deliveries the receiver has, which keys are parked for it.
    async fn skip_known(&self, items: &mut [Item]) -> Result<(), Error> {
        let keys: Vec<Value> = items.iter().map(|item| json!([item.delivery.id.as_str(), item.delivery.event.partitionkey.as_str()])).collect();
        let sql = "SELECT 'r', delivery_id FROM receipt WHERE delivery_id IN (SELECT value ->> 0 FROM {rows}) \
                   UNION ALL SELECT 'p', partition_key FROM dead \
                   WHERE partition_key IN (SELECT value ->> 1 FROM {rows}) AND state = 'parked' AND stage = 'deliver' AND subscription = $2";
        let rows = self.store.read(sql, &[Value::Array(keys).to_string().into(), self.subscription.as_str().into()]).await?;
        let (mut known, mut parked) = (FxHashSet::default(), FxHashSet::default());
        for row in &rows {
            if row.text(0) == "r" { known.insert(row.text(1)) } else { parked.insert(row.text(1)) };
        }
        for item in items.iter_mut() {
            // The same delivery twice in one batch: the second finds the first.
            if !known.insert(item.delivery.id.as_str().to_owned()) {
                item.state = Step::Known;
            } else if matches!(item.state, Step::Due) && parked.contains(item.delivery.event.partitionkey.as_str()) {
                item.state = Step::Parked(behind());
            }
        }
        Ok(())
    }

    /// Offers everything that is due. Returns the pause before the rest is offered again, if any is left.
    async fn attempt(&self, items: &mut [Item]) -> Option<Duration> {
        let due: Vec<usize> = (0..items.len()).filter(|index| matches!(items[*index].state, Step::Due)).collect();
        if due.is_empty() {
            return None;
        }
        let deliveries: Vec<Delivery> = due.iter().map(|index| items[*index].delivery.clone()).collect();
        let mut wait = None;
        for (index, outcome) in due.into_iter().zip(self.lane.deliver(&deliveries).await) {
            match outcome {
                Outcome::Delivered { receipt } => items[index].state = Step::Delivered(receipt),
                Outcome::Refused(fault) => items[index].state = Step::Parked(fault),
                Outcome::Unavailable { fault, retry_after } => {
                    tracing::debug!(subscription = %self.subscription, code = %fault.code, "the receiver is not available");
                    wait = wait.max(Some(retry_after.unwrap_or(PAUSE).min(LONGEST_PAUSE)));
                }
            }
        }
        wait
    }

    /// Receipts, counts, dead letters and ledger of what has been decided, in one transaction.
    async fn commit(&self, chain: &mut Chain, items: &[Item]) -> Result<(), Error> {
        let result = self.try_commit(chain, items).await;
        match result {
            Ok(()) => chain.committed(),
            Err(_) => chain.reload(&self.store).await?,
        }
        result
    }

    async fn try_commit(&self, chain: &mut Chain, items: &[Item]) -> Result<(), Error> {
        let decided = items.iter().any(|item| matches!(item.state, Step::Delivered(_) | Step::Parked(_)));
        if !decided {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        self.receipts(&mut tx, items).await?;
        self.park(&mut tx, items).await?;
        let entries: Vec<Entry> = items.iter().filter_map(|item| self.entry(item)).collect();
        chain.append(&mut tx, &entries).await?;
        tx.commit().await
    }

    async fn receipts(&self, tx: &mut Tx, items: &[Item]) -> Result<(), Error> {
        let mut rows = Vec::new();
        for item in items {
            if let Step::Delivered(receipt) = &item.state {
                rows.push(json!([item.delivery.id.as_str(), receipt, item.delivery.event.occurrence.as_str()]));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO receipt (delivery_id, subscription, at, receipt) SELECT value ->> 0, $2, $3, value ->> 1 FROM {rows} WHERE true \
                   ON CONFLICT DO NOTHING RETURNING delivery_id";
        let args = [Value::Array(rows).to_string().into(), self.subscription.as_str().into(), clock::millis().into()];
        let fresh: FxHashSet<String> = tx.read(sql, &args).await?.iter().map(|row| row.text(0)).collect();
        let events = items.iter().filter(|item| matches!(item.state, Step::Delivered(_)) && fresh.contains(item.delivery.id.as_str())).map(|item| &item.delivery.event);
        count(tx, events, (-1, 0)).await
    }

    async fn park(&self, tx: &mut Tx, items: &[Item]) -> Result<(), Error> {
        let mut letters = Vec::new();
        for item in items {
            if let Step::Parked(fault) = &item.state {
                let event = &item.delivery.event;
                letters.push(Letter::of_event(event, "deliver", self.subscription.as_str(), State::Parked, vec![fault.clone()], &item.received.body));
            }
        }
        dead::file(tx, &self.keys, &letters).await?;
        let events = items.iter().filter(|item| matches!(item.state, Step::Parked(_))).map(|item| &item.delivery.event);
        count(tx, events, (0, 1)).await
    }

    fn entry(&self, item: &Item) -> Option<Entry> {
        let event = &item.delivery.event;
        let who = json!({ "subscription": self.subscription.as_str(), "delivery": item.delivery.id.as_str(), "purpose": event.purpose, "occurrence": event.occurrence.as_str() });
        let mut body = who;
        let (kind, name, word) = match &item.state {
            Step::Delivered(receipt) => (Kind::Delivered, "receipt", receipt.clone()),
            Step::Parked(fault) => (Kind::Parked, "code", fault.code.to_string()),
            _ => return None,
        };
        body[name] = Value::String(word);
        Some(Entry::of(kind, event, body))
    }
}

/// Adds to the counts of open and parked deliveries. The router may not have counted the record yet, since it publishes
/// before it commits: the row is then made here, and the router adds its own numbers to it.
async fn count(tx: &mut Tx, events: impl Iterator<Item = &Event>, (open, parked): (i64, i64)) -> Result<(), Error> {
    let rows: Vec<Value> = events.map(|event| json!([event.occurrence.as_str(), event.system().as_str(), event.bookdate])).collect();
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) SELECT value ->> 0, value ->> 1, value ->> 2, 'early', $2, $3 FROM {rows} WHERE true \
         ON CONFLICT (occurrence) DO UPDATE SET open = arrival.open + excluded.open, parked = arrival.parked + excluded.parked",
        &[Value::Array(rows).to_string().into(), open.into(), parked.into()],
    )
    .await?;
    Ok(())
}

/// The one place that turns dispositions into acks. Parked deliveries are in the store by now.
fn verdict(item: &Item) -> Settle {
    match item.disposition() {
        Disposition::Accept | Disposition::Park(_) | Disposition::Reject(_) => Settle::Ack,
        Disposition::Retry => Settle::Requeue,
    }
}

fn requeued(batch: &[Received]) -> Vec<(Tag, Settle)> {
    batch.iter().map(|received| (received.tag, Settle::Requeue)).collect()
}

fn settle_proven(items: &mut [Item]) {
    for item in items.iter_mut().filter(|item| !matches!(item.state, Step::Due)) {
        item.state = Step::Known;
    }
}

fn behind() -> Fault {
    Fault::new(BEHIND, "an earlier delivery of the same key is parked").hint("it follows when the earlier one is replayed or discarded")
}

fn open(received: Received, culprit: Option<Fault>) -> Item {
    let event = if culprit.is_some() { attributes_of(&received.body) } else { serde_json::from_slice::<Event>(&received.body).ok() };
    let state = match (&event, culprit) {
        (_, Some(fault)) => Step::Parked(fault),
        (Some(_), None) => Step::Due,
        (None, None) => Step::Parked(Fault::new(NOT_A_DELIVERY, "the message is not a delivery of the hub")),
    };
    let event = event.unwrap_or_else(|| crate::router::check::stand_in(&received.body));
    let id = event.deliveryid.clone().unwrap_or_else(|| DeliveryId::new(received.id.as_str()));
    Item { delivery: Delivery { id, event }, received, state }
}

async fn pause(time: Duration, cancel: &CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
