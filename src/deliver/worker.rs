//! The loop of one receiver: consume, skip what it has, deliver in order, prove, ack.

use std::{
    ops::Range,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{BEHIND, Delivery, NOT_A_DELIVERY, Outcome, lane::Lane, measure};
use crate::{
    attempt::{self, Trial, probe::Child},
    bus::{self, Bus, Consumer, Queue, Received, Settle, Tag},
    clock,
    config::keys::Keys,
    dead::{
        self, Letter, State,
        hold::{Held, Letters},
        letter_id, replay,
    },
    envelope::{
        DeliveryId, Disposition, Event, SubscriptionId,
        event::{attributes_of, stand_in},
    },
    error::Fault,
    govern::{Agreements, partner::Transport},
    ledger::{Entry, Kind, arrival, chain::Chain},
    store::{Error, Store, Tx},
    telemetry::{
        export::{self, Lap},
        record,
        stage::{self, Stage},
    },
};

const PAUSE: Duration = Duration::from_millis(500);
const WAIT: Duration = Duration::from_millis(500);
/// Longest pause that a receiver may ask for with Retry-After.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Longest time that a batch waits for its receiver before it is handed back to the bus: brokers take a message away from a
/// consumer that keeps it too long (RabbitMQ after 30 minutes), and that would look like a crash.
const HOLD: Duration = Duration::from_secs(1500);

/// One receiver's end of the road: its queue, its lane, its chain in the ledger.
pub struct Worker {
    pub subscription: SubscriptionId,
    pub lane: Lane,
    pub bus: Arc<dyn Bus>,
    pub store: Store,
    pub keys: Keys,
    /// Asked again before each try: an agreement may run out while a delivery waits.
    pub agreements: Arc<Agreements>,
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
    /// Its letter, if it was set aside before.
    letter: Option<Held>,
}

/// What the store knows about a batch.
#[derive(Default)]
struct Known {
    receipts: FxHashSet<String>,
    letters: Letters,
    /// Keys of which a delivery of this batch is set aside.
    parked: FxHashSet<String>,
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
    /// Whether it was a letter on its way again, and the receiver has it now.
    fn has_ended(&self) -> bool {
        self.letter.as_ref().is_some_and(Held::is_underway) && matches!(self.state, Step::Known | Step::Delivered(_))
    }

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
        measure::circuit(&self.lane);
        while !cancel.is_cancelled() {
            let ended = AssertUnwindSafe(self.session(&cancel)).catch_unwind().await;
            if let Err(reason) = ended.unwrap_or_else(|_| Err("a delivery made it panic".to_owned())) {
                tracing::warn!(subscription = %self.subscription, reason, "the lane starts again");
                record::batch_repeated(Stage::Deliver);
                pause(PAUSE, &cancel).await;
            }
        }
    }

    async fn session(&self, cancel: &CancellationToken) -> Result<(), String> {
        let mut chain = Chain::open(&self.store, &format!("deliver.{}", self.subscription), Arc::clone(&self.keys.ledger))
            .await
            .map_err(|error| error.to_string())?;
        let mut consumer = self
            .bus
            .consume(&Queue::Deliver(self.subscription.clone()), self.prefetch)
            .await
            .map_err(|error| error.to_string())?;
        while !cancel.is_cancelled() {
            let size = self.lane.batch_size();
            let mut batch = consumer.next(size, WAIT).await.map_err(|error| error.to_string())?;
            if !batch.is_empty() && batch.len() < size && !self.linger.is_zero() {
                batch.extend(consumer.next(size - batch.len(), self.linger).await.map_err(|error| error.to_string())?);
            }
            let given_back =
                self.handle(&mut chain, consumer.as_mut(), &batch, cancel).await.map_err(|error| error.to_string())?;
            if given_back && !cancel.is_cancelled() {
                // Only a consumer that goes away gives its messages back to every broker.
                return Err("the receiver has been away for long".to_owned());
            }
        }
        Ok(())
    }

    /// Delivers and settles a batch, part by part; says whether something was given back. What comes after that is given back
    /// too, so that the order is kept.
    async fn handle(
        &self,
        chain: &mut Chain,
        consumer: &mut dyn Consumer,
        batch: &[Received],
        cancel: &CancellationToken,
    ) -> Result<bool, bus::Error> {
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
                        consumer.settle(&requeued(&batch[rest..])).await?;
                        return Ok(true);
                    }
                }
                Err(error) => return self.again(consumer, &batch[part.start..], &error, cancel).await,
            }
        }
        Ok(false)
    }

    /// The store is away: the batch comes again, in order, to this consumer.
    async fn again(
        &self,
        consumer: &mut dyn Consumer,
        batch: &[Received],
        error: &Error,
        cancel: &CancellationToken,
    ) -> Result<bool, bus::Error> {
        tracing::warn!(subscription = %self.subscription, %error, "the batch is tried again");
        record::batch_repeated(Stage::Deliver);
        pause(PAUSE, cancel).await;
        consumer.settle(&requeued(batch)).await?;
        Ok(false)
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
        let (held_since, mut waited) = (Instant::now(), false);
        loop {
            let wait = self.attempt(&mut items).await;
            let lap = Lap::begin();
            self.commit(chain, &items).await?;
            self.trace_receipts(&items, lap.end());
            match wait {
                Some(wait) if !cancel.is_cancelled() && held_since.elapsed() < HOLD => {
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

    /// Which deliveries the receiver has, and which keys are held for it: one look-up, and a second one for the letters if any
    /// key has some.
    async fn skip_known(&self, items: &mut [Item]) -> Result<(), Error> {
        let keys: Vec<Value> =
            items.iter().map(|item| json!([item.delivery.id.as_str(), item.delivery.event.partitionkey.as_str()])).collect();
        let sql = "SELECT 'r', delivery_id FROM receipt WHERE delivery_id IN (SELECT value ->> 0 FROM {rows}) \
                   UNION ALL SELECT DISTINCT 'p', '' FROM dead \
                   WHERE partition_key IN (SELECT value ->> 1 FROM {rows}) AND stage = 'deliver' AND subscription = $2";
        let rows = self.store.read(sql, &[Value::Array(keys).to_string().into(), self.subscription.as_str().into()]).await?;
        let mut known =
            Known { receipts: rows.iter().filter(|row| row.text(0) == "r").map(|row| row.text(1)).collect(), ..Known::default() };
        if rows.iter().any(|row| row.text(0) == "p") {
            let batch: Vec<(&str, &str)> =
                items.iter().map(|item| (item.delivery.event.partitionkey.as_str(), item.delivery.event.id.as_str())).collect();
            known.letters = Letters::look_up(&self.store, "deliver", self.subscription.as_str(), &batch).await?;
        }
        for item in items {
            self.judge(item, &mut known);
        }
        Ok(())
    }

    /// In the order of the batch: what is known, what is set aside already, what waits behind a letter, what is due.
    fn judge(&self, item: &mut Item, known: &mut Known) {
        let event = &item.delivery.event;
        let (key, own) = (event.partitionkey.as_str(), letter_id(event, "deliver", self.subscription.as_str()));
        item.letter = known.letters.find(key, |held| held.id == own).cloned();
        // The same delivery twice in one batch: the second finds the first.
        let received = !known.receipts.insert(item.delivery.id.as_str().to_owned());
        // Set aside before, and the bus did not hear it; or its replay was taken back after the bus had it.
        let aside = item.letter.as_ref().is_some_and(|letter| matches!(letter.state.as_str(), "parked" | "discarded"));
        if received || aside {
            item.state = Step::Known;
        } else if matches!(item.state, Step::Due)
            && (known.parked.contains(key) || known.letters.is_held(key, item.letter.as_ref()))
        {
            item.state = Step::Parked(behind());
        }
        if !aside {
            known.letters.through(key, &own);
        }
        if matches!(item.state, Step::Parked(_)) {
            known.parked.insert(key.to_owned());
        }
    }

    /// Sets aside what is due under an agreement that has run out.
    fn stop_ended(&self, items: &mut [Item]) {
        let today = clock::today();
        for item in items.iter_mut().filter(|item| matches!(item.state, Step::Due)) {
            if let Err(fault) = self.agreements.permit(&self.subscription, &item.delivery.event, today) {
                item.state = Step::Parked(fault);
            }
        }
    }

    /// Offers everything that is due. Returns the pause before the rest is offered again, if any is left.
    async fn attempt(&self, items: &mut [Item]) -> Option<Duration> {
        self.stop_ended(items);
        let due: Vec<usize> = (0..items.len()).filter(|index| matches!(items[*index].state, Step::Due)).collect();
        if due.is_empty() {
            return None;
        }
        let deliveries: Vec<Delivery> = due.iter().map(|index| items[*index].delivery.clone()).collect();
        let step = stage::Step::new(Stage::Deliver)
            .subscription(&self.subscription)
            .records(due.len())
            .first(deliveries.first().map(|first| &first.event));
        let lap = Lap::begin();
        let outcomes = step.run(self.lane.deliver(&deliveries)).await;
        measure::traced(&self.lane, &deliveries, &outcomes, lap.end());
        measure::offered(&self.lane, &outcomes);
        let mut wait = None;
        for (index, outcome) in due.into_iter().zip(outcomes) {
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

    fn trace_receipts(&self, items: &[Item], lap: Lap) {
        let proven = items.iter().filter(|item| matches!(item.state, Step::Delivered(_)));
        export::receipts(&self.subscription, proven.map(|item| (&item.delivery.event, &item.delivery.id)), lap);
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
        let decided = |item: &Item| matches!(item.state, Step::Delivered(_) | Step::Parked(_)) || item.has_ended();
        if !items.iter().any(decided) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        self.receipts(&mut tx, items).await?;
        self.park(&mut tx, items).await?;
        let mut entries: Vec<Entry> = items.iter().filter_map(|item| self.entry(item)).collect();
        entries.extend(self.close_letters(&mut tx, items).await?);
        chain.append(&mut tx, &entries).await?;
        tx.commit().await
    }

    /// Letters that the receiver has now are through, and what waited behind them follows.
    async fn close_letters(&self, tx: &mut Tx, items: &[Item]) -> Result<Vec<Entry>, Error> {
        let ended: Vec<(&Item, &Held)> =
            items.iter().filter(|item| item.has_ended()).filter_map(|item| Some((item, item.letter.as_ref()?))).collect();
        if ended.is_empty() {
            return Ok(Vec::new());
        }
        replay::through(tx, ended.iter().map(|(_, letter)| letter.id.as_str())).await?;
        let keys = ended.iter().map(|(item, _)| item.delivery.event.partitionkey.as_str());
        replay::follow(tx, "deliver", self.subscription.as_str(), keys).await
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
        let events = items
            .iter()
            .filter(|item| matches!(item.state, Step::Delivered(_)) && fresh.contains(item.delivery.id.as_str()))
            .map(|item| &item.delivery.event);
        arrival::add(tx, events, (-1, 0)).await?;
        self.keep_copies(tx, items, &fresh).await
    }

    /// Sealed copies of what left, for partners that may ask for it again. The lake keeps its own.
    async fn keep_copies(&self, tx: &mut Tx, items: &[Item], fresh: &FxHashSet<String>) -> Result<(), Error> {
        let partner = self.agreements.partner(self.subscription.as_str());
        if !partner.is_some_and(|partner| !matches!(partner.transport, Transport::Lake)) {
            return Ok(());
        }
        let delivered = items.iter().filter(|item| matches!(item.state, Step::Delivered(_)));
        let rows: Vec<Value> = delivered
            .filter(|item| fresh.contains(item.delivery.id.as_str()))
            .map(|item| {
                let dataset = item.delivery.event.dataset();
                json!([item.delivery.id.as_str(), dataset.as_str(), self.keys.seal(&item.received.body)])
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "INSERT INTO partner_sent (delivery_id, partner, dataset, at, body) SELECT value ->> 0, $2, value ->> 1, CAST($3 AS BIGINT), value ->> 2 \
                   FROM {rows} WHERE true ON CONFLICT DO NOTHING";
        tx.execute(sql, &[Value::Array(rows).to_string().into(), self.subscription.as_str().into(), clock::millis().into()])
            .await?;
        Ok(())
    }

    async fn park(&self, tx: &mut Tx, items: &[Item]) -> Result<(), Error> {
        let mut parked = Vec::new();
        for item in items {
            if let Step::Parked(fault) = &item.state {
                let event = &item.delivery.event;
                let letter = Letter::of_event(
                    event,
                    "deliver",
                    self.subscription.as_str(),
                    State::Parked,
                    vec![fault.clone()],
                    &item.received.body,
                );
                parked.push((event, letter));
            }
        }
        let letters: Vec<Letter> = parked.iter().map(|(_, letter)| letter.clone()).collect();
        // A letter that was set aside before a crash is counted already.
        let filed = dead::file(tx, &self.keys, &letters).await?;
        let events = parked.iter().filter(|(_, letter)| filed.ids.contains(&letter.id)).map(|(event, _)| *event);
        arrival::add(tx, events, (0, 1)).await
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
        item.letter = None;
    }
}

fn behind() -> Fault {
    Fault::new(BEHIND, "an earlier delivery of the same key is parked")
        .hint("it follows when the earlier one is replayed or discarded")
}

fn open(received: Received, culprit: Option<Fault>) -> Item {
    let event =
        if culprit.is_some() { attributes_of(&received.body) } else { serde_json::from_slice::<Event>(&received.body).ok() };
    let state = match (&event, culprit) {
        (_, Some(fault)) => Step::Parked(fault),
        (Some(_), None) => Step::Due,
        (None, None) => Step::Parked(Fault::new(NOT_A_DELIVERY, "the message is not a delivery of the hub")),
    };
    let event = event.unwrap_or_else(|| stand_in(&received.body));
    // Junk may come under any message id, even under one and the same: its bytes tell it apart.
    let id = event.deliveryid.clone().unwrap_or_else(|| DeliveryId::new(event.occurrence.as_str()));
    Item { delivery: Delivery { id, event }, received, state, letter: None }
}

async fn pause(time: Duration, cancel: &CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
