//! Collects what the broker itself gave up: a message that was handed out too often ends in the broker's dead-letter queue,
//! and from there it comes here, where operators look.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Letter, State, file};
use crate::{
    bus::{Bus, Queue, Received, Settle},
    config::keys::Keys,
    envelope::{
        Event,
        event::{attributes_of, stand_in},
    },
    error::{Code, Fault},
    ledger::arrival,
    store::{Error, Store},
};

/// The broker gave the message up after too many deliveries without an answer.
pub const GIVEN_UP: Code = Code::new(5305);

const BATCH: usize = 100;
const WAIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(5);

/// The task of a running hub; ends when cancelled.
pub async fn run(bus: Arc<dyn Bus>, store: Store, keys: Keys, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(reason) = session(bus.as_ref(), &store, &keys, &cancel).await {
            tracing::debug!(reason, "the dead-letter queue is looked at again later");
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

async fn session(bus: &dyn Bus, store: &Store, keys: &Keys, cancel: &CancellationToken) -> Result<(), String> {
    let mut consumer = bus.consume(&Queue::Dead, 200).await.map_err(|error| error.to_string())?;
    while !cancel.is_cancelled() {
        let batch = consumer.next(BATCH, WAIT).await.map_err(|error| error.to_string())?;
        if batch.is_empty() {
            continue;
        }
        set_aside(store, keys, &batch).await.map_err(|error| error.to_string())?;
        let acks: Vec<_> = batch.iter().map(|received| (received.tag, Settle::Ack)).collect();
        consumer.settle(&acks).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Files the messages as parked. One that was filed before a crash is neither filed nor counted again.
async fn set_aside(store: &Store, keys: &Keys, batch: &[Received]) -> Result<(), Error> {
    let mut given_up: Vec<(Event, Letter)> = Vec::with_capacity(batch.len());
    for received in batch {
        let event = attributes_of(&received.body).unwrap_or_else(|| stand_in(&received.body));
        let subscription = event.subscription.as_ref().map_or("", |subscription| subscription.as_str()).to_owned();
        let stage = if subscription.is_empty() { "route" } else { "deliver" };
        let fault = Fault::new(GIVEN_UP, "the broker gave the message up after too many deliveries without an answer")
            .hint("look for the reason in the log; `civilhub dead replay` sends it again");
        let letter = Letter::of_event(&event, stage, &subscription, State::Parked, vec![fault], &received.body);
        given_up.push((event, letter));
    }
    let letters: Vec<Letter> = given_up.iter().map(|(_, letter)| letter.clone()).collect();
    let mut tx = store.begin().await?;
    let filed = file(&mut tx, keys, &letters).await?;
    let of = |stage: &'static str| {
        given_up
            .iter()
            .filter(move |(_, letter)| letter.stage == stage)
            .filter(|(_, letter)| filed.ids.contains(&letter.id))
            .map(|(event, _)| event)
    };
    // A record that the router never counted is open with itself; a delivery is open since its dispatch.
    arrival::add(&mut tx, of("route"), (1, 1)).await?;
    arrival::add(&mut tx, of("deliver"), (0, 1)).await?;
    tx.commit().await
}
