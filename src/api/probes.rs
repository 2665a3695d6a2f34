//! What a scheduler and a scraper ask, served by every role: `/livez`, `/readyz`, `/metrics`.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    bus::Queue,
    hub::Hub,
    telemetry::{self, record},
};

/// A dependency that takes longer counts as away: a record would wait for it too.
const LIMIT: Duration = Duration::from_secs(2);

/// The text format of Prometheus.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The three routes.
pub fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(hub)
}

/// Ready means that the store takes writes and the bus answers, each within the limit; both are asked at once and both are told.
async fn ready(State(hub): State<Arc<Hub>>) -> (StatusCode, String) {
    let queue = Queue::Records(0);
    let (store, bus) = tokio::join!(answer(hub.store.takes_writes()), answer(hub.bus.depth(&queue)));
    let (mut status, mut text) = (StatusCode::OK, String::new());
    for (name, answer) in [("store", store), ("bus", bus)] {
        record::dependency(name, answer.is_ok());
        if answer.is_err() {
            status = StatusCode::SERVICE_UNAVAILABLE;
        }
        text.push_str(&format!("{name}: {}\n", answer.err().unwrap_or("ready")));
    }
    (status, text)
}

/// Why there is no answer; the error itself stays inside, for the page needs no key.
async fn answer<T, E>(question: impl Future<Output = Result<T, E>>) -> Result<(), &'static str> {
    match tokio::time::timeout(LIMIT, question).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("it refuses or cannot be reached"),
        Err(_) => Err("no answer within 2 s"),
    }
}

async fn metrics() -> Response {
    match telemetry::text() {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    }
}
