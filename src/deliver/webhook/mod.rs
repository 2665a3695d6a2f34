//! The webhook target: signed POSTs of CloudEvents to a partner.
//!
//! Order holds within a partition key; requests of different keys run side by side. What an answer means:
//!
//! | answer | outcome |
//! |---|---|
//! | 2xx, complete | delivered |
//! | 429, 503 | unavailable, for as long as `Retry-After` says |
//! | 408, 5xx, no connection, no answer in time, an answer that breaks off | unavailable |
//! | 3xx, 401, 405, 407, 410 | unavailable: they speak of the endpoint (moved, wrong key, switched off), not of the record, and must not park every key |
//! | other 4xx | refused: this record is parked with its key |
//!
//! After one "unavailable" nothing more of the batch is sent. After a refusal the later records of its key are not sent
//! either: they would overtake it. A request whose outcome is not known is sent again with the same `webhook-id`.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

use super::{
    Delivery, Outcome, Target,
    guard::{self, Client, Limits},
    signing::Signer,
};
use crate::{
    clock,
    envelope::{PartitionKey, event::MEDIA_TYPE},
    error::{Code, Fault},
    govern::partner::Webhook as Settings,
    telemetry::trace,
};

pub mod answer;

/// Not sent, because an earlier delivery of the same partition key was refused.
pub const KEY_HELD: Code = Code::new(6010);
/// Not sent, because the deliveries before it took all the time of the batch.
pub const OUT_OF_TIME: Code = Code::new(6011);

/// Media type of several events in one request.
const BATCH_MEDIA_TYPE: &str = "application/cloudevents-batch+json";
/// Largest body of a request with several events; one event alone may be larger.
const MOST_BYTES: usize = 1 << 20;

/// A partner that is called.
pub struct Webhook {
    client: Client,
    signer: Signer,
    in_flight: usize,
    batch: usize,
    /// No request of a batch starts after this time.
    limit: Duration,
}

impl Webhook {
    /// Checks URL, networks, keys and certificate file; tells everything that is wrong. Makes no connection.
    pub fn new(settings: &Settings) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut keep = |fault| faults.push(fault);
        let ca = settings.ca_file.as_ref().map(std::fs::read).transpose();
        let ca = ca.map_err(|_| keep(Fault::new(guard::NO_CLIENT, "`ca_file` cannot be read"))).ok().flatten();
        let limits = Limits::within(settings.timeout);
        let client = Client::new(&settings.url, &settings.allow, limits, ca.as_deref()).map_err(&mut keep).ok();
        let signer = Signer::new(settings.signing, &settings.secrets).map_err(&mut keep).ok();
        match (client, signer) {
            (Some(client), Some(signer)) if faults.is_empty() => Ok(Self {
                client,
                signer,
                in_flight: settings.in_flight,
                batch: settings.batch,
                limit: (settings.timeout * 2).max(Duration::from_secs(30)),
            }),
            _ => Err(faults),
        }
    }

    /// `first` gives the trace of the request.
    async fn send(&self, first: &Delivery, id: &str, media_type: &'static str, body: Vec<u8>) -> Outcome {
        let timestamp = clock::now().unix_timestamp();
        let mut headers = self.signer.headers(id, timestamp, &body);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(value) = trace::Context::of(&first.event).and_then(|context| HeaderValue::from_str(context.as_str()).ok()) {
            headers.insert(trace::HEADER, value);
        }
        match self.client.post(headers, Bytes::from(body)).await {
            Ok(answer) => answer::judge(answer.status.as_u16(), &answer.headers, clock::now()),
            Err(error) => Outcome::Unavailable { fault: error.fault(), retry_after: None },
        }
    }

    async fn send_one(&self, delivery: &Delivery) -> Outcome {
        self.send(delivery, delivery.id.as_str(), MEDIA_TYPE, delivery.event.to_bytes()).await
    }

    /// Each delivery in a request of its own, several keys at once.
    async fn singly(&self, batch: &[Delivery], run: &Run) {
        let groups = by_key(batch);
        let work = groups.into_iter().map(|group| self.one_key(batch, group, run));
        stream::iter(work).buffer_unordered(self.in_flight).collect::<Vec<()>>().await;
    }

    async fn one_key(&self, batch: &[Delivery], group: Vec<usize>, run: &Run) {
        for index in group {
            if !run.may_send(&batch[index]) {
                continue;
            }
            let outcome = self.send_one(&batch[index]).await;
            run.settle(&batch[index], outcome);
        }
    }

    /// Several events in one request, one request after another. A refused request is taken apart, so that the good
    /// records in it arrive.
    async fn together(&self, batch: &[Delivery], run: &Run) {
        let mut rest = batch;
        while !rest.is_empty() {
            let mut taken = Vec::new();
            let (mut body, mut seen) = (vec![b'['], 0);
            for delivery in rest.iter().take(self.batch) {
                let event = delivery.event.to_bytes();
                if !taken.is_empty() && body.len() + event.len() + 2 > MOST_BYTES {
                    break;
                }
                seen += 1;
                if run.may_send(delivery) {
                    body.extend_from_slice(if taken.is_empty() { b"" } else { b"," });
                    body.extend_from_slice(&event);
                    taken.push(delivery);
                }
            }
            body.push(b']');
            rest = &rest[seen..];
            match taken.as_slice() {
                [] => {}
                several => self.one_request(several, body, run).await,
            }
        }
    }

    async fn one_request(&self, deliveries: &[&Delivery], body: Vec<u8>, run: &Run) {
        let Some(first) = deliveries.first() else { return };
        let outcome = self.send(first, &batch_id(deliveries), BATCH_MEDIA_TYPE, body).await;
        if deliveries.len() == 1 || !matches!(outcome, Outcome::Refused(_)) {
            for delivery in deliveries {
                run.settle(delivery, outcome.clone());
            }
            return;
        }
        for delivery in deliveries {
            if run.may_send(delivery) {
                let body = [b"[".as_slice(), &delivery.event.to_bytes(), b"]"].concat();
                let outcome = self.send(delivery, &batch_id(&[delivery]), BATCH_MEDIA_TYPE, body).await;
                run.settle(delivery, outcome);
            }
        }
    }
}

#[async_trait]
impl Target for Webhook {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let run = Run::new(self.limit);
        if self.batch > 1 {
            self.together(batch, &run).await;
        } else {
            self.singly(batch, &run).await;
        }
        run.outcomes(batch)
    }

    /// Small enough that a slow partner gets through a batch within its time.
    fn batch_size(&self) -> usize {
        (self.in_flight * 16).max(self.batch).min(512)
    }
}

/// Positions in the batch by partition key, in the order in which the keys appear.
fn by_key(batch: &[Delivery]) -> Vec<Vec<usize>> {
    let mut places: FxHashMap<&PartitionKey, usize> = FxHashMap::default();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, delivery) in batch.iter().enumerate() {
        let place = *places.entry(&delivery.event.partitionkey).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(index);
    }
    groups
}

/// `webhook-id` of a request with several events: the same events have the same id. Each event holds its own
/// `deliveryid`, by which a receiver knows it even if the next request is cut differently.
fn batch_id(deliveries: &[&Delivery]) -> String {
    if let [only] = deliveries {
        return only.id.to_string();
    }
    let mut hash = Sha256::new();
    for delivery in deliveries {
        hash.update(delivery.id.as_str());
        hash.update(b"\n");
    }
    hex::encode(&hash.finalize()[..16])
}

/// What happened so far in one batch.
struct Run {
    until: Instant,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    done: FxHashMap<String, Outcome>,
    /// Keys with a refused delivery.
    held: HashSet<PartitionKey>,
    /// The partner cannot take anything now.
    stopped: Option<Outcome>,
}

impl Run {
    fn new(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_send(&self, delivery: &Delivery) -> bool {
        let mut state = self.state();
        if state.stopped.is_none() && Instant::now() > self.until {
            let fault = Fault::new(OUT_OF_TIME, "not sent: the deliveries before it took all the time of the batch")
                .hint("the partner is slow; raise `in_flight`, or use `batch = true`");
            state.stopped = Some(Outcome::Unavailable { fault, retry_after: Some(Duration::ZERO) });
        }
        state.stopped.is_none() && !state.held.contains(&delivery.event.partitionkey)
    }

    fn settle(&self, delivery: &Delivery, outcome: Outcome) {
        let mut state = self.state();
        match &outcome {
            Outcome::Refused(_) => {
                state.held.insert(delivery.event.partitionkey.clone());
            }
            Outcome::Unavailable { .. } if state.stopped.is_none() => state.stopped = Some(outcome.clone()),
            _ => {}
        }
        state.done.insert(delivery.id.to_string(), outcome);
    }

    /// One outcome per delivery; those not sent have the reason why.
    fn outcomes(self, batch: &[Delivery]) -> Vec<Outcome> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let outcome = |delivery: &Delivery| {
            if let Some(outcome) = state.done.get(delivery.id.as_str()) {
                return outcome.clone();
            }
            match &state.stopped {
                Some(outcome) if !state.held.contains(&delivery.event.partitionkey) => outcome.clone(),
                _ => Outcome::Refused(key_held()),
            }
        };
        batch.iter().map(outcome).collect()
    }
}

/// The fault of a delivery behind a refused one.
pub(super) fn key_held() -> Fault {
    Fault::new(KEY_HELD, "not sent: an earlier delivery of the same key was refused")
        .hint("settle the earlier one; `civilhub dead replay` sends both in order")
}
