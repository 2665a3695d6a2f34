//! The state of one queue that need not survive: who holds what, who may read, what came back.
//!
//! Memory is bounded by what is handed out: waiting messages stay on disk, and a cursor tells where reading goes on.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::layout::QueueRecord;
use crate::bus::Depth;

/// One declared queue.
pub(super) struct Queue {
    pub(super) id: u32,
    pub(super) name: String,
    /// Only the oldest consumer reads; the others wait for their turn. Holds for partitions and receivers, whose order matters.
    single_active: bool,
    /// Rung when something to read may have come, or when the reader changed.
    pub(super) bell: Notify,
    /// Held while a consumer reads from disk, so that two never read the same message.
    pub(super) reading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl Queue {
    pub(super) fn new(name: String, record: &QueueRecord) -> Self {
        let state = State {
            cursor: record.low,
            tail: record.next,
            count: record.count,
            handed_out: record.handed_out,
            suspect_below: record.handed_out,
            ..State::default()
        };
        Self {
            id: record.id,
            single_active: name != super::writer::DEAD,
            name,
            bell: Notify::new(),
            reading: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        }
    }

    /// The state; never held across an await or a disk access.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a consumer at the end of the line.
    pub(super) fn join(&self, consumer: u64) {
        self.state().consumers.push_back(consumer);
    }

    /// Removes a consumer and puts back what it held; the next in line takes over.
    pub(super) fn leave(&self, consumer: u64) {
        let mut state = self.state();
        state.consumers.retain(|other| *other != consumer);
        let held: Vec<u64> =
            state.leases.iter().filter(|(_, holder)| **holder == consumer).map(|(sequence, _)| *sequence).collect();
        for sequence in held {
            state.give_back(sequence, consumer);
        }
        drop(state);
        self.bell.notify_waiters();
    }

    /// What `consumer` may read now, at most `max` messages with those it holds already counted against `prefetch`.
    pub(super) fn plan(&self, consumer: u64, max: usize, prefetch: usize) -> Plan {
        let state = self.state();
        if self.single_active && state.consumers.front() != Some(&consumer) {
            return Plan::default();
        }
        let held = state.leases.values().filter(|holder| **holder == consumer).count();
        let room = max.min(prefetch.saturating_sub(held));
        let returned: Vec<u64> = state.returned.iter().take(room).copied().collect();
        let fresh = room - returned.len();
        Plan { returned, fresh, from: state.cursor, to: state.tail, handed_out: state.handed_out }
    }

    pub(super) fn depth(&self) -> Depth {
        let state = self.state();
        let unsettled = state.leases.len() as u64;
        Depth { ready: state.count.saturating_sub(unsettled), unsettled }
    }
}

/// What a consumer is about to read.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Messages that came back: they go first.
    pub(super) returned: Vec<u64>,
    /// How many more from `from..to`.
    pub(super) fresh: usize,
    pub(super) from: u64,
    pub(super) to: u64,
    /// The mark on disk: handing out at or above it needs a new mark first.
    pub(super) handed_out: u64,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.returned.is_empty() && (self.fresh == 0 || self.from >= self.to)
    }
}

/// Leases and positions of one queue.
#[derive(Default)]
pub(super) struct State {
    /// Next sequence to read that was never read since the folder was opened.
    pub(super) cursor: u64,
    /// One past the last committed message.
    pub(super) tail: u64,
    /// Messages stored, handed out or not.
    pub(super) count: u64,
    /// The mark on disk.
    pub(super) handed_out: u64,
    /// Messages below it may have been out before this process started.
    pub(super) suspect_below: u64,
    /// Sequence and holder of what is handed out.
    leases: BTreeMap<u64, u64>,
    /// Came back unsettled; in queue order.
    returned: BTreeSet<u64>,
    /// Consumers in the order in which they came.
    consumers: VecDeque<u64>,
}

impl State {
    /// Hands a message out; the answer says whether it may have been out before.
    pub(super) fn lease(&mut self, sequence: u64, consumer: u64) -> bool {
        let came_back = self.returned.remove(&sequence);
        self.leases.insert(sequence, consumer);
        self.cursor = self.cursor.max(sequence + 1);
        came_back || sequence < self.suspect_below
    }

    pub(super) fn holds(&self, sequence: u64, consumer: u64) -> bool {
        self.leases.get(&sequence) == Some(&consumer)
    }

    /// Ends a lease of this consumer for good; false when it does not hold the message (any more).
    pub(super) fn end(&mut self, sequence: u64, consumer: u64) -> bool {
        let holds = self.holds(sequence, consumer);
        if holds {
            self.leases.remove(&sequence);
        }
        holds
    }

    /// Puts a message back at its own place.
    pub(super) fn give_back(&mut self, sequence: u64, consumer: u64) {
        if self.end(sequence, consumer) {
            self.returned.insert(sequence);
        }
    }

    /// Forgets a message that is no longer on disk.
    pub(super) fn forget(&mut self, sequence: u64) {
        self.returned.remove(&sequence);
    }

    /// No message below it is left.
    pub(super) fn low(&self) -> u64 {
        let leased = self.leases.keys().next().copied();
        let returned = self.returned.first().copied();
        [leased, returned].into_iter().flatten().fold(self.cursor, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Queue {
        let queue = Queue::new(name.into(), &QueueRecord { id: 1, next: 10, low: 0, handed_out: 3, count: 10 });
        queue.join(1);
        queue.join(2);
        queue
    }

    #[test]
    fn what_came_back_goes_first_and_is_flagged() {
        let queue = queue("dead");
        let flags: Vec<bool> = (0..6).map(|sequence| queue.state().lease(sequence, 1)).collect();
        assert_eq!(flags, [true, true, true, false, false, false], "below the mark of the last run");
        queue.state().give_back(4, 1);

        let plan = queue.plan(2, 3, 100);
        assert_eq!((plan.returned, plan.fresh, plan.from), (vec![4], 2, 6));
        assert!(queue.state().lease(4, 2));
        assert_eq!(queue.depth(), Depth { ready: 4, unsettled: 6 });
    }

    #[test]
    fn prefetch_counts_what_is_held() {
        let queue = queue("deliver.lake");
        queue.state().lease(0, 1);
        queue.state().lease(1, 1);
        assert_eq!(queue.plan(1, 10, 3).fresh, 1);
        assert!(queue.plan(1, 10, 2).is_empty());
    }

    #[test]
    fn a_partition_has_one_reader_and_the_next_takes_over() {
        let queue = queue("records.0");
        assert!(queue.plan(2, 10, 10).is_empty());
        queue.state().lease(0, 1);
        queue.leave(1);
        let plan = queue.plan(2, 10, 10);
        assert_eq!((plan.returned, plan.fresh), (vec![0], 9));
    }

    #[test]
    fn only_the_holder_settles_and_low_follows_the_oldest() {
        let queue = queue("dead");
        for sequence in 0..4 {
            queue.state().lease(sequence, 1);
        }
        assert!(!queue.state().end(0, 2));
        assert!(queue.state().end(1, 1));
        assert_eq!(queue.state().low(), 0);
        assert!(queue.state().end(0, 1));
        assert!(!queue.state().end(0, 1), "a second ack does nothing");
        assert_eq!(queue.state().low(), 2);
    }
}
