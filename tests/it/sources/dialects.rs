//! One system, several vendors: each with its address, its form and its signature.

use std::sync::Mutex;

use async_trait::async_trait;
use civilhub::{
    adapter::source::http_push::{self, Accepted, Intake, IntakeError},
    clock,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{http::serve, *};

#[derive(Default)]
struct Inbox(Mutex<Vec<(String, Value)>>);

#[async_trait]
impl Intake for Inbox {
    async fn accept(&self, _: &System, batch: Batch) -> Result<Accepted, IntakeError> {
        let rows = batch.rows.len();
        self.0.lock().unwrap().extend(batch.rows.into_iter().map(|row| (row.object, row.data)));
        Ok(Accepted { rows })
    }
}

const SOURCE: &str = "kind = 'http_push'\nsecret = 'secret-of-the-source'";

fn object(name: &str, options: &str) -> ObjectOptions {
    ObjectOptions { name: name.into(), key: vec!["id".into()], options: options.parse().unwrap() }
}

fn objects() -> Vec<ObjectOptions> {
    vec![
        object("DZ", "path = 'dongzhan'\nitems = '/data'"),
        object(
            "CY",
            "path = 'chuanying'\nformat = 'xml'\nrows = 'events/event'\nencoding = 'GBK'\nsecret = '${CY_SECRET}'\nsignature_header = 'X-CY-Sign'\ntimestamp_header = 'X-CY-Time'\nid_header = 'X-CY-Id'",
        ),
    ]
}

struct Door {
    base: String,
    inbox: Arc<Inbox>,
    _place: Place,
}

async fn door() -> Door {
    let mut place = Place::new().await;
    place.context.env.insert("CY_SECRET".into(), "secret-of-chuanying".into());
    let push = http_push::open(&System::from("sample"), &SOURCE.parse().unwrap(), &objects(), &place.context).unwrap();
    let inbox = Arc::new(Inbox::default());
    let base = serve(http_push::routes(vec![push], inbox.clone())).await;
    Door { base, inbox, _place: place }
}

impl Door {
    async fn send(&self, path: &str, headers: [&str; 3], secret: &str, id: &str, body: Vec<u8>) -> (u16, Value) {
        let timestamp = clock::now().unix_timestamp().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(&body);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let request = http.post(format!("{}/in/sample/{path}", self.base)).header(headers[1], timestamp).header(headers[2], id);
        let response = request.header(headers[0], hex::encode(mac.finalize().into_bytes())).body(body).send().await.unwrap();
        (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }
}

const OURS: [&str; 3] = ["x-signature", "x-timestamp", "x-delivery-id"];
const CY: [&str; 3] = ["X-CY-Sign", "X-CY-Time", "X-CY-Id"];

fn gbk(rows: &str) -> Vec<u8> {
    encoding_rs::GBK.encode(&format!("<?xml version=\"1.0\" encoding=\"GBK\"?><events>{rows}</events>")).0.into_owned()
}

#[tokio::test]
async fn each_vendor_has_its_form_and_signature() {
    let door = door().await;
    let json = br#"{"data":[{"id":"1"},{"id":"2"}]}"#.to_vec();
    let xml = gbk("<event ID='3'><内容>路灯不亮</内容></event>");
    assert_eq!(door.send("dongzhan", OURS, "secret-of-the-source", "a", json.clone()).await.0, 202);
    for _ in 0..2 {
        assert_eq!(door.send("chuanying", CY, "secret-of-chuanying", "a", xml.clone()).await.0, 202);
    }
    let taken = door.inbox.0.lock().unwrap().clone();
    let event = json!({"@ID": "3", "内容": "路灯不亮"});
    assert_eq!(taken, [("DZ".into(), json!({"id": "1"})), ("DZ".into(), json!({"id": "2"})), ("CY".into(), event)]);
    // One vendor's secret does not open the door of another.
    assert_eq!(door.send("chuanying", CY, "secret-of-the-source", "b", xml).await.0, 401);
    assert_eq!(door.send("dongzhan", OURS, "secret-of-chuanying", "b", json).await.0, 401);
}

#[tokio::test]
async fn bad_xml_is_answered_with_its_code() {
    let door = door().await;
    let attributes: String = (0..60_000).map(|n| format!(" a{n}='1'")).collect();
    let cases = [
        (b"{}".to_vec(), 400, "CH-3450"),
        (gbk("<event>&x;</event>"), 400, "CH-3453"),
        (gbk(&format!("<event{attributes}/>")), 400, "CH-3455"),
        (gbk(&"<event/>".repeat(1001)), 413, "CH-2096"),
        (b"<!DOCTYPE e [<!ENTITY a 'a'>]><events/>".to_vec(), 400, "CH-3452"),
        (b"<?xml version='1.0' encoding='UTF-8'?><events/>".to_vec(), 400, "CH-3451"),
        (b"<events><event>\xff\xff</event></events>".to_vec(), 400, "CH-2010"),
        (b"<other/>".to_vec(), 400, "CH-3456"),
    ];
    for (body, status, code) in cases {
        let (answered, problem) = door.send("chuanying", CY, "secret-of-chuanying", code, body).await;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    assert!(door.inbox.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn wrong_options_are_refused() {
    let place = Place::new().await;
    let open = |source: &str, objects: &[ObjectOptions]| {
        http_push::open(&System::from("sample"), &source.parse().unwrap(), objects, &place.context).map(drop)
    };
    let bad = [
        "format = 'yaml'",
        "rows = 'a'",
        "format = 'xml'",
        "format = 'xml'\nrows = 'a'\nitems = '/a'",
        "secret_next = 'x'",
        "secret = 'short'",
        "skew = '2h'",
    ];
    for options in bad {
        assert!(open(SOURCE, &[object("A", options)]).is_err(), "{options}");
    }
    assert!(open("kind = 'http_push'", &[object("A", "")]).is_err());
    assert!(open(SOURCE, &[object("A", "path = 'x'"), object("B", "path = 'x'")]).is_err());
    assert!(open("kind = 'http_push'", &[object("A", "secret = 'a-secret-of-its-own'")]).is_ok());
}
