use serde_json::json;

use super::*;

fn refuse(text: impl AsRef<[u8]>) -> Vec<Fault> {
    strict(text.as_ref(), &Limits::default()).unwrap_err()
}

#[track_caller]
fn check(text: impl AsRef<[u8]>, code: Code, row: u64, pointer: &str) {
    let faults = refuse(text);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!((faults[0].code, faults[0].place.row), (code, Some(row)), "{faults:?}");
    assert_eq!(faults[0].place.pointer.as_deref().unwrap_or(""), pointer, "{faults:?}");
}

#[test]
fn good_texts_are_the_same_as_with_serde_json() {
    let texts = [
        r#"{"a":[1,2.5,-3e2,{"b":null}],"名":"张\u4e09\n\ud840\udc00","c":{},"d":[]}"#,
        " [ ] ",
        "\"\"",
        "0",
        "-0.5",
        "1E+2",
        "true",
        r#"[[],[[]],{"a":{"b":[{}]}}]"#,
        "9223372036854775807",
        "9007199254740993",
        "480.00",
        "0.1",
        r#"{"x":"a\"b\\c\/d\b\f\r\t"}"#,
    ];
    for text in texts {
        assert_eq!(strict(text.as_bytes(), &Limits::default()).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn hostile_texts_are_refused_with_code_and_place() {
    check("[".repeat(100_000), DEPTH, 1, &"/0".repeat(16));
    check("{\"a\":".repeat(70_000), DEPTH, 1, &"/a".repeat(16));
    check("{\"a\":1,\n \"a\":2}", DUPLICATE_KEY, 2, "/a");
    check(r#"{"a":{"b":"x\u0000"}}"#, NUL, 1, "/a/b");
    check("{\"a\":\"x\0\"}", SYNTAX, 1, "/a");
    check(r#"["\ud800"]"#, SURROGATE, 1, "/0");
    check(r#"["\udc00\ud800"]"#.replace("\\ud800", ""), SURROGATE, 1, "/0");
    check(b"{\"a\":\"\xff\"}", UTF8, 1, "");
    check("[9223372036854775808]", NUMBER, 1, "/0");
    check("[1,9007199254740993.0]", NUMBER, 1, "/1");
    check("[0.12345678901234567890]", NUMBER, 1, "/0");
    check("[1e400]", NUMBER, 1, "/0");
    check("{} {}", TRAILING, 1, "");
}

#[test]
fn broken_syntax_is_refused() {
    for text in [
        "", "{", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "[01]", "[1.]", "[1e]", "[-]", "[+1]", "\"\\x\"", "\"\\u12", "nul",
        "[1 2]", "NaN", "'a'",
    ] {
        assert_eq!(refuse(text)[0].code, SYNTAX, "{text}");
    }
}

#[test]
fn all_faults_of_one_text_are_listed_up_to_the_limit() {
    let faults = refuse(r#"{"a":"\u0000","a":1.00000000000000000001,"b":"\ud800"}"#);
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [NUL, DUPLICATE_KEY, NUMBER, SURROGATE]);
    assert_eq!(refuse(format!("[{}1e999]", "1e999,".repeat(10_000))).len(), 20);
}

#[test]
fn a_name_that_may_be_content_is_not_in_the_pointer() {
    let faults = refuse(r#"{"220171197001010053":"\u0000"}"#);
    assert_eq!(faults[0].place.pointer.as_deref(), Some("/*"));
    assert!(!faults[0].to_string().contains("22017119"));
}

#[test]
fn the_place_is_line_and_byte() {
    let faults = refuse("{\n  \"a\": tru\n}");
    assert_eq!((faults[0].place.row, faults[0].place.column.as_deref()), (Some(2), Some("byte 8")));
    let faults = strict(b"{}", &Limits { bytes: 1, ..Limits::default() }).unwrap_err();
    assert_eq!(faults[0].code, TOO_LARGE);
}

proptest::proptest! {
    #[test]
    fn whatever_serde_json_writes_is_read_back(text in ".*", number in proptest::num::i64::ANY, float in proptest::num::f64::NORMAL) {
        let value = json!({ text.replace('\0', ""): [number, float, { "t": text.replace('\0', "") }] });
        proptest::prop_assert_eq!(strict(value.to_string().as_bytes(), &Limits::default()).unwrap(), value);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let _ = strict(&bytes, &Limits::default());
    }
}
