//! The road at half of its top speed for a long time: does memory stay flat, do descriptors, do the books balance?

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{
    meter::memory_and_descriptors,
    pipeline::{self, proven, refused, row, start},
};
use crate::{
    adapter::source::{self, Batch, Position, Source},
    error::Fault,
    hub::Hub,
    ledger::books,
};

/// Looks at the process.
const SAMPLES: u32 = 60;
/// Caches fill in the first part, which counts for nothing; the second is compared with the last.
const EARLY: (f64, f64) = (0.25, 0.55);
const LATE: (f64, f64) = (0.7, 1.0);
/// Files that are open for a moment, and connections that pools open when they first need them, however late. A leak in an
/// hour is far more.
const LAZY: i64 = 10;
/// Longest time until the last records are through.
const DRAIN: Duration = Duration::from_secs(120);

/// One look.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub seconds: f64,
    pub records: u64,
    pub memory_mib: f64,
    pub descriptors: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Records a second of the run before.
    pub top_rate: f64,
    pub rate: f64,
    pub offered: u64,
    pub delivered: u64,
    /// Mean of the last part over mean of the early part.
    pub memory_growth_percent: f64,
    /// Most descriptors of the last part less most of the early part.
    pub descriptor_growth: i64,
    pub gap: i64,
    pub samples: Vec<Sample>,
}

impl Report {
    /// Flat, balanced, and everything that was offered is there.
    pub fn is_well(&self, most_growth: f64) -> bool {
        let flat = self.memory_growth_percent <= most_growth && self.descriptor_growth <= LAZY;
        flat && self.gap == 0 && self.offered == self.delivered && self.offered > 0
    }
}

/// Finds the top speed with `records`, then offers half of it for so long.
///
/// # Errors
/// The hub refuses records, or the store failed.
pub async fn run(hub: &Arc<Hub>, long: Duration, records: u64, persons: u64) -> Result<Report, Fault> {
    let top_rate = pipeline::run(hub, records, persons).await?.rate;
    let rate = (top_rate / 2.0).max(1.0);
    let offered = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let source = Paced { rate, persons: persons.max(1), began, until: began + long, offered: Arc::clone(&offered) };
    let road = start(hub, Box::new(source))?;
    let mut samples = Vec::new();
    for number in 1..=SAMPLES {
        tokio::time::sleep_until((began + long * number / SAMPLES).into()).await;
        let (resident, descriptors) = memory_and_descriptors();
        #[allow(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^53")]
        let memory_mib = resident as f64 / 1024.0;
        let seconds = began.elapsed().as_secs_f64();
        samples.push(Sample { seconds, records: road.delivered.load(Ordering::Acquire), memory_mib, descriptors });
        if let Some(fault) = refused(hub).await {
            road.stop().await;
            return Err(fault);
        }
    }
    let end = Instant::now() + DRAIN;
    while road.delivered.load(Ordering::Acquire) < offered.load(Ordering::Acquire) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    road.stop().await;
    let lines = books::books(&hub.store, None, 0).await.map_err(|error| error.fault())?;
    Ok(Report {
        top_rate,
        rate,
        offered: offered.load(Ordering::Acquire),
        delivered: proven(hub).await.saturating_sub(records),
        memory_growth_percent: growth(&samples),
        descriptor_growth: most(&samples, LATE) - most(&samples, EARLY),
        gap: lines.iter().map(|line| line.gap.abs() + line.in_flight).sum(),
        samples,
    })
}

fn part(samples: &[Sample], (from, to): (f64, f64)) -> impl Iterator<Item = &Sample> {
    let long = samples.last().map_or(0.0, |sample| sample.seconds);
    samples.iter().filter(move |sample| sample.seconds >= long * from && sample.seconds <= long * to)
}

fn growth(samples: &[Sample]) -> f64 {
    let mean = |range| {
        let (sum, count) = part(samples, range).fold((0.0, 0_u32), |(sum, count), sample| (sum + sample.memory_mib, count + 1));
        sum / f64::from(count.max(1))
    };
    (mean(LATE) / mean(EARLY).max(1.0) - 1.0) * 100.0
}

fn most(samples: &[Sample], range: (f64, f64)) -> i64 {
    part(samples, range).map(|sample| i64::try_from(sample.descriptors).unwrap_or(i64::MAX)).max().unwrap_or_default()
}

/// Payment lines, so many a second, until the time is up.
struct Paced {
    rate: f64,
    persons: u64,
    began: Instant,
    until: Instant,
    offered: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Paced {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, source::Error> {
        let start = position.0.as_u64().unwrap_or(0);
        let due = |now: Instant| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count of records")]
            let due = ((now - self.began).as_secs_f64() * self.rate) as u64;
            due.saturating_sub(self.offered.load(Ordering::Acquire))
        };
        let mut count = due(Instant::now());
        // Half a second's worth at once, as a source that is polled has it.
        while (count as f64) < self.rate / 2.0 && count < max as u64 && Instant::now() < self.until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            count = due(Instant::now());
        }
        let more = Instant::now() < self.until;
        let end = start + count.min(max as u64);
        let rows = (start..end).map(|n| row(n, n % self.persons)).collect();
        self.offered.fetch_add(end - start, Ordering::AcqRel);
        Ok(Batch { rows, bad: Vec::new(), next: Position(Value::from(end)), more, load: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(f64) -> f64) -> Vec<Sample> {
        let sample = |n: u32| Sample {
            seconds: f64::from(n),
            records: 0,
            memory_mib: memory(f64::from(n)),
            descriptors: u64::from(n / 50),
        };
        (1..=60).map(sample).collect()
    }

    #[test]
    fn growth_is_seen_and_the_start_does_not_count() {
        assert!(growth(&samples(|second| if second < 15.0 { second } else { 100.0 })).abs() < 0.1);
        assert!(growth(&samples(|second| 100.0 + second)) > 15.0);
        assert_eq!(most(&samples(|_| 1.0), LATE) - most(&samples(|_| 1.0), EARLY), 1);
    }
}
