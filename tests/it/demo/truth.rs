//! What the hub refused against what the simulator planted: recall and precision.

use std::{collections::BTreeMap, path::Path};

use civilhub::{config::keys::Keys, store::Store};
use serde_json::Value;

/// A line of `truth/faults.csv` that must be refused.
#[derive(Debug, Clone, serde::Deserialize)]
struct Planted {
    system: String,
    object: String,
    file: String,
    row: Option<u64>,
    key: String,
    kind: String,
    outcome: String,
}

/// A rejected letter with its body opened.
#[derive(Debug)]
struct Refused {
    system: String,
    object: String,
    fault: Value,
    body: Value,
}

/// Holds dead letters and books against the truth.
pub async fn judge(data: &Path, books: &BTreeMap<String, BTreeMap<String, i64>>) {
    let truth = data.join("province/truth");
    let mut reader = csv::Reader::from_path(truth.join("faults.csv")).unwrap();
    let planted: Vec<Planted> =
        reader.deserialize().map(Result::unwrap).filter(|line: &Planted| line.outcome == "rejected").collect();
    let refused = letters(data).await;

    let missed: Vec<&Planted> = planted.iter().filter(|planted| !refused.iter().any(|letter| same(planted, letter))).collect();
    let innocent: Vec<_> = refused.iter().filter(|letter| !planted.iter().any(|planted| same(planted, letter))).collect();
    let share = |wrong: usize, all: usize| 100.0 * (all - wrong) as f64 / all as f64;
    println!(
        "planted {}, refused {}: recall {:.2} %, precision {:.2} %",
        planted.len(),
        refused.len(),
        share(missed.len(), planted.len()),
        share(innocent.len(), refused.len())
    );
    assert!(missed.is_empty(), "planted and not found: {missed:#?}");
    assert!(
        innocent.is_empty(),
        "refused for nothing: {:#?}",
        innocent.iter().map(|letter| (&letter.system, &letter.object, &letter.fault)).collect::<Vec<_>>()
    );
    let kinds: std::collections::BTreeSet<&str> = planted.iter().map(|planted| planted.kind.as_str()).collect();
    assert!(kinds.len() >= 7, "a poor sample of faults: {kinds:?}");

    let summary: Value = serde_json::from_slice(&std::fs::read(truth.join("summary.json")).unwrap()).unwrap();
    for (system, said) in summary["systems"].as_object().unwrap() {
        let number = |name: &str| said[name].as_i64().unwrap();
        let line = &books[system];
        assert_eq!(
            line["rejected"],
            number("rejected") + number("rejected_files"),
            "{system}: one letter for a row or a whole file"
        );
        // A webhook sent again under its own id is answered and goes no further; a page that shows a row twice is read once.
        let seen_before = ["http_push", "http_pull"].contains(&kind(system).as_str());
        assert!(seen_before || line["duplicate"] >= number("duplicates"), "{system}: {line:?}");
        assert_eq!(line["superseded"], number("superseded"), "{system}: {line:?}");
    }
}

/// Kind of a system's source.
fn kind(system: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(system).join("adapter.toml");
    let adapter: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    adapter["source"]["kind"].as_str().unwrap().to_owned()
}

async fn letters(data: &Path) -> Vec<Refused> {
    let store = Store::open(&format!("sqlite://{}", data.join("hub.db").display())).await.unwrap();
    let keys = Keys::load_or_create(&data.join("keys.toml")).unwrap();
    let rows = store.read("SELECT system, dataset, faults, body FROM dead WHERE state = 'rejected'", &[]).await.unwrap();
    store.close().await;
    rows.iter()
        .map(|row| {
            let faults: Value = serde_json::from_str(&row.text(2)).unwrap();
            let body = keys.open(&row.text(3)).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            Refused { system: row.text(0), object: row.text(1), fault: faults[0].clone(), body }
        })
        .collect()
}

/// The letter is about the planted fault: by file and row, or by the key of the row.
fn same(planted: &Planted, letter: &Refused) -> bool {
    if planted.system != letter.system {
        return false;
    }
    let file = letter.fault["file"].as_str() == Some(&planted.file);
    if planted.key.is_empty() {
        return file && letter.body.is_null();
    }
    let row = planted.row.is_some() && letter.fault["row"].as_u64() == planted.row;
    let object = letter.object.eq_ignore_ascii_case(&planted.object) || letter.body.pointer("/data/record").is_some();
    (file && row) || (object && keys(&letter.body).contains(&planted.key))
}

/// Texts of a row or record that may be its key, its own level only.
fn keys(body: &Value) -> Vec<String> {
    let row = body.pointer("/data/record").unwrap_or(body);
    let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    let own = row.as_object().into_iter().flatten().filter_map(|(_, value)| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let mut keys: Vec<String> = own.collect();
    keys.push(format!("{}-{}-{}", text("eventNo"), text("divisionCode"), text("seq")));
    keys.push(format!("{}{}{}", text("hospitalId"), text("visitNo"), text("seq")));
    keys
}
