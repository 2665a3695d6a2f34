//! Nothing that an operator sees tells who a citizen is: no identity number and no name in logs, metrics, errors, lists,
//! pages and names of queues and files, and none in plain text in the store.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the output of the suite")]

mod scan;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use scan::Scan;
use sha2::Sha256;

use crate::support::{
    broker::Broker,
    program::{self, Running, command, run},
    unique,
};

const PERSONS: &str = "1000";

/// A demo that stays up, with the most talkative log in this form.
fn demo(data: &Path, format: &str) -> Running {
    let mut command = command(&["demo", "--persons", PERSONS, "--seed", "7", "--data", data.to_str().unwrap()]);
    command.envs([
        ("CIVILHUB__LOG__LEVEL", "debug"),
        ("CIVILHUB__LOG__FORMAT", format),
        ("CIVILHUB__HTTP__LISTEN", "127.0.0.1:0"),
    ]);
    Running::start(command, &data.with_extension("log"))
}

/// All texts that a running demo shows.
async fn pages(url: &str) -> Vec<(String, String)> {
    let client = reqwest::Client::new();
    let mut texts = Vec::new();
    for path in ["/", "/v1/status", "/metrics", "/livez", "/readyz"] {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        texts.push((format!("GET {path}: {}", answer.status()), answer.text().await.unwrap()));
    }
    texts
}

/// Answers to deliveries that are wrong in many ways, each full of a citizen.
async fn problems(url: &str, name: &str, number: &str) -> Vec<(String, String)> {
    let bodies = [
        format!("{{\"{number}\":{{\"{name}\":\"\\ud800\"}}}}"),
        format!("{{\"eventNo\":\"{number}\",\"eventNo\":\"{name}\"}}"),
        format!("{{\"eventNo\":\"{name}\",\"seq\":{number}.000000000000001}}"),
        format!("{{\"eventNo\":\"{number}{name}"),
        format!("\"{number}{name}\""),
        format!(
            "{{\"eventNo\":\"{number}\",\"divisionCode\":\"{name}\",\"reportType\":\"{number}\",\"seq\":\"{name}\",\"occurredAt\":\"{number}\"}}"
        ),
    ];
    let mut texts = Vec::new();
    for (at, body) in bodies.into_iter().enumerate() {
        let timestamp = civilhub::clock::now().unix_timestamp().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"demo-push-secret").unwrap();
        mac.update(format!("{timestamp}.{body}").as_bytes());
        let request = reqwest::Client::new().post(format!("{url}/in/disaster-report/report")).header("x-timestamp", timestamp);
        let request = request
            .header("x-signature", hex::encode(mac.finalize().into_bytes()))
            .header("x-delivery-id", format!("{number}-{at}"));
        let answer = request.body(body).send().await.unwrap();
        texts.push((format!("POST {at}: {}", answer.status()), answer.text().await.unwrap()));
    }
    for path in [format!("/in/{number}/report"), format!("/in/disaster-report/{number}"), format!("/{name}")] {
        let answer = reqwest::Client::new().post(format!("{url}{path}")).body(number.to_owned()).send().await.unwrap();
        texts.push((format!("POST to a wrong address: {}", answer.status()), answer.text().await.unwrap()));
    }
    texts
}

/// What every command prints about the folder.
fn commands(data: &Path, number: &str) -> Vec<(String, String)> {
    let folder = data.to_str().unwrap();
    let letters: Vec<String> = program::dead(data).iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect();
    assert!(letters.len() > 10);
    let mut lines: Vec<Vec<&str>> = vec![
        vec!["dead", "list", "--limit", "100000"],
        vec!["dead", "list", "--limit", "100000", "-o", "json"],
        vec!["books"],
        vec!["books", "-o", "json"],
        vec!["ledger", "export"],
        vec!["ledger", "verify", "-o", "json"],
        vec!["schema", "list"],
        vec!["adapter", "list"],
        vec!["check"],
        // Errors about something that does not exist do not repeat what was asked for.
        vec!["trace", number],
        vec!["dead", "show", number],
        vec!["adapter", "run", "fund-payment", "--input", "/no/such/file"],
    ];
    for letter in &letters {
        lines.push(vec!["dead", "show", letter]);
        lines.push(vec!["trace", letter, "-o", "json"]);
    }
    let show = |line: &Vec<&str>| {
        let done = run(&[line.as_slice(), &["--data", folder]].concat());
        (line.join(" ").replace(number, "<number>"), format!("{}\n{}", done.stdout, done.stderr))
    };
    let mut texts: Vec<(String, String)> = lines.iter().map(show).collect();
    // Mapping every exported file: the events are the citizens' data, the faults must not be.
    let mut exports: Vec<PathBuf> = Vec::new();
    for system in ["funeral", "senior-allowance", "fund-payment"] {
        exports.extend(std::fs::read_dir(data.join("province").join(system)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for path in exports {
        let system = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let done = run(&["adapter", "run", system, "--input", path.to_str().unwrap(), "--data", folder]);
        texts.push((format!("standard error of adapter run {system}"), done.stderr));
    }
    texts
}

/// Names of all files and folders of the hub, but for the versions of the lake's tables, which Delta Lake counts in twenty digits.
fn file_names(folder: &Path) -> String {
    let mut names = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.parent().unwrap().ends_with("_delta_log") {
                continue;
            }
            names.push_str(path.file_name().unwrap().to_str().unwrap());
            names.push('\n');
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_demo_shows_no_citizen() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("demo");
        let mut running = demo(&data, format);
        let url = running.wait_for("The hub stays up: ", Duration::from_secs(240));
        let scan = Scan::of_truth(&data.join("province/truth/persons.csv"));
        let (name, number) = scan.somebody();
        let mut texts = pages(&url).await;
        texts.extend(problems(&url, &name, &number).await);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let shown = (running.stdout(), data.with_extension("log"));
        assert_eq!(running.stop(), Some(0));
        texts.push(("standard output of the demo".to_owned(), shown.0));
        let log = std::fs::read_to_string(&shown.1).unwrap();
        assert!(log.contains("DEBUG"), "the log is at its most talkative");
        texts.push((format!("log, {format}"), log.clone()));
        texts.extend(commands(&data, &number));
        texts.push(("file names".to_owned(), file_names(&data)));
        let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
        println!("{format}: {} texts, {bytes} bytes", texts.len());
        let found: Vec<String> = texts.iter().flat_map(|(what, text)| scan.find(what, text)).collect();
        assert!(found.is_empty(), "{found:#?}");

        // The scan is able to find what it looks for.
        for planted in [format!("INFO number={number}"), format!("INFO {name} was refused"), "id 220171197001010053".to_owned()] {
            assert_eq!(scan.find("planted", &(log.clone() + &planted)).len(), 1, "{planted}");
        }
        at_rest(&data, &scan);
    }
}

/// The store keeps numbers and names sealed. The embedded bus keeps bodies until its journal is rewritten: that is told, not judged.
fn at_rest(data: &Path, scan: &Scan) {
    let store = ["hub.db", "hub.db-wal"].map(|name| std::fs::read(data.join(name)).unwrap_or_default()).concat();
    assert!(store.len() > 100_000);
    let (numbers, names) = scan.count(&store);
    println!("store: {} bytes, {numbers} numbers, {names} names in plain text", store.len());
    assert_eq!((numbers, names), (0, 0), "the store has citizens in plain text");
    let mut bus = Vec::new();
    let mut folders = vec![data.join("bus")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { bus.extend(std::fs::read(entry).unwrap()) }
        }
    }
    let (numbers, names) = scan.count(&bus);
    println!("embedded bus after draining: {} bytes, {numbers} numbers, {names} names in plain text", bus.len());
}

/// The same demo on RabbitMQ: names of queues and exchanges, and what the broker itself logs.
#[tokio::test(flavor = "multi_thread")]
async fn a_demo_on_rabbitmq_shows_no_citizen() {
    let broker = Broker::private().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let mut command = command(&["demo", "--persons", PERSONS, "--seed", "7", "--once", "--data", data.to_str().unwrap()]);
    command.envs([
        ("CIVILHUB__LOG__LEVEL", "debug"),
        ("CIVILHUB__BUS__KIND", "rabbitmq"),
        ("CIVILHUB__BUS__URL", broker.url()),
        ("CIVILHUB__BUS__PREFIX", &format!("{}.", unique("privacy"))),
    ]);
    let done: program::Done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let scan = Scan::of_truth(&data.join("province/truth/persons.csv"));
    let mut texts = vec![("output".to_owned(), done.stdout), ("log".to_owned(), done.stderr)];
    for what in ["list_queues", "list_exchanges", "list_bindings", "list_consumers", "list_connections"] {
        texts.push((what.to_owned(), broker.ctl(&[what]).await));
    }
    assert!(texts[2].1.contains("deliver.bank-jlbank"), "{}", texts[2].1);
    let found: Vec<String> = texts.iter().flat_map(|(what, text)| scan.find(what, text)).collect();
    assert!(found.is_empty(), "{found:#?}");
}
