//! Every reading command on the folder that a demo left.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::program::{expect, json};

pub fn work(data: &Path) {
    let folder = data.to_str().unwrap();
    letters(data);
    traces(data);
    expect(0, &["ledger", "verify", "--data", folder]);
    assert_eq!(json(data, &["ledger", "verify", "-o", "json"])["faults"], serde_json::json!([]));
    let schemas = expect(0, &["schema", "list", "--data", folder]).stdout;
    assert!(schemas.contains("assistance-payment"), "{schemas}");
    let books = expect(0, &["books", "--data", folder]).stdout;
    assert!(books.contains("fund-payment") && books.contains("gap"), "{books}");
    files(data);
}

fn letters(data: &Path) {
    let letters = json(data, &["dead", "list", "-o", "json", "--system", "fund-payment"]);
    let letter = &letters.as_array().unwrap()[0];
    let shown = json(data, &["dead", "show", letter["id"].as_str().unwrap(), "-o", "json"]);
    assert_eq!(shown["letter"]["id"], letter["id"]);
    let fault = &shown["letter"]["faults"][0];
    assert!(fault["code"].is_string() && fault["file"].is_string() && fault["message"].is_string(), "{fault}");
    let unknown = expect(1, &["dead", "show", "0000", "--data", data.to_str().unwrap()]);
    assert!(unknown.stderr.contains("CH-1004"), "{}", unknown.stderr);
}

/// An event, its delivery, its occurrence: each leads to the same life.
fn traces(data: &Path) {
    let export = expect(0, &["ledger", "export", "--data", data.to_str().unwrap()]).stdout;
    let rows = || export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let bank = rows().find(|row| row["chain"] == "deliver.bank-jlbank" && row["kind"] == "delivered").unwrap();
    let ids = [&bank["event_id"], &bank["body"]["delivery"]];
    for id in ids {
        let steps = json(data, &["trace", id.as_str().unwrap(), "-o", "json"]);
        let said: Vec<&str> = steps.as_array().unwrap().iter().map(|step| step["what"].as_str().unwrap()).collect();
        let receivers = steps[0]["detail"]["to"].as_array().unwrap().len();
        assert!(receivers >= 2 && said[0] == "received", "{steps}");
        assert_eq!(said[1..], vec!["delivered"; receivers], "{steps}");
    }
    assert!(expect(0, &["trace", ids[0].as_str().unwrap(), "--data", data.to_str().unwrap()]).stdout.contains("delivered"));
}

/// `adapter run`: CloudEvents on standard output, faults on standard error, exit code 1 if there were any.
fn files(data: &Path) {
    let folder = data.join("province/fund-payment");
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let is = |path: &Path, start: &str, end: &str| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(start) && name.ends_with(end)
    };
    let run = |code: i32, path: &Path| {
        expect(code, &["adapter", "run", "fund-payment", "--input", path.to_str().unwrap(), "--data", data.to_str().unwrap()])
    };

    let good = run(0, names.iter().find(|path| is(path, "PAY", "01.txt")).unwrap());
    assert!(good.stderr.is_empty(), "{}", good.stderr);
    let events: Vec<Value> = good.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!events.is_empty());
    for event in events {
        assert_eq!((event["specversion"].as_str(), event["type"].as_str()), (Some("1.0"), Some("assistance-payment.upsert")));
        assert_eq!(event["source"], "/systems/fund-payment");
    }
    let refused = run(1, names.iter().find(|path| is(path, "PAY", "99.txt")).unwrap());
    assert!(refused.stdout.is_empty());
    let fault: Value = serde_json::from_str(refused.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((fault["code"].as_str(), fault["row"].as_u64()), (Some("CH-2032"), Some(1)), "{fault}");

    let planted = std::fs::read_to_string(data.join("province/truth/faults.csv")).unwrap();
    let line = planted.lines().find(|line| line.starts_with("fund-payment,RET,") && line.ends_with("rejected")).unwrap();
    let parts: Vec<&str> = line.split(',').collect();
    let mixed = run(1, &folder.join(parts[2]));
    let faults: Vec<Value> = mixed.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(faults.iter().any(|fault| fault["row"].as_u64() == parts[3].parse().ok()), "{faults:?}");
    assert!(faults.iter().all(|fault| fault["code"].is_string() && fault["column"].is_string()), "{faults:?}");
    assert!(expect(1, &["adapter", "run", "fund-paymen", "--input", "x"]).stderr.contains("did you mean `fund-payment`"));
}
