//! The HTTP interface: status page, probes, console, mailboxes; the intake of pushed records joins it in `hub`.

pub mod probes;
pub mod status;
pub mod v1;

use std::sync::Arc;

use axum::{Router, routing::get};

use crate::{error::Code, hub::Hub};

/// The HTTP interface cannot listen on its address.
pub const LISTEN: Code = Code::new(1009);

/// The hub's own routes.
pub fn routes(hub: Arc<Hub>) -> Router {
    let pages = Router::new().route("/", get(status::page)).route("/v1/status", get(status::json)).with_state(Arc::clone(&hub));
    pages.merge(probes::routes(Arc::clone(&hub))).merge(crate::console::routes(hub))
}
