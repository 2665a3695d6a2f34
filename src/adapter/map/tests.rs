use serde_json::{Value as Json, json};
use time::macros::datetime;

use super::*;
use crate::{
    domain::{date, division, money, resident_id},
    envelope::Op,
};

const PERSON: &str = r#"
number = resident_id!(.SFZH)
. = [{
    "dataset": "person",
    "op": "upsert",
    "key": string!(.RYBH),
    "division": division!(.XZQH),
    "occurred_at": cn_time!(.GXSJ),
    "record": {
        "name": nfkc(.XM),
        "id_type": "01",
        "id_number": number,
        "birth_date": resident_id_birth!(number),
        "sex": code!("XB", .XB),
        "amount": fen!(.JE),
    }
}]
"#;

fn row(data: Json) -> Row {
    Row { object: "RY".into(), origin: "f#1".into(), file: "RY.DBF".into(), number: 7, data, meta: json!({"county": "220105"}) }
}

fn person_row() -> Json {
    json!({"SFZH": "220171197001010053", "RYBH": "R1", "XZQH": "220105", "GXSJ": "20170703090000", "XM": " 李 明 ", "XB": "男", "JE": 48000})
}

fn runtime() -> MapRuntime {
    MapRuntime::new(&KeyedHash::new(b"test"), datetime!(2017-07-03 09:00 +8))
}

fn context() -> MapContext {
    let list = CodeList::translation("XB", [("男".into(), "1".into()), ("女".into(), "2".into())]);
    MapContext { system: "tekun".into(), datasets: vec!["person".into()], codes: [("XB".to_owned(), Arc::new(list))].into() }
}

fn compile(text: &str) -> Mapper {
    Mapper::compile(text, "ry.vrl", &context()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn run(text: &str, data: Json) -> Result<Vec<Mapped>, Vec<Fault>> {
    compile(text).run(&mut runtime(), &row(data))
}

/// Runs an expression over `.` and gives what it made as the record's `x`.
fn eval(expression: &str, data: Json) -> Result<Json, Vec<Fault>> {
    let text = format!(
        "x = {expression}\n. = {{\"dataset\": \"person\", \"op\": \"event\", \"key\": \"k\", \"division\": \"220105000000\", \"occurred_at\": %read_at, \"record\": {{\"x\": x}}}}"
    );
    run(&text, data).map(|mut outputs| outputs.remove(0).record["x"].take())
}

fn only(faults: Vec<Fault>) -> Fault {
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn a_row_becomes_a_record() {
    let outputs = run(PERSON, person_row()).unwrap();
    let [person] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((person.dataset.as_str(), person.op, person.key.as_str(), person.index), ("person", Op::Upsert, "R1", 0));
    assert_eq!(
        (person.division.as_str(), person.occurred_at.as_str(), person.sequence),
        ("220105000000", "2017-07-03T09:00:00+08:00", 1_499_043_600_000)
    );
    let expected = json!({"name": "李明", "id_type": "01", "id_number": "220171197001010053", "birth_date": "1970-01-01", "sex": "1", "amount": "480.00"});
    assert_eq!(person.record, expected);
}

#[test]
fn functions_do_what_they_say() {
    let cases = [
        (r"resident_id_upgrade!(.x)", json!("220105800315004"), json!("220105198003150042")),
        (r"resident_id_sex!(.x)", json!("220105198003150042"), json!("2")),
        (r"uscc!(.x)", json!("51220000500187342l"), json!("51220000500187342L")),
        (r"division!(.x)", json!(220105004), json!("220105004000")),
        (r"division!(.x, foreign: true)", json!("110105"), json!("110105000000")),
        (r"division_name!(.x)", json!("220105"), json!("吉林省长春市二道区")),
        (r#"code!("funeral_method", .x)"#, json!("公墓安葬"), json!("2")),
        (r#"code!("bank", .x)"#, json!("农信社"), json!("JLRCU")),
        (r#"code!("XB", .x)"#, json!("女"), json!("2")),
        (r"cn_date!(.x)", json!("2017年7月3日"), json!("2017-07-03")),
        (r"cn_date!(.x)", json!(42919), json!("2017-07-03")),
        (r"cn_time!(.x)", json!("2017/7/3 9:00"), json!("2017-07-03T09:00:00+08:00")),
        (r"yyyymm!(.x)", json!("2017-07"), json!("201707")),
        (r"fen!(.x)", json!("0000048000"), json!("480.00")),
        (r"yuan!(.x)", json!(480.5), json!("480.50")),
        (r"nfkc(.x)", json!("阿不都．热合曼"), json!("阿不都·热合曼")),
        (r"nfkc(.x)", json!(null), json!("")),
        (r"mojibake_repair!(.x)", json!("¼ªÁÖÊ¡"), json!("吉林省")),
        (r"mask(.x)", json!("220105198003150042"), json!("220105********0042")),
        (r"blank(.x)", json!("  "), json!(true)),
        (r"blank(.missing)", json!("  "), json!(true)),
        (r"blank(.x)", json!(0), json!(false)),
        (r"cnaps!(.x)", json!("102100099996"), json!("102100099996")),
        (r"bank_card!(.x)", json!("6222020220171234564"), json!("6222020220171234564")),
        (r"mobile!(.x)", json!("+86 13844012345"), json!("13844012345")),
        (r"hmac(.x)", json!("x"), json!(KeyedHash::new(b"test").hex("x"))),
        (r"hmac(.x)", json!(null), json!("")),
        (r#"format_timestamp!(parse_timestamp!(.x, "%Y-%m-%d %H:%M"), "%s")"#, json!("1988-07-03 09:00"), json!("583894800")),
        (r#"cn_time!(parse_timestamp!(.x, "%Y-%m-%d %H:%M"))"#, json!("1988-07-03 09:00"), json!("1988-07-03T09:00:00+08:00")),
    ];
    for (expression, value, expected) in cases {
        assert_eq!(eval(expression, json!({"x": value})).unwrap(), expected, "{expression}");
    }
    assert_eq!(functions::catalogue().len(), 24);
}

#[test]
fn facts_beside_the_row() {
    let facts = eval("[%system, %object, %file, %row, %today, %county]", json!({})).unwrap();
    assert_eq!(facts, json!(["tekun", "RY", "RY.DBF", 7, "2017-07-03", "220105"]));
}

#[test]
fn a_refused_value_has_its_place_and_no_content() {
    let mut data = person_row();
    data["SFZH"] = json!("220171197001010054");
    let fault = only(run(PERSON, data).unwrap_err());
    assert_eq!(fault.code, resident_id::RESIDENT_ID);
    assert_eq!(
        (fault.place.file.as_deref(), fault.place.row, fault.place.column.as_deref()),
        (Some("RY.DBF"), Some(7), Some("SFZH"))
    );
    assert!(fault.hint.as_deref().unwrap().contains("`ry.vrl` line 2: `resident_id!(.SFZH)`"), "{fault}");
    assert!(!fault.to_string().contains("2201711970"), "{fault}");
}

#[test]
fn the_field_of_a_variable_is_told() {
    let text = "day = .RQ\nday, error = to_string(.SWRQ)\nother = cn_date!(day)\n. = []";
    assert_eq!(only(run(text, json!({"SWRQ": "never"})).unwrap_err()).place.column.as_deref(), Some("SWRQ"));
}

#[test]
fn every_hub_function_keeps_values_out_of_its_errors() {
    let secret = "机密220171197001010054X";
    for (name, _) in functions::catalogue() {
        let call = match name {
            "code" => "code!(\"sex\", .x)".to_owned(),
            "township" => "township!(\"220171\", .x)".to_owned(),
            _ => format!("{name}!(.x)"),
        };
        if matches!(name, "nfkc" | "mask" | "hmac" | "blank") {
            continue;
        }
        for value in [json!(secret), json!([secret]), json!({"a": secret}), json!(null), json!(true)] {
            let result = eval(&call, json!({"x": value}));
            if name == "mojibake_repair" && result.is_ok() {
                continue;
            }
            let fault = only(result.unwrap_err());
            assert!(!fault.to_string().contains("机密") && !fault.to_string().contains("1970"), "{fault}");
            assert_eq!(fault.place.column.as_deref(), Some("x"), "{name}");
            assert!(fault.expected.is_some(), "{name}");
        }
    }
}

#[test]
fn errors_of_the_library_and_of_abort_show_the_program_not_the_value() {
    let cases = [
        ("parse_int!(.x)", PROGRAM_FAILED),
        ("parse_json!(.x)", PROGRAM_FAILED),
        ("parse_timestamp!(.x, \"%F\")", PROGRAM_FAILED),
        ("if true { abort \"no {{ y }}\" } else { 1 }", PROGRAM_ABORTED),
        ("assert!(.x == 1, message: string!(.x))", PROGRAM_FAILED),
    ];
    for (expression, code) in cases {
        let program = if expression.contains("{{ y }}") {
            format!("null\ny = string!(.x)\nz = {expression}")
        } else {
            expression.to_owned()
        };
        let fault = only(eval(&program, json!({"x": "王小明"})).unwrap_err());
        assert_eq!(fault.code, code, "{fault}");
        assert!(!fault.to_string().contains("王小明"), "{fault}");
    }
    let fault = only(eval("if true { abort \"a dead row\" } else { 1 }", json!({})).unwrap_err());
    assert!(fault.message.ends_with("a dead row"), "{fault}");
}

#[test]
fn programs_that_do_not_compile_name_line_column_and_remedy() {
    let cases = [
        ("a = 1\n  b = resident_id(.x)\n", 2, "resident_id"),
        ("a = 1\nb = residnt_id!(.x)", 2, "resident_id"),
        ("x = code!(\"funeral_metod\", .x)", 1, "did you mean `funeral_method`"),
        ("x = code!(string!(.l), .x)", 1, "literal"),
        ("\n\n. = [", 3, ""),
        ("%system = 1", 1, "read-only"),
        ("x = now()", 1, "now"),
        ("x = random_int!(1, 2)", 1, "random_int"),
    ];
    for (text, line, word) in cases {
        let faults = Mapper::compile(text, "ry.vrl", &context()).unwrap_err();
        assert_eq!((faults[0].code, faults[0].place.file.as_deref()), (PROGRAM_INVALID, Some("ry.vrl")));
        let texts = faults.iter().map(ToString::to_string).collect::<String>();
        assert!(texts.contains(word), "{text}: {texts}");
        assert!(faults[0].place.row == Some(line) || word.is_empty(), "{text}: {texts}");
    }
}

#[test]
fn huge_and_deep_programs_are_refused() {
    for text in [format!("x = {}1{}", "[".repeat(10_000), "]".repeat(10_000)), "# ".repeat(128 * 1024)] {
        assert_eq!(only(Mapper::compile(&text, "ry.vrl", &context()).unwrap_err()).code, PROGRAM_INVALID);
    }
}

#[test]
fn outputs_of_a_wrong_form_name_every_fault() {
    let bad = r#". = [{"dataset": "persn", "op": "insert", "key": " ", "division": "2201", "occurred_at": "2017", "sequence": "1", "recrd": {}, "quality": [{"rule": "r"}]}]"#;
    let faults = run(bad, json!({})).unwrap_err();
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.place.pointer.as_deref().unwrap()).collect();
    assert_eq!(
        pointers,
        [
            "/0/recrd",
            "/0/dataset",
            "/0/op",
            "/0/key",
            "/0/division",
            "/0/occurred_at",
            "/0/sequence",
            "/0/record",
            "/0/quality/0"
        ]
    );
    assert!(faults.iter().all(|fault| fault.code == OUTPUT_INVALID && fault.place.row == Some(7)));
    assert!(faults[0].expected.as_deref() == Some("`record`"));
}

#[test]
fn a_forgotten_assignment_and_other_shapes() {
    for (text, count) in [("x = 1\n[x]", 5), (". = \"text\"", 1), (". = [1, 2]", 2), (". = [{\"a\": r'x'}]", 1)] {
        let faults = run(text, person_row()).unwrap_err();
        assert!(faults.len() >= count.min(2) && faults.iter().all(|fault| fault.code == OUTPUT_INVALID), "{text}: {faults:?}");
        assert!(!faults.iter().any(|fault| fault.to_string().contains("李")), "{faults:?}");
    }
    for text in [". = []", ". = null"] {
        assert_eq!(run(text, person_row()).unwrap(), vec![]);
    }
}

#[test]
fn loops_without_end_are_stopped_and_the_next_row_is_mapped() {
    let text = "count = 0\nlist = range!(0, 1000)\nfor_each(list) -> |_i, _a| { for_each(list) -> |_j, _b| { count = count + 1 } }\n. = []";
    let mapper = compile(text);
    let mut runtime = runtime();
    let fault = only(mapper.run(&mut runtime, &row(json!({}))).unwrap_err());
    assert_eq!(fault.code, PROGRAM_RUNAWAY);
    assert_eq!(compile(PERSON).run(&mut runtime, &row(person_row())).unwrap().len(), 1);
}

#[test]
fn a_loop_that_nests_values_does_not_overflow_the_stack() {
    let text = "x = []\nfor_each(range!(0, 100000)) -> |_i, _v| { x = [x] }\n. = x";
    let done = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || run(text, json!({})).unwrap_err()[0].code)
        .unwrap()
        .join();
    assert!(matches!(done.unwrap(), PROGRAM_RUNAWAY | OUTPUT_INVALID));
}

#[test]
fn long_lists_in_a_row_get_the_steps_they_need() {
    let text = r#". = map_values(array!(.list)) -> |v| { {"dataset": "person", "op": "event", "key": to_string(v) ?? "", "division": "220105000000", "occurred_at": %read_at, "record": {}} }"#;
    let list: Vec<u32> = (0..1000).collect();
    assert_eq!(run(text, json!({"list": list})).unwrap().len(), 1000);
    let list: Vec<u32> = (0..1001).collect();
    assert_eq!(only(run(text, json!({"list": list})).unwrap_err()).code, OUTPUT_INVALID);
}

#[test]
fn hostile_rows_are_faults() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(only(run(PERSON, json!({"SFZH": deep})).unwrap_err()).code, ROW_TOO_DEEP);
    let huge = "九".repeat(3_000_000);
    for column in ["SFZH", "XZQH", "GXSJ", "XB", "JE"] {
        let mut data = person_row();
        data[column] = json!(huge);
        let fault = only(run(PERSON, data).unwrap_err());
        assert_eq!(fault.place.column.as_deref(), Some(column));
        assert!(fault.to_string().len() < 500);
    }
    for (column, code) in [("XZQH", division::DIVISION), ("GXSJ", date::DATE), ("JE", money::MONEY)] {
        for value in [json!([]), json!({}), json!(null), json!(true), json!(-0.0), json!("\u{0}")] {
            let mut data = person_row();
            data[column] = value;
            assert_eq!(
                only(run(PERSON, data).map(|_| ()).err().unwrap_or_else(|| vec![Fault::new(code, "-0 is money")])).code,
                code
            );
        }
    }
}

#[test]
fn a_crash_of_the_interpreter_is_a_fault() {
    let mapper = compile(PERSON);
    let mut runtime = runtime();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = crash(&mapper, &mut runtime);
    std::panic::set_hook(hook);
    assert_eq!(caught.code, PROGRAM_CRASHED);
    assert_eq!(mapper.run(&mut runtime, &row(person_row())).unwrap().len(), 1, "the runtime goes on");
}

/// Runs the mapper over a target that panics, as a faulty function would.
fn crash(mapper: &Mapper, runtime: &mut MapRuntime) -> Fault {
    #[derive(Debug)]
    struct Panics;
    impl vrl::compiler::SecretTarget for Panics {
        fn get_secret(&self, _: &str) -> Option<&str> {
            None
        }
        fn insert_secret(&mut self, _: &str, _: &str) {}
        fn remove_secret(&mut self, _: &str) {}
    }
    impl vrl::compiler::Target for Panics {
        fn target_insert(&mut self, _: &OwnedTargetPath, _: Value) -> Result<(), String> {
            panic!("insert")
        }
        fn target_get(&self, _: &OwnedTargetPath) -> Result<Option<&Value>, String> {
            panic!("王小明")
        }
        fn target_get_mut(&mut self, _: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
            panic!("get")
        }
        fn target_remove(&mut self, _: &OwnedTargetPath, _: bool) -> Result<Option<Value>, String> {
            panic!("remove")
        }
    }
    *mapper.resolve(runtime, &mut Panics, 1000).unwrap_err()
}

#[test]
fn the_key_of_hmac_is_not_readable_and_fields_are_known() {
    assert!(Mapper::compile("x = get_secret(\"hmac\")", "ry.vrl", &context()).is_err());
    assert_eq!(compile(PERSON).fields_read(), ["GXSJ", "JE", "RYBH", "SFZH", "XB", "XM", "XZQH"]);
}

/// Prints the speed of the release build: `cargo test --release --lib map::tests::speed -- --nocapture`.
#[test]
fn speed() {
    let mapper = compile(PERSON);
    let mut runtime = runtime();
    let row = row(person_row());
    let started = Instant::now();
    let mut rows = 0u32;
    while started.elapsed() < Duration::from_millis(200) {
        assert_eq!(mapper.run(&mut runtime, &row).unwrap().len(), 1);
        rows += 1;
    }
    println!("{} rows/s", rows * 5);
    // A bound for a debug build on a machine that is busy with something else; the real figure is the one printed.
    assert!(rows > 10, "slower than 50 rows a second even for a debug build");
}
