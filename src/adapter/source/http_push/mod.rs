//! Signed webhooks into the hub: `POST /in/<system>/<object>`. Vendors that speak differently have an object each, see
//! [`dialect`].
//!
//! The sender signs `<timestamp>.<body>` with HMAC-SHA256 and gets 202 only after the intake has the rows durably. A
//! delivery that comes again is answered with 202 and has no second effect: its id (or the digest of its body) is
//! remembered, and even before that is written, its rows have the same origins as the first time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Batch, ObjectOptions, SourceContext, each, source_options};
use crate::{
    adapter::decode::options,
    envelope::System,
    error::{Code, Fault, Faults},
    json::{self, Limits},
    store::{self, Store},
};

mod dialect;
mod seen;
mod signature;

pub use dialect::xml_options;

use dialect::Dialect;

/// No such system or object takes deliveries here.
pub const UNKNOWN: Code = Code::new(2090);
/// The signature is missing or wrong.
pub const SIGNATURE: Code = Code::new(2091);
/// The timestamp is missing, unreadable or too far from the hub's clock.
pub const SKEW: Code = Code::new(2092);
/// The body did not arrive in time or broke off.
pub const BROKEN_OFF: Code = Code::new(2093);
/// A delivery id was used before for another body.
pub const REUSED_ID: Code = Code::new(2094);
/// The hub could not take the delivery durably; send it again.
pub const NOT_ACCEPTED: Code = Code::new(2095);
/// A delivery holds more rows than allowed.
pub const TOO_MANY_ROWS: Code = Code::new(2096);

/// Time for a body to arrive, and for the intake to have it durably.
const BODY_TIME: Duration = Duration::from_secs(15);
const INTAKE_TIME: Duration = Duration::from_secs(30);
/// Bodies that are being read at once, and deliveries whose rows are in memory: senders beyond them wait their turn.
const BODIES: usize = 64;
const IN_MEMORY: usize = 4;
static READING: Semaphore = Semaphore::const_new(BODIES);
static TAKING: Semaphore = Semaphore::const_new(IN_MEMORY);
/// Rows of one delivery.
const ROW_LIMIT: usize = 1000;

/// What the intake did with a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Rows that went on.
    pub rows: usize,
}

/// Why the intake did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Not now: bus or store fail. The sender is asked to repeat.
    #[error("{0}")]
    Unavailable(Fault),
    /// Never: the content is wrong. The sender is told what.
    #[error("{0}")]
    Refused(Faults),
}

/// Takes pushed rows; returns only when they are durable.
#[async_trait]
pub trait Intake: Send + Sync {
    async fn accept(&self, system: &System, batch: Batch) -> Result<Accepted, IntakeError>;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    secret: Option<String>,
    secret_next: Option<String>,
    signature_header: Option<String>,
    timestamp_header: Option<String>,
    id_header: Option<String>,
    skew: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectTable {
    path: Option<String>,
    items: Option<String>,
    format: Option<String>,
    rows: Option<String>,
    encoding: Option<String>,
    declared: Option<String>,
    #[serde(default)]
    lists: Vec<String>,
    // Where a vendor signs in its own way.
    secret: Option<String>,
    secret_next: Option<String>,
    signature_header: Option<String>,
    timestamp_header: Option<String>,
    id_header: Option<String>,
    skew: Option<toml::Value>,
}

/// One system that pushes.
pub struct PushSource {
    system: System,
    /// By the last part of the address.
    objects: BTreeMap<String, Dialect>,
    store: Store,
}

/// The pushing side of one system. Source options: `secret`, `secret_next` (during a change of secrets), `skew` (`300`
/// seconds), `signature_header` (`x-signature`), `timestamp_header` (`x-timestamp`), `id_header` (`x-delivery-id`); an object
/// may have its own. Object options: `path` (`/in/<system>/<last part>` or the last part alone; the object's name), `format`
/// (`json`), `items` (JSON pointer to the rows), or for `xml` the options of that format.
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(
    system: &System,
    source: &toml::Table,
    objects: &[ObjectOptions],
    context: &SourceContext,
) -> Result<PushSource, Vec<Fault>> {
    let source = super::secrets::resolve(source, &context.env)?;
    let given: Options = source_options(&source)?;
    let made = each(objects, |object| {
        let table = super::secrets::resolve(&object.own(), &context.env)?;
        Dialect::new(system, &object.name, options::read(&table)?, &given)
    })?;
    let mut faults = Vec::new();
    let mut by_path = BTreeMap::new();
    for (name, (path, dialect)) in made {
        if by_path.insert(path, dialect).is_some() {
            faults.push(options::bad("path", "is that of another object").at_pointer(format!("/object/{name}")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(PushSource { system: system.clone(), objects: by_path, store: context.store.clone() })
}

/// Rows of a body that was kept, as the route would take them; the options are those of an object.
///
/// # Errors
/// Every fault for which the delivery is refused.
pub fn rows_of(object: &ObjectOptions, body: &[u8]) -> Result<Vec<serde_json::Value>, Vec<Fault>> {
    let table: ObjectTable = options::read(&object.own())?;
    dialect::rows(&table, body)
}

/// Everything a request needs.
struct Door {
    sources: BTreeMap<String, PushSource>,
    intake: Arc<dyn Intake>,
}

/// The routes of all pushing systems.
pub fn routes(sources: Vec<PushSource>, intake: Arc<dyn Intake>) -> Router {
    let sources = sources.into_iter().map(|source| (source.system.as_str().to_owned(), source)).collect();
    Router::new().route("/in/{system}/{object}", post(receive)).with_state(Arc::new(Door { sources, intake }))
}

async fn receive(
    State(door): State<Arc<Door>>,
    Path((system, object)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let found = door.sources.get(&system).and_then(|source| Some((source, source.objects.get(&object)?)));
    let Some((source, dialect)) = found else {
        let fault = Fault::new(UNKNOWN, "no deliveries are taken here").hint("check the address");
        return Problem(StatusCode::NOT_FOUND, vec![fault]).into_response();
    };
    match source.receive(&*door.intake, dialect, &headers, body).await {
        Ok(repeat) => (StatusCode::ACCEPTED, axum::Json(json!({ "accepted": true, "repeat": repeat }))).into_response(),
        Err(problem) => problem.into_response(),
    }
}

impl PushSource {
    /// True when the delivery was taken before.
    async fn receive(&self, intake: &dyn Intake, dialect: &Dialect, headers: &HeaderMap, body: Body) -> Result<bool, Problem> {
        let object = dialect.object.as_str();
        let limits = Limits::default();
        let _reading = turn(&READING).await?;
        let body = match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, limits.bytes)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(unread(&error, &limits)),
            Err(_) => {
                return Err(Problem::one(StatusCode::REQUEST_TIMEOUT, Fault::new(BROKEN_OFF, "the body did not arrive in time")));
            }
        };
        dialect.signature.check(headers, &body).map_err(|fault| Problem::one(StatusCode::UNAUTHORIZED, fault))?;
        let digest = hex::encode(Sha256::digest(&body));
        let delivery = signature::header(headers, &dialect.id_header).filter(|id| id.len() <= 200).unwrap_or(&digest);
        // A sender's id may be anything, even personal: the store and the origins of rows hold its hash.
        let delivery = hex::encode(&Sha256::digest(delivery)[..16]);
        if let Some(before) = seen::digest(&self.store, &self.system, object, &delivery).await.map_err(unavailable)? {
            if before == digest {
                return Ok(true);
            }
            let fault =
                Fault::new(REUSED_ID, "this delivery id was used for another body").hint("give every delivery an id of its own");
            return Err(Problem::one(StatusCode::CONFLICT, fault));
        }
        let _taking = turn(&TAKING).await?;
        let batch = dialect.batch(&delivery, &body, &limits)?;
        let rows = batch.rows.len();
        match tokio::time::timeout(INTAKE_TIME, intake.accept(&self.system, batch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(IntakeError::Refused(Faults(faults)))) => return Err(Problem(StatusCode::UNPROCESSABLE_ENTITY, faults)),
            Ok(Err(IntakeError::Unavailable(fault))) => return Err(Problem::one(StatusCode::SERVICE_UNAVAILABLE, fault)),
            Err(_) => {
                return Err(Problem::one(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Fault::new(NOT_ACCEPTED, "the hub did not take it in time"),
                ));
            }
        }
        // The rows are safe. Should this fail, the sender repeats and the rows are recognised by their origins.
        seen::add(&self.store, &self.system, object, &delivery, &digest).await.map_err(unavailable)?;
        tracing::debug!(system = %self.system, object, rows, "took a delivery");
        Ok(false)
    }
}

/// Waits for a turn, so that memory does not grow with the number of senders.
async fn turn(places: &'static Semaphore) -> Result<SemaphorePermit<'static>, Problem> {
    let busy = || Problem::one(StatusCode::SERVICE_UNAVAILABLE, Fault::new(NOT_ACCEPTED, "too many deliveries at once"));
    tokio::time::timeout(INTAKE_TIME, places.acquire()).await.ok().and_then(Result::ok).ok_or_else(busy)
}

fn unread(error: &axum::Error, limits: &Limits) -> Problem {
    use std::error::Error as _;
    let too_large = error.source().is_some_and(|source| source.to_string().contains("length limit"));
    if too_large {
        let fault = Fault::new(json::TOO_LARGE, "the body is too large").expected(format!("at most {} bytes", limits.bytes));
        return Problem::one(StatusCode::PAYLOAD_TOO_LARGE, fault.hint("send fewer rows in one delivery"));
    }
    Problem::one(StatusCode::BAD_REQUEST, Fault::new(BROKEN_OFF, "the body broke off"))
}

fn unavailable(error: store::Error) -> Problem {
    tracing::warn!(error = %error.fault(), "a delivery could not be looked up");
    Problem::one(StatusCode::SERVICE_UNAVAILABLE, Fault::new(NOT_ACCEPTED, "the hub cannot take deliveries now"))
}

/// An answer by RFC 9457: the first fault gives code and detail, all of them are listed.
#[derive(Debug)]
struct Problem(StatusCode, Vec<Fault>);

impl Problem {
    fn one(status: StatusCode, fault: Fault) -> Self {
        Self(status, vec![fault])
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let first = self.1.first();
        let body = json!({
            "type": first.map_or_else(|| "about:blank".to_owned(), |fault| format!("urn:civilhub:error:{}", fault.code)),
            "title": self.0.canonical_reason(),
            "status": self.0.as_u16(),
            "code": first.map(|fault| fault.code),
            "detail": first.map(|fault| fault.message.clone()),
            "faults": self.1,
        });
        let mut response = (self.0, [("content-type", "application/problem+json")], body.to_string()).into_response();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("5"));
        }
        response
    }
}
