use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::error::{Code, Fault};

fn codes() -> Arc<dyn CodeSource> {
    Arc::new(|list: &str, code: &str| match list {
        "sex" => Some(["1", "2", "9"].contains(&code)),
        _ => None,
    })
}

/// The problems' codes and files of a folder with the given files.
fn load(files: &[(&str, Value)]) -> Result<SchemaRegistry, Vec<Fault>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, schema) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, schema.as_str().map_or_else(|| schema.to_string(), str::to_owned)).unwrap();
    }
    SchemaRegistry::load(dir.path(), codes())
}

#[track_caller]
fn check_refused(files: &[(&str, Value)], expected: &[Code]) {
    let faults = load(files).err().unwrap_or_default();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), expected, "{faults:#?}");
}

fn leaf() -> Value {
    json!({"type": "string", "x-sensitivity": 1})
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn sample() -> SchemaRegistry {
    let person = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "户",
        "type": "object", "additionalProperties": false, "required": ["household_no", "members"],
        "properties": {
            "household_no": {"type": "string", "minLength": 3, "pattern": "^[A-Z]", "x-sensitivity": 1, "x-name": "户号"},
            "paid": {"$ref": "../common/types.json#/$defs/money", "x-name": "金额"},
            "level": {"type": "integer", "minimum": 1, "maximum": 5, "x-sensitivity": 0},
            "agent": {"anyOf": [{"type": "null"}, {"$ref": "../common/types.json#/$defs/place"}], "x-sensitivity": 0},
            "members": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/member"}}
        },
        "$defs": {"member": {
            "type": "object", "additionalProperties": false, "required": ["name"],
            "x-person": {"name": "name", "number": "id_number", "key": "person_key"},
            "properties": {
                "name": {"type": "string", "x-sensitivity": 2, "x-name": "姓名"},
                "id_number": {"type": "string", "format": "resident-id", "x-sensitivity": 3},
                "sex": {"type": "string", "x-codes": "sex", "x-sensitivity": 2},
                "person_key": {"type": "string", "x-sensitivity": 1, "x-filled-by": "router"}
            }
        }}
    });
    let types = json!({"$defs": {
        "money": {"type": "string", "format": "money", "x-sensitivity": 1},
        "place": object(json!({"division": {"type": "string", "format": "division", "x-sensitivity": 0}}))
    }});
    load(&[("household/v1.json", person), ("common/types.json", types)]).unwrap()
}

#[test]
fn describes_fields_and_persons() {
    let registry = sample();
    let schema = registry.get("household/v1").unwrap();
    let field = |pointer: &str| schema.fields.iter().find(|field| field.pointer == pointer).unwrap();
    assert_eq!(schema.title, "户");
    assert_eq!((&field("/paid").kind, field("/paid").name_zh.as_str()), (&Kind::Money, "金额"));
    assert_eq!(field("/members").sensitivity, 3);
    assert!(!field("/members").leaf && field("/members").required);
    assert_eq!(field("/members/*/sex").kind, Kind::Code("sex".to_owned()));
    assert_eq!(field("/members/*/person_key").filled_by.as_deref(), Some("router"));
    assert_eq!(schema.persons.len(), 1);
    assert_eq!(schema.persons[0].object, "/members/*");
    assert_eq!(registry.latest(&"household".into()).unwrap().id(), "household/v1");
    assert_eq!(registry.require("household/v2").unwrap_err().code, registry::UNKNOWN_SCHEMA);
}

#[test]
fn reports_every_fault_with_its_place() {
    let registry = sample();
    let schema = registry.get("household/v1").unwrap();
    let good = json!({"household_no": "H01", "members": [{"name": "甲", "id_number": "220171197001010053", "sex": "1"}], "paid": "1.00"});
    assert_eq!(schema.validate(&good), []);
    let bad = json!({
        "household_no": "h", "paid": 480, "level": 9, "agent": {"division": "12"},
        "members": [{"id_number": "220171197001010054", "sex": "男"}]
    });
    let mut found: Vec<_> = schema.validate(&bad).into_iter().map(|fault| (fault.place.pointer.unwrap(), fault.code)).collect();
    found.sort();
    let expected = [
        ("/agent/division", "format"),
        ("/household_no", "minLength"),
        ("/household_no", "pattern"),
        ("/level", "maximum"),
        ("/members/0/id_number", "format"),
        ("/members/0/name", "required"),
        ("/members/0/sex", "x-codes"),
        ("/paid", "type"),
    ];
    let expected: Vec<_> = expected.iter().map(|(pointer, keyword)| (pointer.to_string(), code_of_keyword(keyword))).collect();
    assert_eq!(found, expected);
}

#[test]
fn texts_say_what_was_expected_in_both_languages() {
    let registry = sample();
    let schema = registry.get("household/v1").unwrap();
    let faults = schema.validate(&json!({"household_no": "H", "members": [{"name": "甲", "sex": "x"}]}));
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        texts.contains(&"CH-4104 /household_no: `household_no` (户号) is too short; expected at least 3 characters".to_owned()),
        "{texts:#?}"
    );
    assert!(
        texts.contains(&"CH-4107 /members/0/sex: `sex` is not in its code list; expected a code of the list `sex`".to_owned()),
        "{texts:#?}"
    );
}

#[test]
fn no_fault_quotes_the_record() {
    let registry = sample();
    let schema = registry.get("household/v1").unwrap();
    let secret = "220171197001010054";
    let record = json!({
        "household_no": secret, (secret): {"张三": 1}, "张三": secret, "paid": "张三", "level": secret, "name": "张三",
        "agent": {"division": "张三", (secret): 1}, "members": [{"name": {"张三": 1}, "id_number": secret, "sex": "张三", "张三": 2}, secret]
    });
    for faults in [schema.validate(&record), schema.validate_delivered(&record)] {
        assert!(faults.len() > 8, "{faults:#?}");
        let text = serde_json::to_string(&faults).unwrap();
        assert!(!text.contains(secret) && !text.contains("张三"), "{text}");
        // `name` is a field of the schema, though not of the record itself.
        assert!(text.contains("`name`, which does not belong there, and 2 unknown"), "{text}");
    }
}

#[test]
fn a_map_with_free_names_shows_none_of_them() {
    let schema = object(json!({"map": {"type": "object", "additionalProperties": {"type": "integer"}, "x-sensitivity": 2}}));
    let registry = load(&[("a/v1.json", schema)]).unwrap();
    let faults = registry.get("a/v1").unwrap().validate(&json!({"map": {"220171197001010053": "x", "张三": "x"}}));
    assert!(faults.iter().all(|fault| fault.place.pointer.as_deref() == Some("/map/*")), "{faults:#?}");
}

#[test]
fn thousands_of_faults_are_counted_not_listed() {
    let registry = sample();
    let members: Vec<Value> = (0..5_000).map(|_| json!({"name": 1})).collect();
    let faults = registry.get("household/v1").unwrap().validate(&json!({"household_no": "H01", "members": members}));
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100].message, "the record has at least 4900 more faults");
}

#[test]
fn delivered_records_need_the_key_of_everybody_named() {
    let registry = sample();
    let schema = registry.get("household/v1").unwrap();
    let mut record = json!({"household_no": "H01", "members": [{"name": "甲"}, {"name": "", "person_key": "k"}]});
    assert_eq!(schema.validate(&record), []);
    let faults = schema.validate_delivered(&record);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(faults[0].place.pointer.as_deref(), Some("/members/0/person_key"));
    schema.persons[0].set_key(&mut record, "/members/0", &"k1".into());
    assert_eq!(schema.validate_delivered(&record), []);
}

#[test]
fn folders_that_start_with_a_dot_are_not_schemas() {
    let schema = object(json!({"a": leaf()}));
    let registry =
        load(&[("a/v1.json", schema.clone()), ("..2026_11_24/a/v1.json", schema), (".cache/x.json", json!("{"))]).unwrap();
    assert_eq!(registry.iter().count(), 1);
}

#[test]
fn no_reference_leaves_the_folder() {
    for reference in [
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "/etc/passwd",
        "../../outside.json",
        "gone.json",
        "#/$defs/gone",
        "#anchor",
    ] {
        let schema = object(json!({"a": {"$ref": reference, "x-sensitivity": 0}}));
        check_refused(&[("a/v1.json", schema)], &[inline::BAD_REFERENCE]);
    }
    let around = json!({"type": "object", "properties": {"a": {"$ref": "#/properties/a", "x-sensitivity": 0}}});
    check_refused(&[("a/v1.json", around)], &[inline::BAD_REFERENCE]);
    check_refused(&[("common/t.json", json!({"$ref": "http://x/"}))], &[inline::BAD_REFERENCE]);
}

#[test]
fn own_keywords_are_checked() {
    check_refused(&[("a/v1.json", object(json!({"a": {"type": "string"}})))], &[field::NO_SENSITIVITY]);
    check_refused(&[("a/v1.json", object(json!({"a": {"type": "string", "x-sensitivity": 4}})))], &[meta::BAD_SCHEMA]);
    check_refused(&[("a/v1.json", object(json!({"a": {"type": "string", "x-sensitivty": 1}})))], &[meta::BAD_SCHEMA]);
    let list = object(json!({"a": {"type": "string", "x-sensitivity": 1, "x-codes": "no_such_list"}}));
    check_refused(&[("a/v1.json", list)], &[field::NO_SUCH_LIST]);
    for (person, code) in [
        (json!({"name": "a", "key": "b"}), person::NO_SUCH_FIELD),
        (json!({"name": "a"}), meta::BAD_SCHEMA),
        (json!([{"nom": "a", "key": "a"}]), meta::BAD_SCHEMA),
        (json!([]), meta::BAD_SCHEMA),
    ] {
        let mut schema = object(json!({"a": leaf()}));
        schema["x-person"] = person;
        check_refused(&[("a/v1.json", schema)], &[code]);
    }
}

#[test]
fn broken_files_are_all_reported_at_once() {
    check_refused(
        &[
            ("a/v1.json", json!("{")),
            ("b/v1.json", object(json!({"a": {"type": "sting", "x-sensitivity": 1}}))),
            ("c/first.json", object(json!({"a": leaf()}))),
            ("d/v1.json", object(json!({"a": {"type": "string", "format": "resident_id", "x-sensitivity": 1}}))),
            ("e/v1.json", object(json!({"a": {"type": "string", "pattern": "(?=a)", "x-sensitivity": 1}}))),
        ],
        &[inline::NOT_JSON, meta::BAD_SCHEMA, registry::MISPLACED, meta::BAD_SCHEMA, meta::BAD_SCHEMA],
    );
    let missing = SchemaRegistry::load(Path::new("/no/such/folder"), codes()).unwrap_err();
    assert_eq!(missing[0].code, inline::UNREADABLE);
}

/// Walks `<dir>/<dataset>/examples/{valid,invalid}/*.json`; answers how many files it found. Faults of the keywords in
/// `excused` are listed in the files but not looked for.
fn walk_examples(dir: &Path, registry: &SchemaRegistry, excused: &[&str]) -> usize {
    let mut files = 0;
    for schema in registry.iter() {
        let examples = dir.join(schema.dataset.as_str()).join("examples");
        for path in json_files(&examples.join("valid")) {
            let faults = schema.validate(&read(&path));
            assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
            files += 1;
        }
        for path in json_files(&examples.join("invalid")) {
            check_invalid(&path, schema, excused);
            files += 1;
        }
    }
    files
}

/// The file lists exactly the faults that are found, by place and class of keyword.
fn check_invalid(path: &Path, schema: &DatasetSchema, excused: &[&str]) {
    let example = read(path);
    let found = schema.validate(&example["record"]);
    let expected = example["faults"].as_array().unwrap();
    assert!(!expected.is_empty(), "{}: lists no fault", path.display());
    let matches = |fault: &Fault, expected: &Value| {
        let pointer = fault.place.pointer.as_deref().unwrap_or_default();
        let keyword = expected["keyword"].as_str().unwrap();
        // A missing field may be listed at its object, where JSON Schema reports it, or at its own place, as we do.
        let at_object =
            keyword == "required" && pointer.rsplit_once('/').map(|(parent, _)| parent) == expected["pointer"].as_str();
        fault.code == code_of_keyword(keyword) && (at_object || Some(pointer) == expected["pointer"].as_str())
    };
    let is_excused = |fault: &Value| excused.contains(&fault["keyword"].as_str().unwrap_or_default());
    for expected in expected.iter().filter(|fault| !is_excused(fault)) {
        assert!(found.iter().any(|fault| matches(fault, expected)), "{}: {expected} is not found in {found:#?}", path.display());
    }
    for fault in &found {
        assert!(expected.iter().any(|expected| matches(fault, expected)), "{}: {fault} is not listed", path.display());
    }
}

fn json_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn examples_of_the_fixture_are_as_they_say() {
    let dir = Path::new("tests/fixtures/schemas");
    let registry = SchemaRegistry::load(dir, codes()).unwrap();
    assert_eq!(walk_examples(dir, &registry, &[]), 3);
}

/// The shipped schemas; nothing to do in a tree without them. The lists themselves belong to the domain: here any code
/// is good, and `x-codes` is tested above.
#[test]
fn examples_of_the_shipped_schemas_are_as_they_say() {
    let dir = Path::new("schemas");
    if !dir.is_dir() {
        return;
    }
    let any_code: Arc<dyn CodeSource> = Arc::new(|_: &str, _: &str| Some(true));
    let registry = SchemaRegistry::load(dir, any_code).unwrap_or_else(|faults| panic!("{faults:#?}"));
    walk_examples(dir, &registry, &["x-codes"]);
}
