//! [`Ages`]: how old the oldest message of a queue is.
//!
//! Neither broker tells it, so it is derived. Queues are first in, first out: if `settled` messages have left so far and
//! `depth` are inside, then `settled + depth` have arrived, and the oldest one inside is number `settled + 1`. Each look
//! notes how many had arrived by then; the age is the time since the look by which number `settled + 1` had arrived.
//!
//! How good this is: looks are a second apart, and other processes report what they settled a second late, so the age is
//! right to about two seconds. Messages that leave without being settled by a hub (purged by hand, or in the last second of
//! a process that was killed) make it too old by the time of as many messages, until the queue is next empty.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Looks closer together than this part of the time they span are joined: the age is right to 0.4 %, and a queue that
/// stands for a year holds some three thousand looks.
const PARTS: i64 = 256;

/// The looks at all queues.
#[derive(Debug, Default)]
pub struct Ages(BTreeMap<String, Track>);

/// What one look sees. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub now: i64,
    /// Messages inside.
    pub depth: u64,
    /// Messages that have left since the store began to count.
    pub settled: i64,
    /// What an earlier process knew about the arrival of the oldest message.
    pub oldest_at: Option<i64>,
}

#[derive(Debug)]
struct Track {
    /// How many had arrived, and when that was seen; both grow.
    arrived: VecDeque<(i64, i64)>,
    oldest_at: i64,
}

impl Ages {
    /// When the oldest message had arrived, as of the last look; `None` if there was none yet.
    pub fn oldest_at(&self, queue: &str) -> Option<i64> {
        self.0.get(queue).map(|track| track.oldest_at)
    }

    /// Notes a look and tells the age of the oldest message; zero for an empty queue.
    pub fn look(&mut self, queue: &str, look: Look) -> Duration {
        let track = self.0.entry(queue.to_owned()).or_insert_with(|| Track::begin(look));
        track.note(look);
        Duration::from_millis(u64::try_from(look.now - track.oldest_at).unwrap_or_default())
    }
}

impl Track {
    /// After a start, everything inside counts as old as the oldest message was known to be.
    fn begin(look: Look) -> Self {
        let at = look.oldest_at.unwrap_or(look.now).min(look.now);
        let total = look.settled.saturating_add_unsigned(look.depth);
        Self { arrived: VecDeque::from([(total, at)]), oldest_at: at }
    }

    fn note(&mut self, look: Look) {
        if look.depth == 0 {
            self.arrived.clear();
            self.oldest_at = look.now;
            return;
        }
        let total = look.settled.saturating_add_unsigned(look.depth);
        if self.arrived.back().is_none_or(|(last, _)| *last < total) {
            self.push(total, look.now);
        }
        while self.arrived.len() > 1 && self.arrived.front().is_some_and(|(total, _)| *total <= look.settled) {
            self.arrived.pop_front();
        }
        self.oldest_at = self.arrived.front().map_or(look.now, |(_, at)| *at);
    }

    fn push(&mut self, total: i64, now: i64) {
        let spacing = self.arrived.front().map_or(0, |(_, first)| (now - first) / PARTS);
        let before_last = self.arrived.len().checked_sub(2).and_then(|index| self.arrived.get(index));
        if before_last.is_some_and(|(_, at)| now - at < spacing) {
            self.arrived.pop_back();
        }
        self.arrived.push_back((total, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(second: i64, depth: u64, settled: i64) -> Look {
        Look { now: second * 1000, depth, settled, oldest_at: None }
    }

    fn seconds(ages: &mut Ages, look: Look) -> u64 {
        ages.look("q", look).as_secs()
    }

    #[test]
    fn a_standing_queue_ages_and_an_empty_one_does_not() {
        let mut ages = Ages::default();
        assert_eq!(seconds(&mut ages, look(0, 0, 5)), 0);
        assert_eq!(seconds(&mut ages, look(10, 3, 5)), 0);
        assert_eq!(seconds(&mut ages, look(20, 4, 5)), 10);
        assert_eq!(seconds(&mut ages, look(70, 9, 5)), 60);
        assert_eq!(seconds(&mut ages, look(71, 0, 14)), 0);
        assert_eq!(seconds(&mut ages, look(99, 1, 14)), 0, "what comes after is new");
    }

    #[test]
    fn a_busy_queue_that_is_never_empty_stays_young() {
        let mut ages = Ages::default();
        // A hundred come and go each second, two hundred are always inside.
        for second in 0..1000 {
            assert!(seconds(&mut ages, look(second, 200, second * 100)) <= 2, "at {second}");
        }
    }

    #[test]
    fn a_backlog_ages_by_the_message_at_its_head() {
        let mut ages = Ages::default();
        for second in 0..100 {
            seconds(&mut ages, look(second, (second as u64 + 1) * 10, 0));
        }
        // Half of what came in a hundred seconds has left: the head came at second 50.
        assert_eq!(seconds(&mut ages, look(100, 500, 500)), 50);
        assert_eq!(seconds(&mut ages, look(101, 1, 999)), 2);
    }

    #[test]
    fn a_new_process_goes_on_from_what_was_known() {
        let mut ages = Ages::default();
        assert_eq!(seconds(&mut ages, Look { oldest_at: Some(0), ..look(60, 10, 5) }), 60);
        assert_eq!(seconds(&mut ages, look(61, 12, 10)), 61);
        assert_eq!(seconds(&mut ages, look(62, 2, 20)), 1);
        let clock_went_back = Look { oldest_at: Some(90_000), ..look(60, 10, 5) };
        assert_eq!(Ages::default().look("q", clock_went_back), Duration::ZERO);
    }

    #[test]
    fn messages_that_vanish_make_it_too_old_only_until_the_queue_is_empty() {
        let mut ages = Ages::default();
        seconds(&mut ages, look(0, 100, 0));
        // Purged by hand: ninety are gone and nobody settled them.
        assert_eq!(seconds(&mut ages, look(50, 10, 0)), 50);
        assert_eq!(seconds(&mut ages, look(60, 0, 10)), 0);
        assert_eq!(seconds(&mut ages, look(61, 7, 10)), 0);
    }

    #[test]
    fn days_of_standing_still_cost_no_memory() {
        let mut ages = Ages::default();
        for second in 0..100_000 {
            seconds(&mut ages, look(second, second as u64 + 1, 0));
        }
        assert!(ages.0["q"].arrived.len() < 2000);
        assert_eq!(seconds(&mut ages, look(100_000, 100_001, 0)), 100_000);
        // The message of second 50,000 is at the head: joined looks cost less than one in a hundred.
        let age = seconds(&mut ages, look(100_000, 50_000, 50_001));
        assert!((49_600..=50_010).contains(&age), "{age}");
    }
}
