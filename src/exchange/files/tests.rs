use super::{
    line::{ANSWER, Form, QUERY},
    pack::{fields, pack, unpack},
    *,
};

const SIGNED: &str = "c2lnbmF0dXJl";

fn name() -> Name {
    Name { bank: "CITIC".to_owned(), day: "20170703".to_owned(), seq: 7 }
}

fn file(form: Form) -> Vec<u8> {
    let record = |number: &str, name: &str| json!({ "query_no": number, "subject": { "name": name, "id_type": "01", "id_number": "220171197001010053" }, "as_of": "2017-06-30" });
    let line = |record: Value| line::write(form, QUERY, &query_fields(&record).each_ref().map(String::as_str)).unwrap();
    let lines = [line(record("Q-1", "王建国")), line(record("Q-2", "李, \"𠮷\""))];
    pack(form, &name(), &lines, |_| SIGNED.to_owned()).unwrap()
}

fn open(form: Form, bytes: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    unpack(form, &name(), bytes, |_, signature| signature == SIGNED)
}

#[test]
fn what_was_packed_is_read_again_in_gbk() {
    for form in [Form::Csv, Form::Fixed] {
        let file = file(form);
        assert!(file.windows(2).any(|two| two == [0xCD, 0xF5]), "王 as GBK has it");
        let rows = fields(form, QUERY, &open(form, &file).unwrap()).unwrap();
        assert_eq!(rows[0], ["D", "Q-1", "王建国", "01", "220171197001010053", "20170630"]);
        assert_eq!(rows[1][2], "李, \"𠮷\"", "{form:?}");
    }
}

#[test]
fn half_a_file_is_never_taken() {
    for form in [Form::Csv, Form::Fixed] {
        let file = file(form);
        // The end of the last line alone may be missing.
        for length in 0..file.len() - 2 {
            assert!(open(form, &file[..length]).is_err(), "{form:?} {length}");
        }
        let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
        let without = |at: usize| {
            lines.iter().enumerate().filter(|(n, _)| *n != at).flat_map(|(_, line)| line.to_vec()).collect::<Vec<u8>>()
        };
        assert_eq!(open(form, &without(1)).unwrap_err().code, FILE_COUNT);
        assert_eq!(open(form, &without(3)).unwrap_err().code, FILE_INCOMPLETE);
        assert_eq!(open(form, &[file.clone(), lines[1].to_vec()].concat()).unwrap_err().code, FILE_INCOMPLETE);
    }
}

#[test]
fn a_changed_byte_another_name_and_a_foreign_signature_are_found() {
    for form in [Form::Csv, Form::Fixed] {
        let file = file(form);
        let at = file.windows(3).position(|three| three == b"Q-1").unwrap();
        let mut changed = file.clone();
        changed[at + 2] = b'9';
        assert_eq!(open(form, &changed).unwrap_err().code, FILE_DIGEST);
        let other = Name { seq: 8, ..name() };
        assert_eq!(unpack(form, &other, &file, |_, _| true).unwrap_err().code, FILE_FORM);
        assert_eq!(unpack(form, &name(), &file, |_, _| false).unwrap_err().code, FILE_SIGNATURE);
    }
}

#[test]
fn the_digest_may_be_sm3() {
    use sha2::Digest;
    use sm3::Sm3;
    let body = b"D,Q-1,A,01,1,20170630\r\n";
    let digest = hex::encode(Sm3::digest(body));
    let file = format!("H,JLHD/1,CITIC,20170703,0007,1,SM3,{digest}\r\nD,Q-1,A,01,1,20170630\r\nT,1,{SIGNED}\r\n");
    assert_eq!(open(Form::Csv, file.as_bytes()).unwrap().len(), 1);
    assert_eq!(open(Form::Csv, file.replace("SM3", "MD5").as_bytes()).unwrap_err().code, FILE_FORM);
}

#[test]
fn names_tell_bank_day_and_number() {
    assert_eq!(Name::parse("JLHD_CITIC_20170703_0007.RSP"), Some((name(), "RSP")));
    assert_eq!(name().stem(), "JLHD_CITIC_20170703_0007");
    for bad in [
        "JLHD_CITIC_20170703_7.RSP",
        "JLHD_CITIC_2017070_0007.RSP",
        "JLHD_../x_20170703_0007.RSP",
        "X.RSP",
        "JLHD_CITIC_20170703_0007_1.RSP",
    ] {
        assert_eq!(Name::parse(bad), None, "{bad}");
    }
}

#[test]
fn lines_of_one_query_are_one_answer_with_its_accounts() {
    let row = |text: &str| line::read(Form::Csv, ANSWER, text.as_bytes()).unwrap();
    let rows = [
        row("D,Q-1,A,01,1,FOUND,6228000012345678,1,0,CNY,5.00,0.00,1,2017-03-01:9.00;2017-04-01:8.00"),
        row("D,Q-1,A,01,1,FOUND,6228000012345679,1,0,USD,7.00,,0,"),
        row("D,Q-2,B,01,2,NONE,,,,,,,,"),
        row("D,Q-1,X,01,9,FOUND,,,,,,,,"),
    ];
    let answers = answers(&rows);
    assert_eq!(answers.len(), 3, "another subject is another answer");
    assert_eq!(answers[0]["answers"].as_array().unwrap().len(), 2);
    assert_eq!(answers[0]["answers"][0]["large_outflows"][1], json!({ "date": "2017-04-01", "amount": "8.00" }));
    assert_eq!((&answers[0]["answers"][0]["joint"], &answers[1]["answers"]), (&json!(true), &json!([])));
    assert_eq!(answers[2]["subject"]["name"], "X");
}
