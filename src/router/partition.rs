//! The loop of one partition.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::{Fate, Item, Router, check::check, commit::commit, dispatch, fence, measure, reconcile};
use crate::{
    attempt::{self, Trial},
    bus::{Consumer, Queue, Received, Settle, Tag, send::publish_all},
    clock,
    envelope::{
        Disposition,
        event::{attributes_of, stand_in},
    },
    error::Fault,
    ledger::chain::Chain,
    store::Error,
    telemetry::{
        export::Lap,
        record,
        stage::{self, Stage, Step},
    },
};

/// Pause before a broken consumer or a failed batch is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Wait for the first record of a batch; cancellation is noticed after it at the latest.
const WAIT: Duration = Duration::from_millis(500);

pub(super) async fn run(router: Arc<Router>, partition: u16, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        // A panic ends the session like any failure: what was in flight comes again, and a culprit is found by its attempts.
        let ended = AssertUnwindSafe(session(&router, partition, &cancel)).catch_unwind().await;
        if let Err(reason) = ended.unwrap_or_else(|_| Err("a record made it panic".to_owned())) {
            tracing::warn!(partition, reason, "the router partition starts again");
            record::batch_repeated(Stage::Route);
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Consumes until cancelled or until the consumer breaks.
async fn session(router: &Router, partition: u16, cancel: &CancellationToken) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut chain = Chain::open(&router.store, &format!("router.{partition}"), Arc::clone(&router.keys.ledger))
        .await
        .map_err(|error| text(&error))?;
    let mut consumer = router.bus.consume(&Queue::Records(partition), router.prefetch).await.map_err(|error| text(&error))?;
    while !cancel.is_cancelled() {
        let batch = fill(router, consumer.as_mut()).await.map_err(|error| text(&error))?;
        work(router, &mut chain, consumer.as_mut(), &batch, cancel).await.map_err(|error| text(&error))?;
    }
    Ok(())
}

/// Handles and settles a batch, part by part.
async fn work(
    router: &Router,
    chain: &mut Chain,
    consumer: &mut dyn Consumer,
    batch: &[Received],
    cancel: &CancellationToken,
) -> Result<(), crate::bus::Error> {
    let mut trial = match Trial::of(&router.store, "route", router.child.as_ref(), batch).await {
        Ok(trial) => trial,
        Err(error) => return again(consumer, batch, &error).await,
    };
    for part in trial.parts(batch.len()) {
        if let Err(error) = trial.in_hand(&router.store, "route", batch, &part).await {
            return again(consumer, &batch[part.start..], &error).await;
        }
        let step = Step::new(Stage::Route).records(part.len());
        match step.run(handle(router, chain, batch, part.clone(), &trial, cancel)).await {
            Ok(items) => consumer.settle(&settle(&batch[part], &items)).await?,
            Err(error) => return again(consumer, &batch[part.start..], &error).await,
        }
    }
    Ok(())
}

/// The store is away: everything comes again, in order.
async fn again(consumer: &mut dyn Consumer, batch: &[Received], error: &Error) -> Result<(), crate::bus::Error> {
    tracing::warn!(records = batch.len(), error = %error, "the batch is tried again");
    record::batch_repeated(Stage::Route);
    tokio::time::sleep(PAUSE).await;
    let verdicts: Vec<(Tag, Settle)> = batch.iter().map(|received| (received.tag, Settle::Requeue)).collect();
    consumer.settle(&verdicts).await
}

/// One batch: the first records at once, then what comes within the linger.
async fn fill(router: &Router, consumer: &mut dyn Consumer) -> Result<Vec<Received>, crate::bus::Error> {
    let mut batch = consumer.next(router.batch, WAIT).await?;
    if !batch.is_empty() && batch.len() < router.batch / 2 {
        batch.extend(consumer.next(router.batch - batch.len(), router.linger).await?);
    }
    Ok(batch)
}

/// Decides about a part of a batch and makes the decision durable.
async fn handle(
    router: &Router,
    chain: &mut Chain,
    batch: &[Received],
    part: Range<usize>,
    trial: &Trial,
    cancel: &CancellationToken,
) -> Result<Vec<Item>, Error> {
    let lap = Lap::begin();
    let mut items: Vec<Item> = Vec::with_capacity(part.len());
    for index in part.clone() {
        items.push(match trial.culprit(index) {
            Some(fault) => untouched(&batch[index], fault),
            None => check(&batch[index].body, &router.registry),
        });
    }
    stage::of_first(items.first().map(|item| &item.event));
    let mut known = fence::look_up(&router.store, &items).await?;
    fence::fence(&mut items, &mut known);
    reconcile::reconcile(&mut items, &router.registry, router.index.as_ref(), &router.hash).await?;
    dispatch::dispatch(&mut items, &router.agreements, clock::today());
    if !publish_all(router.bus.as_ref(), dispatch::messages(&items), cancel).await {
        return Err(Error::Unreachable("stopped before the bus confirmed the deliveries".to_owned()));
    }
    commit(&router.store, &router.keys, &router.hash, chain, &items).await?;
    measure::routed(&items);
    measure::traced(&items, lap.end());
    attempt::forget(&router.store, "route", &batch[part]).await?;
    Ok(items)
}

/// A culprit is not looked into: even parsing may be what kills.
fn untouched(received: &Received, fault: &Fault) -> Item {
    let event = attributes_of(&received.body).unwrap_or_else(|| stand_in(&received.body));
    Item::new(event, &received.body, Fate::Parked(fault.clone()))
}

/// The one place that turns dispositions into acks. Parked and rejected records are in the store by now.
fn settle(batch: &[Received], items: &[Item]) -> Vec<(Tag, Settle)> {
    let verdict = |item: &Item| match item.fate.disposition() {
        Disposition::Accept | Disposition::Park(_) | Disposition::Reject(_) => Settle::Ack,
        Disposition::Retry => Settle::Requeue,
    };
    batch.iter().zip(items).map(|(received, item)| (received.tag, verdict(item))).collect()
}
