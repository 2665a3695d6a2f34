//! Polled and pushed HTTP, against small servers in the test.

use std::sync::Mutex;

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use civilhub::{
    adapter::source::http_push::{self, Accepted, Intake, IntakeError},
    clock,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::*;

pub async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// A server with unstable pages.
#[derive(Default)]
struct Legacy {
    rows: Mutex<Vec<Value>>,
    calls: AtomicUsize,
    /// Answers given before the rows: status and Retry-After.
    first: Mutex<Vec<(u16, &'static str)>>,
    since: Mutex<Vec<Option<String>>>,
}

async fn list(State(legacy): State<Arc<Legacy>>, Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap) -> Response {
    let call = legacy.calls.fetch_add(1, Ordering::SeqCst);
    if let Some((status, pause)) = legacy.first.lock().unwrap().pop() {
        return (StatusCode::from_u16(status).unwrap(), [("retry-after", pause), ("location", "/elsewhere")]).into_response();
    }
    if headers.get("authorization").is_none_or(|token| token != "Bearer t0ken") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let since = query.get("updatedAfter").cloned();
    let (page, size): (usize, usize) = (query["page"].parse().unwrap(), query["size"].parse().unwrap());
    let all = legacy.rows.lock().unwrap().clone();
    let mut rows: Vec<Value> =
        all.into_iter().filter(|row| since.as_deref().is_none_or(|since| row["updateTime"].as_str().unwrap() >= since)).collect();
    legacy.since.lock().unwrap().push(since);
    if call == 1 && page == 2 {
        // A row went from the first page to the end meanwhile: the first of this page is now the last of that.
        rows.rotate_left(1);
    }
    let rows: Vec<Value> = rows.into_iter().skip((page - 1) * size).take(size).collect();
    axum::Json(json!({ "data": { "list": rows } })).into_response()
}

const PULL: &str = "path = '/api/accept'\nitems = '/data/list'\nkey = ['no']\nupdated = 'updateTime'\nsince = 'updatedAfter'\npage = 'page'\nsize = 'size'\npage_size = 4";

async fn legacy() -> (Arc<Legacy>, String) {
    let legacy = Arc::new(Legacy::default());
    let base = serve(Router::new().route("/api/accept", get(list)).with_state(Arc::clone(&legacy))).await;
    (legacy, format!("kind = 'http_pull'\nbase = '{base}'\ntoken = 't0ken'"))
}

fn row(no: &str, time: &str) -> Value {
    json!({"no": no, "updateTime": time})
}

fn numbers(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["no"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn unstable_pages_are_sorted_and_rows_come_once() {
    let place = Place::new().await;
    let (legacy, source) = legacy().await;
    let stamps = [9, 3, 7, 1, 8, 2, 6, 0, 5, 4];
    *legacy.rows.lock().unwrap() =
        stamps.iter().map(|minute| row(&format!("A{minute}"), &format!("2017-07-03 09:0{minute}:00"))).collect();
    let (mut pull, mut position) = (place.open(&source, PULL).unwrap(), Position::default());
    let (rows, faults) = drain(&mut *pull, &mut position).await;
    assert_eq!((numbers(&rows), faults.len()), (vec!["A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9"], 0));
    // A late row inside the overlap, a changed one, and one without a key.
    legacy.rows.lock().unwrap().extend([
        row("L", "2017-07-03 09:05:00"),
        json!({"no": "A9", "updateTime": "2017-07-03 09:09:00", "x": 1}),
        json!({"updateTime": "2017-07-03 09:09:00"}),
    ]);
    let mut again = place.open(&source, PULL).unwrap();
    let (rows, faults) = drain(&mut *again, &mut position).await;
    assert_eq!((numbers(&rows), faults.len()), (vec!["L", "A9"], 1));
    let (rows, faults) = drain(&mut *again, &mut position).await;
    assert_eq!((rows.len(), faults.len()), (0, 0));
    assert!(legacy.since.lock().unwrap().contains(&Some("2017-07-03 09:04:00".to_owned())));
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_run_loses_no_row() {
    let place = Place::new().await;
    let (legacy, source) = legacy().await;
    *legacy.rows.lock().unwrap() =
        (0..9).map(|second| row(&format!("A{second}"), &format!("2017-07-03 09:00:0{second}"))).collect();
    let mut pull = place.open(&source, PULL).unwrap();
    let first = pull.read(&Position::default(), 4).await.unwrap();
    let mut position = first.next.clone();
    let mut again = place.open(&source, PULL).unwrap();
    assert_eq!((first.rows.len(), drain(&mut *again, &mut position).await.0.len()), (4, 5));
}

#[tokio::test]
async fn a_busy_server_is_given_time_and_a_broken_one_is_unreachable() {
    let place = Place::new().await;
    let (legacy, source) = legacy().await;
    *legacy.rows.lock().unwrap() = vec![row("A", "2017-07-03 09:00:00")];
    *legacy.first.lock().unwrap() = vec![(503, "0"), (429, "1")];
    let started = std::time::Instant::now();
    let batch = place.open(&source, PULL).unwrap().read(&Position::default(), 9).await.unwrap();
    assert!(batch.rows.len() == 1 && started.elapsed() >= Duration::from_secs(1), "Retry-After was not obeyed");
    *legacy.first.lock().unwrap() = vec![(500, "0"); 5];
    let failed = place.open(&source, PULL).unwrap().read(&Position::default(), 9).await;
    assert!(matches!(failed, Err(Error::Unreachable(_))), "{failed:?}");
}

#[tokio::test]
async fn lasting_refusals_are_not_tried_again() {
    let place = Place::new().await;
    let (legacy, source) = legacy().await;
    for status in [302, 404] {
        *legacy.first.lock().unwrap() = vec![(status, "0")];
        let before = legacy.calls.load(Ordering::SeqCst);
        let refused = place.open(&source, PULL).unwrap().read(&Position::default(), 9).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        assert_eq!(legacy.calls.load(Ordering::SeqCst), before + 1);
    }
    let wrong = place.open(&source.replace("t0ken", "other"), PULL).unwrap().read(&Position::default(), 9).await;
    assert!(matches!(&wrong, Err(Error::Refused(fault)) if !fault.to_string().contains("other")), "{wrong:?}");
}

#[tokio::test]
async fn hostile_answers_are_refused_with_bounded_memory() {
    let place = Place::new().await;
    let endless =
        || axum::body::Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65536])));
    let router = Router::new()
        .route("/endless", get(move || async move { endless() }))
        .route("/deep", get(|| async { "[".repeat(100_000) }))
        .route("/twice", get(|| async { r#"{"data":{"list":[]},"data":1}"# }))
        .route(
            "/same",
            get(|| async {
                axum::Json(
                    json!({"data": {"list": [row("A", "2017-07-03 09:00:00"), row("B", "x"), row("C", ""), row("D", "1")]}}),
                )
            }),
        );
    let source = format!("kind = 'http_pull'\nbase = '{}'", serve(router).await);
    // A page that cannot be read is a bad row of its own; after two the server is left alone until the next poll.
    for (path, code) in [("/endless", "CH-2081"), ("/deep", "CH-2051"), ("/twice", "CH-2052")] {
        let object = PULL.replace("/api/accept", path);
        let batch = place.open(&source, &object).unwrap().read(&Position::default(), 9).await.unwrap();
        let codes: Vec<String> = batch.bad.iter().map(|bad| bad.faults[0].code.to_string()).collect();
        assert_eq!((batch.rows.len(), batch.more, codes), (0, false, vec![code.to_owned(); 2]), "{path}");
    }
    let refused = place.open(&source, &PULL.replace("/api/accept", "/same")).unwrap().read(&Position::default(), 9).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    assert!(place.open("kind = 'http_pull'\nbase = 'file:///etc'", PULL).is_err());
}

/// Keeps what it is given; fails when told to.
#[derive(Default)]
struct Inbox {
    origins: Mutex<Vec<String>>,
    fail: Mutex<bool>,
}

#[async_trait]
impl Intake for Inbox {
    async fn accept(&self, system: &System, batch: Batch) -> Result<Accepted, IntakeError> {
        assert_eq!(system.as_str(), "sample");
        if *self.fail.lock().unwrap() {
            return Err(IntakeError::Unavailable(Fault::new(http_push::NOT_ACCEPTED, "the bus is away")));
        }
        self.origins.lock().unwrap().extend(origins(&batch));
        Ok(Accepted { rows: batch.rows.len() })
    }
}

struct Door {
    intake: Arc<Inbox>,
    base: String,
    http: reqwest::Client,
    _place: Place,
}

impl Door {
    async fn new() -> Self {
        let place = Place::new().await;
        let source = "kind = 'http_push'\nsecret = 'a-secret-of-the-sender'\nskew = '5m'\nsignature_header = 'X-Signature'"
            .parse()
            .unwrap();
        let object = ObjectOptions {
            name: "REPORT".into(),
            key: vec!["no".into()],
            options: "path = '/in/sample/report'".parse().unwrap(),
        };
        let push = http_push::open(&System::from("sample"), &source, &[object], &place.context).unwrap();
        let intake = Arc::new(Inbox::default());
        let base = serve(http_push::routes(vec![push], intake.clone())).await;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Self { intake, base, http, _place: place }
    }

    async fn send(&self, body: impl Into<Vec<u8>>, id: Option<&str>, late: i64) -> (u16, Value) {
        let body = body.into();
        let timestamp = (clock::now().unix_timestamp() - late).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a-secret-of-the-sender").unwrap();
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(&body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let mut request = self.http.post(format!("{}/in/sample/report", self.base)).header("x-timestamp", timestamp);
        request = request.header("x-signature", signature).body(body);
        if let Some(id) = id {
            request = request.header("x-delivery-id", id);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    fn taken(&self) -> usize {
        self.intake.origins.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_repeated_delivery_has_one_effect() {
    let door = Door::new().await;
    for (id, taken) in [(Some("d1"), 1), (Some("d1"), 1), (Some("d2"), 2), (None, 3), (None, 3)] {
        let (status, _) = door.send(r#"{"no":"1"}"#, id, 0).await;
        assert_eq!((status, door.taken()), (202, taken), "{id:?}");
    }
    let (status, body) = door.send(r#"{"no":"2"}"#, Some("d1"), 0).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("CH-2094")));
    assert_eq!(door.send(r#"[{"no":"3"},{"no":"4"}]"#, None, 0).await.0, 202);
    assert_eq!(door.taken(), 5);
}

#[tokio::test]
async fn nothing_is_confirmed_that_is_not_durable() {
    let door = Door::new().await;
    *door.intake.fail.lock().unwrap() = true;
    let (status, body) = door.send(r#"{"no":"1"}"#, Some("d1"), 0).await;
    assert_eq!((status, body["status"].as_i64(), door.taken()), (503, Some(503), 0));
    *door.intake.fail.lock().unwrap() = false;
    assert_eq!((door.send(r#"{"no":"1"}"#, Some("d1"), 0).await.0, door.taken()), (202, 1));
}

#[tokio::test]
async fn bad_deliveries_get_a_coded_problem() {
    let door = Door::new().await;
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let many = format!("[{}{{}}]", "{},".repeat(1000));
    let cases: [(Vec<u8>, i64, u16, &str); 7] = [
        (b"{}".to_vec(), 400, 401, "CH-2092"),
        ("[".repeat(100_000).into_bytes(), 0, 400, "CH-2051"),
        (br#"{"a":1,"a":2}"#.to_vec(), 0, 400, "CH-2052"),
        (br#"{"a":"\u0000"}"#.to_vec(), 0, 400, "CH-2053"),
        (b"[1]".to_vec(), 0, 400, "CH-2059"),
        (large.into_bytes(), 0, 413, "CH-2057"),
        (many.into_bytes(), 0, 413, "CH-2096"),
    ];
    for (body, late, expected, code) in cases {
        let (status, problem) = door.send(body, None, late).await;
        assert_eq!((status, problem["code"].as_str()), (expected, Some(code)), "{problem}");
    }
    let url = format!("{}/in/sample/report", door.base);
    let forged = door
        .http
        .post(&url)
        .header("x-timestamp", clock::now().unix_timestamp())
        .header("x-signature", "00".repeat(32))
        .body("{}");
    assert_eq!(forged.send().await.unwrap().status(), 401);
    assert_eq!(door.http.post(format!("{}x", url)).body("{}").send().await.unwrap().status(), 404);
    assert_eq!(door.taken(), 0);
    assert_eq!(door.send("{}", None, 0).await.0, 202);
}
