//! The partner API under `/v1`: signed requests, one answer for each Idempotency-Key, errors after RFC 9457.
//!
//! [`guard`] admits requests, [`openapi`] describes them and is the list of what there is; the other modules are the
//! resources, in the order in which a partner comes to use them.

pub mod batches;
pub mod bills;
pub mod deliveries;
pub mod disclosures;
pub mod disputes;
pub mod endpoints;
pub mod events;
pub mod guard;
mod idempotency;
pub mod keys;
pub mod meta;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod requests;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router, middleware,
    response::IntoResponse,
    routing::{delete, get, post, put},
};
use governor::DefaultDirectRateLimiter;
use serde::de::DeserializeOwned;

use crate::hub::Hub;
use problem::{BODY, METHOD, Problem};

type Limiter = DefaultDirectRateLimiter;

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    pub hub: Arc<Hub>,
    rates: Arc<BTreeMap<String, Limiter>>,
}

/// Who signed the request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub partner: String,
    pub serial: i64,
}

/// The routes, ready to be merged with the others of the hub.
pub fn routes(hub: Arc<Hub>) -> Router {
    let partners = hub.agreements.partners().iter();
    let rates = partners.map(|partner| (partner.slug.clone(), guard::limiter(partner.requests_per_second))).collect();
    let api = Api { hub, rates: Arc::new(rates) };
    let open = Router::new()
        .route("/v1/openapi.json", get(openapi::json))
        .route("/v1/docs", get(openapi::page))
        .route("/v1/meta/errors", get(meta::errors))
        .route("/v1/files/{token}", get(bills::file))
        .route("/v1/disclosures", get(disclosures::list))
        .route_layer(middleware::from_fn(guard::open));
    let signed = Router::new()
        .route("/v1/meta/services", get(meta::services))
        .route("/v1/meta/allowed", get(meta::allowed))
        .route("/v1/events", get(events::list))
        .route("/v1/events/ack", post(events::acknowledge))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/resend", post(deliveries::resend))
        .route("/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/v1/endpoints/{id}", delete(endpoints::remove))
        .route("/v1/endpoints/{id}/rotate", post(endpoints::rotate))
        .route("/v1/endpoints/{id}/replay", post(endpoints::replay))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{serial}", delete(keys::remove))
        .route("/v1/requests", get(requests::list).post(requests::create))
        .route("/v1/requests/{id}", get(requests::show))
        .route("/v1/answers", post(requests::answer))
        .route("/v1/batches", get(batches::list).post(batches::create))
        .route("/v1/batches/{id}", get(batches::show))
        .route("/v1/batches/{id}/file", put(batches::upload))
        .route("/v1/bills/{date}", get(bills::show))
        .route("/v1/disputes", get(disputes::list).post(disputes::create))
        .route("/v1/disputes/{id}", get(disputes::show))
        .route_layer(middleware::from_fn_with_state(api.clone(), guard::signed));
    open.merge(signed).method_not_allowed_fallback(|| async { Problem::from(METHOD).into_response() }).with_state(api)
}

/// Reads a JSON body strictly.
fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        // The text of the error may quote the body; its place does not.
        Problem::from(BODY).detail(format!("the body cannot be read at line {}, column {}", error.line(), error.column()))
    })
}

/// An id derived from who asks and the Idempotency-Key: the same request again makes the same thing.
fn derived(prefix: &str, caller: &Caller, key: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in [prefix, &caller.partner, key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("{prefix}_{}", crate::envelope::id::unlike_numbers(&hash.finalize()[..12]))
}

/// The Idempotency-Key of a request; the guard has seen to it that there is one.
fn idempotency_key(headers: &axum::http::HeaderMap) -> &str {
    headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default()
}

/// A moment in milliseconds, as answers show it.
fn moment(millis: i64) -> Option<String> {
    time::OffsetDateTime::from_unix_timestamp(millis / 1000).map(crate::clock::rfc3339).ok()
}
