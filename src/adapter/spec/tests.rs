use tempfile::TempDir;

use super::*;
use crate::adapter::map::PROGRAM_INVALID;

const TOML: &str = r#"[system]
slug = "funeral"
name = "殡葬管理信息系统"
owner = "social-affairs"

[source]
kind = "file"
folder = "${DROP}/funeral"

[schedule]
every = "90s"

[[object]]
name = "HH"
files = "HH??????.DBF"
format = "dbf"
key = ["HHH"]
datasets = ["funeral-record"]
limit = 5

[codes.SEX]
"男" = "1"
"女" = 2

[ignore]
NL = "derived from the birth date"
"#;
const PROGRAM: &str = ". = [{\"dataset\": \"funeral-record\", \"x\": code!(\"SEX\", .XB)}]\n";

fn folder(name: &str, toml: &str, programs: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(name);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("adapter.toml"), toml).unwrap();
    for (file, text) in programs {
        fs::write(dir.join(file), text).unwrap();
    }
    (root, dir)
}

#[test]
fn a_good_folder() {
    let (_root, dir) = folder("funeral", TOML, &[("hh.vrl", PROGRAM)]);
    let spec = AdapterSpec::load(&dir).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!((spec.slug.as_str(), spec.kind, spec.every), ("funeral", SourceKind::File, Duration::from_secs(90)));
    assert_eq!(spec.source["folder"].as_str(), Some("${DROP}/funeral"));
    let object = spec.object("HH").unwrap();
    assert_eq!((object.key.as_slice(), object.datasets[0].as_str()), (["HHH".to_owned()].as_slice(), "funeral-record"));
    assert_eq!(object.options.keys().collect::<Vec<_>>(), ["files", "format", "limit"]);
    assert_eq!(object.options["limit"].as_integer(), Some(5));
    assert!(spec.mapper("HH").is_some() && spec.mapper("XX").is_none());
    assert_eq!(spec.codes["SEX"].find("女").unwrap().code, "2");
    assert_eq!(spec.ignore["NL"], "derived from the birth date");
}

#[test]
fn every_fault_with_its_line() {
    let toml = TOML
        .replace("slug = \"funeral\"", "slug = \"funerals\"")
        .replace("owner =", "ownr =")
        .replace("kind = \"file\"", "kind = \"fil\"")
        .replace("every = \"90s\"", "every = \"often\"")
        .replace("key = [\"HHH\"]", "key = \"HHH\"")
        .replace("[ignore]", "[ignored]");
    let (_root, dir) = folder("funeral", &toml, &[("hh.vrl", "x = residnt_id!(.x)\n")]);
    let faults = AdapterSpec::load(&dir).unwrap_err();
    let found: Vec<(Code, Option<u64>)> = faults.iter().map(|fault| (fault.code, fault.place.row)).collect();
    let expected = [
        (SPEC_UNKNOWN_KEY, Some(25)),
        (SPEC_UNKNOWN_KEY, Some(4)),
        (SPEC_VALUE, Some(2)),
        (SPEC_VALUE, Some(2)),
        (SPEC_VALUE, Some(7)),
        (SPEC_VALUE, Some(11)),
        (SPEC_VALUE, Some(17)),
        (PROGRAM_INVALID, Some(1)),
    ];
    assert_eq!(found, expected, "{faults:#?}");
    assert_eq!(faults[0].expected.as_deref(), Some("`ignore`"));
    assert_eq!(faults[1].expected.as_deref(), Some("`owner`"));
    assert_eq!(faults[4].expected.as_deref(), Some("`file`"));
    assert!(
        faults[0].place.file.as_deref().unwrap().ends_with("adapter.toml")
            && faults[7].place.file.as_deref().unwrap().ends_with("hh.vrl")
    );
}

#[test]
fn syntax_missing_programs_and_odd_values() {
    let cases = [
        ("[system\nslug = 1", SPEC_SYNTAX),
        ("", SPEC_VALUE),
        ("system = 1", SPEC_VALUE),
        (&TOML.replace("name = \"HH\"", "name = \"XX\""), SPEC_PROGRAM_MISSING),
        (&TOML.replace("name = \"HH\"", "name = \"HH\"\nprogram = \"../hh.vrl\""), SPEC_VALUE),
        (&TOML.replace("[[object]]", "[[object]]\nname = \"hh\"\nkey = [\"a\"]\ndatasets = [\"a\"]\n[[object]]"), SPEC_VALUE),
    ];
    for (toml, code) in cases {
        let (_root, dir) = folder("funeral", toml, &[("hh.vrl", PROGRAM)]);
        let faults = AdapterSpec::load(&dir).unwrap_err();
        assert!(faults.iter().any(|fault| fault.code == code), "{toml}: {faults:?}");
    }
}

#[test]
fn all_folders_in_one_run() {
    let (root, _dir) = folder("funeral", TOML, &[("hh.vrl", PROGRAM)]);
    for name in ["tekun", "shelter"] {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("adapter.toml"), "[sistem]").unwrap();
    }
    fs::create_dir(root.path().join("not-an-adapter")).unwrap();
    let (specs, faults) = load_all(root.path());
    assert_eq!((specs.len(), faults.len()), (1, 4), "{faults:?}");
    let (_, faults) = load_all(&root.path().join("nowhere"));
    assert_eq!(faults[0].code, SPEC_UNREADABLE);
}

#[test]
fn intervals() {
    for (text, seconds) in [("1s", 1), ("15m", 900), ("2h", 7200), ("1d", 86_400)] {
        assert_eq!(duration(text), Some(Duration::from_secs(seconds)));
    }
    for text in ["", "s", "0s", "5", "5w", "-1s", "99999999999999999999d", "1分"] {
        assert_eq!(duration(text), None, "{text}");
    }
}
