//! Mocks of the SOAP services: they answer from the pages the simulator wrote, filtered by time of change.
//!
//! The answer holds the records after `beginTime`, page `pageNo` of `pageSize`. Every seventh request is answered with the return code
//! 90001 (busy), and totals move by one from answer to answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::mock::Mock;
use super::pull::place;
use crate::simulate::Error;
use crate::simulate::systems::{child_adoption, med_aid, shelter};
use crate::simulate::write::soap;

/// The systems with a SOAP service.
pub const SERVICES: [&str; 3] = [med_aid::SLUG, child_adoption::SLUG, shelter::SLUG];
/// User and password the hub may send; the mocks look at neither.
pub const USER: &str = "simulated";

/// One request in so many finds the service busy.
const BUSY_EVERY: u64 = 7;

struct Service {
    /// By operation: the records in the order of their times.
    operations: HashMap<String, Vec<(i64, String)>>,
    requests: AtomicU64,
}

/// Serves a system's export in `dir` (the folder given to [`crate::simulate::write`]) on `listen`.
///
/// # Errors
/// When the export cannot be read or the address cannot be bound.
pub async fn serve(dir: &Path, slug: &str, listen: SocketAddr) -> Result<Mock, Error> {
    let operations = load(&dir.join(slug))?;
    let service = Arc::new(Service { operations, requests: AtomicU64::new(0) });
    Mock::start(Router::new().route("/", post(answer)).with_state(service), listen).await
}

/// The records of all pages, by the operation in the files' names.
fn load(folder: &Path) -> Result<HashMap<String, Vec<(i64, String)>>, Error> {
    let mut operations: HashMap<String, Vec<(i64, String)>> = HashMap::new();
    for entry in std::fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some((operation, _)) = name.split_once('.') else { continue };
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let rows = operations.entry(operation.to_owned()).or_default();
        for row in text.split("<row>").skip(1).filter_map(|rest| rest.split("</row>").next()) {
            rows.push((between(row, "updateTime").and_then(place).unwrap_or(0), format!("<row>{row}</row>")));
        }
    }
    for rows in operations.values_mut() {
        rows.sort();
    }
    Ok(operations)
}

async fn answer(State(service): State<Arc<Service>>, request: String) -> Response {
    let count = service.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let called = service.operations.iter().find(|(operation, _)| request.contains(&format!(":{operation} ")));
    let Some((operation, rows)) = called else {
        return (axum::http::StatusCode::BAD_REQUEST, "no such operation").into_response();
    };
    let number = |name: &str, usual: usize| between(&request, name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (page, size) = (number("pageNo", 1).max(1), number("pageSize", 100));
    let since = between(&request, "beginTime").and_then(place).unwrap_or(i64::MIN);
    let rest = &rows[rows.partition_point(|(time, _)| *time <= since)..];
    let records: String = rest.iter().skip((page - 1) * size).take(size).map(|(_, row)| row.as_str()).collect();
    let total = rest.len() as u64 + count % 2;
    let mut text = soap::page(operation, page, &total.to_string(), &records);
    if count.is_multiple_of(BUSY_EVERY) {
        text = soap::page(operation, page, "0", "").replace("<returnCode>00000<", "<returnCode>90001<");
    }
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

/// The text of an element, whatever its prefix.
fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("{name}>"))? + name.len() + 1;
    text[start..].split('<').next()
}
