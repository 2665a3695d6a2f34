use bytes::Bytes;
use std::time::{Duration, Instant};

use super::{probe::Child, *};
use crate::bus::Tag;

/// A child that reads lines and does `on_line` with each in `$line`; the text `boom` is `626f6f6d` in hex.
fn child(start: &str, on_line: &str) -> Child {
    let script = format!("{start}; while read line; do {on_line}; echo survived; done");
    Child { program: "/bin/sh".into(), arguments: vec!["-c".into(), script], limit: Duration::from_millis(800) }
}

const DIES: &str = "case $line in 626f6f6d) kill -9 $$;; esac";

async fn fatal(child: &Child, bodies: &[&str]) -> Vec<usize> {
    let bodies: Vec<&[u8]> = bodies.iter().map(|body| body.as_bytes()).collect();
    child.try_all(&bodies).await
}

#[tokio::test]
async fn a_child_that_dies_convicts_the_record_it_was_given() {
    let child = child("echo ready", DIES);
    for (bodies, expected) in [
        (&["boom"][..], &[0_usize][..]),
        (&["a", "b", "c"], &[]),
        (&["a", "boom", "c"], &[1]),
        (&["boom", "boom", "a", "boom"], &[0, 1, 3]),
        (&[], &[]),
    ] {
        assert_eq!(fatal(&child, bodies).await, expected, "{bodies:?}");
    }
}

#[tokio::test]
async fn a_child_that_hangs_or_does_not_read_convicts_in_time() {
    let started = Instant::now();
    let hangs = child("echo ready", "case $line in 626f6f6d) sleep 60;; esac");
    assert_eq!(fatal(&hangs, &["a", "boom", "b"]).await, [1]);
    let large = "x".repeat(1 << 20);
    let deaf = Child { arguments: vec!["-c".into(), "echo ready; sleep 60".into()], ..hangs };
    assert_eq!(fatal(&deaf, &[&large]).await, [0]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_child_that_does_not_start_convicts_nobody() {
    for child in [
        child("exit 1", ""),
        child("echo running 0 tests", DIES),
        Child { program: "/no/such/program".into(), arguments: Vec::new(), limit: Duration::from_secs(1) },
    ] {
        assert_eq!(fatal(&child, &["boom"]).await, [0_usize; 0]);
    }
}

fn received(id: &str, redelivered: bool, body: &str) -> Received {
    Received { tag: Tag(0), id: id.into(), body: Bytes::copy_from_slice(body.as_bytes()), redelivered }
}

async fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}", dir.path().join("hub.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    (store, dir)
}

#[tokio::test]
async fn only_what_comes_again_is_counted_and_the_third_attempt_is_suspect() {
    let (store, _dir) = store().await;
    let batch = [received("new", false, ""), received("again", true, ""), received("again", true, "")];
    assert_eq!(suspects(&store, "route", &batch).await.unwrap(), [], "second attempt");
    assert_eq!(
        suspects(&store, "route", &batch).await.unwrap(),
        [(1, 3), (2, 3)],
        "the same message twice in a batch is one attempt"
    );
    assert_eq!(suspects(&store, "deliver", &batch).await.unwrap(), [], "stages count for themselves");
    forget(&store, "route", &batch).await.unwrap();
    assert_eq!(suspects(&store, "route", &batch).await.unwrap(), []);
    let fresh = [received("new", false, "")];
    for _ in 0..5 {
        assert_eq!(suspects(&store, "route", &fresh).await.unwrap(), []);
    }
    assert!(store.read("SELECT message_id FROM attempt WHERE message_id = 'new'", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_the_suspects_the_fatal_is_convicted_and_its_neighbours_go_on() {
    let (store, _dir) = store().await;
    let batch = [received("a", true, "a"), received("b", true, "boom"), received("c", true, "c"), received("d", false, "boom")];
    let child = child("echo ready", DIES);
    let second = Trial::of(&store, "route", Some(&child), &batch).await.unwrap();
    assert!((0..4).all(|index| second.culprit(index).is_none()), "the second attempt is not tried yet");
    let third = Trial::of(&store, "route", Some(&child), &batch).await.unwrap();
    let convicted: Vec<usize> = (0..4).filter(|index| third.culprit(*index).is_some_and(|fault| fault.code == CRASHES)).collect();
    assert_eq!(convicted, [1]);
}

#[tokio::test]
async fn without_a_child_only_a_message_that_was_alone_too_often_is_convicted() {
    let (store, _dir) = store().await;
    let batch = [received("a", true, "boom")];
    for _ in 0..11 {
        suspects(&store, "route", &batch).await.unwrap();
    }
    for death in 0..=GIVE_UP {
        let mut trial = Trial::of(&store, "route", None, &batch).await.unwrap();
        assert_eq!(trial.parts(1), vec![Range { start: 0, end: 1 }]);
        trial.in_hand(&store, "route", &batch, &(0..1)).await.unwrap();
        assert_eq!(trial.culprit(0).is_some(), death == GIVE_UP, "after {death} deaths");
    }
}

#[test]
fn parts_get_smaller_with_the_attempts() {
    let trial = |attempts: &[i64]| {
        let suspects = attempts.iter().copied().enumerate().filter(|(_, attempts)| *attempts >= SUSPECT);
        Trial { culprits: FxHashMap::default(), suspects: suspects.collect() }
    };
    assert_eq!(trial(&[]).parts(0), Vec::<Range<usize>>::new());
    assert_eq!(trial(&[3; 500]).parts(500), vec![Range { start: 0, end: 500 }]);
    assert_eq!(trial(&[6; 130]).parts(130), [0..64, 64..128, 128..130]);
    assert_eq!(trial(&[0, 0, 12, 12, 0]).parts(5), [0..2, 2..3, 3..4, 4..5]);
    assert_eq!(trial(&[9; 10]).parts(12), [0..8, 8..12]);
}
