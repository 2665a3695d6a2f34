use std::io::Cursor;

use encoding_rs::GBK;
use serde_json::json;

use super::*;
use crate::adapter::decode::options::{BAD_OPTION, UNKNOWN_OPTION};

const LAYOUT: &str = r#"
encoding = "GBK"
record_length = 30
[[record]]
type = "H"
role = "header"
fields = [{ name = "PCH", offset = 2, length = 6 }, { name = "ZBS", offset = 8, length = 4 }, { name = "ZJE", offset = 12, length = 8 }, { name = "FILL", offset = 20, length = 11 }]
count_field = "ZBS"
sum_field = "ZJE"
sum_of = "JE"
[[record]]
type = "D"
role = "detail"
fields = [{ name = "XH", offset = 2, length = 4 }, { name = "HM", offset = 6, length = 7 }, { name = "JE", offset = 13, length = 8 }, { name = "FILL", offset = 21, length = 10 }]
"#;

fn fixed() -> Fixed {
    Fixed::new(&LAYOUT.parse().unwrap()).unwrap()
}

fn head(count: u64, sum: u64) -> Vec<u8> {
    format!("HB00001{count:04}{sum:08}{:11}\r\n", "").into_bytes()
}

/// A detail record; the name is cut at seven bytes, whatever they are.
fn detail(number: u64, name: &str, amount: u64) -> Vec<u8> {
    let mut name = GBK.encode(name).0.into_owned();
    name.resize(7, b' ');
    [format!("D{number:04}").as_bytes(), &name, format!("{amount:08}{:10}\r\n", "").as_bytes()].concat()
}

fn read(bytes: Vec<u8>) -> Vec<Result<Decoded, (u64, Code)>> {
    let mut rows = fixed().rows(Box::new(Cursor::new(bytes))).unwrap();
    std::iter::from_fn(|| rows.next()).map(|row| row.map_err(|bad| (bad.number, bad.faults[0].code))).collect()
}

fn verify(bytes: Vec<u8>) -> Result<u64, Vec<Code>> {
    fixed().verify(&mut Cursor::new(bytes)).map_err(|faults| faults.iter().map(|fault| fault.code).collect())
}

#[test]
fn details_carry_the_header_and_a_cut_name_loses_its_torso() {
    let bytes = [head(2, 48050), detail(1, "欧阳锋锋", 48000), detail(2, "张三", 50)].concat();
    assert_eq!(verify(bytes.clone()), Ok(2));
    let rows = read(bytes);
    let first = rows[0].as_ref().unwrap();
    assert_eq!(first.number, 2);
    assert_eq!(first.data, json!({"XH": "0001", "HM": "欧阳锋", "JE": "00048000", "FILL": ""}));
    assert_eq!(first.meta["_cut"], json!(["HM"]));
    assert_eq!(first.meta["header"]["PCH"], "B00001");
    assert!(!rows[1].as_ref().unwrap().meta.contains_key("_cut"));
}

#[test]
fn a_file_whose_totals_differ_is_refused_whole() {
    let details = [detail(1, "张三", 100), detail(2, "李四", 200)].concat();
    assert_eq!(verify([head(3, 300), details.clone()].concat()), Err(vec![CONTROL_TOTAL]));
    assert_eq!(verify([head(3, 301), details.clone()].concat()), Err(vec![CONTROL_TOTAL; 2]));
    assert_eq!(verify(details.clone()), Err(vec![HEADER_MISSING]));
    assert_eq!(verify([head(2, 300), details.clone(), head(2, 300)].concat()), Err(vec![RECORD_TYPE]));
    assert_eq!(verify(Vec::new()), Err(vec![EMPTY]));
    // Cut off in the middle of the last record.
    let whole = [head(2, 300), details].concat();
    assert_eq!(verify(whole[..whole.len() - 20].to_vec()), Err(vec![CONTROL_TOTAL]));
}

#[test]
fn bad_records_stop_only_themselves() {
    let bytes =
        [head(2, 300), b"D0001short\r\n".to_vec(), b"X\n".to_vec(), vec![b'D'; 1 << 20], b"\n".to_vec(), detail(2, "李四", 200)];
    let rows = read(bytes.concat());
    assert_eq!(rows[0], Err((2, RECORD_LENGTH)));
    assert_eq!(rows[1], Err((3, RECORD_TYPE)));
    assert_eq!(rows[2], Err((4, RECORD_LENGTH)));
    assert_eq!(rows[3].as_ref().unwrap().data["HM"], "李四");
}

#[test]
fn line_ends_may_be_lf_and_the_length_may_count_them() {
    let table = LAYOUT.replace("record_length = 30", "record_length = 32");
    let format = Fixed::new(&table.parse().unwrap()).unwrap();
    let bytes = [head(1, 7), detail(1, "张三", 7)].concat();
    let lf: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\r').collect();
    for bytes in [bytes, lf] {
        assert!(format.rows(Box::new(Cursor::new(bytes))).unwrap().next().unwrap().is_ok());
    }
}

#[test]
fn wrong_layouts_are_refused() {
    let code = |text: String| Fixed::new(&text.parse().unwrap()).err().unwrap()[0].code;
    assert_eq!(code(LAYOUT.replace("record_length = 30", "record_length = 20")), BAD_OPTION);
    assert_eq!(code(LAYOUT.replace("count_field = \"ZBS\"", "count_field = \"XXX\"")), BAD_OPTION);
    assert_eq!(code(LAYOUT.replace("sum_of = \"JE\"", "sum_of = \"JX\"")), BAD_OPTION);
    assert_eq!(code(LAYOUT.replace("offset = 2,", "offset = 0,")), BAD_OPTION);
    assert_eq!(code(LAYOUT.replace("role = \"header\"", "rôle = \"header\"").replace("rôle", "roll")), UNKNOWN_OPTION);
}

/// Empty lines were counted as details of a layout without types, and then not read.
#[test]
fn empty_lines_are_no_details() {
    let options = "record = [{ fields = [{ name = 'a', offset = 1, length = 3 }] }]";
    let fixed = Fixed::new(&options.parse().unwrap()).unwrap();
    let text = "abc\r\n\r\ndef\r\n\n";
    let mut rows = fixed.rows(Box::new(Cursor::new(text))).unwrap();
    let numbers: Vec<u64> = std::iter::from_fn(|| rows.next()).map(|row| row.unwrap().number).collect();
    assert_eq!((fixed.verify(&mut Cursor::new(text)), numbers), (Ok(2), vec![1, 3]));
}
