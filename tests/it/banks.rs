//! Verification over the 17 simulated banks, each with the transport of the list: JSON, XML, CSV and fixed width in files.

mod kills;
mod street;
mod truth;

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use civilhub::{
    clock,
    exchange::{
        authorisation, banks, drive,
        request::{self, Begun},
    },
    simulate::serve::queries::{self, Speech},
};
use serde_json::{Value, json};

use street::{Banks, Street, household};

use crate::support::{eventually, sshd::Sshd};

fn requests(usual: usize) -> usize {
    std::env::var("CIVILHUB_VERIFICATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Three banks slow, one away for an hour, one that answers twice, one that answers for others, one that sends half a file: all
/// households end in the right report. The hour passes by the clock that the exchange is given.
#[tokio::test(flavor = "multi_thread")]
async fn every_household_ends_in_the_right_report() {
    let street = Street::open().await;
    for slow in ["ICBC", "CCB", "CEB"] {
        street.manners[slow].delay.store(20, Ordering::Relaxed);
    }
    street.manners[truth::DOWN].down.store(true, Ordering::Relaxed);
    street.manners[truth::MISTAKEN].mistaken.store(true, Ordering::Relaxed);
    street.manners[truth::TWICE].twice.store(true, Ordering::Relaxed);
    street.manners[truth::HALF].half.store(true, Ordering::Relaxed);
    let books = street.hub.books();
    let count = requests(150);
    for number in 0..count {
        let (paper, ask) = household(number);
        authorisation::put(&books, &paper).await.unwrap().unwrap();
        let begun = request::begin(&books, &ask, "operator").await.unwrap();
        assert!(matches!(begun, Begun::Open { .. }), "{begun:?}");
    }
    let start = clock::millis();
    street.quiet(start).await;
    let answered = "SELECT COUNT(*) FROM verification_query WHERE provider = $1 AND state = 'ANSWERED'";
    assert_eq!(street.number(answered, &[truth::DOWN.into()]).await, 0, "it is away");
    assert_eq!(street.number("SELECT COUNT(*) FROM verification_report", &[]).await, 0, "nothing is final yet");
    for minute in 1..=60 {
        street.pass(start + minute * 60_000).await;
    }
    let attempts = "SELECT MAX(attempts) FROM verification_query WHERE provider = $1";
    let tries = street.number(attempts, &[truth::DOWN.into()]).await;
    assert!((2..=70).contains(&tries), "an hour away is tried with pauses: {tries}");
    street.manners[truth::DOWN].down.store(false, Ordering::Relaxed);
    // Pauses last five minutes at most, and one pass sends a step of each bank.
    street.quiet(start + 66 * 60_000).await;
    // Those on line have two hours, those with files five workdays.
    street.quiet(start + 121 * 60_000).await;
    street.quiet(start + 20 * 86_400_000).await;
    truth::compare(&street, count).await;
    let packets = street.packets();
    street.quiet(start + 21 * 86_400_000).await;
    assert_eq!(street.packets(), packets, "nothing is asked after the end");
    isolation(&street, count);
}

/// What each bank has seen: the five fields, each person once by one number of its own, and nothing of household or benefit.
fn isolation(street: &Street, count: usize) {
    let mut numbers = BTreeSet::new();
    let persons: BTreeSet<String> =
        (0..count).flat_map(|number| household(number).1.members).map(|member| member.id_number).collect();
    for bank in banks() {
        let mut own = BTreeSet::new();
        let mut subjects = BTreeSet::new();
        for query in street.seen(&bank.code) {
            let keys: Vec<&String> = query.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["as_of", "query_no", "subject"], "{}", bank.code);
            let keys: Vec<&String> = query["subject"].as_object().unwrap().keys().collect();
            assert_eq!(keys, ["id_number", "id_type", "name"]);
            subjects.insert(query["subject"]["id_number"].as_str().unwrap().to_owned());
            own.insert(query["query_no"].as_str().unwrap().to_owned());
        }
        assert_eq!((own.len(), &subjects), (persons.len(), &persons), "{}: one number for each person", bank.code);
        for number in own {
            assert!(numbers.insert(number), "two banks share a number");
        }
        for (file, bytes) in street.files(&bank.code) {
            let text = encoding_rs::GB18030.decode(&bytes).0.into_owned();
            for secret in ["UD-NEW", "HD-", "SQ-", "HH-", "clerk", "220102003001", "220102000000", "480.00"] {
                assert!(!text.contains(secret), "{file} holds {secret}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_authorisation_no_bank_gets_a_packet_and_the_ledger_one_row() {
    let street = Street::open().await;
    let books = street.hub.books();
    let cases = [
        ("revoked", json!({}), json!({}), "CH-6703"),
        ("expired", json!({ "signed_at": "2016-01-01", "valid_to": "2017-01-01" }), json!({}), "CH-6704"),
        (
            "incomplete",
            json!({ "members": [{ "name": "甲", "id_number": "220171197001010053", "signed": false }] }),
            json!({}),
            "CH-6705",
        ),
        ("out of scope", json!({ "scope": ["DEPOSIT"] }), json!({}), "CH-6706"),
        ("none", json!({ "no": "SQ-other" }), json!({}), "CH-6702"),
        ("other division", json!({}), json!({ "division": "220200000000" }), "CH-6707"),
    ];
    for (number, (what, paper_change, ask_change, code)) in cases.into_iter().enumerate() {
        let (mut paper, mut ask) = (json!(household(number).0), json!(household(number).1));
        paper.as_object_mut().unwrap().extend(paper_change.as_object().unwrap().clone());
        ask.as_object_mut().unwrap().extend(ask_change.as_object().unwrap().clone());
        let paper: authorisation::Authorisation = serde_json::from_value(paper).unwrap();
        authorisation::put(&books, &paper).await.unwrap().unwrap();
        if what == "revoked" {
            assert!(authorisation::revoke(&books, &paper.no, "by letter").await.unwrap());
        }
        let ask: request::Request = serde_json::from_value(ask).unwrap();
        let Begun::Refused { fault, .. } = request::begin(&books, &ask, "operator").await.unwrap() else { panic!("{what}") };
        assert_eq!(fault.code.to_string(), code, "{what}");
    }
    street.quiet(clock::millis()).await;
    assert_eq!(street.packets(), 0);
    let rows = street.number("SELECT COUNT(*) FROM ledger WHERE chain = 'exchange' AND kind = 'refused'", &[]).await;
    assert_eq!(rows, 6, "one row each");
}

/// Between batch and sending: the file is made while the folder cannot be written, then the household changes its mind.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_waits_loses_the_queries_of_a_revoked_authorisation() {
    let street = Street::open().await;
    let books = street.hub.books();
    for number in 0..2 {
        let (paper, mut ask) = household(number);
        ask.providers = vec!["CITIC".to_owned(), "PSBC".to_owned()];
        authorisation::put(&books, &paper).await.unwrap().unwrap();
        request::begin(&books, &ask, "operator").await.unwrap();
    }
    let folders = ["CITIC", "PSBC"].map(|code| street.banks().join(code).join("out"));
    for folder in &folders {
        std::fs::rename(folder, folder.with_extension("away")).unwrap();
        std::fs::write(folder, "no folder").unwrap();
    }
    let start = clock::millis();
    let done = drive::pass(&books, &street.hub.agreements, &street.providers, start).await.unwrap();
    assert_eq!(done.sent, 0, "the folders are away");
    assert_eq!(street.number("SELECT COUNT(*) FROM verification_file WHERE state = 'MADE'", &[]).await, 2);
    assert!(authorisation::revoke(&books, &household(0).0.no, "by letter").await.unwrap());
    for folder in &folders {
        std::fs::remove_file(folder).unwrap();
        std::fs::rename(folder.with_extension("away"), folder).unwrap();
    }
    street.quiet(start + 600_000).await;
    for code in ["CITIC", "PSBC"] {
        let asked: BTreeSet<String> =
            street.seen(code).iter().map(|query| query["subject"]["id_number"].as_str().unwrap().to_owned()).collect();
        assert_eq!(asked, household(1).1.members.into_iter().map(|member| member.id_number).collect(), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_got_half_a_file_gets_it_again_and_one_that_refuses_it_is_named() {
    let street = Street::open().await;
    let books = street.hub.books();
    for (number, code) in ["CITIC", "JLRCU"].into_iter().enumerate() {
        let (paper, mut ask) = household(number);
        ask.providers = vec![code.to_owned()];
        authorisation::put(&books, &paper).await.unwrap().unwrap();
        request::begin(&books, &ask, "operator").await.unwrap();
        street.manners[code].down.store(true, Ordering::Relaxed);
    }
    let start = clock::millis();
    street.pass(start).await;
    let name = |code: &str| street.out(code).into_iter().find(|name| name.ends_with(".REQ")).unwrap();
    // The transfer to one breaks off; the other finds a bank's name that is not its own.
    let half = street.banks().join("CITIC/out").join(name("CITIC"));
    let whole = std::fs::read(&half).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let foreign = street.banks().join("JLRCU/out").join(name("JLRCU"));
    let other = foreign.with_file_name(name("JLRCU").replace(".REQ", ".TMP"));
    std::fs::rename(&foreign, &other).unwrap();
    let text = std::fs::read(&other).unwrap();
    let spoiled: Vec<u8> = text.iter().enumerate().map(|(at, byte)| if at == 0 { b'X' } else { *byte }).collect();
    std::fs::write(&foreign, spoiled).unwrap();
    std::fs::remove_file(other).unwrap();
    for code in ["CITIC", "JLRCU"] {
        street.manners[code].down.store(false, Ordering::Relaxed);
    }
    street.quiet(start + 1000).await;
    street.quiet(start + 20 * 86_400_000).await;
    let queries: Vec<Value> = street.seen("CITIC");
    let numbers: BTreeSet<String> = queries.iter().map(|query| query["query_no"].to_string()).collect();
    assert_eq!((numbers.len(), queries.len()), (household(0).1.members.len(), household(0).1.members.len()));
    let state = "SELECT COUNT(*) FROM verification_query WHERE provider = $1 AND state = $2";
    assert!(street.number(state, &["CITIC".into(), "REFUSED".into()]).await == 0);
    assert_eq!(street.number(state, &["JLRCU".into(), "REFUSED".into()]).await, household(1).1.members.len() as i64);
    let report = civilhub::exchange::report::newest(&books, "HD-1").await.unwrap().unwrap();
    assert_eq!(report["coverage"]["missing"][0]["queries"][0]["code"], "CH-6806", "{report}");
}

/// Left open after the first answer, asked again after three workdays, and run out after five.
#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_leaves_a_query_open_is_reminded_once() {
    let street = Street::open().await;
    let books = street.hub.books();
    let silent = |place: &usize| household(*place).1.members.iter().any(|member| &member.id_number[14..17] == "908");
    let (paper, mut ask) = household((0..200).find(silent).unwrap());
    ask.providers = vec!["JTRCB".to_owned()];
    let all = ask.members.len();
    authorisation::put(&books, &paper).await.unwrap().unwrap();
    request::begin(&books, &ask, "operator").await.unwrap();
    street.quiet(clock::millis()).await;
    assert_eq!(street.seen("JTRCB").len(), all);
    let reminder = street.number("SELECT remind_at FROM verification_file", &[]).await;
    street.quiet(reminder - 1).await;
    assert_eq!(street.seen("JTRCB").len(), all, "not yet");
    street.quiet(reminder).await;
    street.quiet(reminder + 60_000).await;
    let seen = street.seen("JTRCB");
    assert!(seen.len() > all, "reminded");
    let numbers: BTreeSet<String> = seen.iter().map(|query| query["query_no"].to_string()).collect();
    assert_eq!(numbers.len(), all, "under the same numbers");
    let due = street.number("SELECT MAX(due_at) FROM verification_query", &[]).await;
    assert!(due > reminder);
    street.quiet(due).await;
    let report = civilhub::exchange::report::newest(&books, ask.request_no.as_deref().unwrap()).await.unwrap().unwrap();
    assert_eq!((&report["result"], street.seen("JTRCB").len()), (&json!("PARTIAL"), seen.len()));
}

/// The same files over an SFTP server: one bank with commas, one with fixed width.
#[tokio::test(flavor = "multi_thread")]
async fn files_travel_by_sftp() {
    let sshd = Sshd::start().await;
    let server: toml::Table = sshd.source().parse().unwrap();
    let text = |name: &str| server[name].as_str().unwrap().to_owned();
    let sims = Banks::open().await;
    let mut config = sims.config();
    let partners = sims.dir.path().join("partners");
    std::fs::create_dir(&partners).unwrap();
    let names = [("CITIC", Speech::Csv), ("PSBC", Speech::Fixed)];
    for (code, speech) in names {
        queries::start(&sshd.files(), code, speech, sims.manners[code].clone()).await.unwrap();
        let file = format!("bank-{}.toml", code.to_lowercase());
        let old = std::fs::read_to_string(config.paths.partners.join(&file)).unwrap();
        let lines = format!(
            "[query]\nkey_file = '{}'\nhost_key = '{}'\nevery = '50ms'\nurl = '{}/{code}'",
            text("sftp_key"),
            text("sftp_host_key"),
            text("sftp")
        );
        let url = format!("[query]\nurl = \"${{BANK_{code}_QUERY_URL}}\"");
        assert!(old.contains(&url));
        std::fs::write(partners.join(file), old.replace(&url, &lines)).unwrap();
    }
    config.paths.partners = partners;
    let street = Street::over(sims, config).await;
    let books = street.hub.books();
    let (paper, mut ask) = household(0);
    ask.providers = names.iter().map(|(code, _)| (*code).to_owned()).collect();
    authorisation::put(&books, &paper).await.unwrap().unwrap();
    request::begin(&books, &ask, "operator").await.unwrap();
    let answered = "SELECT COUNT(*) FROM verification_query WHERE state = 'ANSWERED'";
    let start = clock::millis();
    eventually(Duration::from_secs(60), "both banks answer", async || {
        street.pass(start).await;
        street.number(answered, &[]).await == 4
    })
    .await;
    let left = std::fs::read_dir(sshd.files().join("CITIC/in")).unwrap().count();
    assert_eq!((left, street.number("SELECT COUNT(*) FROM verification_report", &[]).await), (0, 1));
}
