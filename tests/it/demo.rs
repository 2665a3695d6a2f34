//! The demo as its user sees it: the books balance, the lake says what the books say, every planted fault is found and
//! nothing else is refused, and a second run changes nothing.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the output of the suite")]

mod commands;
mod lake;
mod truth;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::support::program::{self, Running, command, expect};

fn demo(data: &Path, persons: u64) -> [String; 8] {
    ["demo", "--persons", &persons.to_string(), "--seed", "7", "--once", "--data", data.to_str().unwrap()].map(str::to_owned)
}

fn run_demo(data: &Path, persons: u64) -> Duration {
    let started = Instant::now();
    let arguments = demo(data, persons);
    expect(0, &arguments.each_ref().map(String::as_str));
    started.elapsed()
}

/// Slugs of the adapters that the product brings.
fn systems() -> impl Iterator<Item = String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters");
    let folders =
        std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().join("adapter.toml").exists());
    folders.map(|entry| entry.file_name().into_string().unwrap())
}

/// Persons of the large demo. `CIVILHUB_DEMO_PERSONS=20000` is the long form.
fn persons() -> u64 {
    std::env::var("CIVILHUB_DEMO_PERSONS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000)
}

#[tokio::test]
async fn a_demo_balances_finds_every_planted_fault_and_repeats_without_effect() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    println!("demo of {} persons: {:.0} s", persons(), run_demo(data, persons()).as_secs_f32());

    let books = program::books(data);
    for (system, line) in &books {
        println!("{system:16} {line:?}");
        assert_eq!((line["gap"], line["in_flight"], line["parked"]), (0, 0, 0), "{system}: {line:?}");
    }
    truth::judge(data, &books).await;
    lake::agrees(data).await;
    commands::work(data);

    println!("the same again: {:.0} s", run_demo(data, persons()).as_secs_f32());
    assert_eq!(program::books(data), books, "a second run changes no count");
    lake::agrees(data).await;
    expect(0, &["ledger", "verify", "--data", data.to_str().unwrap()]);
}

#[test]
fn two_demos_in_one_folder_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let logs = ["first", "second"].map(|name| folder.path().join(format!("{name}.log")));
    let mut both = logs.each_ref().map(|log| {
        let arguments = demo(&data, 2_000);
        let running = Running::start(command(&arguments.each_ref().map(String::as_str)), log);
        std::thread::sleep(Duration::from_millis(300));
        running
    });
    let started = Instant::now();
    while both.iter_mut().any(Running::is_alive) && started.elapsed() < Duration::from_secs(240) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let codes = both.map(|running| (running.log(), running.stop()));
    let refused: Vec<&String> = codes.iter().filter(|(_, code)| *code == Some(1)).map(|(log, _)| log).collect();
    assert_eq!(codes.iter().filter(|(_, code)| *code == Some(0)).count(), 1, "{codes:?}");
    assert!(refused.iter().all(|log| log.contains("CH-7003")), "{refused:?}");
    // What is left is whole: the same command ends well and the books balance.
    run_demo(&data, 2_000);
    let books = program::books(&data);
    let missing: Vec<String> = systems().filter(|system| !books.contains_key(system)).collect();
    assert!(missing.is_empty(), "no data of {missing:?}");
    assert!(books.values().all(|line| line["gap"] == 0 && line["in_flight"] == 0), "{books:?}");
    expect(0, &["ledger", "verify", "--data", data.to_str().unwrap()]);
}

/// A wrong command line is exit code 2 and says how it is meant; nothing is written.
#[test]
fn wrong_usage_is_told_apart_from_findings() {
    let wrong: [&[&str]; 7] = [
        &[],
        &["nonsense"],
        &["demo", "--persons", "many"],
        &["demo", "--person", "5"],
        &["books", "-o", "xml"],
        &["adapter", "run", "fund-payment"],
        &["dead", "show"],
    ];
    for arguments in wrong {
        let done = expect(2, arguments);
        assert!(
            done.stderr.contains("Usage") || done.stderr.contains("possible values") || done.stderr.contains("invalid value"),
            "{}",
            done.stderr
        );
        assert!(done.stdout.is_empty(), "{}", done.stdout);
    }
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    for command in ["books", "trace"] {
        let arguments =
            [&[command][..], if command == "trace" { &["x"] } else { &[] }, &["--data", nowhere.to_str().unwrap()]].concat();
        assert!(expect(1, &arguments).stderr.contains("CH-1003"));
    }
    assert!(!nowhere.exists(), "a reading command makes nothing");
}
