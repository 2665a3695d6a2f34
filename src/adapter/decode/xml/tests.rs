use std::{io::Cursor, time::Instant};

use encoding_rs::GBK;
use serde_json::json;

use super::*;
use crate::adapter::decode::{NUL, ROW_TOO_LONG};

fn xml(options: &str) -> Xml {
    Xml::new(&format!("rows = 'list/item'\n{options}").parse().unwrap()).unwrap()
}

type Read = Result<Value, (u64, Code)>;

fn read(format: &Xml, bytes: &[u8]) -> Result<Vec<Read>, Code> {
    format.verify(&mut Cursor::new(bytes)).map_err(|faults| faults[0].code)?;
    let mut rows = format.rows(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
    Ok(std::iter::from_fn(|| rows.next())
        .map(|row| row.map(|row| row.data).map_err(|bad| (bad.number, bad.faults[0].code)))
        .collect())
}

#[track_caller]
fn check(text: &str, expected: &[Read]) {
    assert_eq!(read(&xml("lists = ['drug']"), text.as_bytes()).unwrap(), expected);
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, code: Code) {
    assert_eq!(read(&xml(""), text.as_ref()), Err(code));
}

fn list(rows: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<list>{rows}</list>")
}

#[test]
fn children_attributes_and_repeats_become_fields() {
    let rows = "<!-- x --><ns:item xmlns:ns='u' no='1&lt;2'><a> 张 三 </a><b/><c x='1'>t</c><c/><drug>d</drug></ns:item>\
                <other><item/></other><item><n i:nil='true' xmlns:i='v'/><d><e>1</e><e>2</e> </d><![CDATA[<a>&]]>&#x5f20;</item>";
    let second = json!({"n": null, "d": {"e": ["1", "2"]}, "#text": "<a>&张"});
    check(
        &list(rows),
        &[Ok(json!({"@no": "1<2", "a": " 张 三 ", "b": "", "c": [{"@x": "1", "#text": "t"}, ""], "drug": ["d"]})), Ok(second)],
    );
    check(&list(""), &[]);
}

#[test]
fn facts_outside_the_rows_are_beside_them() {
    let text = "<list total='2'><code>00000</code><item/><late>1</late></list>";
    let mut rows = xml("").rows(Box::new(Cursor::new(text))).unwrap();
    let row = rows.next().unwrap().unwrap();
    assert_eq!(Value::Object(row.meta), json!({"header": {"list@total": "2", "code": "00000"}}));
    let document = document(text.as_bytes(), &Rules::new(&"rows = 'list/item'".parse().unwrap()).unwrap()).unwrap();
    assert_eq!((document.rows.len(), document.header["late"].as_str()), (1, Some("1")));
}

#[test]
fn a_hostile_row_costs_only_itself() {
    let attributes: String = (0..80_000).map(|n| format!(" a{n}='1'")).collect();
    let cases = [
        ("<a>&nbsp;</a>".to_owned(), ENTITY),
        ("<a b='&x;'/>".to_owned(), ENTITY),
        (format!("<a{attributes}/>"), ATTRIBUTES),
        (format!("{}{}", "<a>".repeat(200), "</a>".repeat(200)), DEPTH),
        ("<a b='1' b='2'/>".to_owned(), SYNTAX),
        ("<a>&#0;</a>".to_owned(), SYNTAX),
        ("<a>\0</a>".to_owned(), NUL),
        ("<a>\u{1}</a>".to_owned(), SYNTAX),
        ("<a/>".repeat(10_001), ROW_TOO_LONG),
        (format!("<a>{}</a>", "x".repeat(2 << 20)), ROW_TOO_LONG),
    ];
    for (row, code) in cases {
        let started = Instant::now();
        let text = list(&format!("<item><k>张</k></item><item>{row}</item><item/>"));
        check(&text, &[Ok(json!({"k": "张"})), Err((2, code)), Ok(json!({}))]);
        assert!(started.elapsed().as_secs() < 3, "{code} took {:?}", started.elapsed());
    }
}

#[test]
fn a_hostile_document_is_refused_whole() {
    let laughs = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><list><item>&b;</item></list>";
    refused(laughs, DTD);
    refused("<!DOCTYPE l SYSTEM 'file:///etc/passwd'><list/>", DTD);
    refused(format!("<list {}><item/></list>", (0..80_000).map(|n| format!("a{n}='1' ")).collect::<String>()), ATTRIBUTES);
    refused(list(&format!("<item>{}</item>", "<a>".repeat(5000))), DEPTH);
    refused(list(&format!("<item><a>{}</a></item>", "x".repeat(17 << 20))), TOO_LARGE);
    refused(list(&format!("<item><{}/></item>", "x".repeat(9999))), TOO_LARGE);
    for broken in
        ["", "<list><item></list>", "<list/><list/>", "x<list/>", "<list><item>", "<list><item/></list", "<list><item a=/></lis>"]
    {
        refused(broken, SYNTAX);
    }
    refused("<list/><?xml version='1.0'?>", SYNTAX);
    for nowhere in ["<lists><item/></lists>", "<a><list><item/></list></a>"] {
        refused(nowhere, PATH);
    }
    assert_eq!(read(&xml("limit = 1000"), list(&"<item/>".repeat(1000)).as_bytes()), Err(TOO_LARGE));
}

#[test]
fn the_declared_charset_must_be_that_of_the_adapter() {
    let gbk = |declared: &str| {
        let text = format!("<?xml version=\"1.0\" encoding=\"{declared}\"?><list><item>张三</item><item>李]]四</item></list>");
        GBK.encode(&text).0.into_owned()
    };
    let rows = [Ok(json!({"#text": "张三"})), Ok(json!({"#text": "李]]四"}))];
    assert_eq!(read(&xml("encoding = 'GBK'"), &gbk("GB2312")).unwrap(), rows);
    assert_eq!(read(&xml("encoding = 'GBK'"), &gbk("UTF-8")), Err(DECLARED));
    assert_eq!(read(&xml("encoding = 'GBK'\ndeclared = 'ignore'"), &gbk("UTF-8")).unwrap(), rows);
    // Declared UTF-8 and GBK in truth, and the other way round; the second reads as nonsense.
    assert_eq!(read(&xml(""), &gbk("UTF-8")), Err(ENCODING));
    let lie = "<?xml version='1.0' encoding='GBK'?><list><item>王建国先生</item></list>";
    assert_eq!(read(&xml("encoding = 'GBK'"), lie.as_bytes()), Err(ENCODING));
    refused(gbk("GBK"), DECLARED);
    refused(b"\xff\xfe<\0l\0", DECLARED);
    refused("<?xml version='1.0' encoding='KOI8-R'?><list/>", DECLARED);
}

#[test]
fn one_damaged_row_is_told_from_a_wrong_charset() {
    let text = [b"<list><item>".to_vec(), "张".into(), b"</item><item>\xd5\xff</item></list>".to_vec()].concat();
    assert_eq!(read(&xml(""), &text).unwrap(), [Ok(json!({"#text": "张"})), Err((2, ENCODING))]);
}

#[test]
fn characters_and_tags_may_lie_across_chunks() {
    let text = list(&"<item><名称 a='张'>王建国</名称></item>".repeat(9000));
    let gb = GBK.encode(&text.replace("UTF-8", "GBK")).0.into_owned();
    let rows = read(&xml("encoding = 'GBK'"), &gb).unwrap();
    assert!(rows.len() == 9000 && rows.iter().all(|row| *row == Ok(json!({"名称": {"@a": "张", "#text": "王建国"}}))));
}

#[test]
fn wrong_options_are_told() {
    let table = "rows = 'a//b'\nencoding = 'x'\ndeclared = 'maybe'\nrow_limit = 0".parse().unwrap();
    assert_eq!(Rules::new(&table).unwrap_err().len(), 4);
}
