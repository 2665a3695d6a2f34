//! `rural-welfare`: workbooks of counties, which are archives of XML, and may be made to inflate, to allocate and to loop.

use std::io::{Cursor, Write};

use civilhub::{
    adapter::decode::{inflate, xlsx},
    domain::resident_id::RESIDENT_ID,
    simulate::write::xlsx::{Cell, Sheet, bytes},
};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::hub::{Expected, Hub};

const SYSTEM: &str = "rural-welfare";
const CENTRES: [&str; 6] = ["中心名称", "乡镇", "床位数", "入住人数", "特困人数", "负责人"];
const RESIDENTS: [&str; 4] = ["中心名称", "姓名", "身份证号", "入住日期"];

/// A good workbook of one centre and some residents.
fn book(serial: u32, ids: Vec<Cell>) -> Vec<u8> {
    let mut centres = Sheet::new("中心", &["标题"], &CENTRES);
    let name = format!("第{serial}福利中心");
    let texts = [name.as_str(), "临河街道", "60", "50", "20", "李明"];
    centres.push(texts.map(Cell::text).to_vec());
    let mut residents = Sheet::new("入住", &["标题"], &RESIDENTS);
    for id in ids {
        residents.push(vec![Cell::text(name.as_str()), Cell::text("王建国"), id, Cell::Blank]);
    }
    bytes(&[centres, residents]).unwrap()
}

/// A workbook whose first sheet is this XML.
fn raw(sheet: &[u8], more: &[(&str, &[u8])]) -> Vec<u8> {
    const TYPE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let relations = |kind: &str, target: &str| {
        format!(
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="{TYPE}/{kind}" Target="{target}"/></Relationships>"#
        )
    };
    let book = format!(
        r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{TYPE}"><sheets><sheet name="中心" sheetId="1" r:id="rId1"/></sheets></workbook>"#
    );
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, bytes: &[u8]| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    };
    put("_rels/.rels", relations("officeDocument", "xl/workbook.xml").as_bytes());
    put("xl/workbook.xml", book.as_bytes());
    put("xl/_rels/workbook.xml.rels", relations("worksheet", "worksheets/sheet1.xml").as_bytes());
    put("xl/worksheets/sheet1.xml", sheet);
    more.iter().for_each(|(name, bytes)| put(name, bytes));
    zip.finish().unwrap().into_inner()
}

fn sheet(rows: &str) -> Vec<u8> {
    format!("<worksheet><sheetData>{rows}</sheetData></worksheet>").into_bytes()
}

pub async fn all(hub: &mut Hub) {
    rows(hub).await;
    bombs(hub).await;
    damaged(hub).await;
    hub.takes(SYSTEM, "FW_220171_201801.xlsx", &book(99, vec![]), &[], 1).await;
}

async fn rows(hub: &mut Hub) {
    let ids = vec![
        Cell::text("220171197001010053"),
        Cell::Number(220_171_197_001_010_053.0),
        Cell::text("220171197001010054"),
        Cell::Formula("1/0".into(), "#DIV/0!".into()),
        Cell::text("\u{202e}220171\u{200b}"),
    ];
    let expected: [Expected; 4] = [
        (xlsx::DIGITS, Some(4), Some("身份证号")),
        (RESIDENT_ID, Some(5), Some("身份证号")),
        (xlsx::CELL_ERROR, Some(6), Some("身份证号")),
        (RESIDENT_ID, Some(7), Some("身份证号")),
    ];
    hub.takes(SYSTEM, "FW_220171_201701.xlsx", &book(1, ids), &expected, 2).await;
}

async fn bombs(hub: &mut Hub) {
    let attributes: String = (0..80_000).map(|number| format!(" a{number}=\"\"")).collect();
    let laughs = format!(
        "<!DOCTYPE x [<!ENTITY a \"ha\">{}]>{}",
        (b'b'..=b'z')
            .map(|c| format!("<!ENTITY {} \"&{};&{};\">", c as char, (c - 1) as char, (c - 1) as char))
            .collect::<String>(),
        r#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>&z;</t></is></c></row></sheetData></worksheet>"#
    );
    let strings = format!("<sst>{}</sst>", "<si><t/></si>".repeat(600_000));
    let styles = format!("<styleSheet><cellXfs>{}</cellXfs></styleSheet>", "<xf/>".repeat(2_000_000));
    let zeros = vec![0; 200 << 20];
    let cases: [(&str, Vec<u8>, Expected); 9] = [
        (
            "FW_220171_201702.xlsx",
            raw(&sheet(r#"<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#), &[]),
            (inflate::LIMIT, None, None),
        ),
        ("FW_220171_201703.xlsx", raw(&sheet(&format!("<row{attributes}/>")), &[]), (inflate::LIMIT, None, None)),
        ("FW_220171_201704.xlsx", raw(laughs.as_bytes(), &[]), (xlsx::SCRIPT, None, None)),
        ("FW_220171_201705.xlsx", raw(&sheet(""), &[("xl/media/a.png", &zeros)]), (inflate::LIMIT, None, None)),
        ("FW_220171_201706.xlsx", raw(&zeros, &[]), (inflate::LIMIT, None, None)),
        ("FW_220171_201707.xlsx", raw(&sheet(""), &[("xl/sharedStrings.xml", strings.as_bytes())]), (inflate::LIMIT, None, None)),
        ("FW_220171_201708.xlsx", raw(&sheet(""), &[("xl/styles.xml", styles.as_bytes())]), (inflate::LIMIT, None, None)),
        ("FW_220171_201709.xlsx", raw(&sheet(&"<c><v>1</v></c>".repeat(2_000_000)), &[]), (inflate::LIMIT, None, None)),
        ("FW_220171_201710.xlsx", raw(&sheet(&"<row>".repeat(100_000)), &[]), (inflate::LIMIT, None, None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
        let folder = hub.inbox(SYSTEM).join(".quarantine");
        assert!(folder.join(name).is_file() && folder.join(format!("{name}.fault.json")).is_file(), "{name}");
    }
}

async fn damaged(hub: &mut Hub) {
    let whole = book(50, vec![Cell::text("220171197001010053")]);
    let mut lying = whole.clone();
    let directory = lying.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    lying[directory + 24..directory + 28].copy_from_slice(&7_u32.to_le_bytes());
    let one = bytes(&[Sheet::new("别的", &[], &CENTRES)]).unwrap();
    let columns = bytes(&[Sheet::new("中心", &[], &["名称", "乡镇"])]).unwrap();
    let cases: [(&str, Vec<u8>, Expected); 8] = [
        ("FW_220171_201711.xlsx", whole[..whole.len() / 2].to_vec(), (inflate::BROKEN, None, None)),
        ("FW_220171_201712.xlsx", Vec::new(), (inflate::BROKEN, None, None)),
        ("FW_220171_201713.xlsx", lying, (inflate::BROKEN, None, None)),
        ("FW_220171_201714.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an old workbook".to_vec(), (xlsx::BROKEN, None, None)),
        ("FW_220171_201715.xlsx", one, (xlsx::SHEET, None, None)),
        ("FW_220171_201716.xlsx", columns, (xlsx::HEADER, None, None)),
        ("FW_220171_201717.xlsx", raw(b"<x/>", &[]), (xlsx::BROKEN, None, None)),
        ("FW_220171_201718.xlsx", raw(b"<worksheet><sheetData><row", &[]), (xlsx::BROKEN, None, None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
    }
}
