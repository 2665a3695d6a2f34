//! The program as a user starts it: exit codes, what is printed where, and the shape of `-o json`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use civilhub::config::{Config, DEFAULTS};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Runs the program in the project's folder, with nothing of this process's own settings.
fn civilhub(arguments: &[&str]) -> Output {
    civilhub_with(arguments, &[])
}

fn civilhub_with(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).envs(env.iter().copied()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output as JSON, of a command that ended well.
fn json(arguments: &[&str]) -> Value {
    let output = civilhub(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", out(&output)))
}

/// The folder of a hub through which a small province has flowed; made once for all tests.
async fn demo() -> &'static str {
    static DEMO: OnceCell<(TempDir, String)> = OnceCell::const_new();
    let (_, path) = DEMO
        .get_or_init(|| async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("hub").display().to_string();
            let arguments = ["demo", "--persons", "150", "--once", "--data", &path];
            let output = tokio::task::block_in_place(|| civilhub(&arguments));
            assert_eq!(output.status.code(), Some(0), "{}\n{}", out(&output), err(&output));
            (dir, path)
        })
        .await;
    path
}

#[test]
fn usage_is_2_and_help_is_0() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "dead"], 0),
        (&[], 2),
        (&["no-such-command"], 2),
        (&["books", "--no-such-flag"], 2),
        (&["books", "-o", "yaml"], 2),
        (&["serve", "no-such-role"], 2),
        (&["dead", "replay"], 2),
        (&["schema", "validate"], 2),
    ] {
        let output = civilhub(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let (told, silent) = if code == 0 { (output.stdout, output.stderr) } else { (output.stderr, output.stdout) };
        assert!(!told.is_empty() && silent.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_command_has_help_and_hidden_ones_are_not_shown() {
    let help = out(&civilhub(&["--help"]));
    for command in [
        "demo",
        "serve",
        "check",
        "adapter",
        "schema",
        "trace",
        "dead",
        "books",
        "ledger",
        "simulate",
        "bench",
        "migrate",
        "completions",
    ] {
        assert!(help.contains(&format!("  {command} ")), "{command}");
        assert_eq!(civilhub(&[command, "--help"]).status.code(), Some(0), "{command}");
    }
    assert!(!help.contains("probe"));
}

#[test]
fn unknown_keys_are_told_with_the_nearest_name_and_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    std::fs::write(&file, "[bus]\npartition = 3\n[hub]\ndate = \"x\"\n[stoer]\nurl = \"\"\n").unwrap();
    let output = civilhub(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = err(&output);
    for part in
        ["`bus.partition`", "`bus.partitions`?", "`hub.date`", "`hub.data`?", "`stoer`", "`store`?", "hub.toml", "CH-1001"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let output = civilhub_with(&["check"], &[("CIVILHUB__BUS__PREFETCHED", "1")]);
    assert!(err(&output).contains("`bus.prefetch`?"), "{}", err(&output));
    let missing = civilhub(&["check", "--config", "/no/such/file.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(err(&missing).contains("CH-1001"), "{}", err(&missing));
}

#[test]
fn layers_lie_over_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let file = at("hub.toml");
    std::fs::write(&file, format!("[hub]\ndata = {:?}\n", at("file"))).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let made = |name: &str| at(name).join("hub.db").is_file();
    for name in ["file", "env", "flag"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    assert_eq!(civilhub(&[&["migrate"], &config[..]].concat()).status.code(), Some(0));
    assert!(made("file") && !made("env"));
    let env_path = at("env").display().to_string();
    let env = [("CIVILHUB__HUB__DATA", env_path.as_str())];
    assert_eq!(civilhub_with(&[&["migrate"], &config[..]].concat(), &env).status.code(), Some(0));
    assert!(made("env") && !made("flag"));
    let flag = at("flag").display().to_string();
    assert_eq!(civilhub_with(&[&["migrate", "--data", &flag], &config[..]].concat(), &env).status.code(), Some(0));
    assert!(made("flag"));
    assert_eq!(civilhub(&["migrate", "--data", &flag]).status.code(), Some(0), "again");
}

/// Each key of the file is read into the struct, and each field of the struct is in the file.
#[test]
fn the_default_file_is_the_reference_of_all_keys() {
    let config = Config::load(None, None).unwrap();
    let file: toml::Table = toml::from_str(DEFAULTS).unwrap();
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/mod.rs")).unwrap();
    // Unknown keys are refused, so every key of the file is a field. The other way round: the fields of each section's struct.
    let fields = |name: &str| -> Vec<String> {
        let body = source
            .split(&format!("pub struct {name} {{\n"))
            .nth(1)
            .unwrap_or_else(|| panic!("no struct {name}"))
            .split("\n}")
            .next()
            .unwrap();
        let field = |line: &str| Some(line.trim().strip_prefix("pub ")?.split(':').next()?.to_owned());
        body.lines().filter_map(field).collect()
    };
    for section in fields("Config") {
        let table =
            file.get(&section).and_then(toml::Value::as_table).unwrap_or_else(|| panic!("no [{section}] in civilhub.toml"));
        if section == "env" {
            continue;
        }
        let line = source.lines().find(|line| line.trim().starts_with(&format!("pub {section}:"))).unwrap();
        let kind = line.split(": ").nth(1).unwrap().trim_end_matches(',');
        let mut names = fields(kind);
        names.sort_unstable();
        assert_eq!(
            names,
            table.keys().cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
            "[{section}]"
        );
    }
    assert_eq!(config.bus.partitions, 2);
    // A page without a word on a key is no reference: every key has a comment above it, or its section or the key before has.
    let mut commented = false;
    for line in DEFAULTS.lines() {
        match line.trim() {
            "" => commented = false,
            line if line.starts_with('#') => commented = true,
            line if line.starts_with("[paths]") => commented = true,
            line if line.contains('=') => assert!(commented, "no comment for {line}"),
            _ => {}
        }
    }
}

#[test]
fn check_finds_everything_at_once() {
    let value = json(&["check", "-o", "json"]);
    assert_eq!(value["faults"], Value::Array(Vec::new()));
    for part in ["schemas", "adapters", "partners"] {
        assert!(value["checked"][part].as_u64().unwrap() > 0, "{value}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for folder in ["adapters/one", "adapters/two", "partners"] {
        std::fs::create_dir_all(path(folder)).unwrap();
    }
    std::fs::write(path("adapters/one/adapter.toml"), "[system]\nslug = 5\n").unwrap();
    std::fs::write(path("adapters/two/adapter.toml"), "not toml").unwrap();
    std::fs::write(path("partners/bad.toml"), "slug = \"other\"\n").unwrap();
    let file = path("hub.toml");
    std::fs::write(&file, format!("[paths]\nadapters = {:?}\npartners = {:?}\n", path("adapters"), path("partners"))).unwrap();
    let output = civilhub(&["check", "-o", "json", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = value["faults"].as_array().unwrap();
    for part in ["one", "two", "bad.toml"] {
        assert!(faults.iter().any(|fault| fault["file"].as_str().is_some_and(|file| file.contains(part))), "{part}: {faults:?}");
    }
    for fault in faults {
        assert!(fault["code"].as_str().unwrap().starts_with("CH-") && fault["message"].is_string(), "{fault}");
    }
    // As text on standard error, one line each.
    let text = civilhub(&["check", "--config", file.to_str().unwrap()]);
    assert!(text.stdout.is_empty() && err(&text).lines().filter(|line| line.starts_with("error CH-")).count() == faults.len());
}

#[test]
fn commands_that_read_make_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("none");
    for arguments in [&["books"][..], &["dead", "list"], &["ledger", "verify"], &["trace", "x"], &["dead", "stop"]] {
        let output = civilhub(&[arguments, &["--data", data.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).contains("CH-1003"), "{arguments:?}: {}", err(&output));
        assert!(!data.exists(), "{arguments:?}");
    }
    // A store without its keys: the keys are not made anew beside it.
    std::fs::create_dir_all(&data).unwrap();
    assert_eq!(civilhub(&["migrate", "--data", data.to_str().unwrap()]).status.code(), Some(0));
    for arguments in [&["dead", "list"][..], &["ledger", "verify"]] {
        let output = civilhub(&[arguments, &["--data", data.to_str().unwrap()]].concat());
        assert!(err(&output).contains("CH-1002"), "{arguments:?}: {}", err(&output));
    }
    assert!(!data.join("keys.toml").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn books_balance_and_have_their_shape() {
    let data = demo().await;
    let value = json(&["books", "-o", "json", "--data", data]);
    let rows = value["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} in {row}"));
        let parts: i64 = ["delivered", "rejected", "parked", "superseded", "duplicate", "in_flight"].map(number).iter().sum();
        assert_eq!((number("received"), number("gap")), (parts, 0), "{row}");
        assert!(row["date"].as_str().unwrap().len() == 10 && row["system"].is_string());
    }
    let none = json(&["books", "-o", "json", "--date", "2001-01-01", "--data", data]);
    assert_eq!(none["rows"], Value::Array(Vec::new()));
    let table = out(&civilhub(&["books", "--data", data]));
    for heading in ["received", "in flight", "gap", "total"] {
        assert!(table.contains(heading), "{table}");
    }
    let wrong = civilhub(&["books", "--date", "yesterday", "--data", data]);
    assert_eq!(wrong.status.code(), Some(2), "{}", err(&wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_show_faults_and_no_personal_data() {
    let data = demo().await;
    let letters = json(&["dead", "list", "-o", "json", "--limit", "5", "--data", data]);
    let letters = letters.as_array().unwrap();
    assert!(!letters.is_empty() && letters.len() <= 5);
    for letter in letters {
        for field in ["id", "state", "stage", "subscription", "event_id", "system", "date", "dataset", "code"] {
            assert!(letter[field].is_string(), "{field} in {letter}");
        }
        assert!(!letter["faults"].as_array().unwrap().is_empty());
        assert!(letter.get("body").is_none());
    }
    // A file that was refused whole has no body.
    let shown: Vec<Value> = letters
        .iter()
        .map(|letter| json(&["dead", "show", letter["id"].as_str().unwrap(), "-o", "json", "--data", data]))
        .collect();
    assert!(shown.iter().zip(letters).all(|(shown, letter)| shown["letter"]["id"] == letter["id"]));
    assert!(shown.iter().any(|shown| shown["body"].to_string().contains("***")), "{shown:?}");
    let missing = civilhub(&["dead", "show", "no-such-id", "--data", data]);
    assert!(missing.status.code() == Some(1) && err(&missing).contains("CH-1004"));
    let state = civilhub(&["dead", "list", "--state", "parkd", "--data", data]);
    assert_eq!(state.status.code(), Some(2));
    assert!(err(&state).contains("parked"), "{}", err(&state));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_needs_the_number_it_is_about() {
    let data = demo().await;
    let discard = |count: &[&str]| {
        let arguments =
            ["dead", "discard", "--state", "rejected", "--system", "no-such-system", "--reason", "test", "--data", data];
        civilhub(&[&arguments, count].concat())
    };
    let asked = discard(&[]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(err(&asked).contains("CH-1005") && err(&asked).contains("--count 0"), "{}", err(&asked));
    assert_eq!(discard(&["--count", "3"]).status.code(), Some(1));
    assert_eq!(discard(&["--count", "0"]).status.code(), Some(0));
    assert_eq!(civilhub(&["dead", "stop", "--data", data]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_verifies_and_its_export_leads_to_a_trace() {
    let data = demo().await;
    let report = json(&["ledger", "verify", "-o", "json", "--data", data]);
    assert!(report["chains"].as_u64().unwrap() > 1 && report["rows"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["faults"], Value::Array(Vec::new()));
    let export = civilhub(&["ledger", "export", "--data", data]);
    assert_eq!(export.status.code(), Some(0));
    let lines: Vec<Value> = out(&export).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, report["rows"].as_u64().unwrap(), "every row, once");
    assert!(lines.is_sorted_by_key(|line| (line["chain"].as_str().unwrap().to_owned(), line["seq"].as_i64().unwrap())));
    let delivered = lines.iter().find(|line| line["kind"] == "delivered").unwrap();
    for id in [&delivered["event_id"], &delivered["body"]["delivery"]] {
        let steps = json(&["trace", id.as_str().unwrap(), "-o", "json", "--data", data]);
        let steps = steps.as_array().unwrap();
        assert!(
            steps.iter().any(|step| step["what"] == "received") && steps.iter().any(|step| step["what"] == "delivered"),
            "{steps:?}"
        );
        assert!(steps.is_sorted_by_key(|step| step["at"].as_i64().unwrap()));
    }
    let missing = civilhub(&["trace", "no-such-id", "--data", data]);
    assert!(missing.status.code() == Some(1) && err(&missing).contains("CH-1004"));
    let day = civilhub(&["ledger", "export", "--date", "2001-01-01", "--data", data]);
    assert!(day.status.success() && day.stdout.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_panic() {
    let data = demo().await;
    let binary = env!("CARGO_BIN_EXE_civilhub");
    let output = Command::new("sh")
        .args(["-c", &format!("'{binary}' ledger export --data '{data}' | head -n 1")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert_eq!((out(&output).lines().count(), err(&output).as_str()), (1, ""));
}

#[test]
fn adapters_list_run_and_test() {
    let list = json(&["adapter", "list", "-o", "json"]);
    let list = list.as_array().unwrap();
    assert!(
        list.iter()
            .any(|adapter| adapter["system"] == "fund-payment" && adapter["kind"] == "file" && adapter["objects"].is_object()),
        "{list:?}"
    );
    let test = json(&["adapter", "test", "fund-payment", "-o", "json"]);
    assert_eq!((&test["adapters"], &test["failed"]), (&Value::from(1), &Value::from(0)));
    assert!(test["cases"].as_u64().unwrap() > 0 && test["rows"].as_array().unwrap().iter().all(|row| row["passed"] == true));
    let nearest = civilhub(&["adapter", "test", "fund-paymet"]);
    assert_eq!(nearest.status.code(), Some(1));
    assert!(err(&nearest).contains("did you mean `fund-payment`?"), "{}", err(&nearest));
    let sample = sample("fund-payment", "pay.");
    let run = civilhub(&["adapter", "run", "fund-payment", "--input", sample.to_str().unwrap()]);
    for line in out(&run).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&event["specversion"], &event["source"]), (&Value::from("1.0"), &Value::from("/systems/fund-payment")));
    }
    for line in err(&run).lines() {
        let fault: Value = serde_json::from_str(line).unwrap();
        assert!(fault["code"].as_str().unwrap().starts_with("CH-"), "{fault}");
    }
    assert_eq!(run.status.code(), Some(i32::from(!run.stderr.is_empty())));
    assert!(!run.stdout.is_empty());
    let missing = civilhub(&["adapter", "run", "fund-payment", "--input", "/no/such/PAY1.txt"]);
    assert!(missing.status.code() == Some(1) && err(&missing).contains("CH-3041"), "{}", err(&missing));
    let unfit = civilhub(&["adapter", "run", "fund-payment", "--input", "/no/such/file.xyz"]);
    assert!(unfit.status.code() == Some(1) && err(&unfit).contains("CH-1011"), "{}", err(&unfit));
}

/// A golden sample of an adapter whose name begins so.
fn sample(system: &str, begin: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(system).join("samples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let fits = |path: &&PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(begin) && !name.contains(".expected.")
    };
    files.iter().find(fits).cloned().unwrap_or_else(|| panic!("no sample {begin}* in {}", folder.display()))
}

#[test]
fn schemas_list_validate_and_compare() {
    let list = json(&["schema", "list", "-o", "json"]);
    let person = list.as_array().unwrap().iter().find(|schema| schema["schema"] == "person/v1").unwrap();
    assert!(person["fields"].as_u64().unwrap() > 5 && person["persons"].as_u64().unwrap() >= 1 && person["title"].is_string());
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("records.ndjson");
    std::fs::write(&records, "{}\n\n{\"a\":1,\"a\":2}\n").unwrap();
    let output = civilhub(&["schema", "validate", "person/v1", records.to_str().unwrap()]);
    assert_eq!((output.status.code(), out(&output).trim()), (Some(1), "0 good, 2 bad"));
    let rows: Vec<Value> = err(&output).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].clone()).collect();
    assert!(rows.contains(&Value::from(1)) && rows.contains(&Value::from(3)), "{rows:?}");
    assert_eq!(civilhub(&["schema", "validate", "persn/v1", records.to_str().unwrap()]).status.code(), Some(1));
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/person/v1.json");
    let mut changed: Value = serde_json::from_str(&std::fs::read_to_string(&old).unwrap()).unwrap();
    let same = civilhub(&["schema", "diff", old.to_str().unwrap(), old.to_str().unwrap(), "-o", "json"]);
    assert_eq!(same.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&same.stdout).unwrap()["changes"], Value::Array(Vec::new()));
    changed["properties"].as_object_mut().unwrap().remove("name");
    let new = dir.path().join("v2.json");
    std::fs::write(&new, changed.to_string()).unwrap();
    let output = civilhub(&["schema", "diff", old.to_str().unwrap(), new.to_str().unwrap(), "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("CH-1010"));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(value["changes"].as_array().unwrap().iter().any(|change| change["compatible"] == false));
    assert!(value["adapters"].is_array() && value["partners"].is_array() && value["dataset"] == "person", "{value}");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = civilhub(&["completions", shell]);
        assert!(output.status.success() && out(&output).contains("civilhub"), "{shell}");
    }
    assert_eq!(civilhub(&["completions", "cmd.exe"]).status.code(), Some(2));
}

#[test]
fn a_store_that_is_away_is_told_with_its_code() {
    let started = std::time::Instant::now();
    let output = civilhub_with(&["migrate"], &[("CIVILHUB__STORE__URL", "postgres://hub:secret@127.0.0.1:1/hub")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("CH-8001") && !err(&output).contains("secret"), "{}", err(&output));
    assert!(started.elapsed().as_secs() < 45);
}
