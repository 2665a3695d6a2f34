//! The commands of the second day: what holds, what would be migrated, what waits, what goes to support.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use civilhub::{
    bus::{
        Bus, Message, Queue, Route, Topology,
        embedded::EmbeddedBus,
        rabbit::{RabbitBus, RabbitOptions},
    },
    simulate,
};
use serde_json::Value;
use time::macros::date;

use crate::support::{
    broker::Broker,
    program::{self, Done, PROGRAM, command, expect},
    unique,
};

fn parse(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", done.stdout, done.stderr))
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    fs::write(&file, "[store]\nurl = \"postgres://hub:geheim@db/hub\"\n[env]\nBANK_SECRET = \"geheim\"\n").unwrap();
    let run = |arguments: &[&str]| -> Done {
        let mut command = command(&["config", "print", "--config", file.to_str().unwrap()]);
        command.args(arguments).env("CIVILHUB__BUS__URL", "amqp://u:geheim@h/v").output().unwrap().into()
    };
    let entries = parse(&run(&["--origin", "-o", "json", "--data", "elsewhere"]));
    let of = |key: &str| entries.as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap().clone();
    for (key, value, origin) in [
        ("bus.partitions", "2", "default"),
        ("store.url", "\"postgres://hub:(hidden)@db/hub\"", "file"),
        ("bus.url", "\"amqp://u:(hidden)@h/v\"", "environment"),
        ("hub.data", "\"elsewhere\"", "flag"),
        ("env.BANK_SECRET", "\"(hidden)\"", "file"),
    ] {
        assert_eq!((of(key)["value"].to_string().as_str(), of(key)["origin"].as_str()), (value, Some(origin)), "{key}");
    }
    assert_eq!(of("bus.url")["from"], "CIVILHUB__BUS__URL");
    let table = run(&["--origin"]).stdout;
    assert!(table.contains("environment") && table.contains("hub.toml") && !table.contains("geheim"), "{table}");
    assert!(!run(&[]).stdout.contains("geheim"));
}

#[test]
fn a_plan_of_migration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let plan = || parse(&expect(0, &["migrate", "plan", "-o", "json", "--data", data]));
    let states = |plan: &Value| {
        plan.as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let before = plan();
    assert_eq!(states(&before), BTreeSet::from(["pending".to_owned()]));
    assert!(before[0]["sql"].as_str().unwrap().contains("CREATE TABLE"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
    expect(0, &["migrate", "--data", data]);
    assert_eq!(states(&plan()), BTreeSet::from(["applied".to_owned()]));
    let text = expect(0, &["migrate", "plan", "--data", data]).stdout;
    assert!(text.contains("0 of "), "{text}");
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let text = expect(0, &["completions", shell]).stdout;
        assert!(text.contains("doctor") && text.contains("bundle"), "{shell}");
    }
}

const NUMBER: &str = "220171197001010053";

fn message(id: &str) -> Message {
    let body = format!("{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"data\":{{\"record\":{{\"id_no\":\"{NUMBER}\"}}}}}}");
    Message { route: Route::Deliver("bank".into()), id: id.to_owned(), body: body.into_bytes().into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_on_the_embedded_bus_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(&dir.path().join("bus")).unwrap();
    bus.declare(&Topology { partitions: 1, subscriptions: vec!["bank".into()] }).await.unwrap();
    bus.publish(vec![message("m1"), message("m2")]).await;
    let tap = |more: &[&str]| -> Vec<Value> {
        let done = expect(0, &[&["tap", "deliver.bank", "--data", dir.path().to_str().unwrap()], more].concat());
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Beside the process that has the folder open, and after it.
    let beside = tap(&[]);
    assert_eq!(beside.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), ["m1", "m2"]);
    assert_eq!(beside[0]["message"]["data"]["record"]["id_no"], NUMBER);
    assert_eq!(bus.depth(&Queue::Deliver("bank".into())).await.unwrap().ready, 2);
    bus.close().await;
    drop(bus);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let masked = tap(&["--masked", "--count", "1"]);
    assert_eq!((masked.len(), masked[0]["message"]["data"]["record"]["id_no"].as_str()), (1, Some("*** (18 characters)")));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no copy is left");
    expect(1, &["tap", "nowhere", "--data", dir.path().to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_on_the_broker_copies_and_takes_nothing() {
    let (url, prefix) = (Broker::shared().await, format!("{}.", unique("tap")));
    let mut options = RabbitOptions::new(&url);
    options.prefix.clone_from(&prefix);
    let bus = RabbitBus::connect(options).await.unwrap();
    bus.declare(&Topology { partitions: 2, subscriptions: vec!["bank".into()] }).await.unwrap();
    let mut tap = Command::new(PROGRAM);
    tap.args(["tap", "deliver.bank", "--masked", "--count", "2", "--for", "20s"]);
    tap.env("CIVILHUB__BUS__KIND", "rabbitmq").env("CIVILHUB__BUS__URL", &url).env("CIVILHUB__BUS__PREFIX", &prefix);
    let tapping = tokio::task::spawn_blocking(move || tap.output().unwrap());
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    bus.publish(vec![message("m1"), message("m2")]).await;
    let output = tapping.await.unwrap();
    let lines: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["id"].as_str().unwrap()).collect::<Vec<_>>(), ["m1", "m2"], "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(NUMBER));
    let mut consumer = bus.consume(&Queue::Deliver("bank".into()), 10).await.unwrap();
    // One answer may hold the first alone.
    let mut kept = Vec::new();
    for _ in 0..5 {
        if kept.len() < 2 {
            kept.extend(consumer.next(10, std::time::Duration::from_secs(2)).await.unwrap());
        }
    }
    assert_eq!(kept.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ["m1", "m2"], "the queue has both");
    assert!(kept.iter().all(|message| !message.redelivered), "and nobody has touched them");
    drop(consumer);
    bus.close().await;
}

/// A hub that has read a province, and the province.
async fn province(dir: &Path) -> PathBuf {
    let out = dir.join("province");
    let options = simulate::Options { persons: 200, seed: 7, out: out.clone(), today: date!(2017 - 07 - 15) };
    simulate::write(&options, &|_| ()).await.unwrap();
    let data = dir.join("data");
    for system in ["funeral", "senior-allowance", "fund-payment"] {
        let inbox = data.join("inbox").join(system);
        fs::create_dir_all(&inbox).unwrap();
        for entry in fs::read_dir(out.join(system)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, inbox.join(path.file_name().unwrap())).unwrap();
        }
    }
    let done = hub(dir, &["serve", "--once"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    fs::write(dir.join("hub.log"), done.stderr).unwrap();
    data
}

fn hub(dir: &Path, arguments: &[&str]) -> Done {
    let mut command = program::command(arguments);
    command.arg("--data").arg(dir.join("data")).env("CIVILHUB__HTTP__LISTEN", "127.0.0.1:0");
    command
        .env("CIVILHUB__HUB__SYSTEMS", "funeral,senior-allowance,fund-payment")
        .env("BANK_JLBANK_SECRET", "whsec_c3RhbmQtaW4tZm9yLWEtbWlzc2luZy1zZWNyZXQ=");
    command.env("CIVILHUB__PATHS__PARTNERS", partners(dir)).output().unwrap().into()
}

/// Only the lake: a hub with a partner that is away would never be done.
fn partners(dir: &Path) -> PathBuf {
    let folder = dir.join("partners");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/config/partners/bigdata-platform.toml"), folder.join("bigdata-platform.toml"))
        .unwrap();
    folder
}

/// Every name, number and phone of the province.
fn secrets(province: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(province.join("truth/persons.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let mut found = BTreeSet::new();
    for row in reader.records() {
        let row = row.unwrap();
        found.extend([row[1].to_owned(), row[2].to_owned()].into_iter().filter(|text| text.chars().count() >= 2));
    }
    assert!(found.len() > 200, "{}", found.len());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_citizen_survives_in_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let data = province(dir.path()).await;
    let screen = parse(&hub(dir.path(), &["top", "--once", "-o", "json"]));
    assert!(
        screen["systems"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["system"] == "fund-payment" && line["received"].as_i64() > Some(0)),
        "{screen}"
    );
    assert!(screen["queues"].as_array().unwrap().iter().any(|line| line["queue"] == "deliver.bigdata-platform"), "{screen}");

    // What an operator might put beside the hub's own lines.
    let secrets = secrets(&dir.path().join("province"));
    let log = dir.path().join("hub.log");
    let spoiled: String = secrets.iter().map(|text| format!("2026-11-24T00:00:00+08:00 INFO civilhub: {text}\n")).collect();
    fs::write(&log, fs::read_to_string(&log).unwrap() + &spoiled + "civilhub: 13812345678\n").unwrap();
    let out = dir.path().join("bundle.zip");
    let done = hub(dir.path(), &["bundle", "--out", out.to_str().unwrap(), "--log", log.to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(hub(dir.path(), &["bundle", "--out", out.to_str().unwrap()]).code, Some(1), "it overwrites nothing");

    let mut archive = zip::ZipArchive::new(fs::File::open(&out).unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let name = file.name().unwrap().into_owned();
        for secret in secrets.iter().map(String::as_str).chain(["13812345678", "c3RhbmQtaW4"]) {
            assert!(!text.contains(secret), "{} in {}", secret.chars().take(1).collect::<String>(), name);
        }
        assert_eq!(civilhub::telemetry::log::blank_numbers(&text), text, "{}", name);
        if name == "hub.log" {
            assert!(text.contains("the hub is stopping"), "the hub's own lines are there: {text}");
        }
        names.insert(name);
    }
    for name in [
        "program.json",
        "doctor.json",
        "config.json",
        "plans.json",
        "migrations.json",
        "books.json",
        "dead.json",
        "queues.json",
        "metrics.txt",
        "hub.log",
    ] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    assert!(data.exists());
}
