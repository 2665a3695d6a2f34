//! Mapping: the hub's functions with any value, the adapters' programs with any row, the compiler with any text.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use time::macros::datetime;

use super::{
    check,
    shelf::{choose, objects, split},
};
use crate::{
    adapter::{
        event::EventMaker,
        map::{MapContext, MapRuntime, Mapped, Mapper, PROGRAM_CRASHED, PROGRAM_RUNAWAY, functions, output},
        source::Row,
        spec::{AdapterSpec, ObjectSpec},
    },
    domain::keyed_hash::KeyedHash,
    error::Fault,
    json::{self, Limits},
    router,
};

/// Functions that cannot fail.
const SAFE: [&str; 4] = ["blank", "hmac", "mask", "nfkc"];
/// Functions whose result is a good value of the same kind.
const FIXED: [&str; 15] = [
    "resident_id",
    "resident_id_upgrade",
    "uscc",
    "organisation_code",
    "cnaps",
    "bank_card",
    "disability_no",
    "mobile",
    "cn_date",
    "cn_time",
    "yyyymm",
    "yuan",
    "nfkc",
    "division",
    "division_anywhere",
];
/// Lists that `code` is tried with: a national one, one of the hub, and those of the adapters are in their programs.
const LISTS: [&str; 2] = ["sex", "ethnicity"];

/// By name: the call of `.v`.
static CALLS: LazyLock<Vec<(String, Mapper)>> = LazyLock::new(|| {
    let mut calls: BTreeMap<String, String> = BTreeMap::new();
    for (name, _) in functions::catalogue().into_iter().filter(|(name, _)| !["code", "township"].contains(name)) {
        calls.insert(name.to_owned(), format!("{name}(v)"));
    }
    calls.insert("division_anywhere".to_owned(), "division(v, foreign: true)".to_owned());
    calls.insert("township".to_owned(), "township(.county, v)".to_owned());
    calls.insert("township_of".to_owned(), "township(v, .county)".to_owned());
    calls.extend(LISTS.into_iter().map(|list| (format!("code_{list}"), format!("code(\"{list}\", v)"))));
    let compiled = calls.into_iter().filter_map(|(name, call)| {
        let result = if SAFE.contains(&name.as_str()) { format!("[{call}, null]") } else { format!("r, e = {call}\n[r, e]") };
        // Bytes that are no text reach a function only from another one.
        let program = format!("v = if exists(.bytes) {{ decode_base64(.bytes) ?? null }} else {{ .v }}\n{result}");
        Mapper::compile(&program, &name, &MapContext::default()).ok().map(|mapper| (name, mapper))
    });
    compiled.collect()
});

static PROGRAMS: LazyLock<Vec<(String, &'static AdapterSpec, &'static ObjectSpec)>> = LazyLock::new(|| objects().collect());

fn runtime() -> MapRuntime {
    MapRuntime::new(&KeyedHash::new(b"fuzz"), datetime!(2017-07-03 09:00 +8))
}

/// The first line names a function, the rest is its value: JSON, a text, and the bytes themselves.
pub fn functions(bytes: &[u8]) {
    let (label, rest) = split(bytes);
    let Some((name, mapper)) = choose(&CALLS, bytes, label, |(name, _)| name) else { return };
    let text = String::from_utf8_lossy(rest).into_owned();
    let inputs = [
        json::strict(rest, &Limits::default()).ok().map(|value| json!({ "v": value, "county": "220105" })),
        Some(json!({ "v": text, "county": text })),
        Some(json!({ "bytes": STANDARD.encode(rest) })),
    ];
    for input in inputs.into_iter().flatten() {
        let Some(result) = call(mapper, &input) else { continue };
        let (value, error) = (&result[0], &result[1]);
        if let Some(error) = error.as_str() {
            quotes_nothing(error, &input);
        } else if FIXED.contains(&name.as_str()) && value != "" {
            assert_eq!(call(mapper, &json!({ "v": value, "county": "" })), Some(json!([value, null])), "`{name}` of its result");
        }
    }
}

fn call(mapper: &Mapper, input: &Value) -> Option<Value> {
    let result = mapper.value_of(&mut runtime(), input);
    check::same(&result, &mapper.value_of(&mut runtime(), input));
    result.map_err(|fault| sound(&fault)).ok()
}

fn sound(fault: &Fault) {
    check::fault(fault);
    assert!(![PROGRAM_CRASHED, PROGRAM_RUNAWAY].contains(&fault.code), "{fault}");
}

/// No error of a function repeats digits of its value.
fn quotes_nothing(error: &str, input: &Value) {
    let texts = [&input["v"], &input["county"]].map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    for text in texts {
        // Short runs of digits stand in the examples of the messages.
        let digits = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() > 6 && error.contains(*run));
        assert!(digits.is_none_or(|digits| "20170703090000".contains(digits)), "an error repeats its value");
    }
}

/// The first line names an object, the rest is a row; facts beside the row are under `%`.
pub fn programs(bytes: &[u8]) {
    let (label, rest) = split(bytes);
    let Some((_, spec, object)) = choose(&PROGRAMS, bytes, label, |(name, ..)| name) else { return };
    let Ok(Value::Object(mut data)) = json::strict(rest, &Limits::default()) else { return };
    let meta = data.remove("%").unwrap_or_else(|| Value::Object(Map::new()));
    let row = Row {
        object: object.name.clone(),
        origin: "fuzz#1".to_owned(),
        file: "fuzz".to_owned(),
        number: 1,
        data: Value::Object(data),
        meta,
    };
    let mapped = object.mapper.run(&mut runtime(), &row);
    check::same(&mapped, &object.mapper.run(&mut runtime(), &row));
    match mapped {
        Err(refused) => {
            check::faults(&refused);
            refused.iter().for_each(sound);
        }
        Ok(outputs) => {
            let maker = EventMaker::new(spec.slug.clone(), KeyedHash::new(b"fuzz"));
            let context = MapContext { datasets: object.datasets.clone(), ..MapContext::default() };
            outputs.into_iter().for_each(|output| survives(output, &row, &maker, &context));
        }
    }
}

/// An output is the same when written and read, and so is its event.
fn survives(output: Mapped, row: &Row, maker: &EventMaker, context: &MapContext) {
    let again = output::from_json(output.to_json(), output.index, context);
    assert_eq!(again.as_ref(), Ok(&output), "an output is another when written and read");
    let event = maker.make(output, row, "2017-07-03");
    match router::check::parse(&event.to_bytes()) {
        Ok(read) => assert_eq!(read, event, "an event is another when written and read"),
        // What a program hands on may be more than a message holds.
        Err(refused) => check::faults(&refused),
    }
}

/// The text of a program: good, or faults with their places; never the end of the process.
pub fn compile(bytes: &[u8]) {
    let (_, rest) = split(bytes);
    let text = String::from_utf8_lossy(rest);
    match Mapper::compile(&text, "fuzz.vrl", &MapContext::default()) {
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a fault");
            assert!(faults.iter().all(|fault| !fault.message.contains("crashed")), "the compiler crashed");
        }
        Ok(mapper) => {
            let input = json!({ "a": [1, "x", null], "b": { "c": "220171" } });
            if let Err(fault) = mapper.value_of(&mut runtime(), &input) {
                assert!(fault.code != PROGRAM_CRASHED, "{fault}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_programs_is_tried() {
        let tried: Vec<&str> = CALLS.iter().map(|(name, _)| name.as_str()).collect();
        for (name, _) in functions::catalogue() {
            assert!(tried.iter().any(|tried| tried.starts_with(name)), "{name} is not among {tried:?}");
        }
        assert!(tried.contains(&"division_anywhere") && tried.contains(&"township_of") && tried.contains(&"code_ethnicity"));
    }

    #[test]
    fn values_reach_the_functions() {
        let of = |name: &str, input: Value| {
            let (_, mapper) = CALLS.iter().find(|(known, _)| known == name).unwrap();
            call(mapper, &input).unwrap()
        };
        assert_eq!(of("cn_date", json!({ "v": "2017年7月3日" })), json!(["2017-07-03", null]));
        assert_eq!(of("yuan", json!({ "bytes": STANDARD.encode("1,480.5") })), json!(["1480.50", null]));
        assert_eq!(of("mobile", json!({ "bytes": STANDARD.encode(b"\xff\xfe") }))[0], "");
        assert_eq!(of("nfkc", json!({ "v": "Ａ" })), json!(["A", null]));
    }
}
