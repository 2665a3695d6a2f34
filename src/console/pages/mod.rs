//! The pages, and what leads to them.

mod failures;
mod home;
mod login;
mod markdown;
mod persons;
mod plans;
mod records;
mod registers;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

pub(super) use plans::{Examined, Texts};

use super::{Console, guard};
use crate::hub::Hub;

/// Largest form.
const MOST_BYTES: usize = 64 * 1024;

/// The routes of the console, all below `/console`.
pub fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .merge(entrance())
        .route("/console", get(home::overview))
        .route("/console/map", get(home::map))
        .route("/console/records", get(records::find))
        .route("/console/records/{event}", get(records::one).post(records::unmask))
        .route("/console/failures", get(failures::groups))
        .route("/console/failures/group", get(failures::group))
        .route("/console/failures/replay", post(failures::replay))
        .route("/console/failures/decide", post(failures::decide))
        .route("/console/failures/stop", post(failures::stop))
        .route("/console/reviews", get(persons::reviews))
        .route("/console/reviews/{id}", get(persons::review).post(persons::answer))
        .route("/console/reviews/{id}/unmask", post(persons::unmask_review))
        .route("/console/citizens", get(persons::citizen).post(persons::unmask_citizen))
        .route("/console/books", get(registers::books))
        .route("/console/alerts", get(registers::alerts))
        .route("/console/ledger", get(registers::ledger))
        .route("/console/adapters", get(plans::adapters))
        .route("/console/adapters/{slug}", get(plans::adapter))
        .route("/console/partners", get(plans::partners))
        .route("/console/catalogue", get(plans::catalogue))
        .route("/console/doctor", get(plans::doctor).post(plans::examine))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .layer(middleware::from_fn(guard::headers))
        .with_state(Console::new(hub))
}

fn entrance() -> Router<Arc<Console>> {
    Router::new()
        .route("/console/login", get(login::page).post(login::enter))
        .route("/console/logout", post(login::leave))
        .route("/console/language", get(login::language))
        .route("/console/style.css", get(login::style))
        .route("/console/icon.svg", get(login::icon))
}
