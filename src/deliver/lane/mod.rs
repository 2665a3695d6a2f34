//! [`Lane`]: one partner's target behind its own rate limit and its own circuit. Lanes share nothing, so a slow partner
//! slows its own queue only.

use std::{
    collections::HashSet,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{
    Delivery, Outcome, Target,
    webhook::{OUT_OF_TIME, key_held},
};
use crate::{
    envelope::{PartitionKey, SubscriptionId},
    error::{Code, Fault},
};

pub mod circuit;

use circuit::{Admission, Circuit, Pauses, State};

/// The circuit of the partner is open: nothing is sent for a while.
pub const OPEN: Code = Code::new(6030);
/// The partner's rate is used up, and waiting for it would take too long.
pub const RATE_LIMITED: Code = Code::new(6031);
/// The target did not come back within any of its own time limits.
pub const HUNG: Code = Code::new(6032);
/// The target gave fewer answers than there were deliveries.
pub const MISCOUNT: Code = Code::new(6033);

/// What limits a lane.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Deliveries per second, with a burst of one second; `None` for no limit.
    pub rate_per_second: Option<NonZeroU32>,
    /// Longest wait for the rate.
    pub rate_wait: Duration,
    /// Of the circuit.
    pub pauses: Pauses,
    /// Longest time for one call of the target: far beyond its own limits, for a target that forgot them.
    pub hang: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { rate_per_second: None, rate_wait: seconds(30), pauses: Pauses::default(), hang: seconds(600) }
    }
}

/// The way to one partner.
pub struct Lane {
    subscription: SubscriptionId,
    target: Box<dyn Target>,
    rate: Option<(NonZeroU32, DefaultDirectRateLimiter)>,
    circuit: Circuit,
    settings: Settings,
}

impl Lane {
    /// A closed circuit and a full rate.
    pub fn new(subscription: SubscriptionId, target: Box<dyn Target>, settings: Settings) -> Self {
        let rate = settings.rate_per_second.map(|rate| (rate, RateLimiter::direct(Quota::per_second(rate))));
        Self { subscription, target, rate, circuit: Circuit::new(settings.pauses), settings }
    }

    /// The partner.
    pub fn subscription(&self) -> &SubscriptionId {
        &self.subscription
    }

    /// The circuit, for metrics and the console.
    pub fn state(&self) -> State {
        self.circuit.state(Instant::now())
    }

    /// The most deliveries that are worth giving at once.
    pub fn batch_size(&self) -> usize {
        self.target.batch_size()
    }

    /// Delivers in order; one outcome per delivery. Every `Unavailable` says how long to pause.
    pub async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        let mut held: HashSet<&PartitionKey> = HashSet::new();
        while let Some(first) = batch.get(outcomes.len()) {
            if held.contains(&first.event.partitionkey) {
                outcomes.push(Outcome::Refused(key_held()));
                continue;
            }
            let rest = &batch[outcomes.len()..];
            let free = rest.iter().take_while(|delivery| !held.contains(&delivery.event.partitionkey)).count();
            let chunk = &rest[..free.min(self.chunk_size())];
            let answers = self.step(chunk).await;
            let refused = chunk.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Outcome::Refused(_)));
            held.extend(refused.map(|(delivery, _)| &delivery.event.partitionkey));
            let stopped = answers.iter().rev().find(|answer| matches!(answer, Outcome::Unavailable { .. })).cloned();
            outcomes.extend(answers);
            if let Some(outcome) = stopped {
                fill(&mut outcomes, batch, &held, &outcome);
            }
        }
        outcomes
    }

    /// One delivery while the partner is in doubt; else what target and rate take at once.
    fn chunk_size(&self) -> usize {
        if self.state() != State::Closed {
            return 1;
        }
        let rate = self.rate.as_ref().map_or(usize::MAX, |(rate, _)| rate.get() as usize);
        self.target.batch_size().min(rate).max(1)
    }

    async fn step(&self, chunk: &[Delivery]) -> Vec<Outcome> {
        if let State::Open { remaining } = self.state()
            && !remaining.is_zero()
        {
            return vec![open(remaining); chunk.len()];
        }
        if !self.wait_for_rate(chunk.len()).await {
            let fault = Fault::new(RATE_LIMITED, "the partner's rate is used up")
                .hint("raise `rate_per_second` if the partner allows it");
            return vec![Outcome::Unavailable { fault, retry_after: Some(Duration::from_secs(1)) }; chunk.len()];
        }
        match self.circuit.admit(Instant::now()) {
            Admission::Wait(pause) => vec![open(pause); chunk.len()],
            Admission::Pass | Admission::Probe => self.attempt(chunk).await,
        }
    }

    /// Takes tokens for `count` deliveries, which is never more than a burst.
    async fn wait_for_rate(&self, count: usize) -> bool {
        let Some((_, limiter)) = &self.rate else { return true };
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else { return true };
        let ready = tokio::time::timeout(self.settings.rate_wait, limiter.until_n_ready(count)).await;
        matches!(ready, Ok(Ok(())))
    }

    async fn attempt(&self, chunk: &[Delivery]) -> Vec<Outcome> {
        let mut answers = match tokio::time::timeout(self.settings.hang, self.target.deliver(chunk)).await {
            Ok(answers) => answers,
            Err(_) => vec![broken(HUNG, "the target did not come back"); chunk.len()],
        };
        if answers.len() != chunk.len() {
            // Whatever it was: unknown means again, with the same id.
            answers.resize(chunk.len(), broken(MISCOUNT, "the target gave another number of answers"));
        }
        let failure = answers.iter().find_map(|answer| match answer {
            Outcome::Unavailable { fault, retry_after } if fault.code != OUT_OF_TIME => Some((fault, *retry_after)),
            _ => None,
        });
        let Some((fault, asked)) = failure else {
            self.circuit.succeeded();
            return answers;
        };
        let pause = self.circuit.failed(Instant::now(), asked, rand::random());
        tracing::warn!(subscription = %self.subscription, code = %fault.code, pause_ms = pause.as_millis() as u64, "partner unavailable");
        for answer in &mut answers {
            if let Outcome::Unavailable { retry_after, .. } = answer {
                *retry_after = Some(pause);
            }
        }
        answers
    }
}

/// The rest of a batch after its first `Unavailable`.
fn fill(outcomes: &mut Vec<Outcome>, batch: &[Delivery], held: &HashSet<&PartitionKey>, outcome: &Outcome) {
    for delivery in &batch[outcomes.len()..] {
        let behind = held.contains(&delivery.event.partitionkey);
        outcomes.push(if behind { Outcome::Refused(key_held()) } else { outcome.clone() });
    }
}

fn open(pause: Duration) -> Outcome {
    let fault = Fault::new(OPEN, "the circuit of the partner is open").hint("it closes by itself when the partner answers again");
    Outcome::Unavailable { fault, retry_after: Some(pause) }
}

fn broken(code: Code, message: &str) -> Outcome {
    Outcome::Unavailable { fault: Fault::new(code, message).hint("a fault of the hub: report it"), retry_after: None }
}
