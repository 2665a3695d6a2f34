//! A partner that notes when each payment first arrived. In a bad mood its answers come a byte in ten seconds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// One byte in ten seconds.
    Trickle,
}

struct Shared {
    mood: Mutex<Mood>,
    /// When an answered payment arrived, and the order of the answers.
    arrived: Mutex<(HashMap<String, Instant>, Vec<String>)>,
}

pub struct Stub {
    pub url: String,
    shared: Arc<Shared>,
}

impl Stub {
    pub async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/receive", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { mood: Mutex::new(mood), arrived: Mutex::default() });
        let keep = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&keep)));
            }
        });
        Self { url, shared }
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub fn arrivals(&self) -> usize {
        self.shared.arrived.lock().unwrap().1.len()
    }

    pub fn arrived(&self, payment: &str) -> Option<Instant> {
        self.shared.arrived.lock().unwrap().0.get(payment).copied()
    }

    /// Payments of one key (their number modulo `keys`) were answered in order.
    pub fn keeps_order(&self, keys: usize) -> bool {
        let mut last = vec![0; keys];
        self.shared.arrived.lock().unwrap().1.iter().all(|payment| {
            let number: usize = payment[16..].parse().unwrap();
            std::mem::replace(&mut last[number % keys], number) <= number
        })
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(body) = request(&mut stream, &mut buffer).await {
        let now = Instant::now();
        if *shared.mood.lock().unwrap() == Mood::Trickle {
            for byte in b"HTTP/1.1 204 No Content\r\n\r\n" {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            return;
        }
        let event: Value = serde_json::from_slice(&body).unwrap();
        let payment = event["data"]["record"]["payment_no"].as_str().unwrap().to_owned();
        {
            let mut arrived = shared.arrived.lock().unwrap();
            if arrived.0.insert(payment.clone(), now).is_none() {
                arrived.1.push(payment);
            }
        }
        if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// The body of the next request.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse().ok()?;
            if buffer.len() >= head + 4 + length {
                let body = buffer[head + 4..head + 4 + length].to_vec();
                buffer.drain(..head + 4 + length);
                return Some(body);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
