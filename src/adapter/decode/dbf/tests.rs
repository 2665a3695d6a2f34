use std::io::Cursor;

use encoding_rs::GBK;
use serde_json::json;

use super::*;
use crate::adapter::decode::ENCODING;

/// Writes a table of C, N and D fields; values are padded, `None` is a deleted row's mark in front.
fn table(fields: &[(&str, u8, u8)], rows: &[(bool, &[&[u8]])]) -> Vec<u8> {
    let length = 32 + 32 * fields.len() + 1;
    let record: usize = 1 + fields.iter().map(|field| usize::from(field.2)).sum::<usize>();
    let mut bytes = vec![0; 32];
    bytes[0] = 0x30;
    bytes[4..8].copy_from_slice(&(rows.len() as u32).to_le_bytes());
    bytes[8..10].copy_from_slice(&(length as u16).to_le_bytes());
    bytes[10..12].copy_from_slice(&(record as u16).to_le_bytes());
    bytes[29] = 0x7a;
    for (name, kind, width) in fields {
        let mut field = [0; 32];
        field[..name.len()].copy_from_slice(name.as_bytes());
        (field[11], field[16]) = (*kind, *width);
        bytes.extend_from_slice(&field);
    }
    bytes.push(0x0d);
    for (deleted, values) in rows {
        bytes.push(if *deleted { b'*' } else { b' ' });
        for ((_, _, width), value) in fields.iter().zip(*values) {
            let mut value = value.to_vec();
            value.resize((*width).into(), b' ');
            bytes.extend_from_slice(&value);
        }
    }
    bytes.push(0x1a);
    bytes
}

fn sample() -> Vec<u8> {
    let name = GBK.encode("张三").0.into_owned();
    let fields = [("XM", b'C', 8), ("JM", b'N', 8), ("SWRQ", b'D', 8)];
    table(&fields, &[(false, &[&name, b"  480.10", b"20170703"]), (true, &[b"X", b"", b""]), (false, &[b"Y", b"1", b"20170704"])])
}

fn dbf(options: &str) -> Dbf {
    Dbf::new(&options.parse().unwrap()).unwrap()
}

fn read(options: &str, bytes: &[u8]) -> Vec<Result<Value, (u64, Code)>> {
    let mut rows = dbf(options).rows(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
    std::iter::from_fn(|| rows.next())
        .map(|row| row.map(|row| row.data).map_err(|bad| (bad.number, bad.faults[0].code)))
        .collect()
}

fn verify(bytes: &[u8]) -> Result<u64, Code> {
    dbf("").verify(&mut Cursor::new(bytes)).map_err(|faults| faults[0].code)
}

#[test]
fn text_stays_text_blanks_are_null_and_deleted_rows_are_marked() {
    let rows = read("", &sample());
    assert_eq!(rows[0], Ok(json!({"XM": "张三", "JM": "480.10", "SWRQ": "20170703"})));
    assert_eq!(rows[1], Ok(json!({"XM": "X", "JM": null, "SWRQ": null, "_deleted": true})));
    assert_eq!(rows.len(), 3);
    assert_eq!(read("deleted = 'skip'", &sample()).len(), 2);
    assert_eq!((verify(&sample()), dbf("deleted = 'skip'").verify(&mut Cursor::new(sample())).unwrap()), (Ok(3), 2));
}

#[test]
fn lying_headers_and_cut_files_are_refused() {
    let good = sample();
    for count in [0u32, 2, 4, u32::MAX] {
        let mut lying = good.clone();
        lying[4..8].copy_from_slice(&count.to_le_bytes());
        assert_eq!(verify(&lying), Err(COUNT), "{count}");
    }
    for cut in [0, 10, 31, 60, 128] {
        assert_eq!(verify(&good[..cut]), Err(HEADER), "{cut}");
    }
    assert_eq!(verify(&good[..good.len() - 10]), Err(COUNT));
    for (at, byte) in [(0, b'P'), (8, 2), (10, 9), (48, 200)] {
        let mut broken = good.clone();
        broken[at] = byte;
        assert_eq!(verify(&broken), Err(HEADER), "{at}");
    }
}

#[test]
fn a_damaged_record_stops_only_itself() {
    let mut bytes = sample();
    let start = 32 + 3 * 32 + 1;
    bytes[start] = b'x';
    bytes[start + 25 + 1] = 0xff;
    let rows = read("", &bytes);
    assert_eq!(rows[..2], [Err((1, RECORD)), Err((2, ENCODING))]);
    assert!(rows[2].is_ok());
}

#[test]
fn the_code_page_is_checked() {
    let mut bytes = sample();
    for page in [0x00, 0x4d, 0x7a] {
        bytes[29] = page;
        assert_eq!(verify(&bytes), Ok(3));
    }
    bytes[29] = 0x78;
    assert_eq!(verify(&bytes), Err(CODE_PAGE));
    assert!(dbf("code_page = 'ignore'").verify(&mut Cursor::new(bytes)).is_ok());
}

#[test]
fn binary_types_become_text() {
    let double = 0.1f64.to_le_bytes();
    let money = 4_801_000i64.to_le_bytes();
    let mut moment = 2_457_938i32.to_le_bytes().to_vec();
    moment.extend_from_slice(&32_399_999i32.to_le_bytes());
    let fields = [("I", b'I', 4), ("B", b'B', 8), ("Y", b'Y', 8), ("T", b'T', 8), ("M", b'M', 4), ("L", b'L', 1)];
    let bytes = table(&fields, &[(false, &[&(-7i32).to_le_bytes(), &double, &money, &moment, &[1, 0, 0, 0], b"T"])]);
    let expected = json!({"I": "-7", "B": "0.1", "Y": "480.1000", "T": "2017-07-03 09:00:00", "M": null, "L": "T"});
    assert_eq!(read("", &bytes), [Ok(expected)]);
}

proptest::proptest! {
    #[test]
    fn no_damage_makes_it_panic(at in 0usize..200, byte in proptest::num::u8::ANY, cut in 0usize..250) {
        let mut bytes = sample();
        let (length, at) = (bytes.len(), at.min(bytes.len() - 1));
        bytes[at] = byte;
        bytes.truncate(cut.min(length));
        let _ = verify(&bytes);
        if let Ok(mut rows) = dbf("").rows(Box::new(Cursor::new(bytes))) {
            while rows.next().is_some() {}
        }
    }
}
