//! The circuit breaker of one partner: closed, open for a growing pause, half-open for one probe.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The state of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Deliveries flow.
    Closed,
    /// Nothing is sent for this long.
    Open {
        /// Until a probe may go.
        remaining: Duration,
    },
    /// One delivery is out to see whether the partner is back.
    HalfOpen,
}

/// Pauses of a circuit.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// After the first failure; doubles with every further one.
    pub first: Duration,
    /// The longest, unless the partner itself asks for more.
    pub most: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

/// May something be sent?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Pass,
    /// One delivery, to see.
    Probe,
    Wait(Duration),
}

/// One failure opens it: a batch stops at its first failure anyway, and the first pause is short.
#[derive(Debug)]
pub(super) struct Circuit {
    pauses: Pauses,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In a row.
    failures: u32,
    /// Nothing is sent before; `None` while closed.
    until: Option<Instant>,
    probing: bool,
}

impl Circuit {
    pub fn new(pauses: Pauses) -> Self {
        Self { pauses, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self, now: Instant) -> State {
        let inner = self.inner();
        match inner.until {
            None => State::Closed,
            Some(_) if inner.probing => State::HalfOpen,
            Some(until) => State::Open { remaining: until.saturating_duration_since(now) },
        }
    }

    /// What may be sent now; a probe is given to one caller and, should that one vanish, to another after a pause.
    pub fn admit(&self, now: Instant) -> Admission {
        let mut inner = self.inner();
        let Some(until) = inner.until else { return Admission::Pass };
        if now < until {
            return Admission::Wait(until - now);
        }
        inner.probing = true;
        inner.until = Some(now + self.pauses.most);
        Admission::Probe
    }

    pub fn succeeded(&self) {
        *self.inner() = Inner::default();
    }

    /// Opens the circuit and says for how long. `jitter` is from 0 to 1: many lanes must not wake at once.
    pub fn failed(&self, now: Instant, asked: Option<Duration>, jitter: f64) -> Duration {
        let mut inner = self.inner();
        let doubled = self.pauses.first.saturating_mul(1 << inner.failures.min(16)).min(self.pauses.most);
        // Between half and the whole of the pause ("equal jitter").
        let pause = doubled.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)).max(asked.unwrap_or_default());
        *inner = Inner { failures: inner.failures.saturating_add(1), until: Some(now + pause), probing: false };
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_to_their_limit_and_end_with_a_success() {
        let circuit = Circuit::new(Pauses::default());
        let mut now = Instant::now();
        assert_eq!(circuit.admit(now), Admission::Pass);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = circuit.failed(now, None, 1.0);
            assert_eq!(circuit.admit(now), Admission::Wait(pause));
            assert_eq!(circuit.state(now), State::Open { remaining: pause });
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(circuit.admit(now), Admission::Probe);
            assert_eq!(circuit.state(now), State::HalfOpen);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        circuit.succeeded();
        assert_eq!((circuit.state(now), circuit.admit(now)), (State::Closed, Admission::Pass));
        assert_eq!(circuit.failed(now, None, 0.0), SECOND / 2);
    }

    #[test]
    fn a_partner_may_ask_for_a_longer_pause() {
        let circuit = Circuit::new(Pauses::default());
        let now = Instant::now();
        assert_eq!(circuit.failed(now, Some(SECOND * 900), 0.5), SECOND * 900);
        assert_eq!(circuit.failed(now, Some(SECOND / 10), 1.0), SECOND * 2);
    }

    #[test]
    fn one_probe_at_a_time_but_never_none_for_ever() {
        let circuit = Circuit::new(Pauses::default());
        let now = Instant::now() + circuit.failed(Instant::now(), None, 1.0) + SECOND;
        assert_eq!(circuit.admit(now), Admission::Probe);
        assert!(matches!(circuit.admit(now), Admission::Wait(_)), "the probe is out");
        assert_eq!(circuit.admit(now + SECOND * 300), Admission::Probe, "its holder vanished");
    }
}
