//! `fund-payment`: fixed width in bytes of GBK, with count and sum in the header.

use civilhub::{
    adapter::decode::{self, fixed},
    domain::money::MONEY,
};
use encoding_rs::GBK;

use super::hub::{Expected, Hub};

const SYSTEM: &str = "fund-payment";

/// A detail with a name of raw bytes and an amount of raw text.
fn detail(serial: u32, name: &[u8], amount: &str) -> Vec<u8> {
    let mut record = format!("D{serial:08}").into_bytes();
    record.extend(name.iter().take(30));
    record.resize(39, b' ');
    record.extend_from_slice(format!("{:<32}{amount:>12}", "6228650220171234568").as_bytes());
    record.resize(98, b' ');
    record
}

fn good(serial: u32) -> Vec<u8> {
    detail(serial, &GBK.encode("王建国").0, "000000048000")
}

/// A file of a batch: header with this count and sum, then the records.
fn file(batch: &str, count: usize, sum: u64, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("H{batch:<16}UD 201707{count:08}{sum:014}20170710").into_bytes();
    bytes.resize(98, b' ');
    for record in records {
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(record);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

pub async fn all(hub: &mut Hub) {
    records(hub).await;
    files(hub).await;
    hub.takes(SYSTEM, "PAYgood.txt", &file("220171UD20170799", 1, 48_000, &[good(1)]), &[], 1).await;
}

async fn records(hub: &mut Hub) {
    let mut huge = good(5);
    huge.extend(vec![b'x'; 50 << 20]);
    let mut unknown = good(6);
    unknown[0] = b'Z';
    let lines = vec![
        good(1),
        detail(2, b"A\0B", "000000048000"),
        detail(3, b"\xff\xff \xff", "000000048000"),
        good(4)[..40].to_vec(),
        huge,
        unknown,
        detail(7, b"A", "000000000-50"),
        detail(8, b"A", "999999999999"),
        good(9),
    ];
    // Unreadable amounts count as nothing in the sum; the cut record has none.
    let sum = 48_000 * 5 + 999_999_999_999;
    let expected: [Expected; 6] = [
        (decode::NUL, Some(3), Some("HM")),
        (decode::ENCODING, Some(4), Some("HM")),
        (fixed::RECORD_LENGTH, Some(5), None),
        (fixed::RECORD_LENGTH, Some(6), None),
        (fixed::RECORD_TYPE, Some(7), None),
        (MONEY, Some(8), Some("JE")),
    ];
    hub.takes(SYSTEM, "PAYrecords.txt", &file("220171UD20170701", 8, sum, &lines), &expected, 3).await;
    let mut empty = file("220171UD20170702", 2, 96_000, &[good(1)]);
    empty.extend(vec![b'\n'; 10_000_000]);
    empty.extend(good(2));
    hub.takes(SYSTEM, "PAYempty.txt", &empty, &[], 2).await;
}

async fn files(hub: &mut Hub) {
    let whole = file("220171UD20170703", 2, 96_000, &[good(1), good(2)]);
    let utf8 = file("220171UD20170704", 1, 48_000, &[detail(1, "王建国欧阳娜娜".as_bytes(), "000000048000")]);
    let cases: [(&str, Vec<u8>, Expected); 7] = [
        ("PAYcut.txt", whole[..250].to_vec(), (fixed::CONTROL_TOTAL, Some(1), Some("ZJE"))),
        ("PAYsum.txt", file("220171UD20170705", 1, 1, &[good(1)]), (fixed::CONTROL_TOTAL, Some(1), Some("ZJE"))),
        ("PAYlying.txt", file("220171UD20170706", 99_999_999, 48_000, &[good(1)]), (fixed::CONTROL_TOTAL, Some(1), Some("ZBS"))),
        ("PAYheadless.txt", [good(1), b"\r\n".to_vec()].concat(), (fixed::HEADER_MISSING, Some(1), None)),
        ("PAYtwice.txt", [whole.clone(), whole.clone()].concat(), (fixed::RECORD_TYPE, Some(4), None)),
        ("PAYnothing.txt", Vec::new(), (decode::EMPTY, None, None)),
        ("PAYutf8.txt", utf8, (decode::ENCODING, Some(2), None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
    }
}
