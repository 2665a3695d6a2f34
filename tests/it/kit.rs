//! The adapter kit as a developer uses it: every adapter of the repository against it, and a new one from an empty folder.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::support::program;

mod play;
mod walk;

fn json(arguments: &[&str]) -> Value {
    let done = program::expect(0, arguments);
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

#[test]
fn every_adapter_is_covered_clean_and_proven() {
    let coverage = json(&["adapter", "coverage", "--all", "-o", "json"]);
    for row in coverage["rows"].as_array().unwrap() {
        assert!(row["percent"].as_u64().unwrap() >= 95, "{row}");
    }
    let lint = json(&["adapter", "lint", "--all", "-o", "json"]);
    assert_eq!(lint["findings"], 0, "{lint:#}");
    let test = json(&["adapter", "test", "--all", "-o", "json"]);
    assert_eq!(test["failed"], 0);
    let checks = test["checks"].as_array().unwrap();
    for check in ["schema", "idempotence", "order", "bad-rows", "cases"] {
        assert!(checks.iter().any(|row| row["check"] == check && row["passed"] == true), "{check}");
    }
}

#[test]
fn docs_have_the_lineage_of_every_adapter() {
    let dir = tempfile::tempdir().unwrap();
    program::expect(0, &["adapter", "docs", "--out", dir.path().to_str().unwrap()]);
    let page = fs::read_to_string(dir.path().join("urban-dibao.md")).unwrap();
    assert!(page.contains("| `MEMBERS[].ID_CARD` | `household/members/*/id_number` |") && page.contains("3 sensitive"), "{page}");
    let catalogue = fs::read_to_string(dir.path().join("README.md")).unwrap();
    for word in ["`person/v1`", "[`funeral`](funeral.md)", "`bank-jlbank`"] {
        assert!(catalogue.contains(word), "{word}");
    }
}

/// A folder with the hub's schemas and configuration, and one adapter of its own.
fn room(adapter: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["schemas", "config"] {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &dir.path().join(folder));
    }
    fs::create_dir(dir.path().join("adapters")).unwrap();
    for (name, text) in adapter {
        let path = dir.path().join("adapters/shelter").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Runs the program in a folder: exit code, and everything it said.
fn run_in(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program::PROGRAM).args(arguments).current_dir(dir).env("NO_COLOR", "1").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), said)
}

const TOML: &str = r#"[system]
slug = "shelter"
name = "名"
owner = "o"
[source]
kind = "file"
[[object]]
name = "RZ"
files = "RZ*.csv"
format = "csv"
encodng = "UTF-8"
key = ["BH"]
datasets = ["persn", "person"]
[codes.zt]
a = "b"
[ignore]
XM = "reason"
"#;
const PROGRAM: &str = r#"number = resident_id!(.SFZH)
name = nfkc(.XM)
. = [{ "dataset": "person", "op": "upsert", "key": to_string!(.BHH), "division": "220171000000", "occurred_at": %read_at,
  "record": { "id_type": "01", "id_nmber": number, "name": name, "sex": resident_id_sex!(number), "person_key": "x" } }]
"#;
const SAMPLE: &str = "BH,XM,SFZH\nR1,张三,220171197001010053\n";

#[test]
fn lint_names_the_place_and_the_nearest_name() {
    let dir = room(&[("adapter.toml", TOML), ("rz.vrl", PROGRAM), ("samples/rz.a.csv", SAMPLE)]);
    let (code, said) = run_in(dir.path(), &["adapter", "lint", "shelter"]);
    assert_eq!(code, Some(1), "{said}");
    for word in [
        "CH-2003",
        "did you mean `encoding`?",
        "did you mean `person`?",
        "no program uses the code table `zt`",
        "`XM` is ignored, and the program of `RZ` reads `XM`",
        "`person/v1` has no field `/id_nmber`",
        "did you mean `id_number`?",
        "`person_key` of `person/v1` is filled by the router",
        "the program never writes `birth_date`",
        "README.md",
        "CH-3557",
    ] {
        assert!(said.contains(word), "{word}\n{said}");
    }
    // Whether a field is known can be told once the sample can be read.
    fs::write(dir.path().join("adapters/shelter/adapter.toml"), TOML.replace("encodng", "encoding")).unwrap();
    let (_, readable) = run_in(dir.path(), &["adapter", "lint", "shelter"]);
    assert!(readable.contains("the program reads `.BHH`") && readable.contains("did you mean `BH`?"), "{readable}");
    let (code, said) = run_in(dir.path(), &["adapter", "lint", "shelter", "-o", "json"]);
    let faults: Value = serde_json::from_str(&said).unwrap();
    let unknown = faults["faults"].as_array().unwrap().iter().find(|fault| fault["code"] == "CH-3550").unwrap();
    assert_eq!((code, &unknown["row"], &unknown["column"]), (Some(1), &Value::from(4), &Value::from("32")));
}

#[test]
fn a_careless_mapping_does_not_pass() {
    let toml = TOML.replace("encodng", "encoding").replace("\"persn\", ", "");
    let careless = r#". = [{ "dataset": "person", "op": "upsert", "key": string(.BH) ?? "none", "division": "220171000000", "occurred_at": cn_time!(%today),
  "record": { "person_ref": "s:" + to_string!(%row), "id_type": "99", "id_number": string(.SFZH) ?? "00000", "name": nfkc(.XM), "sex": "1", "birth_date": "1970-01-01" } }]
"#;
    let sample = format!("{SAMPLE}R2,李四,220171198502020022\n");
    let dir = room(&[("adapter.toml", &toml), ("rz.vrl", careless), ("samples/rz.a.csv", &sample)]);
    let (code, said) = run_in(dir.path(), &["adapter", "test", "shelter", "--accept"]);
    assert_eq!(code, Some(1));
    for word in ["an identity number with a wrong check digit in `SFZH`", "a missing key in `BH`", "the rows in another order"] {
        assert!(said.contains(word), "{word}\n{said}");
    }
}

#[test]
fn nothing_of_a_real_file_lands_in_a_new_adapter() {
    let dir = room(&[]);
    let real = "BH,XM,SFZH,LXDH,ZZ,RZSJ\nRZ9001,司马相如,220171196512230010,13843119876,吉林省某市某路7号,2016-01-09 08:05:00\nRZ9002,诸葛孔明,220171195803120116,13843119877,吉林省某市某路9号,2016-02-10 09:05:00\n";
    fs::write(dir.path().join("rz.csv"), real).unwrap();
    let (code, said) = run_in(dir.path(), &["adapter", "new", "shelter", "--from", "rz.csv", "--dataset", "person"]);
    assert_eq!(code, Some(0), "{said}");
    let mut texts = said;
    for entry in walkdir(&dir.path().join("adapters")) {
        texts.push_str(&String::from_utf8_lossy(&fs::read(entry).unwrap()));
    }
    for value in real.lines().skip(1).flat_map(|line| line.split(',')) {
        assert!(!texts.contains(value), "{value} was kept");
    }
    assert_eq!(run_in(dir.path(), &["adapter", "new", "shelter", "--from", "rz.csv"]).0, Some(1));
    let (code, said) = run_in(dir.path(), &["adapter", "infer", "shelter", "--input", "rz.csv"]);
    assert_eq!(code, Some(0), "{said}");
    fs::write(dir.path().join("rz.csv"), real.replace(",LXDH,", ",SJHM,").replace(',', "\t")).unwrap();
    let (code, said) = run_in(dir.path(), &["adapter", "infer", "shelter", "--input", "rz.csv"]);
    assert_eq!(code, Some(1));
    for line in ["- delimiter: ,", "- column LXDH: is there", "+ column SJHM: mobile numbers"] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

fn walkdir(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walkdir(&path)) } else { found.push(path) }
    }
    found
}
