use std::io::{Cursor, Write};

use serde_json::json;
use time::macros::date;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    adapter::decode::{ROW_TOO_LONG, csv},
    simulate::write::xlsx::{Cell, Sheet, bytes},
};

const OPTIONS: &str = "columns = ['姓名', '身份证号', '日期']\ntext = ['身份证号']\ndates = ['日期']\nmerged = 'fill'\n";

type Read = Result<serde_json::Value, (u64, Vec<Code>)>;

fn xlsx(options: &str) -> Xlsx {
    Xlsx::new(&options.parse().unwrap()).unwrap()
}

fn read(options: &str, book: &[u8]) -> Vec<Read> {
    let mut rows = xlsx(options).rows(Box::new(Cursor::new(book.to_vec()))).unwrap();
    std::iter::from_fn(|| rows.next())
        .map(|row| row.map(|row| row.data).map_err(|bad| (bad.number, bad.faults.iter().map(|fault| fault.code).collect())))
        .collect()
}

fn verify(options: &str, book: &[u8]) -> Result<u64, Code> {
    xlsx(options).verify(&mut Cursor::new(book)).map_err(|faults| faults[0].code)
}

fn ledger() -> Sheet {
    Sheet::new("近亲属", &["某县 2017 年备案台账", "填报单位：民政局"], &["姓 名", "身份证号", "日期", "金额"])
}

fn row(name: &str, id: Cell, day: Cell, amount: Cell) -> Vec<Cell> {
    vec![Cell::text(name), id, day, amount]
}

/// A workbook of raw parts around one sheet.
fn raw(sheet: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    const TYPE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let relations = |kind: &str, target: &str| {
        format!(
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="{TYPE}/{kind}" Target="{target}"/></Relationships>"#
        )
    };
    let book = format!(
        r#"<workbook xmlns="{MAIN}" xmlns:r="{TYPE}"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#
    );
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let parts = [
        ("_rels/.rels", relations("officeDocument", "xl/workbook.xml").into_bytes()),
        ("xl/workbook.xml", book.into_bytes()),
        ("xl/_rels/workbook.xml.rels", relations("worksheet", "worksheets/sheet1.xml").into_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes().to_vec()),
    ];
    let more = more.iter().map(|(name, bytes)| (*name, bytes.to_vec()));
    for (name, bytes) in parts.into_iter().chain(more) {
        zip.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn sheet(cells: &str) -> String {
    format!(
        r#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>A</t></is></c></row>{cells}</sheetData></worksheet>"#
    )
}

#[test]
fn titles_are_passed_over_and_every_value_is_text() {
    let mut book = ledger();
    book.push(row("张三", Cell::text("220171197001010053"), Cell::Date(date!(2017 - 07 - 03)), Cell::Number(480.1)));
    book.push(row("李四", Cell::text("220171197001010053"), Cell::Serial(date!(2016 - 02 - 29)), Cell::Number(0.1 + 0.2)));
    book.push(row(" ", Cell::Blank, Cell::Blank, Cell::Blank));
    book.push(row("王五", Cell::Blank, Cell::text("2017年7月3日"), Cell::Formula("1+1".into(), "2".into())));
    let book = bytes(&[Sheet::new("说明", &["空"], &["x"]), book]).unwrap();
    let options = format!("{OPTIONS}sheet = 2");
    let rows = read(&options, &book);
    let expected = [
        Ok(json!({"姓名": "张三", "身份证号": "220171197001010053", "日期": "2017-07-03", "金额": "480.1"})),
        Ok(json!({"姓名": "李四", "身份证号": "220171197001010053", "日期": "2016-02-29", "金额": "0.3"})),
        Ok(json!({"姓名": "王五", "身份证号": null, "日期": "2017年7月3日", "金额": "2"})),
    ];
    assert_eq!(rows, expected);
    assert_eq!(verify(&options, &book), Ok(3));
    assert_eq!(read(&format!("{OPTIONS}sheet = '近 亲属'"), &book), expected);
}

#[test]
fn rows_have_the_numbers_excel_shows() {
    let mut book = ledger();
    assert_eq!(book.push(row("张三", Cell::Blank, Cell::Blank, Cell::Blank)), 4);
    let book = bytes(&[book]).unwrap();
    let decoded = xlsx(OPTIONS).rows(Box::new(Cursor::new(book))).unwrap().next().unwrap().unwrap();
    assert_eq!((decoded.number, &decoded.meta["sheet"]), (4, &json!("近亲属")));
}

#[test]
fn a_number_that_lost_its_digits_refuses_its_row() {
    let mut book = ledger();
    book.push(row("张三", Cell::Number(220_171_197_001_010_053.0), Cell::Blank, Cell::Blank));
    book.push(row("李四", Cell::text("220171197001010053"), Cell::Blank, Cell::Number(6_217_990_220_171_234_560.0)));
    book.push(row("王五", Cell::Number(220_171_700_101_005.0), Cell::Blank, Cell::Number(220_171_700_101_005.0)));
    book.push(row("赵六", Cell::Number(22_017_170_010_100.0), Cell::Blank, Cell::Number(220_171_001_001.0)));
    book.push(row("钱七", Cell::Blank, Cell::Formula("1/0".into(), "#DIV/0!".into()), Cell::Blank));
    let rows = read(OPTIONS, &bytes(&[book]).unwrap());
    assert_eq!(rows[0], Err((4, vec![DIGITS])));
    assert_eq!(rows[1], Err((5, vec![DIGITS])));
    assert_eq!(rows[2], Err((6, vec![DIGITS])));
    assert_eq!(rows[3].as_ref().unwrap()["金额"], "220171001001");
    assert_eq!(rows[4], Err((8, vec![CELL_ERROR])));
}

#[test]
fn merged_cells_are_filled_down_where_the_adapter_says_so() {
    let mut book = ledger();
    for (name, amount) in [("张三", 1.0), ("", 2.0), ("李四", 3.0)] {
        book.push(row(name, Cell::Blank, Cell::Blank, Cell::Number(amount)));
    }
    book.rows[1][0] = Cell::Blank;
    book.merged.push((0, 1, 0));
    let book = bytes(&[book]).unwrap();
    let names = |options: &str| -> Vec<serde_json::Value> {
        read(options, &book).into_iter().map(|row| row.unwrap()["姓名"].clone()).collect()
    };
    assert_eq!(names(OPTIONS), [json!("张三"), json!("张三"), json!("李四")]);
    assert_eq!(names(&OPTIONS.replace("fill", "first")), [json!("张三"), json!(null), json!("李四")]);
}

#[test]
fn sheets_and_headers_that_are_not_there_are_coded() {
    let book = bytes(&[ledger()]).unwrap();
    assert_eq!(verify(OPTIONS, &book), Ok(0));
    assert_eq!(verify(&format!("{OPTIONS}sheet = 2"), &book), Err(SHEET));
    assert_eq!(verify("columns = ['姓名', '性别']", &book), Err(HEADER));
    let twice = bytes(&[Sheet::new("S", &[], &["姓名", "身份证号", "日期", "日 期"])]).unwrap();
    assert_eq!(verify(OPTIONS, &twice), Err(csv::COLUMNS));
    for (bytes, code) in [(&b"PK"[..], inflate::BROKEN), (b"", inflate::BROKEN), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", BROKEN)] {
        assert_eq!(verify(OPTIONS, bytes), Err(code));
    }
    assert_eq!(Xlsx::new(&"sheet = 0".parse().unwrap()).err().unwrap().len(), 2);
}

#[test]
fn hostile_workbooks_are_refused_before_they_are_opened() {
    let options = "columns = ['A']";
    assert_eq!(verify(options, &raw(&sheet(r#"<row r="2"><c r="A2"><v>1</v></c></row>"#), &[])), Ok(1));
    let lone = sheet(r#"<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>"#);
    let formatted = sheet(r#"<row r="1048576"><c r="XFD1048576" s="0"/></row>"#);
    let lies = sheet("").replace("<sheetData>", r#"<dimension ref="A1:XFD1048576"/><sheetData>"#);
    let attributes: String = (0..80_000).map(|number| format!(" a{number}=\"\"")).collect();
    let laughs = format!(
        "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>{}",
        sheet("<row r=\"2\"><c r=\"A2\" t=\"inlineStr\"><is><t>&b;</t></is></c></row>")
    );
    let many = "<si><t/></si>".repeat(500_001);
    let styles = format!("<styleSheet><cellXfs>{}</cellXfs></styleSheet>", "<xf/>".repeat(200_001));
    let cells = "<c><v>1</v></c>".repeat(1_000_001);
    let cases: Vec<(&str, Vec<u8>, Result<u64, Code>)> = vec![
        ("lone cell", raw(&lone, &[]), Err(inflate::LIMIT)),
        ("formatted cell", raw(&formatted, &[]), Ok(0)),
        ("dimension", raw(&lies, &[]), Ok(0)),
        ("attributes", raw(&sheet(&format!("<row{attributes}></row>")), &[]), Err(inflate::LIMIT)),
        ("laughs", raw(&laughs, &[]), Err(SCRIPT)),
        ("strings", raw(&sheet(""), &[("xl/sharedStrings.xml", many.as_bytes())]), Err(inflate::LIMIT)),
        ("styles", raw(&sheet(""), &[("xl/styles.xml", styles.as_bytes())]), Err(inflate::LIMIT)),
        ("cells", raw(&sheet(&format!("<row>{cells}</row>")), &[]), Err(inflate::LIMIT)),
        ("zeros", raw(&sheet(""), &[("xl/media/image1.png", &vec![0; 80 << 20])]), Err(inflate::LIMIT)),
        ("depth", raw(&sheet(&"<row>".repeat(10_000)), &[]), Err(inflate::LIMIT)),
        ("not a sheet", raw("<x/>", &[]), Err(BROKEN)),
        ("cut", raw(&sheet("")[..80], &[]), Err(BROKEN)),
    ];
    for (name, book, expected) in cases {
        let started = std::time::Instant::now();
        assert_eq!(verify(options, &book), expected, "{name}");
        assert!(started.elapsed().as_secs() < 5, "{name}");
    }
}

#[test]
fn a_shared_text_repeated_over_and_over_costs_its_row() {
    let text = "张".repeat(10_000);
    let columns = ["A", "B", "C", "D"];
    let mut book = Sheet::new("S", &[], &columns);
    book.push(columns.map(|_| Cell::text(text.as_str())).to_vec());
    book.push(vec![Cell::text("x")]);
    let rows = read("columns = ['A']", &bytes(&[book]).unwrap());
    assert_eq!(rows, [Err((2, vec![ROW_TOO_LONG])), Ok(json!({"A": "x", "B": null, "C": null, "D": null}))]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_makes_it_panic(at in 0usize..10_000, byte in proptest::num::u8::ANY, cut in 0usize..20_000) {
        let mut book = ledger();
        book.push(row("张三", Cell::text("1"), Cell::Date(date!(2017 - 07 - 03)), Cell::Number(1.0)));
        let mut book = bytes(&[book]).unwrap();
        let at = at % book.len();
        book[at] = byte;
        book.truncate(cut.max(at));
        let _ = verify(OPTIONS, &book);
    }
}
