use std::io::Write;

use encoding_rs::GBK;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    adapter::decode::dbf::memo,
    simulate::write::{
        dbf::{CodePage, Field, Memos, Table},
        zip::{Archive as Writer, Names},
    },
};

fn archive(options: &str) -> Arc<dyn Format> {
    super::super::files_of(&options.parse().unwrap()).unwrap().format
}

fn json() -> Arc<dyn Format> {
    archive("archive = '*.zip'\nfiles = '*.json'\nformat = 'json'\narchive_total = 3000000")
}

fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = Writer::new(Names::Gbk);
    files.iter().for_each(|(name, bytes)| zip.push(name, bytes).unwrap());
    zip.bytes()
}

fn verify(format: &Arc<dyn Format>, bytes: &[u8]) -> Result<u64, Vec<Code>> {
    format.verify(&mut Cursor::new(bytes)).map_err(|faults| faults.iter().map(|fault| fault.code).collect())
}

type Read = (u32, String, Result<String, Vec<Code>>);

fn read(format: &Arc<dyn Format>, bytes: &[u8]) -> Vec<Read> {
    let mut rows = format.rows(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next() {
        let (number, name) = rows.member().map(|(number, name)| (number, name.to_owned())).unwrap();
        let row = row.map(|row| row.data.to_string());
        all.push((number, name, row.map_err(|bad| bad.faults.iter().map(|fault| fault.code).collect())));
    }
    all
}

#[test]
fn members_are_read_by_name_and_a_bad_one_stops_only_itself() {
    let bytes =
        pack(&[("长春/b.json", b"[{\"a\":3}]"), ("a.json", b"[{\"a\":1},{\"a\":2}]"), ("c.json", b"{"), ("readme.txt", b"x")]);
    assert_eq!(verify(&json(), &bytes), Ok(3));
    let rows = read(&json(), &bytes);
    let seen: Vec<(u32, &str, bool)> = rows.iter().map(|(number, name, row)| (*number, name.as_str(), row.is_ok())).collect();
    assert_eq!(seen, [(1, "a.json", true), (1, "a.json", true), (2, "c.json", false), (3, "长春/b.json", true)]);
    assert_eq!(verify(&json(), &pack(&[("c.json", b"{")])).unwrap_err().len(), 1);
    assert_eq!(verify(&json(), &pack(&[("c.txt", b"{")])), Err(vec![NOTHING]));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../a.json", "/a.json", "x/../../a.json", "..\\a.json", "C:\\a.json", "\\\\host\\a.json"] {
        assert_eq!(verify(&json(), &pack(&[("ok.json", b"[]"), (name, b"[]")])), Err(vec![NAME]), "{name}");
    }
    for name in ["a.zip", "b/b.RAR", "c.tar.gz"] {
        assert_eq!(verify(&json(), &pack(&[("ok.json", b"[]"), (name, b"x")])), Err(vec![NESTED]), "{name}");
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link.json", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    assert_eq!(verify(&json(), &zip.finish().unwrap().into_inner()), Err(vec![NAME]));
}

#[test]
fn what_comes_out_counts_and_not_what_headers_say() {
    let long = format!("[\"{}\"]", "x".repeat(2 << 20));
    let bomb = pack(&[("a.json", long.as_bytes())]);
    assert_eq!(verify(&json(), &bomb), Err(vec![inflate::LIMIT]));
    // The directory says the member is small.
    let mut lying = bomb.clone();
    let directory = bomb.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    lying[directory + 24..directory + 28].copy_from_slice(&10_u32.to_le_bytes());
    lying[22..26].copy_from_slice(&10_u32.to_le_bytes());
    let code = verify(&json(), &lying).unwrap_err()[0];
    assert!([inflate::LIMIT, inflate::BROKEN].contains(&code), "{code}");
    let good = pack(&[("a.json", b"[{\"a\":1}]"), ("b.json", b"[]")]);
    for at in [14, 18, 22, 30 + 6] {
        let mut broken = good.clone();
        broken[at] ^= 0x55;
        let read = verify(&json(), &broken);
        assert!(read.is_err() || read == Ok(1), "{at}: {read:?}");
    }
    for cut in [0, 10, good.len() / 2, good.len() - 1] {
        assert_eq!(verify(&json(), &good[..cut]), Err(vec![inflate::BROKEN]), "{cut}");
    }
    let many: Vec<(String, &[u8])> = (0..1001).map(|number| (format!("{number}.json"), &b"[]"[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    assert_eq!(verify(&json(), &pack(&many)), Err(vec![inflate::LIMIT]));
    let mut end = good.clone();
    let at = end.len() - 12;
    end[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
    assert_eq!(verify(&json(), &end), Err(vec![inflate::LIMIT]));
}

#[test]
fn other_ways_to_pack_are_refused_or_read() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a.json", SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
    zip.write_all(b"[{\"a\":1}]").unwrap();
    assert_eq!(verify(&json(), &zip.finish().unwrap().into_inner()), Ok(1));
    let mut encrypted = pack(&[("a.json", b"[]")]);
    let directory = encrypted.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    encrypted[6] |= 1;
    encrypted[directory + 8] |= 1;
    assert_eq!(verify(&json(), &encrypted), Err(vec![inflate::BROKEN]));
}

#[test]
fn a_table_finds_its_memos_beside_it() {
    const FIELDS: [Field; 2] =
        [Field { name: "XM", kind: b'C', length: 8, decimals: 0 }, Field { name: "BZ", kind: b'M', length: 10, decimals: 0 }];
    let (mut table, mut memos) = (Table::new(&FIELDS), Memos::default());
    table.push(&["张三".to_owned(), memos.push("入院时体检正常")], false);
    table.push(&["李四".to_owned(), String::new()], false);
    table.push(&["王五".to_owned(), "999999".to_owned()], false);
    table.push(&["赵六".to_owned(), memos.push("末")], false);
    let dbf = table.bytes(time::macros::date!(2017 - 07 - 03), CodePage::Gbk);
    let fpt = memos.bytes();
    let format = archive("archive = '*.zip'\nfiles = 'TK*.DBF'\nformat = 'dbf'\nmemo = 'fpt'");
    let rows = read(&format, &pack(&[("TK1.DBF", &dbf), ("tk1.fpt", &fpt)]));
    assert_eq!(rows[0].2, Ok("{\"BZ\":\"入院时体检正常\",\"XM\":\"张三\"}".to_owned()));
    assert_eq!(rows[1].2, Ok("{\"BZ\":null,\"XM\":\"李四\"}".to_owned()));
    assert_eq!(rows[2].2, Err(vec![memo::BROKEN]));
    assert_eq!(rows[3].2, Ok("{\"BZ\":\"末\",\"XM\":\"赵六\"}".to_owned()));
    assert_eq!(verify(&format, &pack(&[("TK1.DBF", &dbf)])), Err(vec![memo::MISSING]));
    for cut in [0, 511, 512] {
        assert_eq!(verify(&format, &pack(&[("TK1.DBF", &dbf), ("TK1.FPT", &fpt[..cut])])), Err(vec![memo::BROKEN]), "{cut}");
    }
    // Cut inside the last memo: its row is refused, the others are whole.
    let rows = read(&format, &pack(&[("TK1.DBF", &dbf), ("TK1.FPT", &fpt[..512 + 64 + 9])]));
    assert!(rows[0].2.is_ok());
    assert_eq!(rows[3].2, Err(vec![memo::BROKEN]));
}

#[test]
fn gbk_names_and_options() {
    assert_eq!(decoded(&GBK.encode("长春市").0).as_deref(), Some("长春市"));
    assert_eq!(decoded(b"\xff\xff"), None);
    let faults = super::super::files_of(&"files = 'x'\nformat = 'json'\narchive_total = 1".parse().unwrap());
    assert_eq!(faults.err().unwrap()[0].code, options::BAD_OPTION);
    let faults = super::super::files_of(&"files = 'x'\nformat = 'json'\narchive = '*.zip'\narchive_totl = 1".parse().unwrap());
    assert_eq!(faults.err().unwrap()[0].code, options::UNKNOWN_OPTION);
}
