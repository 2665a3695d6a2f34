//! `disaster-report`: signed bodies of a sender that has gone mad, and bytes of one that never was a sender.

use std::time::{Duration, Instant};

use civilhub::{adapter::source::http_push, clock, error::Code, json, schema::fault::WRONG_TYPE};
use encoding_rs::GBK;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::hub::{Hub, PUSH_SECRET};

const SYSTEM: &str = "disaster-report";
const PATH: &str = "/in/disaster-report/report";

fn report(seq: u32, more: &str) -> String {
    format!(
        "{{\"eventNo\":\"0102002017071322022101\",\"divisionCode\":\"220221100000\",\"reportType\":\"XB\",\"seq\":{seq},\"hazard\":\"010200\",\
         \"occurredAt\":\"2017-07-13 18:00:00\",\"asOf\":\"2017-07-13 19:00:00\",\"submitTime\":\"2017-07-13 19:30:00\",\
         \"indicators\":{{\"A02\":1200{more}}},\"reporter\":{{\"name\":\"王建国\",\"phone\":\"13800000000\"}}}}"
    )
}

fn sign(timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(PUSH_SECRET.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Status and body of the answer to a well-signed delivery.
async fn push(hub: &Hub, id: &str, body: Vec<u8>) -> (u16, Value) {
    let timestamp = clock::now().unix_timestamp().to_string();
    let request = reqwest::Client::new().post(format!("{}{PATH}", hub.url)).timeout(Duration::from_secs(30));
    let request =
        request.header("x-signature", sign(&timestamp, &body)).header("x-timestamp", timestamp).header("x-delivery-id", id);
    let answer = request.body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

pub async fn all(hub: &mut Hub) {
    answered(hub).await;
    liars(hub).await;
    many_at_once(hub).await;
    let (status, _) = push(hub, "good", report(900, "").into_bytes()).await;
    assert_eq!(status, 202);
    hub.comes(SYSTEM, "none", &[], 3 + 24 + 1).await;
}

/// Bodies that are told what is wrong with them, and the report after each of them is taken.
async fn answered(hub: &mut Hub) {
    let nested = |count: usize| report(1, &format!(",\"A03\":{}", "[".repeat(count))).into_bytes();
    let cases: [(&str, Vec<u8>, u16, Code, &str); 11] = [
        ("nested", nested(100_000), 400, json::DEPTH, "pointer"),
        ("twice", report(1, ",\"A02\":7").into_bytes(), 400, json::DUPLICATE_KEY, "pointer"),
        ("number", report(1, ",\"A03\":18446744073709551617").into_bytes(), 400, json::NUMBER, "pointer"),
        ("decimal", report(1, ",\"A03\":0.12345678901234567890").into_bytes(), 400, json::NUMBER, "pointer"),
        ("nul", report(1, ",\"A03\":\"\\u0000\"").into_bytes(), 400, json::NUL, "pointer"),
        ("surrogate", report(1, ",\"A03\":\"\\udfff\"").into_bytes(), 400, json::SURROGATE, "pointer"),
        ("gbk", GBK.encode(&report(1, "")).0.into_owned(), 400, json::UTF8, "column"),
        ("cut", report(1, "").into_bytes()[..200].to_vec(), 400, json::SYNTAX, "column"),
        ("bomb", format!("[{}{{}}]", "{\"a\":0},".repeat(120_000)).into_bytes(), 400, json::TOO_LARGE, "column"),
        ("large", report(1, &format!(",\"A03\":\"{}\"", "x".repeat(2 << 20))).into_bytes(), 413, json::TOO_LARGE, ""),
        ("rows", format!("[{}{{}}]", "{},".repeat(2_000)).into_bytes(), 413, http_push::TOO_MANY_ROWS, ""),
    ];
    for (name, body, expected, code, place) in cases {
        let (started, length) = (Instant::now(), body.len());
        let (status, answer) = push(hub, name, body).await;
        assert_eq!((status, answer["code"].as_str()), (expected, Some(code.to_string().as_str())), "{name}: {answer}");
        assert!(place.is_empty() || answer["faults"][0][place].is_string(), "{name}: {answer}");
        assert!(!answer.to_string().contains("王建国"));
        println!("{SYSTEM:16} {name:28} {length:>9} bytes {:>5} ms  {status} {code}", started.elapsed().as_millis());
    }
    // What is JSON but no report is taken, and refused by the schema with its place; a number beyond 2^53 is kept exactly.
    for (seq, more) in [(2, ",\"A03\":\"many\""), (3, ",\"A03\":9007199254740993"), (4, ""), (5, "")] {
        let (status, answer) = push(hub, &format!("seq {seq}"), report(seq, more).into_bytes()).await;
        assert_eq!(status, 202, "{answer}");
    }
    let letters = loop {
        let letters = crate::support::program::dead(&hub.data());
        let letters: Vec<Value> = letters.into_iter().filter(|letter| letter["system"] == SYSTEM).collect();
        if !letters.is_empty() && hub.delivered(SYSTEM) == 3 {
            break letters;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(letters.len(), 1, "{letters:?}");
    let fault = &letters[0]["faults"][0];
    assert_eq!(
        (fault["code"].as_str(), fault["pointer"].as_str()),
        (Some(WRONG_TYPE.to_string().as_str()), Some("/indicators/A03")),
        "{letters:?}"
    );
}

/// Headers that lie about the body, and things that are no request.
async fn liars(hub: &Hub) {
    let head = |length: &str| format!("POST {PATH} HTTP/1.1\r\nhost: hub\r\n{length}\r\n");
    let requests: [(Vec<u8>, bool); 6] = [
        (head("content-length: 100000\r\n").into_bytes(), true),
        (head("content-length: 99999999999999999999\r\n").into_bytes(), false),
        (head("content-length: -1\r\n").into_bytes(), false),
        ([head("transfer-encoding: chunked\r\n").into_bytes(), b"ffffffffffffffff\r\nx".to_vec()].concat(), false),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)).into_bytes(), false),
        (vec![0; 100_000], false),
    ];
    for (bytes, hangs_up) in requests {
        let mut stream = TcpStream::connect(hub.url.trim_start_matches("http://")).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        if hangs_up {
            drop(stream);
            continue;
        }
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "a liar is told so or hung up on");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    let body = report(1, "").into_bytes();
    let request =
        reqwest::Client::new().post(format!("{}{PATH}", hub.url)).header("x-signature", "00").header("x-timestamp", "1");
    assert_eq!(request.body(body).send().await.unwrap().status().as_u16(), 401);
}

/// Senders that come all at once with as much as one may send: they take turns, memory stays.
async fn many_at_once(hub: &Hub) {
    let mut senders = tokio::task::JoinSet::new();
    for seq in 0..24_u32 {
        let text = "王".repeat(300_000);
        let body =
            report(100 + seq, "").replacen("{\"eventNo\"", &format!("{{\"padding\":\"{text}\",\"eventNo\""), 1).into_bytes();
        let timestamp = clock::now().unix_timestamp().to_string();
        let request = reqwest::Client::new().post(format!("{}{PATH}", hub.url)).timeout(Duration::from_secs(60));
        let request = request
            .header("x-signature", sign(&timestamp, &body))
            .header("x-timestamp", timestamp)
            .header("x-delivery-id", format!("many {seq}"));
        senders.spawn(async move { request.body(body).send().await.unwrap().status().as_u16() });
    }
    let statuses = senders.join_all().await;
    assert!(statuses.iter().all(|status| *status == 202), "{statuses:?}");
}
