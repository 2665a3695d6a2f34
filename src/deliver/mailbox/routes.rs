//! The HTTP side of the mailbox, for partners that fetch.
//!
//! `GET /v1/mailbox/{partner}/events?after=<cursor>&limit=<n>` gives the deliveries after a cursor; what was read may be
//! read again. `POST /v1/mailbox/{partner}/ack` with `{"cursor": n}` says that everything up to `n` is safe at the
//! partner. Both need the partner's bearer token. Errors are `application/problem+json` (RFC 9457) with a code.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rustc_hash::FxHashMap;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tower_http::timeout::TimeoutLayer;

use super::{Acknowledged, BEYOND, Mailboxes};
use crate::{
    clock,
    envelope::{Event, SubscriptionId},
    error::{Code, Fault},
    govern::{
        Agreements,
        partner::{Partner, Transport},
    },
};

/// The bearer token is missing or wrong, or the partner has no mailbox: one answer for all three.
pub const UNAUTHORIZED: Code = Code::new(6041);
/// A parameter or the body of a mailbox request cannot be used.
pub const BAD_REQUEST: Code = Code::new(6042);

/// Deliveries per page: unless asked for, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 500;

type Hash = [u8; 32];

/// SHA-256 of the tokens of every partner with a mailbox; the tokens themselves are not kept.
#[derive(Clone, Default)]
pub struct Tokens {
    by_partner: FxHashMap<String, Vec<Hash>>,
}

impl Tokens {
    /// Takes the tokens of every partner that fetches.
    pub fn new(partners: &[Partner]) -> Self {
        let mut tokens = Self::default();
        for partner in partners {
            if let Transport::Mailbox(mailbox) = &partner.transport {
                for token in &mailbox.tokens {
                    tokens.insert(&partner.slug, token.expose_secret());
                }
            }
        }
        tokens
    }

    /// Adds a token, given itself or as `sha256:` and its hash in hex.
    pub fn insert(&mut self, partner: &str, token: &str) {
        let given = token.strip_prefix("sha256:").and_then(|hash| hex::decode(hash).ok());
        let hash = given.and_then(|hash| hash.try_into().ok()).unwrap_or_else(|| hash(token));
        self.by_partner.entry(partner.to_owned()).or_default().push(hash);
    }

    /// Compares in constant time, for an unknown partner too: the answer's delay tells nothing.
    fn admit(&self, partner: &str, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = hash(token.map_or("", |(_, token)| token.trim()));
        let nobody = [[0; 32]];
        let known = self.by_partner.get(partner).map_or(&nobody[..], Vec::as_slice);
        let equal = known.iter().fold(Choice::from(0), |found, hash| found | hash.ct_eq(&given));
        bool::from(equal) && token.is_some()
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

struct Api {
    boxes: Mailboxes,
    /// What lies here longer than its agreement held is not shown.
    agreements: Arc<Agreements>,
    tokens: Tokens,
}

/// The routes, ready to be merged into the partner API.
pub fn routes(boxes: Mailboxes, tokens: Tokens, agreements: Arc<Agreements>) -> Router {
    Router::new()
        .route("/v1/mailbox/{partner}/events", get(events))
        .route("/v1/mailbox/{partner}/ack", post(acknowledge))
        .layer(DefaultBodyLimit::max(1024))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(60)))
        .with_state(Arc::new(Api { boxes, agreements, tokens }))
}

async fn events(
    State(api): State<Arc<Api>>,
    Path(partner): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    authorize(&api, &partner, &headers)?;
    let (after, limit) = page(query.as_deref().unwrap_or_default())?;
    let page = api.boxes.read(&partner, after, limit).await.map_err(|error| Problem::unavailable(error.fault()))?;
    let next = page.letters.last().map_or(after, |letter| letter.cursor);
    let mut events = Vec::with_capacity(page.letters.len());
    for letter in page.letters {
        if ended(&api.agreements, &partner, &letter.body) {
            continue;
        }
        // The body is JSON that we wrote: it is passed on as it is, not parsed and built again.
        let event = RawValue::from_string(letter.body).map_err(|_| Problem::damaged())?;
        events.push(LetterBody { cursor: letter.cursor, event });
    }
    let body = Events { events, next, more: page.more };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Whether the agreement under which a delivery came has run out since.
fn ended(agreements: &Agreements, partner: &str, body: &str) -> bool {
    let event = serde_json::from_str::<Event>(body);
    event.is_ok_and(|event| agreements.permit(&SubscriptionId::from(partner), &event, clock::today()).is_err())
}

#[derive(serde::Serialize)]
struct Events {
    events: Vec<LetterBody>,
    /// To be given as `after` next time, and to acknowledge what this page holds.
    next: i64,
    more: bool,
}

#[derive(serde::Serialize)]
struct LetterBody {
    cursor: i64,
    event: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ack {
    cursor: i64,
}

async fn acknowledge(
    State(api): State<Arc<Api>>,
    Path(partner): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    authorize(&api, &partner, &headers)?;
    let body = body.map_err(|rejection| Problem { status: rejection.status(), ..unreadable() })?;
    let ack: Ack = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    match api.boxes.acknowledge(&partner, ack.cursor).await {
        Ok(Acknowledged::UpTo(cursor)) => Ok(Json(json!({ "acknowledged": cursor })).into_response()),
        Ok(Acknowledged::Beyond(last)) => {
            let fault = Fault::new(BEYOND, "this cursor was never given out").expected(format!("at most {last}"));
            Err(Problem { status: StatusCode::CONFLICT, fault })
        }
        Err(error) => Err(Problem::unavailable(error.fault())),
    }
}

fn unreadable() -> Problem {
    Problem::bad_request("the body cannot be read", "a JSON object like {\"cursor\": 42}")
}

fn authorize(api: &Api, partner: &str, headers: &HeaderMap) -> Result<(), Problem> {
    if api.tokens.admit(partner, headers) {
        return Ok(());
    }
    let fault = Fault::new(UNAUTHORIZED, "the bearer token does not fit this mailbox")
        .expected("`authorization: Bearer <token>` of this partner");
    Err(Problem { status: StatusCode::UNAUTHORIZED, fault })
}

/// Reads `after` and `limit`; anything else is refused, so that a misspelt name is noticed.
fn page(query: &str) -> Result<(i64, u32), Problem> {
    let (mut after, mut limit) = (0, USUAL);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse::<i64>().ok().filter(|number| *number >= 0);
        match (name.as_ref(), number) {
            ("after", Some(number)) => after = number,
            ("limit", Some(number @ 1..)) => limit = u32::try_from(number).unwrap_or(MOST).min(MOST),
            ("after", None) => return Err(Problem::bad_request("`after` cannot be used", "a cursor: a whole number from 0")),
            ("limit", _) => return Err(Problem::bad_request("`limit` cannot be used", "a whole number from 1 to 500")),
            _ => return Err(Problem::bad_request("unknown parameter", "`after` and `limit`")),
        }
    }
    Ok((after, limit))
}

/// An error answer after RFC 9457.
struct Problem {
    status: StatusCode,
    fault: Fault,
}

impl Problem {
    fn bad_request(message: &str, expected: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, fault: Fault::new(BAD_REQUEST, message).expected(expected) }
    }

    fn unavailable(fault: Fault) -> Self {
        tracing::warn!(code = %fault.code, "mailbox request failed");
        // What the store said is for our own log and operators.
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            fault: Fault::new(fault.code, "the mailbox cannot answer now, try again"),
        }
    }

    fn damaged() -> Self {
        Self::unavailable(Fault::new(crate::store::FAILED, "a stored delivery is damaged"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("error"),
            "status": self.status.as_u16(),
            "detail": self.fault.message,
            "code": self.fault.code,
            "expected": self.fault.expected,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}
