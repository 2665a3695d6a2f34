//! Killed with -9 while records are linked: the index ends as if nobody had disturbed it.
//!
//! `CIVILHUB_KILLS=200` for more kills, `CIVILHUB_SEED=…` for the kill times of an earlier run.

use std::{process::Stdio, time::Duration};

use civilhub::store::Store;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::process::{Child, Command};

use super::Database;

/// Tables that must be equal, without moments and ciphers.
const CONTENTS: [&str; 7] = [
    "SELECT person_key || ' ' || state || ' ' || CAST(seq AS TEXT) FROM person ORDER BY 1",
    "SELECT reference_id || ' ' || person_key || ' ' || said_id || ' ' || remarks || ' ' || first_key || ' ' || evidence FROM source_record ORDER BY 1",
    "SELECT old_key || ' ' || new_key FROM person_redirect ORDER BY 1",
    "SELECT number_hash || ' ' || person_key || ' ' || class FROM person_identifier ORDER BY 1",
    "SELECT id || ' ' || state || ' ' || person_key || ' ' || other_key || ' ' || fields FROM review_item ORDER BY 1",
    "SELECT CAST(hash AS TEXT) || ' ' || CAST(records AS TEXT) FROM name_count ORDER BY 1",
    "SELECT said_id FROM statement ORDER BY 1",
];

fn link(database: &Database, records: usize) -> Child {
    let records = records.to_string();
    let arguments = ["bench", "identity", "--seed", "5", "--batch", "60", "--records", &records, "--store", &database.url];
    let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

async fn contents(store: &Store) -> Vec<Vec<String>> {
    let mut contents = Vec::new();
    for sql in CONTENTS {
        contents.push(store.read(sql, &[]).await.unwrap().iter().map(|row| row.text(0)).collect());
    }
    contents
}

pub(super) async fn killed_while_linking(database: &Database, undisturbed: &Database) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted = number("CIVILHUB_KILLS").unwrap_or(15);
    let seed = number("CIVILHUB_SEED").unwrap_or_else(rand::random);
    println!("CIVILHUB_SEED={seed}");
    let records = 1_500 + usize::try_from(wanted).unwrap() * 60;
    let mut random = StdRng::seed_from_u64(seed);
    let (mut kills, mut tries) = (0, 0);
    while kills < wanted && tries < wanted * 4 {
        tries += 1;
        let mut child = link(database, records);
        tokio::time::sleep(Duration::from_millis(random.random_range(50..1_200))).await;
        if child.try_wait().unwrap().is_none() {
            child.kill().await.unwrap();
            kills += 1;
        }
    }
    assert!(kills > wanted / 2, "only {kills} of {tries} starts lived long enough to be killed");
    assert!(link(database, records).wait().await.unwrap().success());
    assert!(link(undisturbed, records).wait().await.unwrap().success());
    let (one, other) = (database.open().await, undisturbed.open().await);
    let (one, other) = (contents(&one).await, contents(&other).await);
    println!("{kills} kills, {} persons, {} reviews", one[0].len(), one[4].len());
    assert!(!one[0].is_empty() && !one[4].is_empty());
    for ((one, other), sql) in one.iter().zip(&other).zip(CONTENTS) {
        let differing = one.iter().zip(other).find(|(one, other)| one != other);
        assert_eq!(one.len(), other.len(), "{sql}");
        assert_eq!(differing, None, "{sql}");
    }
}
