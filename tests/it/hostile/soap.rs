//! `child-adoption`: answers of a SOAP service that tries everything XML can do.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{Router, extract::State, routing::post};
use civilhub::{
    adapter::{
        decode::{self, jsonfile, xml},
        source::soap,
    },
    domain::{codes, date},
};
use encoding_rs::GBK;

use super::hub::{Expected, Hub};

const SYSTEM: &str = "child-adoption";
const ROWS: &str = "queryChild";
const PAGE: &str = "queryChild?page=1";
/// As in the private module of the client.
const ANSWER_TOO_LARGE: civilhub::error::Code = civilhub::error::Code::new(2081);

type Pages = Arc<Mutex<Vec<Vec<u8>>>>;

/// The legacy service; a page that it does not have is empty.
pub struct Service {
    pub url: String,
    pages: Pages,
}

impl Service {
    pub async fn start() -> Self {
        let pages = Pages::default();
        let app = Router::new().route("/ws", post(answer)).with_state(Arc::clone(&pages));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ws", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, pages }
    }

    fn show(&self, pages: Vec<Vec<u8>>) {
        *self.pages.lock().unwrap() = pages;
    }
}

async fn answer(State(pages): State<Pages>, body: String) -> Vec<u8> {
    if !body.contains("queryChild") {
        return envelope("queryAdoption", &document(""));
    }
    let page = body.split("<pageNo>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let page: usize = page.parse().unwrap();
    pages.lock().unwrap().get(page - 1).cloned().unwrap_or_else(|| envelope("queryChild", &document("")))
}

fn envelope(operation: &str, document: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
         <n:{operation}Response xmlns:n=\"urn:x\"><return><![CDATA[{document}]]></return></n:{operation}Response></s:Body></s:Envelope>"
    )
    .into_bytes()
}

fn document(rows: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"GBK\"?><response><returnCode>00000</returnCode><total>7</total><list>{rows}</list></response>"
    )
}

fn list(rows: &[String]) -> Vec<u8> {
    envelope("queryChild", &document(&rows.concat()))
}

/// A good row with something put into it.
fn with(number: u32, extra: &str) -> String {
    format!(
        "<row><registerNo>ET{number:08}</registerNo><adopteeName>孙小阳</adopteeName><adopteeIdCard>220171200909090027</adopteeIdCard>\
         <birthday>2009-09-09</birthday><childKind>1</childKind><allowance>1000</allowance><beginMonth>201507</beginMonth><status>1</status>\
         <divisionCode>220171001001</divisionCode><updateTime>2017-07-03 09:{:02}:{:02}</updateTime>{extra}</row>",
        number / 60,
        number % 60
    )
}

fn good(number: u32) -> String {
    with(number, "")
}

async fn takes(hub: &mut Hub, pages: Vec<Vec<u8>>, shown: (&str, &[Expected]), delivered: i64) {
    let (before, started) = (hub.delivered(SYSTEM), Instant::now());
    let bytes: usize = pages.iter().map(Vec::len).sum();
    hub.service.show(pages);
    hub.comes(SYSTEM, shown.0, shown.1, before + delivered).await;
    println!(
        "{SYSTEM:16} {:28} {bytes:>9} bytes {:>5} ms  {:?}, {delivered} delivered",
        shown.0,
        started.elapsed().as_millis(),
        shown.1.last()
    );
}

pub async fn all(hub: &mut Hub) {
    let told = rows(hub).await;
    pages(hub).await;
    takes(hub, vec![list(&[good(119)])], (ROWS, &told), 1).await;
}

/// Rows that cannot be taken, in the midst of good ones.
async fn rows(hub: &mut Hub) -> Vec<Expected> {
    let attributes: String = (0..80_000).map(|n| format!(" a{n}='1'")).collect();
    let hostile: Vec<(String, Expected)> = vec![
        (with(2, "<x>&company;</x>"), (xml::ENTITY, Some(2), Some("x"))),
        (with(3, "<x y='&a;'/>"), (xml::ENTITY, Some(3), Some("x"))),
        (with(4, &format!("<x{attributes}/>")), (xml::ATTRIBUTES, Some(4), Some("x"))),
        (with(5, &format!("{}{}", "<a>".repeat(200), "</a>".repeat(200))), (xml::DEPTH, Some(5), Some("a"))),
        (with(6, "<x>a\0b</x>"), (decode::NUL, Some(6), Some("x"))),
        (with(7, "<x>&#0;</x>"), (xml::SYNTAX, Some(7), Some("x"))),
        (with(8, &"<a/>".repeat(20_000)), (decode::ROW_TOO_LONG, Some(8), None)),
        (with(9, &format!("<x>{}</x>", "x".repeat(2_000_000))), (decode::ROW_TOO_LONG, Some(9), None)),
        ("<row><updateTime>2017-07-03 09:00:00</updateTime></row>".to_owned(), (jsonfile::SHAPE, Some(10), Some("registerNo"))),
        (good(11).replace("<childKind>1", "<childKind>7"), (codes::CODE_VALUE, None, Some("childKind"))),
        (good(12).replace("201507", "201513"), (date::DATE, None, Some("beginMonth"))),
    ];
    let mut answer = vec![good(1)];
    answer.extend(hostile.iter().map(|(row, _)| row.clone()));
    answer.push(good(14));
    let expected: Vec<Expected> = hostile.into_iter().map(|(_, expected)| expected).collect();
    takes(hub, vec![list(&answer)], (ROWS, &expected), 2).await;
    expected
}

/// Answers that cannot be taken at all. Each time the page after it is read all the same.
async fn pages(hub: &mut Hub) {
    let inside = |text: &str| envelope("queryChild", text);
    let laughs: String = (1..10).map(|n| format!("<!ENTITY l{n} '{}'>", format!("&l{};", n - 1).repeat(10))).collect();
    let cases: Vec<(Vec<u8>, Expected)> = vec![
        (inside(&format!("<!DOCTYPE r [<!ENTITY l0 'ha'>{laughs}]><response>&l9;</response>")), (xml::DTD, Some(1), None)),
        (b"<!DOCTYPE e SYSTEM 'file:///etc/passwd'><e/>".to_vec(), (xml::DTD, Some(1), None)),
        (inside("<!DOCTYPE r [<!ENTITY x SYSTEM 'http://127.0.0.1:1/x'>]><r/>"), (xml::DTD, Some(1), None)),
        (list(&[good(20)])[..400].to_vec(), (xml::SYNTAX, Some(1), None)),
        (inside(&"<a>".repeat(100_000)), (xml::DEPTH, Some(1), None)),
        (String::from_utf8(list(&[good(20)])).unwrap().replace("UTF-8", "GBK").into_bytes(), (xml::DECLARED, Some(1), None)),
        (GBK.encode(&String::from_utf8(list(&[good(20)])).unwrap()).0.into_owned(), (decode::ENCODING, None, None)),
        (inside("<other/>"), (xml::PATH, Some(1), None)),
        (b"<s:Envelope xmlns:s='x'><s:Body/></s:Envelope>".to_vec(), (soap::SHAPE, None, None)),
        (vec![b'x'; 50_000_000], (ANSWER_TOO_LARGE, None, None)),
    ];
    let mut told: Vec<Expected> = Vec::new();
    for (number, (bytes, expected)) in (60..).zip(cases) {
        // The same code on the same day is the same letter.
        if !told.iter().any(|(code, ..)| *code == expected.0) {
            told.push(expected);
        }
        takes(hub, vec![bytes, list(&[good(number)])], (PAGE, &told), 1).await;
    }
}
