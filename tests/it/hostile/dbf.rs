//! `funeral`: DBF tables in GBK, whose headers may say anything.

use civilhub::{
    adapter::decode::{self, dbf},
    domain::{date::DATE, resident_id::RESIDENT_ID},
    simulate::write::dbf::{CodePage, Field, Table},
};
use time::macros::date;

use super::hub::{Expected, Hub};

const SYSTEM: &str = "funeral";
const FIELDS: [Field; 6] = [
    Field { name: "HHH", kind: b'C', length: 12, decimals: 0 },
    Field { name: "XM", kind: b'C', length: 20, decimals: 0 },
    Field { name: "SFZH", kind: b'C', length: 18, decimals: 0 },
    Field { name: "SWRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "HHRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "HHSJ", kind: b'C', length: 5, decimals: 0 },
];
/// The first byte of the first record; each record has 72.
const BODY: usize = 32 + 32 * FIELDS.len() + 1;
const RECORD: usize = 72;
const NAME: usize = 13;

/// A table of good records, numbered from `first`.
fn table(hub: &Hub, first: u32, count: u32) -> Vec<u8> {
    let mut table = Table::new(&FIELDS);
    for number in first..first + count {
        let values = [&format!("220171{number:06}"), "王建国", "220171197001010053", "20170703", "20170703", "09:00"];
        table.push(&values.map(str::to_owned), false);
    }
    let path = hub.path("sample.dbf");
    table.write(&path, date!(2017 - 07 - 03), CodePage::Gbk).unwrap();
    std::fs::read(path).unwrap()
}

/// Writes bytes over a place of one record, counted from 1.
fn patch(bytes: &mut [u8], record: usize, at: usize, with: &[u8]) {
    let from = BODY + (record - 1) * RECORD + at;
    bytes[from..from + with.len()].copy_from_slice(with);
}

pub async fn all(hub: &mut Hub) {
    let mut bytes = table(hub, 1, 8);
    patch(&mut bytes, 2, NAME, b"A\0B");
    patch(&mut bytes, 3, NAME, b"\xff\xff \xff");
    patch(&mut bytes, 4, 0, b"\x7f");
    patch(&mut bytes, 5, NAME + 20, b"220171197001010054");
    patch(&mut bytes, 6, NAME + 38, b"20171332");
    patch(&mut bytes, 7, NAME, b"\x00\x00\x00\x00\x00\x00");
    let expected: [Expected; 5] = [
        (decode::NUL, Some(2), Some("XM")),
        (decode::ENCODING, Some(3), Some("XM")),
        (dbf::RECORD, Some(4), None),
        (RESIDENT_ID, Some(5), Some("SFZH")),
        (DATE, Some(6), Some("SWRQ")),
    ];
    hub.takes(SYSTEM, "HH170701.DBF", &bytes, &expected, 3).await;
    headers(hub).await;
    let bytes = table(hub, 100, 1);
    hub.takes(SYSTEM, "HH170730.DBF", &bytes, &[], 1).await;
}

async fn headers(hub: &mut Hub) {
    let whole = table(hub, 20, 3);
    let with = |at: usize, bytes: &[u8]| {
        let mut lying = whole.clone();
        lying[at..at + bytes.len()].copy_from_slice(bytes);
        lying
    };
    let mut utf8 = whole.clone();
    for record in 1..=3 {
        patch(&mut utf8, record, NAME, "王建国".as_bytes());
    }
    let long = [whole.clone(), whole[BODY..].to_vec()].concat();
    let cases: [(&str, Vec<u8>, Expected); 12] = [
        ("HH170702.DBF", with(4, &u32::MAX.to_le_bytes()), (dbf::COUNT, None, None)),
        ("HH170703.DBF", with(4, &1_u32.to_le_bytes()), (dbf::COUNT, None, None)),
        ("HH170704.DBF", with(10, &u16::MAX.to_le_bytes()), (dbf::HEADER, None, None)),
        ("HH170705.DBF", with(10, &[0, 0]), (dbf::HEADER, None, None)),
        ("HH170706.DBF", with(8, &u16::MAX.to_le_bytes()), (dbf::HEADER, None, None)),
        ("HH170707.DBF", with(0, &[0x7f]), (dbf::HEADER, None, None)),
        ("HH170708.DBF", with(29, &[0x03]), (dbf::CODE_PAGE, None, None)),
        ("HH170709.DBF", with(32 + 16, &[0]), (dbf::HEADER, None, None)),
        ("HH170710.DBF", whole[..BODY + 100].to_vec(), (dbf::COUNT, None, None)),
        ("HH170711.DBF", whole[..20].to_vec(), (dbf::HEADER, None, None)),
        ("HH170712.DBF", long, (dbf::COUNT, None, None)),
        ("HH170713.DBF", utf8, (decode::ENCODING, Some(1), None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
    }
    hub.takes(SYSTEM, "HH170714.DBF", &[], &[(dbf::HEADER, None, None)], 0).await;
}
