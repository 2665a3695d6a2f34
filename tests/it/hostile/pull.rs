//! `assist-hall`: pages of a server that answers with anything.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Router,
    extract::{Query, State},
    routing::get,
};
use civilhub::{adapter::decode::jsonfile, json};
use encoding_rs::GBK;

use super::hub::{Expected, Hub};

const SYSTEM: &str = "assist-hall";
const PAGE: &str = "/api/accept?page=1";
/// As in the private module of the client.
const ANSWER_TOO_LARGE: civilhub::error::Code = civilhub::error::Code::new(2081);
const ROWS: &str = "/api/accept";

type Pages = Arc<Mutex<Vec<Vec<u8>>>>;

/// The legacy server; a page that it does not have is empty.
pub struct Server {
    pub url: String,
    pages: Pages,
}

impl Server {
    pub async fn start() -> Self {
        let pages = Pages::default();
        let app = Router::new().route("/api/accept", get(page)).with_state(Arc::clone(&pages));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, pages }
    }

    fn show(&self, pages: Vec<Vec<u8>>) {
        *self.pages.lock().unwrap() = pages;
    }
}

async fn page(State(pages): State<Pages>, Query(query): Query<HashMap<String, String>>) -> Vec<u8> {
    let number: usize = query["page"].parse().unwrap();
    pages.lock().unwrap().get(number - 1).cloned().unwrap_or_else(|| list(&[]))
}

fn list(rows: &[String]) -> Vec<u8> {
    format!("{{\"code\":0,\"total\":{},\"data\":[{}]}}", rows.len(), rows.join(",")).into_bytes()
}

/// A good row with something put into its object.
fn with(number: u32, extra: &str) -> String {
    format!(
        "{{\"acceptNo\":\"JZ{number:020}\",\"itemCode\":\"01001\",\"windowCode\":\"220171001001\",\"applicant\":{{\"name\":\"王建国\",\"idCard\":\"220171197001010053\"}},\
         \"status\":\"已受理\",\"updateTime\":\"2017-07-03 {:02}:{:02}:00\"{extra}}}",
        9 + number / 60,
        number % 60
    )
}

fn good(number: u32) -> String {
    with(number, "")
}

/// Shows pages and waits for what they must lead to; the dead letters of `shown` are those of all cases so far.
async fn takes(hub: &mut Hub, pages: Vec<Vec<u8>>, shown: (&str, &[Expected]), delivered: i64) {
    let (before, started) = (hub.delivered(SYSTEM), Instant::now());
    let bytes: usize = pages.iter().map(Vec::len).sum();
    hub.server.show(pages);
    hub.comes(SYSTEM, shown.0, shown.1, before + delivered).await;
    println!(
        "{SYSTEM:16} {:28} {bytes:>9} bytes {:>5} ms  {:?}, {delivered} delivered",
        shown.0,
        started.elapsed().as_millis(),
        shown.1.last()
    );
}

pub async fn all(hub: &mut Hub) {
    rows(hub).await;
    pages(hub).await;
    takes(hub, vec![list(&[good(119)])], (ROWS, &of_rows()), 1).await;
}

fn of_rows() -> Vec<Expected> {
    vec![
        (json::SURROGATE, Some(1), Some("/data/1/note")),
        (json::DUPLICATE_KEY, Some(1), Some("/data/2/status")),
        (json::NUMBER, Some(1), Some("/data/3/score")),
        (json::NUL, Some(1), Some("/data/4/note")),
        (json::NUMBER, Some(1), Some("/data/5/score")),
        (jsonfile::SHAPE, Some(7), Some("/data/6")),
        (jsonfile::SHAPE, Some(8), None),
    ]
}

/// Records that JSON cannot tell, in the midst of good ones.
async fn rows(hub: &mut Hub) {
    let rows = [
        good(1),
        with(2, r#","note":"\ud800""#),
        with(3, r#","status":"办结""#),
        with(4, r#","score":18446744073709551616"#),
        with(5, r#","note":"a\u0000b""#),
        with(6, r#","score":9007199254740993.5"#),
        "[1]".to_owned(),
        r#"{"updateTime":"2017-07-03 09:00:00"}"#.to_owned(),
        // Beyond 2^53, and kept to the last digit.
        with(9, r#","score":9007199254740993"#),
        good(10),
    ];
    takes(hub, vec![list(&rows)], (ROWS, &of_rows()), 3).await;
}

/// Pages that are no JSON at all. Each time the page after it is read all the same.
async fn pages(hub: &mut Hub) {
    let long = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    let cases: [(Vec<u8>, Expected); 8] = [
        (format!("{{\"data\":{}", "[".repeat(100_000)).into_bytes(), (json::DEPTH, Some(1), None)),
        (GBK.encode(&String::from_utf8(list(&[good(20)])).unwrap()).0.into_owned(), (json::UTF8, Some(1), None)),
        (list(&[good(20)])[..150].to_vec(), (json::SYNTAX, Some(1), None)),
        ([list(&[good(20)]), list(&[])].concat(), (json::TRAILING, Some(1), None)),
        (b"{\"data\":[],\"data\":[]}".to_vec(), (json::DUPLICATE_KEY, Some(1), Some("/data"))),
        (b"{\"data\":7}".to_vec(), (jsonfile::SHAPE, None, Some("/data"))),
        (format!("{{\"data\":[{}{{}}]}}", long("{\"a\":0},", 8_000_000)).into_bytes(), (json::TOO_LARGE, Some(1), None)),
        (long("x", 50_000_000).into_bytes(), (ANSWER_TOO_LARGE, None, None)),
    ];
    let mut told = Vec::new();
    for (number, (bytes, expected)) in (100..).zip(cases) {
        told.push(expected);
        takes(hub, vec![bytes, list(&[good(number)])], (PAGE, &told), 1).await;
    }
}
