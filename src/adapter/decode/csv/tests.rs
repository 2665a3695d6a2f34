use std::io::Cursor;

use encoding_rs::GB18030;
use serde_json::json;

use super::*;
use crate::adapter::decode::{ENCODING, NUL};

fn csv(options: &str) -> Csv {
    Csv::new(&options.parse().unwrap()).unwrap()
}

fn gb(text: &str) -> Vec<u8> {
    GB18030.encode(text).0.into_owned()
}

fn read(options: &str, bytes: &[u8]) -> Vec<Result<Value, (u64, Code)>> {
    let mut rows = csv(options).rows(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
    std::iter::from_fn(|| rows.next())
        .map(|row| row.map(|row| row.data).map_err(|bad| (bad.number, bad.faults[0].code)))
        .collect()
}

fn verify(options: &str, bytes: &[u8]) -> Result<u64, Vec<Code>> {
    csv(options).verify(&mut Cursor::new(bytes)).map_err(|faults| faults.iter().map(|fault| fault.code).collect())
}

fn with_trailer(body: &[u8], count: u64) -> Vec<u8> {
    [body, format!("EOF,{count},{}\r\n", hex::encode(Md5::digest(body))).as_bytes()].concat()
}

#[test]
fn gb18030_with_quotes_newlines_and_excel_wrapping() {
    let bytes = gb("XM,SFZH,BZ\r\n𠀀三,=\"220171197001010053\",\"甲,\"\"乙\"\"\r\n丙\"\r\n李四,'220171197001010053,'tis\r\n");
    let rows = read("", &bytes);
    assert_eq!(rows[0], Ok(json!({"XM": "𠀀三", "SFZH": "220171197001010053", "BZ": "甲,\"乙\"\r\n丙"})));
    assert_eq!(rows[1], Ok(json!({"XM": "李四", "SFZH": "220171197001010053", "BZ": "'tis"})));
    assert_eq!(read("", b"A,B\n\"=\"\"01\"\"\",2\n"), [Ok(json!({"A": "01", "B": "2"}))]);
}

#[test]
fn a_second_byte_that_looks_like_the_delimiter_does_not_split() {
    // U+4E85 is 0x817C in GBK: its second byte is `|`.
    let bytes = gb("A|B\n亅|\"亅\"\n");
    assert!(bytes.windows(2).any(|pair| pair == b"\x81|"));
    assert_eq!(read("delimiter = '|'", &bytes), [Ok(json!({"A": "亅", "B": "亅"}))]);
}

#[test]
fn a_bad_row_stops_only_itself() {
    let mut bytes = b"A,B\n1\n\"open,2\n3,\xff\n4,\0\n5,".to_vec();
    bytes.extend(vec![b'x'; 1 << 20]);
    bytes.extend_from_slice(b"\n\n6,7\n");
    let rows = read("row_limit = 4096", &bytes);
    let expected = [(2, FIELD_COUNT), (3, QUOTE), (4, ENCODING), (5, NUL), (6, ROW_TOO_LONG)];
    assert_eq!(rows[..5], expected.map(Err));
    assert_eq!(rows[5..], [Ok(json!({"A": "6", "B": "7"}))]);
}

#[test]
fn a_stray_quote_does_not_swallow_the_rows_up_to_the_next_quote() {
    let rows = read("", b"A,B\n\"1,2\n3,4\n5,\"6\"\n7,8\n");
    assert_eq!(rows[0], Err((2, QUOTE)));
    assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 3);
}

#[test]
fn the_control_line_is_compared_with_the_file() {
    let trailer = "trailer = 'count-md5'\ncolumns = ['XM']";
    let body = gb("XM,B\r\n张三,\"a\r\nb\"\r\nEOF,1\r\n");
    let good = with_trailer(&body, 2);
    assert_eq!(verify(trailer, &good), Ok(2));
    assert_eq!(read(trailer, &good).len(), 2);
    assert_eq!(verify(trailer, &with_trailer(&body, 3)), Err(vec![TRAILER]));
    let mut changed = good.clone();
    changed[12] ^= 1;
    assert!(verify(trailer, &changed).is_err());
    assert_eq!(verify(trailer, &body[..body.len() - 8]), Err(vec![TRAILER]));
    assert_eq!(verify(trailer, b"XM\nEOF,0\n"), Err(vec![TRAILER]));
}

#[test]
fn the_header_is_checked_for_all_columns_at_once() {
    let faults = csv("columns = ['XM', 'SFZH', 'CSRQ']").verify(&mut Cursor::new(b"XM,SFZ,XM\n")).unwrap_err();
    assert_eq!(faults.len(), 3);
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `SFZ`?"));
    assert_eq!(verify("", b""), Err(vec![EMPTY]));
    assert_eq!(read("columns = ['A', 'B']\nheader = false", b"1,2"), [Ok(json!({"A": "1", "B": "2"}))]);
}

#[test]
fn a_file_in_the_wrong_charset_is_refused_with_the_row() {
    let text = "XM,B\n1,2\n张三丰,吉林\n李四,长春\n";
    let faults = csv("").verify(&mut Cursor::new(text.as_bytes())).unwrap_err();
    assert_eq!((faults[0].code, faults[0].place.row), (ENCODING, Some(3)));
    let faults = csv("encoding = 'UTF-8'").verify(&mut Cursor::new(gb(text))).unwrap_err();
    assert_eq!((faults[0].code, faults[0].place.row), (ENCODING, Some(3)));
    assert_eq!(verify("encoding = 'UTF-8'", text.as_bytes()), Ok(3));
    assert_eq!(verify("", &gb(text)), Ok(3));
}

#[test]
fn wrong_options_are_listed_together() {
    let faults = Csv::new(&"encoding = 'big5'\ndelimiter = ''\ntrailer = 'x'\nheader = false".parse().unwrap()).err().unwrap();
    assert_eq!(faults.len(), 4);
}

proptest::proptest! {
    #[test]
    fn what_the_csv_crate_writes_is_read_back(rows in proptest::collection::vec(proptest::array::uniform3("[a-z,\"\n\u{4e00}-\u{4e20} ]{0,8}"), 1..5)) {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["A", "B", "C"]).unwrap();
        for row in &rows { writer.write_record(row).unwrap(); }
        let read = read("encoding = 'UTF-8'", &writer.into_inner().unwrap());
        let expected: Vec<_> = rows.iter().map(|[a, b, c]| Ok(json!({"A": a, "B": b, "C": c}))).collect();
        proptest::prop_assert_eq!(read, expected);
    }
}

/// A file without its header: its first person stood in the fault, as a column named twice and in the list of known columns.
#[test]
fn a_person_in_place_of_the_header_is_not_told() {
    let csv = Csv::new(&"encoding = 'UTF-8'\ncolumns = ['XM', 'SFZH']".parse().unwrap()).unwrap();
    let text = "王建国,王建国,220171197001010053,220171197001010053\n";
    let faults = csv.verify(&mut Cursor::new(text)).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [COLUMNS; 4]);
    let told = serde_json::to_string(&faults).unwrap();
    assert!(!told.contains("王建国") && !told.contains("220171"), "{told}");
    // Columns of the adapter are told by name.
    let faults = csv.verify(&mut Cursor::new("XM,SFZH,XM\n")).unwrap_err();
    assert!(faults[0].message.contains("`XM` twice"), "{}", faults[0]);
    assert_eq!(csv.verify(&mut Cursor::new(",".repeat(10_000))).unwrap_err().len(), FAULTS_SHOWN);
}
