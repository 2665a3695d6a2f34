//! Tokens of a token endpoint, and pages by cursor.

use std::sync::Mutex;

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{http::serve, *};

/// A server that hands out tokens and cursors.
#[derive(Default)]
struct Server {
    rows: Mutex<Vec<Value>>,
    granted: AtomicUsize,
    /// Life of a token in seconds; none is told when zero.
    life: AtomicUsize,
    /// Tokens before this one are not taken any more.
    revoked: AtomicUsize,
    /// Pages asked for: cursor and since.
    asked: Mutex<Vec<(String, Option<String>)>>,
    /// How often a cursor has run out, and how that is told.
    expire: Mutex<Vec<&'static str>>,
    /// Cursors lead back to the first page.
    loops: AtomicUsize,
}

async fn token(State(server): State<Arc<Server>>, headers: HeaderMap, body: String) -> Response {
    // RFC 6749 encodes both before they go into the header: `hub:s%2Bcret`.
    let basic = headers.get("authorization").is_some_and(|value| value == "Basic aHViOnMlMkJjcmV0");
    let form = body.contains("client_id=hub&client_secret=s%2Bcret");
    if !(basic || form) || !body.contains("grant_type=client_credentials") {
        return (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#).into_response();
    }
    let number = server.granted.fetch_add(1, Ordering::SeqCst) + 1;
    let life = server.life.load(Ordering::SeqCst);
    axum::Json(json!({"access_token": format!("t{number}"), "token_type": "Bearer", "expires_in": life})).into_response()
}

async fn page(State(server): State<Arc<Server>>, Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap) -> Response {
    let token: usize = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer t")?.parse().ok())
        .unwrap_or_default();
    if token <= server.revoked.load(Ordering::SeqCst) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let cursor = query.get("cursor").cloned().unwrap_or_default();
    let since = query.get("since").cloned();
    server.asked.lock().unwrap().push((cursor.clone(), since.clone()));
    if cursor == "c2"
        && let Some(how) = server.expire.lock().unwrap().pop()
    {
        return match how {
            "410" => StatusCode::GONE.into_response(),
            "400" => (StatusCode::BAD_REQUEST, r#"{"code":"CURSOR_GONE"}"#).into_response(),
            _ => axum::Json(json!({"code": "CURSOR_GONE", "list": []})).into_response(),
        };
    }
    let at: usize = cursor.trim_start_matches('c').parse().unwrap_or(0);
    let all = server.rows.lock().unwrap().clone();
    let size: usize = query["size"].parse().unwrap();
    let new = |row: &Value| since.as_deref().is_none_or(|since| row["updateTime"].as_str().unwrap() >= since);
    let rows: Vec<Value> = all.into_iter().filter(new).skip(at).take(size).collect();
    let next = if rows.len() < size { Value::Null } else { json!(format!("c{}", at + size)) };
    let next = if server.loops.load(Ordering::SeqCst) > 0 { json!("c2") } else { next };
    axum::Json(json!({"code": "OK", "next": next, "list": rows})).into_response()
}

async fn start() -> (Arc<Server>, String) {
    let server = Arc::new(Server::default());
    server.life.store(3600, Ordering::SeqCst);
    let rows = (0..7).map(|second| json!({"no": format!("A{second}"), "updateTime": format!("2017-07-03 09:00:0{second}")}));
    *server.rows.lock().unwrap() = rows.collect();
    let router = Router::new().route("/token", post(token)).route("/api", get(page)).with_state(Arc::clone(&server));
    let base = serve(router).await;
    let source = format!(
        "kind = 'http_pull'\nbase = '{base}'\ntoken_url = '{base}/token'\nclient_id = 'hub'\nclient_secret = 's+cret'\nscope = 'read'"
    );
    (server, source)
}

const PULL: &str = "path = '/api'\nitems = '/list'\nkey = ['no']\nupdated = 'updateTime'\nsince = 'since'\npage_size = 2\n\
                    cursor = 'cursor'\nnext = '/next'\ncode = '/code'\nexpired = ['CURSOR_GONE']";

async fn read(place: &Place, source: &str, position: &mut Position) -> Vec<String> {
    let (rows, faults) = drain(&mut *place.open(source, PULL).unwrap(), position).await;
    assert!(faults.is_empty(), "{faults:?}");
    rows.iter().map(|row| row["no"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_token_serves_until_it_runs_out() {
    let place = Place::new().await;
    let (server, source) = start().await;
    assert_eq!(read(&place, &source, &mut Position::default()).await.len(), 7);
    assert_eq!(server.granted.load(Ordering::SeqCst), 1);
    // Two seconds, of which the last fifth is not used.
    server.life.store(2, Ordering::SeqCst);
    let mut pull = place.open(&source, PULL).unwrap();
    pull.read(&Position::default(), 99).await.unwrap();
    let after = server.granted.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1700)).await;
    pull.read(&Position::default(), 99).await.unwrap();
    assert_eq!((after, server.granted.load(Ordering::SeqCst)), (2, 3));
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_renewed_once() {
    let place = Place::new().await;
    let (server, source) = start().await;
    let mut pull = place.open(&format!("{source}\nclient_auth = 'body'"), PULL).unwrap();
    pull.read(&Position::default(), 99).await.unwrap();
    server.revoked.store(1, Ordering::SeqCst);
    assert_eq!(pull.read(&Position::default(), 99).await.unwrap().rows.len(), 7);
    assert_eq!(server.granted.load(Ordering::SeqCst), 2);
    server.revoked.store(99, Ordering::SeqCst);
    let refused = pull.read(&Position::default(), 99).await;
    assert!(matches!(&refused, Err(Error::Refused(fault)) if fault.code.to_string() == "CH-2080"), "{refused:?}");
    assert_eq!(server.granted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_client_that_the_endpoint_does_not_know_is_refused() {
    let place = Place::new().await;
    let (_server, source) = start().await;
    let refused = place.open(&source.replace("s+cret", "other"), PULL).unwrap().read(&Position::default(), 9).await;
    let Err(Error::Refused(fault)) = refused else { panic!("{refused:?}") };
    assert_eq!(fault.code.to_string(), "CH-3470");
    assert!(!fault.to_string().contains("other"));
    for wrong in ["client_secret = 's+cret'", "client_id = 'hub'"] {
        assert!(place.open(&source.replace(wrong, ""), PULL).is_err());
    }
    assert!(place.open(&format!("{source}\ntoken = 'x'"), PULL).is_err());
}

#[tokio::test]
async fn a_cursor_that_runs_out_restarts_the_run_from_the_stored_position() {
    let place = Place::new().await;
    let (server, source) = start().await;
    let mut position = Position::default();
    assert_eq!(read(&place, &source, &mut position).await, ["A0", "A1", "A2", "A3", "A4", "A5", "A6"]);
    for how in ["410", "400", "coded"] {
        server.rows.lock().unwrap().push(json!({"no": how, "updateTime": "2017-07-03 09:01:00"}));
        *server.expire.lock().unwrap() = vec![how];
        server.asked.lock().unwrap().clear();
        assert_eq!(read(&place, &source, &mut position).await, [how], "each row came once");
        let asked = server.asked.lock().unwrap().clone();
        let cursors: Vec<&str> = asked.iter().take(4).map(|(cursor, _)| cursor.as_str()).collect();
        assert_eq!(cursors, ["", "c2", "", "c2"]);
        assert!(asked.iter().all(|(_, since)| since == &asked[0].1 && since.is_some()));
    }
    *server.expire.lock().unwrap() = vec!["410"; 9];
    let failed = place.open(&source, PULL).unwrap().read(&position, 9).await;
    assert!(matches!(&failed, Err(Error::Unreachable(fault)) if fault.code.to_string() == "CH-3473"), "{failed:?}");
}

#[tokio::test]
async fn a_cursor_that_leads_back_is_refused() {
    let place = Place::new().await;
    let (server, source) = start().await;
    server.loops.store(1, Ordering::SeqCst);
    let refused = place.open(&source, PULL).unwrap().read(&Position::default(), 9).await;
    assert!(matches!(&refused, Err(Error::Refused(fault)) if fault.code.to_string() == "CH-3472"), "{refused:?}");
    assert!(place.open(&source, &PULL.replace("next = '/next'", "")).is_err());
    assert!(place.open(&source, &PULL.replace("code = '/code'", "")).is_err());
}
