//! A mock of the intake system's API, with the habits of the real one.
//!
//! `GET /api/accept?updatedAfter=<yyyy-MM-dd HH:mm:ss>&page=<from 1>&size=<1..500>` with a bearer token answers
//! `{"code":0,"data":[…],"total":n}`. The order inside a page is unstable, a page repeats the last rows of the one
//! before (so it may be a little longer than `size`), and every seventh request is told to come again (429, `Retry-After`).
//! No row is ever skipped: what is missing at the end was lost by the reader.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use crate::error::Fault;
use crate::simulate::Error;
use crate::simulate::error::{LISTEN_FAILED, RECORD_BROKEN};
use crate::simulate::random::Random;
use crate::simulate::systems::assist_hall::{FILE, SLUG};

/// The token the mock wants; no secret, it guards invented data.
pub const TOKEN: &str = "simulated-assist-hall";
/// Rows of the page before that a page repeats.
const OVERLAP: usize = 3;
/// Largest page.
const MOST: usize = 500;
/// One request in so many is put off.
const PAUSE_EVERY: u64 = 7;
/// Readers get this long to finish when the mock stops.
const GRACE: Duration = Duration::from_secs(5);

/// A running mock. Dropping it stops it too.
#[derive(Debug)]
pub struct Mock {
    /// The bound address; the port is real even where 0 was asked for.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Mock {
    /// Stops accepting, lets open requests finish for a few seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Hall {
    /// By update time: the time and the line as it stands in the file.
    rows: Vec<(String, Box<RawValue>)>,
    requests: AtomicU64,
}

/// The part of a record the server itself looks at.
#[derive(Deserialize)]
struct Stamped {
    #[serde(rename = "updateTime")]
    update_time: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "updatedAfter", default)]
    updated_after: String,
    #[serde(default = "first_page")]
    page: usize,
    #[serde(default = "usual_size")]
    size: usize,
}

fn first_page() -> usize {
    1
}

fn usual_size() -> usize {
    100
}

/// Serves the export in `dir` (the folder given to [`crate::simulate::write`]) on `listen`.
///
/// # Errors
/// When the export cannot be read or the address cannot be bound.
pub async fn serve_assist_hall(dir: &Path, listen: SocketAddr) -> Result<Mock, Error> {
    let rows = load(&dir.join(SLUG).join(FILE)).await?;
    let hall = Arc::new(Hall { rows, requests: AtomicU64::new(0) });
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(listen, &error))?;
    let router = Router::new().route("/api/accept", get(accept)).with_state(hall);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let server = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned());
        if let Err(error) = server.await {
            tracing::warn!(%error, "mock of assist-hall ended");
        }
    });
    Ok(Mock { address, stop, task })
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> Error {
    let fault = Fault::new(LISTEN_FAILED, format!("cannot listen on `{listen}`: {error}"));
    Error::refused(fault.hint("choose another port, or 0 for any free one"))
}

async fn load(path: &Path) -> Result<Vec<(String, Box<RawValue>)>, Error> {
    let file = tokio::fs::File::open(path).await.map_err(Error::file(path))?;
    let mut lines = BufReader::new(file).lines();
    let mut rows = Vec::new();
    while let Some(line) = lines.next_line().await.map_err(Error::file(path))? {
        let parsed = serde_json::from_str::<Stamped>(&line).and_then(|stamped| Ok((stamped, RawValue::from_string(line)?)));
        let (stamped, raw) = parsed.map_err(|_| broken(path, rows.len() as u64 + 1))?;
        rows.push((stamped.update_time, raw));
    }
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(rows)
}

fn broken(path: &Path, row: u64) -> Error {
    let fault = Fault::new(RECORD_BROKEN, "the line is no simulated record").in_file(path.display().to_string()).at_row(row);
    Error::refused(fault.expected("a JSON object with `updateTime`").hint("write the export again"))
}

async fn accept(State(hall): State<Arc<Hall>>, headers: HeaderMap, Query(page): Query<Page>) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.and_then(|value| value.strip_prefix("Bearer ")) != Some(TOKEN) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": 401, "msg": "未授权" }))).into_response();
    }
    let request = hall.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if request.is_multiple_of(PAUSE_EVERY) {
        let body = Json(json!({ "code": 429, "msg": "请求过于频繁" }));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], body).into_response();
    }
    if page.page == 0 || page.size == 0 || page.size > MOST {
        return (StatusCode::BAD_REQUEST, Json(json!({ "code": 400, "msg": "参数错误" }))).into_response();
    }
    let from = hall.rows.partition_point(|(time, _)| *time <= page.updated_after);
    let rows = &hall.rows[from..];
    let start = (page.page - 1).saturating_mul(page.size);
    let mut data: Vec<&RawValue> = Vec::new();
    if start < rows.len() {
        let end = (start + page.size).min(rows.len());
        data.extend(rows[start.saturating_sub(OVERLAP)..end].iter().map(|(_, raw)| &**raw));
    }
    shuffle(&mut data, request);
    Json(Answer { code: 0, data, total: rows.len() }).into_response()
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    code: u32,
    data: Vec<&'a RawValue>,
    total: usize,
}

/// Another order at every request.
fn shuffle(data: &mut [&RawValue], request: u64) {
    let mut random = Random::new(request, "page", 0);
    for place in (1..data.len()).rev() {
        data.swap(place, random.index(place + 1));
    }
}
