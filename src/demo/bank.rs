//! The stub bank of the demo: a webhook receiver that keeps what it gets, once.

use std::{
    collections::HashSet,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio_util::sync::CancellationToken;

/// Signing key that the demo's hub and its stub bank share; worth nothing outside.
pub const SECRET: &str = "whsk_ZGVtby1iYW5rLXNpZ25pbmcta2V5LTMyYnl0ZXMhISE=";
/// The partner that the stub stands for.
const PARTNER: &str = "bank-jlbank.toml";

/// Copies the partner files to `<data>/partners`, with the stub's address instead of the bank's.
pub fn partners(from: &Path, data: &Path, stub: SocketAddr) -> std::io::Result<PathBuf> {
    let to = data.join("partners");
    std::fs::create_dir_all(&to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let mut text = std::fs::read_to_string(entry.path())?;
        if entry.file_name() == PARTNER {
            let line = |line: &str| match line.split('=').next().map(str::trim) {
                Some("url") => format!("url = \"http://{stub}/receive\""),
                Some("allow") => "allow = [\"127.0.0.0/8\"]".to_owned(),
                _ => line.to_owned(),
            };
            text = text.lines().map(line).collect::<Vec<_>>().join("\n");
        }
        std::fs::write(to.join(entry.file_name()), text)?;
    }
    Ok(to)
}

struct Bank {
    seen: HashSet<String>,
    file: std::fs::File,
}

/// Starts the bank on a free loopback port. What it receives goes to `<dir>/received.ndjson`, one line a delivery id.
pub async fn start(dir: &Path, cancel: CancellationToken) -> std::io::Result<SocketAddr> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("received.ndjson");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let seen = before
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["deliveryid"].as_str().map(str::to_owned))
        .collect();
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let app = Router::new().route("/receive", post(receive)).with_state(Arc::new(Mutex::new(Bank { seen, file })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let _ = axum::serve(listener, app).with_graceful_shutdown(async move { cancel.cancelled().await }).await;
    });
    Ok(address)
}

async fn receive(State(bank): State<Arc<Mutex<Bank>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(id) = headers.get("webhook-id").and_then(|id| id.to_str().ok()) else { return StatusCode::BAD_REQUEST };
    let mut bank = bank.lock().unwrap_or_else(PoisonError::into_inner);
    if bank.seen.insert(id.to_owned()) {
        let line = [body.as_ref(), b"\n"].concat();
        if bank.file.write_all(&line).is_err() {
            bank.seen.remove(id);
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    StatusCode::NO_CONTENT
}
