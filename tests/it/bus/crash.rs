//! The embedded bus and the death of its process.

use std::{io::Read as _, process::Stdio, time::Duration};

use civilhub::bus::{Bus as _, Depth, Settle, embedded::EmbeddedBus};

use super::{deliveries, ids, lake_queue, publish_all, receive, settle_as, topology};

/// Set for the child that is to be killed: the folder of its bus.
const FOLDER: &str = "CIVILHUB_TEST_CRASH_FOLDER";

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_bus_opens_again_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    {
        let bus = EmbeddedBus::open(dir.path()).unwrap();
        bus.declare(&topology()).await.unwrap();
        publish_all(&*bus, deliveries(0..100)).await;
        let mut consumer = bus.consume(&lake_queue(), 20).await.unwrap();
        let received = receive(&mut *consumer, 20).await;
        consumer.settle(&settle_as(&received[..5], Settle::Ack)).await.unwrap();
    }
    let bus = EmbeddedBus::open(dir.path()).unwrap();
    assert_eq!(bus.depth(&lake_queue()).await.unwrap(), Depth { ready: 95, unsettled: 0 });
    let mut consumer = bus.consume(&lake_queue(), 200).await.unwrap();
    let again = receive(&mut *consumer, 95).await;
    let expected: Vec<String> = (5..100).map(|number| number.to_string()).collect();
    assert_eq!(ids(&again), expected);
    assert!(again[..15].iter().all(|message| message.redelivered));
    // The queues and the number of partitions are known without declaring them again.
    publish_all(&*bus, super::records("case:1", 0..1)).await;
    bus.close().await;
}

/// Not a test by itself: the process that [`a_killed_process_loses_nothing`] kills. Prints one byte per confirmed batch.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_to_kill() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let bus = EmbeddedBus::open(folder.as_ref()).unwrap();
    bus.declare(&topology()).await.unwrap();
    let mut consumer = bus.consume(&lake_queue(), 10_000).await.unwrap();
    for batch in 0.. {
        publish_all(&*bus, deliveries(batch * 10..batch * 10 + 10)).await;
        if batch % 4 == 3 {
            let received = receive(&mut *consumer, 10).await;
            consumer.settle(&settle_as(&received[..5], Settle::Ack)).await.unwrap();
        }
        // Standard error is not captured by the test harness.
        eprint!(".");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bus::crash::the_process_to_kill", "--nocapture"])
        .env(FOLDER, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut dots = vec![0; 200];
    child.stderr.as_mut().unwrap().read_exact(&mut dots).unwrap();
    child.kill().unwrap();
    let mut rest = Vec::new();
    child.stderr.as_mut().unwrap().read_to_end(&mut rest).unwrap();
    child.wait().unwrap();
    let confirmed = 10 * (dots.iter().chain(&rest).filter(|byte| **byte == b'.').count());
    assert!(confirmed >= 1_000, "{}", String::from_utf8_lossy(&dots));

    let bus = EmbeddedBus::open(dir.path()).unwrap();
    let stored = usize::try_from(bus.depth(&lake_queue()).await.unwrap().ready).unwrap();
    let mut consumer = bus.consume(&lake_queue(), u16::MAX).await.unwrap();
    let mut received = Vec::new();
    while received.len() < stored {
        received.extend(consumer.next(1_000, Duration::from_secs(5)).await.unwrap());
    }
    assert_eq!(received.len(), stored, "the count is exact after a crash");
    let present: std::collections::BTreeSet<usize> = received.iter().map(|message| message.id.parse().unwrap()).collect();
    // Every fourth batch the first half of what was handed out was acked: those, and only those, may be missing.
    let missing: Vec<usize> = (0..confirmed).filter(|number| !present.contains(number)).collect();
    assert!(missing.len() <= confirmed / 8 + 10, "{} of {confirmed} are missing", missing.len());
    assert!(missing.iter().all(|number| number % 10 < 5), "{missing:?}");
    let out_before = received.iter().filter(|message| message.id.parse::<usize>().unwrap() < confirmed / 4);
    assert!(out_before.filter(|message| !message.redelivered).count() == 0, "what was out is flagged");
    bus.close().await;
}
