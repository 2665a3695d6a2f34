//! Kill -9 at any moment of an exchange: what was asked keeps its number, and every report is issued once.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use civilhub::{
    config::keys::Keys,
    exchange::{authorisation, banks, book::Books, request},
    store::Store,
};

use super::street::{Banks, household};
use crate::support::program;

fn pass(banks: &Banks) -> Child {
    let data = banks.dir.path().join("data");
    let mut command: Command = program::command(&["verify", "run", "-o", "json", "--data", data.to_str().unwrap()]);
    command.env("CIVILHUB__PATHS__ADAPTERS", banks.dir.path().join("adapters")).envs(&banks.urls);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_asked_by_two_numbers_and_every_report_comes_once() {
    let kills: usize = std::env::var("CIVILHUB_EXCHANGE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let street = Banks::open().await;
    for manner in street.manners.values() {
        manner.delay.store(15, std::sync::atomic::Ordering::Relaxed);
    }
    let config = street.config();
    std::fs::create_dir_all(&config.hub.data).unwrap();
    let store = Store::open(&format!("sqlite://{}/hub.db", config.hub.data.display())).await.unwrap();
    store.migrate().await.unwrap();
    let books = Books { store, keys: Keys::load_or_create(&config.key_file()).unwrap() };
    let ask = async |place: usize| {
        let (paper, mut ask) = household(place * 3);
        // Two healthy persons for each: what the banks do with special numbers is another test's.
        ask.members.retain(|member| member.id_number.as_bytes()[14] != b'9');
        authorisation::put(&books, &paper).await.unwrap().unwrap();
        request::begin(&books, &ask, "operator").await.unwrap();
    };
    // How long a pass takes that is not killed.
    ask(0).await;
    let began = Instant::now();
    assert!(pass(&street).wait().unwrap().success());
    let whole = began.elapsed();
    let mut killed = 0;
    for kill in 0..kills {
        ask(kill + 1).await;
        let mut child = pass(&street);
        // From the first to the last step, in turns that do not follow one another.
        let step = (kill * 7 + 3) % kills.max(1);
        tokio::time::sleep(whole.mul_f64(0.25 + 0.75 * step as f64 / kills as f64)).await;
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed * 2 >= kills, "{killed} of {kills} were killed under way");
    let open = "SELECT COUNT(*) FROM verification WHERE state <> 'REPORTED'";
    let deadline = Instant::now() + Duration::from_secs(240);
    while books.store.read(open, &[]).await.unwrap()[0].int(0) > 0 {
        assert!(Instant::now() < deadline, "not all requests end");
        let mut child = pass(&street);
        tokio::task::block_in_place(|| child.wait()).unwrap();
    }
    once(&books, &street, kills + 1).await;
}

async fn once(books: &Books, street: &Banks, requests: usize) {
    for bank in banks() {
        let mut numbers = BTreeMap::<String, BTreeSet<String>>::new();
        for query in street.seen(&bank.code) {
            let person = query["subject"]["id_number"].as_str().unwrap().to_owned();
            numbers.entry(person).or_default().insert(query["query_no"].as_str().unwrap().to_owned());
        }
        assert!(numbers.values().all(|numbers| numbers.len() == 1), "{}: a person has two numbers", bank.code);
        assert!(numbers.len() >= requests, "{}: {} persons", bank.code, numbers.len());
    }
    let rows = |sql: &'static str| books.store.read(sql, &[]);
    let versions = rows("SELECT request_no, COUNT(*), MAX(result) FROM verification_report GROUP BY request_no").await.unwrap();
    assert_eq!(versions.len(), requests, "no report is lost");
    assert!(versions.iter().all(|row| row.int(1) == 1), "none is issued twice");
    assert!(versions.iter().all(|row| row.text(2) != "PARTIAL"), "and every bank is in it");
    for (kind, count) in [("reported", requests), ("asked", requests)] {
        let sql = "SELECT COUNT(*) FROM ledger WHERE chain = 'exchange' AND kind = $1";
        assert_eq!(books.store.read(sql, &[kind.into()]).await.unwrap()[0].int(0), count as i64, "{kind}");
    }
    let sql = "SELECT event_id FROM ledger WHERE chain = 'exchange' AND kind = 'answered' GROUP BY event_id HAVING COUNT(*) > 1";
    assert!(rows(sql).await.unwrap().is_empty(), "an answer is counted once");
}
