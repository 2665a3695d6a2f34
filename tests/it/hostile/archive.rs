//! `tekun`: archives of tables with memos, whose names, headers and lengths may say anything.

use std::io::Cursor;

use civilhub::{
    adapter::{
        decode::{dbf, dbf::memo, inflate},
        source::file::archive,
    },
    domain::division::DIVISION,
    simulate::write::{
        dbf::{CodePage, Field, Memos, Table},
        zip::{Archive, Names},
    },
};
use time::macros::date;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::hub::{Expected, Hub};

const SYSTEM: &str = "tekun";
const FIELDS: [Field; 11] = [
    field("XM", b'C', 20),
    field("XB", b'C', 2),
    field("SFZH", b'C', 18),
    field("CSRQ", b'D', 8),
    field("GYFS", b'C', 1),
    field("ZLNL", b'C', 1),
    field("JGMC", b'C', 40),
    field("GYBZ", b'N', 8),
    field("RYRQ", b'D', 8),
    field("XZDM", b'C', 9),
    field("BZ", b'M', 10),
];
/// A case and a person.
const PER_ROW: i64 = 2;

const fn field(name: &'static str, kind: u8, length: u8) -> Field {
    Field { name, kind, length, decimals: 0 }
}

/// An invented number with a serial of three digits and a right check digit.
fn id(serial: &str) -> String {
    let digits = format!("22017119700101{serial}");
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// A table of rows with township, amount and memo block each, and one memo. The amount is the serial of the person, too.
fn table(rows: &[(&str, &str, &str)]) -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut memos) = (Table::new(&FIELDS), Memos::default());
    let first = memos.push("由侄子照料");
    for (township, amount, block) in rows {
        let block = if *block == "first" { first.as_str() } else { block };
        let number = id(amount);
        let values = ["王建国", "男", &number, "19700101", "2", "1", "", amount, "", township, block];
        table.push(&values.map(str::to_owned), false);
    }
    (table.bytes(date!(2017 - 07 - 03), CodePage::Gbk), memos.bytes())
}

fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::new(Names::Gbk);
    files.iter().for_each(|(name, bytes)| archive.push(name, bytes).unwrap());
    archive.bytes()
}

pub async fn all(hub: &mut Hub) {
    memos(hub).await;
    names(hub).await;
    sizes(hub).await;
    let (dbf, fpt) = table(&[("220171001", "777", "first")]);
    hub.takes(SYSTEM, "TK201801.ZIP", &pack(&[("TK220171.DBF", &dbf), ("TK220171.FPT", &fpt)]), &[], PER_ROW).await;
}

async fn memos(hub: &mut Hub) {
    let rows = [
        ("220171001", "520", "first"),
        ("220171001", "521", "99999"),
        ("220199001", "522", ""),
        ("220171001", "523", "4294967295"),
    ];
    let (dbf, fpt) = table(&rows);
    let file = "TK201701.ZIP/TK220171.DBF";
    let expected: [Expected; 3] =
        [(memo::BROKEN, Some(2), Some("BZ")), (DIVISION, Some(3), Some("XZDM")), (memo::BROKEN, Some(4), Some("BZ"))];
    let before = hub.delivered(SYSTEM);
    hub.hand_in(SYSTEM, "TK201701.ZIP", &pack(&[("TK220171.DBF", &dbf), ("TK220171.FPT", &fpt)]));
    hub.comes(SYSTEM, file, &expected, before + PER_ROW).await;

    // One county is cut off, the other is whole.
    let (good, good_memos) = table(&[("220171001", "530", "first")]);
    let before = hub.delivered(SYSTEM);
    let bytes = pack(&[
        ("TK220102.DBF", &good[..good.len() - 30]),
        ("TK220102.FPT", &good_memos),
        ("TK220171.DBF", &good),
        ("TK220171.FPT", &good_memos),
    ]);
    hub.hand_in(SYSTEM, "TK201702.ZIP", &bytes);
    hub.comes(SYSTEM, "TK201702.ZIP/TK220102.DBF", &[(dbf::COUNT, None, None)], before + PER_ROW).await;

    let cut = &good_memos[..512];
    let whole: [(&str, Vec<u8>, Expected); 3] = [
        ("TK201703.ZIP", pack(&[("TK220171.DBF", &good)]), (memo::MISSING, Some(1), None)),
        ("TK201704.ZIP", pack(&[("TK220171.DBF", &good), ("TK220171.FPT", cut)]), (memo::BROKEN, None, None)),
        ("TK201705.ZIP", pack(&[("TK220171.DBF", &good), ("TK220171.FPT", b"")]), (memo::BROKEN, None, None)),
    ];
    for (name, bytes, expected) in whole {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
    }
}

async fn names(hub: &mut Hub) {
    let (dbf, fpt) = table(&[("220171001", "540", "first")]);
    let with = |name: &str| pack(&[("TK220171.DBF", &dbf), ("TK220171.FPT", &fpt), (name, b"x")]);
    let mut link = ZipWriter::new(Cursor::new(Vec::new()));
    link.add_symlink("TK220171.DBF", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let cases: [(&str, Vec<u8>, Expected); 7] = [
        ("TK201706.ZIP", with("../../TK220172.DBF"), (archive::NAME, None, None)),
        ("TK201707.ZIP", with("/tmp/TK220172.DBF"), (archive::NAME, None, None)),
        ("TK201708.ZIP", with("C:\\TK220172.DBF"), (archive::NAME, None, None)),
        ("TK201709.ZIP", link.finish().unwrap().into_inner(), (archive::NAME, None, None)),
        ("TK201710.ZIP", with("more.zip"), (archive::NESTED, None, None)),
        ("TK201711.ZIP", pack(&[("readme.txt", b"x")]), (archive::NOTHING, None, None)),
        ("TK201712.ZIP", with("TK220171.DBF"), (inflate::BROKEN, None, None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
        assert!(hub.inbox(SYSTEM).join(".quarantine").join(name).is_file(), "{name}");
    }
}

async fn sizes(hub: &mut Hub) {
    let (dbf, fpt) = table(&[("220171001", "550", "first")]);
    let good = pack(&[("TK220171.DBF", &dbf), ("TK220171.FPT", &fpt)]);
    let bomb = pack(&[("TK220171.DBF", &vec![b' '; 300 << 20])]);
    let mut lying = bomb.clone();
    let directory = lying.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    for at in [22, directory + 24] {
        lying[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
    }
    let mut count = good.clone();
    let end = count.len() - 22;
    count[end + 8..end + 12].fill(0xff);
    let mut checksum = good.clone();
    let directory = checksum.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    checksum[directory + 16] ^= 0xff;
    let cases: [(&str, Vec<u8>, Expected); 6] = [
        ("TK201713.ZIP", bomb, (inflate::LIMIT, None, None)),
        // Inflating ends where the header says, and what came so far has another checksum.
        ("TK201714.ZIP", lying, (inflate::BROKEN, None, None)),
        ("TK201715.ZIP", count, (inflate::LIMIT, None, None)),
        ("TK201716.ZIP", checksum, (inflate::BROKEN, None, None)),
        ("TK201717.ZIP", good[..good.len() - 30].to_vec(), (inflate::BROKEN, None, None)),
        ("TK201718.ZIP", b"PK\x05\x06".repeat(100_000), (inflate::LIMIT, None, None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
    }
}
