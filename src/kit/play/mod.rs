//! `civilhub adapter play`: a local page with a sample on the left, the mapping in the middle, and what comes out on the right.
//!
//! The engine is the one of production: the decoders, the compiler of mapping programs with its limits, the schemas. The page is for
//! the developer at this machine alone: it listens on loopback, refuses other names in `Host` and `Origin` (so that no web page can
//! reach it by rebinding a name), wants a token on every call, and writes nothing but the program of an object of this adapter, when
//! the developer presses save.

use std::{
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Request, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    error::{Code, Fault},
    schema::SchemaRegistry,
};

mod engine;

/// The page cannot listen on its address.
pub const CANNOT_LISTEN: Code = Code::new(1025);
/// What the page asked for is not there, or may not be done.
pub const REFUSED: Code = Code::new(1026);

/// Longest body of a call.
const MAX_BODY: usize = 1 << 20;
/// The header that carries the token.
const TOKEN: &str = "x-civilhub-play";
const PAGE: &str = include_str!("page.html");

/// The state of the page.
pub struct Play {
    dir: PathBuf,
    registry: SchemaRegistry,
    token: String,
    hosts: [String; 3],
}

/// What the page sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    object: String,
    program: String,
    /// Name of the sample, for `%file`.
    sample: String,
    /// Its text; none to take the file as it is.
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Save {
    object: String,
    program: String,
}

#[derive(Serialize)]
struct Told {
    faults: Vec<Fault>,
}

/// Starts to listen on a port of loopback, 0 for any that is free.
///
/// # Errors
/// The port is taken.
pub async fn listen(port: u16) -> Result<TcpListener, Fault> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).await.map_err(|error| {
        let fault = Fault::new(CANNOT_LISTEN, format!("cannot listen on {address}: {}", error.kind()));
        fault.hint("give another port with --port, or 0 for any")
    })
}

/// The page's routes for the adapter in `dir`, at the port where it listens.
pub fn routes(dir: &FilePath, registry: SchemaRegistry, port: u16, token: &str) -> Router {
    let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
    let play = Arc::new(Play { dir: dir.to_owned(), registry, token: token.to_owned(), hosts });
    Router::new()
        .route("/", get(page))
        .route("/api/state", get(state))
        .route("/api/run", post(run))
        .route("/api/save", post(save))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&play), guard))
        .with_state(play)
}

/// Only this machine's own page may call: by its name, from its own origin, with its token.
async fn guard(State(play): State<Arc<Play>>, request: Request<Body>, next: Next) -> Response {
    let allowed = is_own(&play, request.headers()) && (request.uri().path() == "/" || has_token(&play, request.headers()));
    if !allowed {
        return (StatusCode::FORBIDDEN, "only the page on this machine may call").into_response();
    }
    next.run(request).await
}

fn is_own(play: &Play, headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).is_some_and(|host| play.hosts.iter().any(|own| own == host));
    let origin = text(header::ORIGIN).is_none_or(|origin| play.hosts.iter().any(|own| origin == format!("http://{own}")));
    host && origin
}

fn has_token(play: &Play, headers: &HeaderMap) -> bool {
    use subtle::ConstantTimeEq;
    headers.get(TOKEN).is_some_and(|token| bool::from(token.as_bytes().ct_eq(play.token.as_bytes())))
}

async fn page(State(play): State<Arc<Play>>) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        play.token
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, PAGE.replace("{{token}}", &play.token)).into_response()
}

async fn state(State(play): State<Arc<Play>>) -> Response {
    blocking(move || engine::state(&play.dir)).await
}

async fn run(State(play): State<Arc<Play>>, Json(run): Json<Run>) -> Response {
    blocking(move || engine::run(&play.dir, &play.registry, &run)).await
}

async fn save(State(play): State<Arc<Play>>, Json(save): Json<Save>) -> Response {
    blocking(move || engine::save(&play.dir, &save.object, &save.program).map(|file| json!({ "saved": file }))).await
}

/// Decoders and programs block: they run beside the server's threads.
async fn blocking(work: impl FnOnce() -> Result<serde_json::Value, Vec<Fault>> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(faults)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(Told { faults })).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
