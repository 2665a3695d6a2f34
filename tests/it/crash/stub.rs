//! The stub partner: takes every webhook, counts requests and effects, and remembers what each id carried.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Book {
    requests: usize,
    /// By `webhook-id`: digest of the body.
    effects: HashMap<String, [u8; 32]>,
    events: BTreeSet<String>,
    subjects: BTreeSet<String>,
    /// By source object: the greatest sequence so far.
    newest: HashMap<String, i64>,
    /// Ids that came with two bodies.
    differing: Vec<String>,
    /// First effects that came after a newer one of the same object.
    disordered: Vec<String>,
}

/// What a stub has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub requests: usize,
    pub effects: usize,
}

/// Ends with the test's runtime.
#[derive(Clone)]
pub struct Stub {
    pub url: String,
    book: Arc<Mutex<Book>>,
    away: Arc<AtomicBool>,
}

impl Stub {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let stub = Self { url, book: Arc::default(), away: Arc::default() };
        let app = Router::new().route("/events", post(receive)).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        stub
    }

    /// Whether it answers 503 to everything.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    pub fn seen(&self) -> Seen {
        let book = self.book.lock().unwrap();
        Seen { requests: book.requests, effects: book.effects.len() }
    }

    /// Ids of the events that had an effect.
    pub fn events(&self) -> BTreeSet<String> {
        self.book.lock().unwrap().events.clone()
    }

    /// Some subject that had an effect and starts with `prefix`.
    pub fn has_subject(&self, prefix: &str) -> bool {
        let book = self.book.lock().unwrap();
        book.subjects.range(prefix.to_owned()..).next().is_some_and(|subject| subject.starts_with(prefix))
    }

    /// Subjects that had an effect.
    pub fn subjects(&self) -> BTreeSet<String> {
        self.book.lock().unwrap().subjects.clone()
    }

    /// One id always had one body, and the first effects of each object came in order.
    pub fn check(&self) {
        let book = self.book.lock().unwrap();
        assert!(book.differing.is_empty(), "{} ids came with two bodies, e.g. {}", book.differing.len(), book.differing[0]);
        assert!(book.disordered.is_empty(), "{} effects came late, e.g. {}", book.disordered.len(), book.disordered[0]);
    }
}

async fn receive(State(stub): State<Stub>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if stub.away.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Some(id) = headers.get("webhook-id").and_then(|id| id.to_str().ok()) else { return StatusCode::BAD_REQUEST };
    let Ok(event) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let mut book = stub.book.lock().unwrap();
    book.requests += 1;
    match book.effects.get(id) {
        Some(before) if *before != digest => book.differing.push(id.to_owned()),
        Some(_) => {}
        None => {
            book.effects.insert(id.to_owned(), digest);
            // When two keys turn out to be one depends on the order of arrival, and so does who is told.
            if text("source") != "/systems/person-index" {
                book.events.insert(text("id"));
            }
            book.subjects.insert(text("subject"));
            let object = format!("{} {} {}", text("source"), text("dataschema"), text("subject"));
            let sequence = event["sequence"].as_i64().or_else(|| event["sequence"].as_str()?.parse().ok()).unwrap_or_default();
            let newest = book.newest.get(&object).copied().unwrap_or(i64::MIN);
            if sequence < newest {
                book.disordered.push(id.to_owned());
            }
            book.newest.insert(object, sequence.max(newest));
        }
    }
    StatusCode::NO_CONTENT
}
