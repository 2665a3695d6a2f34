use std::{
    io,
    sync::{Arc, Mutex},
};

use super::*;
use crate::telemetry::stage::{Stage, Step};

/// A writer into memory.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs in a format.
fn logged(format: &str, work: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let config = Log { level: "debug".to_owned(), format: format.to_owned() };
    let subscriber = subscriber(&config, move || writer.clone(), false).unwrap();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = buffer.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn both(work: impl Fn()) -> [String; 2] {
    [logged("text", &work), logged("json", &work)]
}

#[test]
fn a_field_that_is_not_listed_is_dropped() {
    for line in both(|| tracing::warn!(name = "李明", payee_name = ?"王芳", records = 3, "a batch")) {
        assert!(!line.contains("李明") && !line.contains("王芳") && !line.contains("name"), "{line}");
        assert!(line.contains("a batch") && line.contains("records"), "{line}");
    }
}

#[test]
fn a_field_of_a_span_that_is_not_listed_is_dropped() {
    let [text, json] = both(|| tracing::info_span!("route", name = "李明", records = 3).in_scope(|| tracing::info!("inside")));
    assert!(!text.contains("李明") && text.contains("route{records=3}"), "{text}");
    assert!(!json.contains("李明") && json.contains(r#""spans":["route records=3"]"#), "{json}");
}

#[test]
fn numbers_of_persons_are_blanked_wherever_they_stand() {
    let work = || {
        tracing::warn!(reason = "220171197001010053", error = %"row 22017119700101007X", rows = 220_171_197_001_010_053_u64, "of 220171197001010053");
    };
    for line in both(work) {
        assert!(!line.contains("1970"), "{line}");
        assert!(line.matches("***").count() == 4, "{line}");
    }
}

#[test]
fn what_a_library_quotes_is_emptied() {
    for line in both(|| tracing::warn!(reason = "no column `姓名`: invalid type: string \"李明\", expected i64", "failed")) {
        assert!(!line.contains("李明") && line.contains("`姓名`") && line.contains("expected i64"), "{line}");
    }
    assert_eq!(blank_quotations(r#"a "b" c "open"#), r#"a "***" c "***"#);
    assert_eq!(blank_quotations("none"), "none");
}

#[test]
fn one_event_is_one_line_of_bounded_length() {
    let long = format!("first\nsecond {}", "长".repeat(10_000));
    for line in both(|| tracing::warn!(reason = long.as_str(), "failed")) {
        assert_eq!(line.lines().count(), 1);
        assert!(line.chars().count() < LONGEST + 300);
    }
}

#[test]
fn json_is_json_with_numbers_and_china_time() {
    let line = logged("json", || {
        Step::new(Stage::Publish).records(2).scope(|| tracing::warn!(records = 2, pause_ms = 100_u64, "again"))
    });
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["records"], 2);
    assert_eq!(value["message"], "again");
    assert_eq!(value["level"], "WARN");
    assert_eq!(value["spans"], serde_json::json!(["publish records=2"]));
    assert!(value["at"].as_str().unwrap().ends_with("+08:00"), "{line}");
}

#[test]
fn unknown_settings_are_told() {
    for (level, format) in [("info", "xml"), ("civilhub=loud=very", "text")] {
        let config = Log { level: level.to_owned(), format: format.to_owned() };
        let fault = subscriber(&config, io::sink, false).err().expect("refused");
        assert_eq!(fault.code, BAD_LOG);
    }
}

#[test]
fn identity_numbers_are_blanked() {
    assert_eq!(blank_numbers("number 22017119700101005X refused"), "number *** refused");
    assert_eq!(blank_numbers("220171197001010053"), "***");
    assert_eq!(blank_numbers("ID220171197001010053号"), "ID***号");
    assert_eq!(blank_numbers("２２０１７１１９７００１０１００５３"), "***");
    assert_eq!(blank_numbers("220171700101005 and 12345"), "*** and 12345");
    assert_eq!(blank_numbers("电话13904310000。"), "电话***。");
    assert_eq!(blank_numbers("at 1499040000000 ms"), "at 1499040000000 ms");
    assert_eq!(blank_numbers("deliver.bank took 250 ms"), "deliver.bank took 250 ms");
    // A run of digits within a derived id is no number of a person; digits alone are.
    let id = "4bf9123456789012345678ad0e0e4736";
    assert_eq!(blank_numbers(id), id);
    assert_eq!(blank_numbers(&"1".repeat(32)), "***");
    assert_eq!(blank_numbers(""), "");
}
