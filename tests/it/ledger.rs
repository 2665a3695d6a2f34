//! The hash chains, on both backends: what they keep, and what a verification finds.

use std::sync::Arc;

use civilhub::{
    ledger::{
        Entry, Kind,
        chain::Chain,
        verify::{self, Report},
    },
    store::{Error, Store},
};
use ed25519_dalek::SigningKey;
use serde_json::json;

use crate::store::{Db, on_both};

on_both! {
    a_chain_goes_on_over_transactions_and_restarts
    a_rollback_leaves_the_chain_whole
    two_writers_do_not_fork_a_chain
    every_tampering_is_found_at_its_row
    a_tail_that_is_cut_is_found
    a_verification_beside_a_writer_finds_nothing
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_bytes(&[7; 32]))
}

fn entries(from: usize, count: usize) -> Vec<Entry> {
    let entry = |n| Entry {
        kind: Kind::Received,
        event_id: format!("event{n}"),
        system: "tekun".into(),
        bookdate: "2017-07-03".into(),
        dataset: "person".into(),
        body: json!({ "n": n, "text": "\"张伟\"" }),
    };
    (from..from + count).map(entry).collect()
}

async fn append(store: &Store, chain: &mut Chain, entries: &[Entry]) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let result = chain.append(&mut tx, entries).await;
    let result = match result {
        Ok(()) => tx.commit().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => chain.committed(),
        Err(_) => chain.reload(store).await?,
    }
    result
}

async fn verified(store: &Store) -> Report {
    verify::verify(store, &key().verifying_key()).await.unwrap()
}

/// Code, chain and row of each fault.
fn found(report: &Report) -> Vec<String> {
    let fault = |fault: &civilhub::error::Fault| {
        format!("{} {}:{}", fault.code, fault.place.file.as_deref().unwrap_or(""), fault.place.row.unwrap_or(0))
    };
    report.faults.iter().map(fault).collect()
}

async fn a_chain_goes_on_over_transactions_and_restarts(db: Db) {
    let store = db.open().await;
    let mut chain = Chain::open(&store, "router.0", key()).await.unwrap();
    append(&store, &mut chain, &entries(0, 3)).await.unwrap();
    append(&store, &mut chain, &[]).await.unwrap();
    // Two appends in one transaction.
    let mut tx = store.begin().await.unwrap();
    chain.append(&mut tx, &entries(3, 2)).await.unwrap();
    chain.append(&mut tx, &entries(5, 1)).await.unwrap();
    tx.commit().await.unwrap();
    chain.committed();
    let mut chain = Chain::open(&store, "router.0", key()).await.unwrap();
    append(&store, &mut chain, &entries(6, 2500)).await.unwrap();
    append(&store, &mut Chain::open(&store, "deliver.bank", key()).await.unwrap(), &entries(0, 1)).await.unwrap();
    let report = verified(&store).await;
    assert_eq!((report.chains, report.rows, found(&report)), (2, 2507, vec![]));
    let rows = store.read("SELECT seq FROM ledger WHERE chain = 'router.0' ORDER BY seq", &[]).await.unwrap();
    assert!(rows.iter().map(|row| row.int(0)).eq(1..=2506));
    assert_eq!(store.read("SELECT seq FROM ledger_checkpoint", &[]).await.unwrap().len(), 1);
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let report = verify::verify(&store, &other).await.unwrap();
    assert_eq!(report.faults.len(), 3, "two heads and a checkpoint are not signed with another hub's key");
}

async fn a_rollback_leaves_the_chain_whole(db: Db) {
    let store = db.open().await;
    let mut chain = Chain::open(&store, "c", key()).await.unwrap();
    append(&store, &mut chain, &entries(0, 2)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    chain.append(&mut tx, &entries(2, 1500)).await.unwrap();
    drop(tx);
    chain.reload(&store).await.unwrap();
    append(&store, &mut chain, &entries(2, 1500)).await.unwrap();
    let report = verified(&store).await;
    assert_eq!((report.rows, found(&report)), (1502, vec![]));
    // A task that is dropped between commit and its note of it heals by itself.
    let mut tx = store.begin().await.unwrap();
    chain.append(&mut tx, &entries(1502, 1)).await.unwrap();
    drop(tx);
    assert!(append(&store, &mut chain, &entries(1502, 1)).await.is_err());
    append(&store, &mut chain, &entries(1502, 1)).await.unwrap();
    assert_eq!((verified(&store).await.rows, found(&verified(&store).await)), (1503, vec![]));
}

async fn two_writers_do_not_fork_a_chain(db: Db) {
    let store = db.open().await;
    for first_row in [0, 2] {
        let mut one = Chain::open(&store, "c", key()).await.unwrap();
        let mut two = Chain::open(&store, "c", key()).await.unwrap();
        append(&store, &mut one, &entries(first_row, 1)).await.unwrap();
        let lost = append(&store, &mut two, &entries(90, 1)).await.unwrap_err();
        assert!(matches!(lost, Error::Failed(_)), "{lost}");
        append(&store, &mut two, &entries(first_row + 1, 1)).await.unwrap();
        assert!(append(&store, &mut one, &entries(91, 1)).await.is_err());
    }
    let report = verified(&store).await;
    assert_eq!((report.rows, found(&report)), (4, vec![]));
}

/// Twelve rows in three transactions, signed at 12.
async fn good(store: &Store) {
    let mut chain = Chain::open(store, "c", key()).await.unwrap();
    for part in 0..3 {
        append(store, &mut chain, &entries(part * 4, 4)).await.unwrap();
    }
}

async fn every_tampering_is_found_at_its_row(db: Db) {
    let store = db.open().await;
    let insert = "INSERT INTO ledger (chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash) \
                  SELECT chain, 13, at, kind, event_id, system, bookdate, dataset, body, hash FROM ledger WHERE seq = 12";
    for (what, tampering, expected) in [
        ("body", vec!["UPDATE ledger SET body = '{}' WHERE seq = 5"], "CH-8101 c:5"),
        ("time", vec!["UPDATE ledger SET at = at + 1 WHERE seq = 5"], "CH-8101 c:5"),
        ("kind", vec!["UPDATE ledger SET kind = 'delivered' WHERE seq = 1"], "CH-8101 c:1"),
        ("event", vec!["UPDATE ledger SET event_id = 'x' WHERE seq = 12"], "CH-8101 c:12"),
        (
            "text moved to the next column",
            vec!["UPDATE ledger SET system = 'teku', bookdate = 'n2017-07-03' WHERE seq = 5"],
            "CH-8101 c:5",
        ),
        ("hash", vec!["UPDATE ledger SET hash = '00' WHERE seq = 5"], "CH-8101 c:5"),
        ("removed", vec!["DELETE FROM ledger WHERE seq = 5"], "CH-8101 c:5"),
        (
            "removed and closed up",
            vec![
                "DELETE FROM ledger WHERE seq = 5",
                "UPDATE ledger SET seq = -seq WHERE seq > 5",
                "UPDATE ledger SET seq = -seq - 1 WHERE seq < 0",
            ],
            "CH-8101 c:5",
        ),
        ("first removed", vec!["DELETE FROM ledger WHERE seq = 1"], "CH-8101 c:1"),
        (
            "swapped",
            vec![
                "UPDATE ledger SET seq = -3 WHERE seq = 3",
                "UPDATE ledger SET seq = 3 WHERE seq = 4",
                "UPDATE ledger SET seq = 4 WHERE seq = -3",
            ],
            "CH-8101 c:3",
        ),
        (
            "inserted",
            vec![
                "UPDATE ledger SET seq = -seq WHERE seq > 5",
                "UPDATE ledger SET seq = -seq + 1 WHERE seq < 0",
                "INSERT INTO ledger (chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash) SELECT chain, 6, at, kind, 'x', system, bookdate, dataset, body, hash FROM ledger WHERE seq = 5",
            ],
            "CH-8101 c:6",
        ),
        ("appended", vec![insert], "CH-8102 c:13"),
        ("moved to another chain", vec!["UPDATE ledger SET chain = 'd'"], "CH-8102 c:0, CH-8102 d:1"),
        ("signature", vec!["UPDATE ledger_head SET signature = '00'"], "CH-8103 c:12"),
        ("signature of another end", vec!["UPDATE ledger_head SET seq = 11"], "CH-8103 c:11, CH-8101 c:11"),
        ("head removed", vec!["DELETE FROM ledger_head"], "CH-8102 c:1"),
    ] {
        good(&store).await;
        assert_eq!(found(&verified(&store).await), [""; 0], "before: {what}");
        let mut tx = store.begin().await.unwrap();
        for sql in tampering {
            assert!(tx.execute(sql, &[]).await.unwrap() > 0, "{sql}");
        }
        tx.commit().await.unwrap();
        assert_eq!(found(&verified(&store).await).join(", "), expected, "{what}");
        for table in ["ledger", "ledger_head", "ledger_checkpoint"] {
            store.write(&format!("DELETE FROM {table}"), &[]).await.unwrap();
        }
    }
}

async fn a_tail_that_is_cut_is_found(db: Db) {
    let store = db.open().await;
    let mut chain = Chain::open(&store, "c", key()).await.unwrap();
    append(&store, &mut chain, &entries(0, 600)).await.unwrap();
    let old = store.read("SELECT seq, hash, signature FROM ledger_head", &[]).await.unwrap();
    append(&store, &mut chain, &entries(600, 600)).await.unwrap();
    store.write("DELETE FROM ledger WHERE seq > 600", &[]).await.unwrap();
    assert_eq!(found(&verified(&store).await), ["CH-8102 c:600"], "the head lies beyond");
    // The head goes back to one that was truly signed: the checkpoint at 1200 still lies beyond.
    let args = [old[0].int(0).into(), old[0].text(1).into(), old[0].text(2).into()];
    store.write("UPDATE ledger_head SET seq = $1, hash = $2, signature = $3", &args).await.unwrap();
    assert_eq!(found(&verified(&store).await), ["CH-8102 c:600"]);
    // With the checkpoint gone as well nothing in the store contradicts it: only a copy kept elsewhere does.
    store.write("DELETE FROM ledger_checkpoint", &[]).await.unwrap();
    assert_eq!(found(&verified(&store).await), [""; 0]);
}

async fn a_verification_beside_a_writer_finds_nothing(db: Db) {
    let store = db.open().await;
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        let mut chain = Chain::open(&writer, "c", key()).await.unwrap();
        for n in 0..150 {
            append(&writer, &mut chain, &entries(n * 20, 20)).await.unwrap();
        }
    });
    let mut rounds = 0;
    while !writing.is_finished() || rounds == 0 {
        assert_eq!(found(&verified(&store).await), [""; 0]);
        rounds += 1;
    }
    writing.await.unwrap();
    assert_eq!(verified(&store).await.rows, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_ledger() {
    let db = Db::new(civilhub::store::Backend::Sqlite).await;
    let store = db.open().await;
    let mut chain = Chain::open(&store, "c", key()).await.unwrap();
    let mut part = entries(0, 5000);
    // About 1 KB a row: 100,000 rows would be 100 MB and more in memory.
    for entry in &mut part {
        entry.body = json!({ "persons": "p".repeat(900) });
    }
    for _ in 0..20 {
        append(&store, &mut chain, &part).await.unwrap();
    }
    let before = resident_mib();
    let report = verified(&store).await;
    assert_eq!((report.rows, found(&report)), (100_000, vec![]));
    // Other tests run beside this one: the bound is far from both.
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 150, "{grown} MiB");
}

/// Highest resident memory so far.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}
