//! Publishing until the bus has everything, without changing the order within a key.

use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio_util::sync::CancellationToken;

use super::{Bus, Confirm, Message};
use crate::telemetry::stage::{Stage, Step};

/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A message and the key within which its order matters.
#[derive(Debug, Clone)]
pub struct Ordered {
    pub message: Message,
    pub order: u64,
}

/// Publishes all messages; repeats what was not confirmed, and what followed it in its key, until everything is stored.
///
/// Returns `false` when cancelled before that: the caller must then treat nothing of the batch as published.
pub async fn publish_all(bus: &dyn Bus, batch: Vec<Ordered>, cancel: &CancellationToken) -> bool {
    Step::new(Stage::Publish).records(batch.len()).run(until_stored(bus, batch, cancel)).await
}

async fn until_stored(bus: &dyn Bus, batch: Vec<Ordered>, cancel: &CancellationToken) -> bool {
    let mut pause = PAUSE.0;
    let mut left = batch;
    loop {
        let confirms = bus.publish(left.iter().map(|ordered| ordered.message.clone()).collect()).await;
        left = unconfirmed(left, &confirms);
        if left.is_empty() {
            return true;
        }
        tracing::warn!(
            records = left.len(),
            pause_ms = pause.as_millis() as u64,
            "the bus has not confirmed part of a batch, publishing it again"
        );
        tokio::select! {
            () = cancel.cancelled() => return false,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

/// What must be sent again: every message without a positive confirm, and the later ones of the same key.
fn unconfirmed(batch: Vec<Ordered>, confirms: &[Confirm]) -> Vec<Ordered> {
    let mut broken = FxHashSet::default();
    let mut left = Vec::new();
    for (index, ordered) in batch.into_iter().enumerate() {
        let stored = confirms.get(index) == Some(&Confirm::Stored);
        if !stored || broken.contains(&ordered.order) {
            broken.insert(ordered.order);
            left.push(ordered);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{
        super::{Consumer, Depth, Error, Queue, Route, Topology},
        *,
    };

    /// Answers with the scripted confirms, `Stored` when they are used up, and notes what a consumer would see.
    #[derive(Default)]
    struct Scripted {
        answers: Mutex<Vec<Vec<Confirm>>>,
        log: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Bus for Scripted {
        async fn declare(&self, _: &Topology) -> Result<(), Error> {
            Ok(())
        }

        async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm> {
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.is_empty() { vec![Confirm::Stored; batch.len()] } else { answers.remove(0) };
            // A time-out is the worst case: stored, and not said.
            let stored = batch.iter().zip(&answer).filter(|(_, confirm)| matches!(confirm, Confirm::Stored | Confirm::TimedOut));
            self.log.lock().unwrap().extend(stored.map(|(message, _)| message.id.clone()));
            answer
        }

        async fn consume(&self, _: &Queue, _: u16) -> Result<Box<dyn Consumer>, Error> {
            Err(Error::Refused("not here".to_owned()))
        }

        async fn depth(&self, _: &Queue) -> Result<Depth, Error> {
            Ok(Depth::default())
        }

        async fn close(&self) {}
    }

    /// `a1` is the first message of key `a`.
    fn message(id: &str) -> Ordered {
        let route = Route::Deliver("bank".into());
        Ordered { message: Message { route, id: id.to_owned(), body: Bytes::new() }, order: u64::from(id.as_bytes()[0]) }
    }

    fn batch(ids: &[&str]) -> Vec<Ordered> {
        ids.iter().map(|id| message(id)).collect()
    }

    #[tokio::test]
    async fn everything_is_stored_and_the_last_word_of_a_key_comes_last() {
        use Confirm::{Closed, Nacked, Returned, Stored, TimedOut};
        for (answers, expected) in [
            (vec![], "a1 b1 a2 b2"),
            (vec![vec![Nacked, Stored, Stored, Stored]], "b1 a2 b2 a1 a2"),
            (vec![vec![Stored, Stored, Returned, Stored], vec![Closed]], "a1 b1 b2 a2"),
            (vec![vec![TimedOut, Stored, Stored, Stored]], "a1 b1 a2 b2 a1 a2"),
            // An answer that is too short confirms nothing of the rest.
            (vec![vec![Stored]], "a1 b1 a2 b2"),
            (vec![vec![Closed; 4], vec![Closed; 4]], "a1 b1 a2 b2"),
        ] {
            let bus = Scripted { answers: Mutex::new(answers.clone()), ..Scripted::default() };
            assert!(publish_all(&bus, batch(&["a1", "b1", "a2", "b2"]), &CancellationToken::new()).await);
            assert_eq!(bus.log.lock().unwrap().join(" "), expected, "{answers:?}");
        }
    }

    #[tokio::test]
    async fn a_stop_ends_the_trying_and_an_empty_batch_is_done() {
        let bus = Scripted { answers: Mutex::new(vec![vec![Confirm::Closed]; 100]), ..Scripted::default() };
        let cancel = CancellationToken::new();
        cancel.cancel();
        assert!(!publish_all(&bus, batch(&["a1"]), &cancel).await);
        assert!(publish_all(&Scripted::default(), Vec::new(), &CancellationToken::new()).await);
    }

    proptest! {
        #[test]
        fn what_is_sent_again(entries in proptest::collection::vec((0_u8..4, 0_u8..5), 0..40), answered in 0_usize..45) {
            let all = [Confirm::Stored, Confirm::Returned, Confirm::Nacked, Confirm::TimedOut, Confirm::Closed];
            let given: Vec<Ordered> = entries.iter().enumerate().map(|(n, (key, _))| message(&format!("{key}-{n}"))).collect();
            let mut confirms: Vec<Confirm> = entries.iter().map(|(_, confirm)| all[usize::from(*confirm)].clone()).collect();
            confirms.truncate(answered);
            let left: Vec<String> = unconfirmed(given, &confirms).into_iter().map(|ordered| ordered.message.id).collect();
            let again = |n: usize| {
                let (key, _) = entries[n];
                (0..=n).any(|m| entries[m].0 == key && confirms.get(m) != Some(&Confirm::Stored))
            };
            let expected: Vec<String> = (0..entries.len()).filter(|n| again(*n)).map(|n| format!("{}-{n}", entries[n].0)).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
