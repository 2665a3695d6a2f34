//! Where the time of the index goes, for measurements.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The parts of a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Standard forms, hashes, blocking keys.
    Standard,
    /// What is known already: the caches, and records that say what they said before.
    Known,
    /// For another router that decides.
    Wait,
    /// Everybody who may be meant.
    Load,
    /// Comparing.
    Decide,
    Write,
    Commit,
    /// The index in memory takes over what was committed.
    Follow,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 8] =
        [Self::Standard, Self::Known, Self::Wait, Self::Load, Self::Decide, Self::Write, Self::Commit, Self::Follow];

    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard forms",
            Self::Known => "known already",
            Self::Wait => "waiting for others",
            Self::Load => "loading candidates",
            Self::Decide => "comparing",
            Self::Write => "writing",
            Self::Commit => "commit",
            Self::Follow => "hot index",
        }
    }
}

/// Nanoseconds by part, since the index was opened.
#[derive(Debug, Default)]
pub struct Timings([AtomicU64; 8]);

impl Timings {
    pub(super) fn clock(&self) -> Instant {
        Instant::now()
    }

    /// Books the time since `from`; answers the present.
    pub(super) fn lap(&self, part: Part, from: Instant) -> Instant {
        let now = Instant::now();
        let passed = u64::try_from((now - from).as_nanos()).unwrap_or(u64::MAX);
        self.0[part as usize].fetch_add(passed, Ordering::Relaxed);
        now
    }

    /// Time spent on a part.
    pub fn of(&self, part: Part) -> Duration {
        Duration::from_nanos(self.0[part as usize].load(Ordering::Relaxed))
    }
}
