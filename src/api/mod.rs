//! The HTTP interface: status page, probes, mailboxes; the intake of pushed records joins it in `hub`.

pub mod status;

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::{error::Code, hub::Hub};

/// The HTTP interface cannot listen on its address.
pub const LISTEN: Code = Code::new(1009);

/// The hub's own routes.
pub fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/v1/status", get(status::json))
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .with_state(hub)
}

/// Ready means: the store answers and the bus answers.
async fn ready(State(hub): State<Arc<Hub>>) -> (StatusCode, &'static str) {
    if hub.store.read("SELECT 1", &[]).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer");
    }
    match hub.bus.depth(&crate::bus::Queue::Records(0)).await {
        Ok(_) => (StatusCode::OK, "ready"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the bus does not answer"),
    }
}
