//! A partner's receiver on loopback that misbehaves on demand and counts its effects by `webhook-id`.
//!
//! It speaks HTTP/1.1 on a bare socket, because most of its faults cannot be had from a well-behaved server.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use civilhub::{clock, deliver::signing::Verifier};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How the receiver behaves.
#[derive(Debug, Clone)]
pub enum Mood {
    Ok,
    /// 204 after a while.
    Slow(Duration),
    /// 429 with `Retry-After` seconds.
    Busy(u64),
    /// This status to everything.
    Status(u16),
    /// 400 where the body holds one of these texts, else 204.
    Refuse(Vec<String>),
    /// Reads the request and never answers.
    Hang,
    /// One byte of the answer every ten seconds.
    Trickle,
    /// 302 to this place.
    Redirect(String),
    /// 200 with this many bytes of body.
    Huge(usize),
    /// Half an answer, then the connection closes, after the effect has happened.
    CloseMidAnswer,
    /// As it says for the first calls, then well.
    First(usize, Box<Mood>),
}

/// One request that had an effect.
#[derive(Debug, Clone)]
pub struct Effect {
    pub id: String,
    pub content_type: String,
    pub body: Value,
}

#[derive(Default)]
struct Book {
    effects: Vec<Effect>,
    requests: BTreeMap<String, usize>,
    seen: HashSet<String>,
    bad_signatures: usize,
}

struct Shared {
    mood: Mutex<Mood>,
    verifier: Verifier,
    book: Mutex<Book>,
    calls: AtomicUsize,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

/// The running receiver; it stops with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

impl Receiver {
    pub async fn start(mood: Mood, verifier: Verifier) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://127.0.0.1:{}/events", listener.local_addr().unwrap().port());
        let shared = Arc::new(Shared {
            mood: Mutex::new(mood),
            verifier,
            book: Mutex::default(),
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
        });
        let receiver = Self { url, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        receiver
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Requests of any kind.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// The most requests at one time.
    pub fn most_running(&self) -> usize {
        self.shared.most_running.load(Ordering::SeqCst)
    }

    pub fn bad_signatures(&self) -> usize {
        self.shared.book.lock().unwrap().bad_signatures
    }

    /// Effects in the order in which they happened, one per `webhook-id`.
    pub fn effects(&self) -> Vec<Effect> {
        self.shared.book.lock().unwrap().effects.clone()
    }

    /// How often each `webhook-id` came with a good signature.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        self.shared.book.lock().unwrap().requests.clone()
    }
}

struct Request {
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let call = shared.calls.fetch_add(1, Ordering::SeqCst);
        let running = shared.running.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_running.fetch_max(running, Ordering::SeqCst);
        let mut mood = shared.mood.lock().unwrap().clone();
        if let Mood::First(calls, inner) = mood {
            mood = if call < calls { *inner } else { Mood::Ok };
        }
        let goes_on = answer(&mut stream, &shared, &request, mood).await;
        shared.running.fetch_sub(1, Ordering::SeqCst);
        if !goes_on {
            return;
        }
    }
}

/// Answers one request; false closes the connection.
async fn answer(stream: &mut TcpStream, shared: &Shared, request: &Request, mood: Mood) -> bool {
    if shared.verifier.verify(&request.headers, &request.body, clock::now().unix_timestamp()).is_err() {
        shared.book.lock().unwrap().bad_signatures += 1;
        return status(stream, 401, "").await;
    }
    match mood {
        Mood::Ok => {}
        Mood::Slow(pause) => tokio::time::sleep(pause).await,
        Mood::Busy(seconds) => return status(stream, 429, &format!("retry-after: {seconds}\r\n")).await,
        Mood::Status(code) => return status(stream, code, "").await,
        Mood::Redirect(to) => return status(stream, 302, &format!("location: {to}\r\n")).await,
        Mood::Refuse(texts) => {
            let body = String::from_utf8_lossy(&request.body);
            if texts.iter().any(|text| body.contains(text)) {
                return status(stream, 400, "").await;
            }
        }
        Mood::Hang => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            return false;
        }
        Mood::Trickle => {
            for byte in b"HTTP/1.1 204 No Content\r\n\r\n" {
                if stream.write_all(&[*byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            return false;
        }
        Mood::Huge(bytes) => {
            effect(shared, request);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
            let mut sent = stream.write_all(head.as_bytes()).await;
            let block = vec![b'x'; 64 * 1024];
            for _ in 0..bytes / block.len() {
                if sent.is_err() {
                    break;
                }
                sent = stream.write_all(&block).await;
            }
            return false;
        }
        Mood::CloseMidAnswer => {
            effect(shared, request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
            return false;
        }
        Mood::First(..) => unreachable!("resolved by the caller"),
    }
    effect(shared, request);
    status(stream, 204, "").await
}

async fn status(stream: &mut TcpStream, code: u16, headers: &str) -> bool {
    let length = if code == 204 { "" } else { "content-length: 0\r\n" };
    stream.write_all(format!("HTTP/1.1 {code} X\r\n{headers}{length}\r\n").as_bytes()).await.is_ok()
}

fn effect(shared: &Shared, request: &Request) {
    let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let id = header("webhook-id");
    let mut book = shared.book.lock().unwrap();
    *book.requests.entry(id.clone()).or_default() += 1;
    if book.seen.insert(id.clone()) {
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        book.effects.push(Effect { id, content_type: header("content-type"), body });
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(place) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break place + 4;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut headers = HeaderMap::new();
    for line in head.lines().skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(value.trim()).ok()?);
        }
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    while buffer.len() < end + length {
        more(stream, buffer).await?;
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(Request { headers, body })
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(buffer).await.ok()?;
    (count > 0).then_some(())
}
