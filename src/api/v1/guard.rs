//! What every signed request passes: size, signature, nonce, rate, idempotency; and what every answer gets: trace id, ETag,
//! compression.

use std::{io::Write, num::NonZeroU32};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use governor::{Quota, RateLimiter, clock::Clock};
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::{
    Api, Caller, idempotency, keys, openapi,
    problem::{ENDED, KEY, METHOD, NO_IDEMPOTENCY_KEY, NOT_COVERED, Problem, RATE, REPLAY, TOO_LARGE, Told},
};
use crate::{
    clock,
    signature::{
        base::Message,
        verify::{Candidate, WINDOW, candidates},
    },
    telemetry::trace,
};

/// Longest body.
const LONGEST: usize = 1 << 20;
/// Longest file of a batch.
const LONGEST_FILE: usize = 8 << 20;
/// Longest answer that gets an ETag and may be compressed.
const LONGEST_ANSWER: usize = 16 << 20;
/// Shorter answers gain nothing from compression.
const COMPRESSED_FROM: usize = 1024;
/// Milliseconds that a nonce is kept: twice the window on both sides of `created`, so that no clock brings it back.
const NONCE_KEPT: i64 = 4 * WINDOW * 1000;

/// Admits requests without a signature, but gives their answers what all get.
pub async fn open(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let trace = trace_id(&parts.headers);
    let (asked, etag) = (parts.method.clone(), parts.headers.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    finish(response, &trace, &asked, &etag).await
}

/// Admits signed requests.
pub async fn signed(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let trace = trace_id(&parts.headers);
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let response = match admit(&api, &mut parts, body).await {
        Err(problem) => problem.into_response(),
        Ok((caller, bytes)) => {
            parts.extensions.insert(caller.clone());
            run(&api, &caller, parts, bytes, next).await
        }
    };
    finish(response, &trace, &method, &headers).await
}

async fn run(api: &Api, caller: &Caller, parts: Parts, bytes: Bytes, next: Next) -> Response {
    let request = |parts, bytes: Bytes| Request::from_parts(parts, Body::from(bytes));
    if parts.method != Method::POST {
        return next.run(request(parts, bytes)).await;
    }
    let named = parts.headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(key) = named.filter(|key| (1..=128).contains(&key.len())).map(str::to_owned) else {
        return Problem::from(NO_IDEMPOTENCY_KEY).into_response();
    };
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let asked = idempotency::Asked::new(&caller.partner, &key, &target, &bytes);
    match idempotency::begin(api, &asked).await {
        Err(problem) => problem.into_response(),
        Ok(Some(stored)) => stored,
        Ok(None) => {
            let response = next.run(request(parts, bytes)).await;
            idempotency::end(api, &asked, response).await
        }
    }
}

/// Who calls, and the whole body; or why not.
async fn admit(api: &Api, parts: &mut Parts, body: Body) -> Result<(Caller, Bytes), Problem> {
    let path = parts.extensions.get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    if !openapi::knows(&path, parts.method.as_str()) {
        return Err(METHOD.into());
    }
    let limit = if path.ends_with("/file") { LONGEST_FILE } else { LONGEST };
    let bytes = to_bytes(body, limit).await.map_err(|_| Problem::from(TOO_LARGE))?;
    let caller = authenticate(api, parts, &bytes).await?;
    rate(api, &caller)?;
    let partner = api.hub.agreements.partner(&caller.partner);
    let today = clock::today();
    // Of its own keys and agreements a partner may always ask.
    let always = path.starts_with("/v1/meta") || path.starts_with("/v1/keys");
    if !always && !partner.is_some_and(|partner| partner.agreements.iter().any(|agreement| agreement.is_valid(today))) {
        return Err(ENDED.into());
    }
    Ok((caller, bytes))
}

async fn authenticate(api: &Api, parts: &Parts, body: &[u8]) -> Result<Caller, Problem> {
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = parts.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default();
    let message = Message {
        method: parts.method.as_str(),
        scheme: "https",
        authority,
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &parts.headers,
        status: None,
    };
    let now = clock::now().unix_timestamp();
    let mut problem: Option<Problem> = None;
    for candidate in candidates(&parts.headers)? {
        match check(api, &candidate, &message, body, now).await {
            Ok(caller) => {
                spend(api, &caller.partner, &candidate).await?;
                return Ok(caller);
            }
            // Of two signatures the one by a key that is still known tells more.
            Err(fault) if problem.as_ref().is_none_or(|before| before.kind.code == KEY.code) => problem = Some(fault),
            Err(_) => {}
        }
    }
    Err(problem.unwrap_or_else(|| NOT_COVERED.into()))
}

async fn check(api: &Api, candidate: &Candidate, message: &Message<'_>, body: &[u8], now: i64) -> Result<Caller, Problem> {
    let Some((key, public)) = keys::find(&api.hub.store, &candidate.keyid).await? else { return Err(KEY.into()) };
    candidate.check(message, body, public.as_ref(), now)?;
    if api.hub.agreements.partner(&key.partner).is_none() {
        return Err(KEY.into());
    }
    Ok(Caller { partner: key.partner, serial: key.serial })
}

/// Notes the nonce; it is in the store before anything happens, so that a restart does not forget it.
async fn spend(api: &Api, partner: &str, candidate: &Candidate) -> Result<(), Problem> {
    let expires = clock::millis().max(candidate.created.saturating_mul(1000)) + NONCE_KEPT;
    let sql = "INSERT INTO api_nonce (partner, nonce, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let args = [partner.into(), candidate.nonce.as_str().into(), expires.into()];
    if api.hub.store.write(sql, &args).await? == 1 { Ok(()) } else { Err(REPLAY.into()) }
}

fn rate(api: &Api, caller: &Caller) -> Result<(), Problem> {
    let Some(limiter) = api.rates.get(&caller.partner) else { return Ok(()) };
    limiter.check().map_err(|not_until| {
        let wait = not_until.wait_time_from(governor::clock::DefaultClock::default().now());
        Problem::from(RATE).retry_after(wait.as_secs() + 1)
    })
}

/// A limiter for so many requests a second, with a burst of two seconds.
pub fn limiter(per_second: NonZeroU32) -> super::Limiter {
    RateLimiter::direct(Quota::per_second(per_second).allow_burst(per_second.saturating_mul(NonZeroU32::MIN.saturating_add(1))))
}

/// Of the caller's `traceparent`, or a new one.
fn trace_id(headers: &HeaderMap) -> String {
    let given = headers.get(trace::HEADER).and_then(|value| value.to_str().ok()).and_then(trace::Context::parse);
    given.map_or_else(
        || {
            let mut bytes = [0_u8; 16];
            rand::rng().fill_bytes(&mut bytes);
            hex::encode(bytes)
        },
        |context| context.trace_id().to_owned(),
    )
}

/// Trace id, error body, ETag and compression.
async fn finish(response: Response, trace: &str, method: &Method, asked: &HeaderMap) -> Response {
    let response = match response.extensions().get::<Told>() {
        Some(Told(problem)) => problem.respond(trace),
        None => response,
    };
    let (mut parts, body) = response.into_parts();
    if let Ok(value) = HeaderValue::from_str(trace) {
        parts.headers.insert("trace-id", value);
    }
    parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let Ok(bytes) = to_bytes(body, LONGEST_ANSWER).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    if parts.status == StatusCode::OK && *method == Method::GET {
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
        if let Ok(value) = HeaderValue::from_str(&etag) {
            parts.headers.insert(header::ETAG, value);
        }
        parts.headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache"));
        if asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|tags| tags.contains(&etag)) {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            return Response::from_parts(parts, Body::empty());
        }
    }
    compress(parts, bytes, asked)
}

fn compress(mut parts: axum::http::response::Parts, bytes: Bytes, asked: &HeaderMap) -> Response {
    parts.headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let wanted = asked
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.split(',').any(|part| part.trim().split(';').next() == Some("gzip") && !part.contains("q=0")));
    if wanted && bytes.len() >= COMPRESSED_FROM {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        if encoder.write_all(&bytes).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(header::CONTENT_LENGTH);
            return Response::from_parts(parts, Body::from(packed));
        }
    }
    Response::from_parts(parts, Body::from(bytes))
}
