//! Mocks of the systems that answer with paged JSON, with the habits of the real ones.
//!
//! `GET <path>?<since>=…&page=<from 1>&size=<1..500>` with a bearer token answers a page of the rows changed after `since`. The
//! order inside a page is unstable, a page repeats the last rows of the one before (so it may be a little longer than `size`), and every
//! seventh request is told to come again (429, `Retry-After`). No row is ever skipped: what is missing at the end was lost by the reader.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::mock::Mock;
use crate::clock::CHINA;
use crate::error::Fault;
use crate::simulate::Error;
use crate::simulate::error::RECORD_BROKEN;
use crate::simulate::random::Random;
use crate::simulate::systems::{assist_hall, eldercare, volunteer};

/// The token the mocks want; no secret, it guards invented data.
pub const TOKEN: &str = "simulated-source-token";
/// Rows of the page before that a page repeats.
const OVERLAP: usize = 3;
/// Largest page, and the usual one.
const MOST: usize = 500;
const USUAL: usize = 100;
/// One request in so many is put off.
const PAUSE_EVERY: u64 = 7;

/// One path of a system.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Below the address.
    pub path: &'static str,
    /// What the simulator wrote, in the system's folder.
    pub file: &'static str,
    /// Name of the array of rows in the answer.
    pub items: &'static str,
    /// Field of a row that tells when it changed, or its number.
    pub updated: &'static str,
    /// Parameter for "changed after".
    pub since: &'static str,
}

/// A system that is pulled from.
#[derive(Debug, Clone, Copy)]
pub struct Pull {
    /// Its slug.
    pub slug: &'static str,
    /// What it answers.
    pub endpoints: &'static [Endpoint],
}

/// The service halls.
pub const ASSIST_HALL: Pull = Pull {
    slug: assist_hall::SLUG,
    endpoints: &[Endpoint {
        path: "/api/accept",
        file: assist_hall::FILE,
        items: "data",
        updated: "updateTime",
        since: "updatedAfter",
    }],
};

/// Homes and orders of home care.
pub const ELDERCARE: Pull = Pull {
    slug: eldercare::SLUG,
    endpoints: &[
        Endpoint { path: "/v1/orgs", file: eldercare::ORGS, items: "items", updated: "updatedAt", since: "updatedSince" },
        Endpoint { path: "/v1/orders", file: eldercare::ORDERS, items: "items", updated: "updatedAt", since: "updatedSince" },
    ],
};

/// Services of volunteers; `since` is a record number.
pub const VOLUNTEER: Pull = Pull {
    slug: volunteer::SLUG,
    endpoints: &[Endpoint { path: "/records", file: volunteer::FILE, items: "records", updated: "id", since: "since" }],
};

struct Rows {
    endpoint: Endpoint,
    /// By time or number: the place on that scale and the line as it stands in the file.
    rows: Vec<(i64, Box<RawValue>)>,
    requests: AtomicU64,
}

/// Serves a system's export in `dir` (the folder given to [`crate::simulate::write`]) on `listen`.
///
/// # Errors
/// When the export cannot be read or the address cannot be bound.
pub async fn serve(dir: &Path, pull: Pull, listen: SocketAddr) -> Result<Mock, Error> {
    let mut router = Router::new();
    for endpoint in pull.endpoints.iter().copied() {
        let rows = load(&dir.join(pull.slug).join(endpoint.file), endpoint.updated).await?;
        let state = Arc::new(Rows { endpoint, rows, requests: AtomicU64::new(0) });
        router = router.merge(Router::new().route(endpoint.path, get(answer)).with_state(state));
    }
    Mock::start(router, listen).await
}

async fn load(path: &Path, updated: &str) -> Result<Vec<(i64, Box<RawValue>)>, Error> {
    let file = tokio::fs::File::open(path).await.map_err(Error::file(path))?;
    let mut lines = BufReader::new(file).lines();
    let mut rows = Vec::new();
    while let Some(line) = lines.next_line().await.map_err(Error::file(path))? {
        let row = parse(line, updated).ok_or_else(|| broken(path, rows.len() as u64 + 1))?;
        rows.push(row);
    }
    rows.sort_by_key(|row| row.0);
    Ok(rows)
}

fn parse(line: String, updated: &str) -> Option<(i64, Box<RawValue>)> {
    let row: serde_json::Value = serde_json::from_str(&line).ok()?;
    let place = match &row[updated] {
        serde_json::Value::String(text) => place(text)?,
        other => other.as_i64()?,
    };
    Some((place, RawValue::from_string(line).ok()?))
}

/// The second of a time in any of the systems' forms, or the number itself.
pub(super) fn place(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(moment.unix_timestamp());
    }
    let local = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    Some(PrimitiveDateTime::parse(text, local).ok()?.assume_offset(CHINA).unix_timestamp())
}

fn broken(path: &Path, row: u64) -> Error {
    let fault = Fault::new(RECORD_BROKEN, "the line is no simulated record").in_file(path.display().to_string()).at_row(row);
    Error::refused(fault.expected("a JSON object with its time of change").hint("write the export again"))
}

async fn answer(State(rows): State<Arc<Rows>>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token.and_then(|value| value.strip_prefix("Bearer ")) != Some(TOKEN) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "code": 401, "msg": "未授权" }))).into_response();
    }
    let request = rows.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if request.is_multiple_of(PAUSE_EVERY) {
        let body = Json(json!({ "code": 429, "msg": "请求过于频繁" }));
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], body).into_response();
    }
    match page(&rows, &query, request) {
        Some(body) => body,
        None => (StatusCode::BAD_REQUEST, Json(json!({ "code": 400, "msg": "参数错误" }))).into_response(),
    }
}

/// The page asked for; nothing where a parameter makes no sense.
fn page(rows: &Rows, query: &HashMap<String, String>, request: u64) -> Option<Response> {
    let number = |name: &str, usual: usize| query.get(name).map_or(Some(usual), |text| text.parse().ok());
    let (page, size) = (number("page", 1)?, number("size", USUAL)?);
    if page == 0 || size == 0 || size > MOST {
        return None;
    }
    let since = query.get(rows.endpoint.since).filter(|text| !text.is_empty()).map_or(Some(i64::MIN), |text| place(text))?;
    let rest = &rows.rows[rows.rows.partition_point(|(place, _)| *place <= since)..];
    let start = (page - 1).saturating_mul(size);
    let mut data: Vec<&RawValue> = Vec::new();
    if start < rest.len() {
        let end = (start + size).min(rest.len());
        data.extend(rest[start.saturating_sub(OVERLAP)..end].iter().map(|(_, raw)| &**raw));
    }
    shuffle(&mut data, request);
    let data = serde_json::value::to_raw_value(&data).ok()?;
    let total = serde_json::value::to_raw_value(&rest.len()).ok()?;
    let code = serde_json::value::to_raw_value(&0).ok()?;
    Some(Json(BTreeMap::from([(rows.endpoint.items, data), ("total", total), ("code", code)])).into_response())
}

/// Another order at every request.
fn shuffle(data: &mut [&RawValue], request: u64) {
    let mut random = Random::new(request, "page", 0);
    for place in (1..data.len()).rev() {
        data.swap(place, random.index(place + 1));
    }
}
