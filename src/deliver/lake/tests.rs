//! Columns and rows; what needs a store and a table is in `tests/it/lake.rs`.

use std::{collections::BTreeMap, sync::Arc};

use deltalake_core::arrow::{
    array::{Array as _, AsArray, RecordBatch},
    datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType},
};
use serde_json::{Value, json};

use super::{LakeSchema, MISFIT, SCHEMA, columns::*, file, rows::Rows};
use crate::{
    deliver::Delivery,
    envelope::{DeliveryId, Event},
};

fn event(record: Value) -> Event {
    serde_json::from_value(json!({
        "specversion": "1.0", "id": "e1", "source": "/systems/funeral", "type": "sample.upsert", "subject": "k1",
        "time": "2017-07-03T09:00:00+08:00", "dataschema": "sample/v1", "datacontenttype": "application/json",
        "division": "220171000000", "sequence": 7, "partitionkey": "p", "contenthash": "h", "occurrence": "o",
        "bookdate": "2017-07-03", "data": { "record": record },
    }))
    .unwrap()
}

fn columns(properties: Value) -> Columns {
    Columns::of(&LakeSchema::new("sample", json!({ "type": "object", "properties": properties }))).unwrap()
}

fn all_kinds() -> Columns {
    columns(json!({
        "name": { "type": "string" }, "count": { "type": "integer" },
        "amount": { "type": "string", "pattern": r"^-?\d{1,10}\.\d{2}$" },
        "born": { "type": "string", "format": "date" }, "seen": { "type": ["string", "null"], "format": "date-time" },
        "alive": { "type": "boolean" }, "members": { "type": "array" }, "ratio": { "type": "number" },
    }))
}

fn one_row(columns: &Columns, record: Value) -> RecordBatch {
    let mut rows = Rows::new(columns, 1);
    rows.push(&Delivery { id: DeliveryId::from("d1"), event: event(record) }).unwrap();
    rows.finish().unwrap()
}

fn misfit(columns: &Columns, record: Value) -> crate::error::Fault {
    let mut rows = Rows::new(columns, 1);
    let fault = rows.push(&Delivery { id: DeliveryId::from("d1"), event: event(record) }).unwrap_err();
    assert_eq!(rows.finish().unwrap().num_rows(), 0, "a refused row leaves no trace");
    *fault
}

#[test]
fn every_kind_has_its_column() {
    let kinds: BTreeMap<_, _> = all_kinds().record.into_iter().map(|column| (column.field, column.kind)).collect();
    let expected = [
        ("alive", Kind::Bool),
        ("amount", Kind::Money),
        ("born", Kind::Date),
        ("count", Kind::Long),
        ("members", Kind::Json),
        ("name", Kind::Text),
        ("ratio", Kind::Json),
        ("seen", Kind::Time),
    ];
    assert_eq!(kinds, expected.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect());
}

#[test]
fn references_and_choices_are_followed() {
    let other = ("another/v1".to_owned(), json!({ "$defs": { "paid": { "type": "integer" } } }));
    let shared = BTreeMap::from([
        other,
        (
            "common/v1".to_owned(),
            json!({ "$defs": { "money": { "type": "string", "pattern": r"^-?\d{1,10}\.\d{2}$" }, "paid": { "$ref": "#/$defs/money" } } }),
        ),
    ]);
    let schema = json!({
        "$defs": { "day": { "type": "string", "format": "date" } },
        "properties": {
            "a": { "$ref": "#/$defs/day" }, "b": { "$ref": "../common/v1.json#/$defs/paid" },
            "c": { "anyOf": [{ "$ref": "#/$defs/day" }, { "type": "null" }] },
            "d": { "oneOf": [{ "type": "string" }, { "type": "integer" }] },
            "e": { "allOf": [{ "$ref": "#/$defs/day" }, { "description": "x" }] }, "f": { "enum": ["1", "2"] },
        },
    });
    let columns = Columns::of(&LakeSchema::new("sample", schema).with_shared(Arc::new(shared))).unwrap();
    let kinds: Vec<_> = columns.record.iter().map(|column| column.kind).collect();
    assert_eq!(kinds, [Kind::Date, Kind::Money, Kind::Date, Kind::Json, Kind::Date, Kind::Text]);
}

#[test]
fn all_faults_of_a_schema_at_once() {
    let schema = json!({ "properties": { "a": { "$ref": "#/$defs/no" }, "b c": { "type": "string" } } });
    let faults = Columns::of(&LakeSchema::new("sample", schema)).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(faults.iter().all(|fault| fault.code == SCHEMA));
    let looping = json!({ "$defs": { "a": { "$ref": "#/$defs/a" } }, "properties": { "a": { "$ref": "#/$defs/a" } } });
    assert_eq!(Columns::of(&LakeSchema::new("sample", looping)).unwrap_err().len(), 1);
    assert_eq!(Columns::of(&LakeSchema::new("sample", json!(true))).unwrap_err().len(), 1);
}

#[test]
fn a_field_named_as_an_event_column_is_prefixed() {
    let columns = columns(json!({ "division": { "type": "string" }, "Op": { "type": "string" }, "z": { "type": "string" } }));
    let names: Vec<_> = columns.record.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["record_Op", "record_division", "z"]);
    let row = one_row(&columns, json!({ "division": "220000000000" }));
    assert_eq!(row.column_by_name("division").unwrap().as_string::<i32>().value(0), "220171000000");
    assert_eq!(row.column_by_name("record_division").unwrap().as_string::<i32>().value(0), "220000000000");
}

#[test]
fn values_arrive_typed() {
    let record = json!({
        "name": "欧阳·买买提", "count": -3, "amount": "-480.05", "born": "1969-12-31", "seen": "2017-07-03T09:00:00.5+08:00",
        "alive": false, "members": [{ "b": 1 }], "ratio": 0.5,
    });
    let row = one_row(&all_kinds(), record);
    let column = |name: &str| Arc::clone(row.column_by_name(name).unwrap());
    assert_eq!(column("name").as_string::<i32>().value(0), "欧阳·买买提");
    assert_eq!(column("count").as_primitive::<Int64Type>().value(0), -3);
    assert_eq!(column("amount").as_primitive::<Decimal128Type>().value(0), -48_005);
    assert_eq!(column("born").as_primitive::<Date32Type>().value(0), -1);
    assert_eq!(column("seen").as_primitive::<TimestampMicrosecondType>().value(0), 1_499_043_600_500_000);
    assert!(!column("alive").as_boolean().value(0));
    assert_eq!(column("members").as_string::<i32>().value(0), r#"[{"b":1}]"#);
    assert_eq!(column("ratio").as_string::<i32>().value(0), "0.5");
    assert_eq!(column("delivery_id").as_string::<i32>().value(0), "d1");
    assert_eq!(column("system").as_string::<i32>().value(0), "funeral");
    assert!(column("extra").is_null(0) && column("quality").is_null(0));
}

#[test]
fn withheld_fields_are_null_and_unknown_ones_are_kept() {
    let row = one_row(&all_kinds(), json!({ "aaa": 1, "count": null, "name": "x", "zzz": { "k": "v" }, "none": null }));
    assert!(row.column_by_name("count").unwrap().is_null(0) && row.column_by_name("amount").unwrap().is_null(0));
    assert_eq!(row.column_by_name("extra").unwrap().as_string::<i32>().value(0), r#"{"aaa":1,"zzz":{"k":"v"}}"#);
    let row = one_row(&all_kinds(), Value::Null);
    assert!(row.column_by_name("extra").unwrap().is_null(0) && row.column_by_name("name").unwrap().is_null(0));
}

#[test]
fn what_does_not_fit_is_named_but_not_quoted() {
    let cases = [
        ("amount", json!("480.5")),
        ("amount", json!("12345678901.00")),
        ("amount", json!("+1.00")),
        ("amount", json!(480)),
        ("born", json!("2017-02-29")),
        ("born", json!("2017年7月3日")),
        ("born", json!("20170703")),
        ("seen", json!("2017-07-03 09:00")),
        ("count", json!(1.5)),
        ("count", json!(9_223_372_036_854_775_808_u64)),
        ("name", json!(5)),
        ("alive", json!("true.")),
    ];
    for (field, value) in cases {
        let fault = misfit(&all_kinds(), json!({ field: value }));
        assert_eq!((fault.code, fault.place.pointer.as_deref()), (MISFIT, Some(format!("/data/record/{field}").as_str())));
        let quoted = value.to_string();
        assert!(quoted.len() < 5 || !fault.to_string().contains(quoted.trim_matches('"')), "{fault}");
    }
    let several = misfit(&all_kinds(), json!({ "alive": 1, "born": "x", "count": "y" }));
    assert!(several.message.contains("/data/record/born") && several.message.contains("/data/record/count"), "{several}");
}

#[test]
fn statistics_hold_nothing_of_the_record() {
    let row = one_row(&all_kinds(), json!({ "name": "王某某", "amount": "1.00" }));
    let mut stats = file::Stats::default();
    stats.add(&row);
    let path = file::new_path("2026-11-24", "part");
    let add = stats.action(&path, 10, "2026-11-24", true);
    let text = add.stats.unwrap();
    let stats: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(stats["numRecords"], 1);
    assert_eq!(stats["minValues"], json!({ "occurred_at": "2017-07-03T01:00:00.000Z", "sequence": 7 }));
    assert_eq!(stats["maxValues"], stats["minValues"]);
    assert!(!text.contains('王') && add.path.starts_with("ingest_date=2026-11-24/part-"));
    assert!(file::encode(&row).unwrap().starts_with(b"PAR1"));
}
