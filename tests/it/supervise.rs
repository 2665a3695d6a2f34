//! Supervision of a simulated province, against what the simulator planted.

use std::{path::Path, process::Command};

use serde_json::Value;

const PERSONS: &str = "3000";

fn civilhub(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
        command.env_remove(name);
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A folder below this one with the truth of the simulation.
fn province(data: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.join("truth/alerts.csv").is_file()).expect("the demo keeps its province")
}

#[test]
fn each_rule_finds_what_was_planted_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub");
    let data_text = data.to_str().unwrap();
    let (code, out, err) = civilhub(&["demo", "--persons", PERSONS, "--once", "--data", data_text]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let (code, _, err) = civilhub(&["supervise", "run", "--data", data_text]);
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = civilhub(&["supervise", "alerts", "--state", "open", "-o", "json", "--data", data_text]);
    assert_eq!(code, Some(0), "{err}");
    let alerts: Vec<Value> = serde_json::from_str(&out).unwrap();
    let province = province(&data);
    let truth = province.to_str().unwrap();
    let (code, out, err) = civilhub(&["supervise", "score", "--truth", truth, "-o", "json", "--data", data_text]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let scores: Vec<Value> = serde_json::from_str(&out).unwrap();
    let rules: Vec<&str> = scores.iter().map(|score| score["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10"]);
    for score in &scores {
        assert!(score["planted"].as_u64().unwrap() > 0, "{score}");
        assert!(score["precision"].as_f64().unwrap() >= 0.99 && score["recall"].as_f64().unwrap() >= 0.99, "{score}");
    }
    // A rule over what is stored finds what the rules found while records arrived.
    let (code, out, err) =
        civilhub(&["supervise", "backtest", "--rule", "config/rules/R1.toml", "-o", "json", "--data", data_text]);
    assert_eq!(code, Some(0), "{err}");
    let tested: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(tested["hits"].as_u64().unwrap() as usize, alerts.iter().filter(|alert| alert["rule"] == "R1").count());
}
