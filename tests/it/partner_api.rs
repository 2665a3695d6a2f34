//! The partner API of a running hub, called as a partner calls it.

use std::{path::Path, sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use civilhub::{
    api::v1::{keys, openapi::OPERATIONS},
    bus::{Confirm, Message, Route},
    clock,
    config::Config,
    envelope::{ContentHash, Event, EventId, Occurrence},
    hub::{Hub, Role, Running},
    signature::{
        algorithm::{self, Algorithm, Sign},
        digest,
        sign::Signer,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;

const PARTNER: &str = "\
slug = \"finance\"\nname = \"财政厅\"\nmay = [\"verification\"]\nrequests_per_second = 1000\nendpoint_networks = [\"127.0.0.0/8\"]\n\
[transport]\nkind = \"mailbox\"\n\
[[agreement]]\nid = \"pay\"\ndataset = \"assistance-payment\"\npurpose = \"payroll\"\nlegal_basis = \"test\"\n\
valid_from = \"2017-07-01\"\nvalid_to = \"2099-12-31\"\ndivisions = [\"22\"]\nkey = [\"payment_no\"]\n\
[agreement.fields]\npayment_no = \"plain\"\namount = \"plain\"\n";

/// A running hub and a partner with a key.
struct Side {
    dir: TempDir,
    running: Running,
    base: url::Url,
    key: Box<dyn Sign>,
    keyid: String,
}

async fn start(data: &Path, partners: &[(&str, &str)]) -> (Arc<Hub>, Running) {
    let mut config = Config::load(None, Some(data)).unwrap();
    config.paths.adapters = data.join("adapters");
    config.paths.partners = data.join("partners");
    config.paths.schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    config.http.listen = "127.0.0.1:0".to_owned();
    for folder in [&config.paths.adapters, &config.paths.partners] {
        std::fs::create_dir_all(folder).unwrap();
    }
    for (slug, text) in partners {
        std::fs::write(config.paths.partners.join(format!("{slug}.toml")), text).unwrap();
    }
    let hub = Hub::open(config, None).await.unwrap();
    let running = hub.start(Role::All).await.unwrap();
    (hub, running)
}

async fn side(name: Algorithm, text: &str) -> Side {
    let dir = tempfile::tempdir().unwrap();
    let (hub, running) = start(dir.path(), &[("finance", text)]).await;
    let (secret, public) = algorithm::generate(name).unwrap();
    let added = keys::add(&hub.store, "finance", public.as_ref(), "test").await.unwrap().unwrap();
    let base = format!("http://{}", running.listen.unwrap()).parse().unwrap();
    Side { dir, running, base, key: algorithm::secret(&secret).unwrap(), keyid: added.id() }
}

/// A request, ready to be sent or spoiled.
#[derive(Clone)]
struct Call {
    method: &'static str,
    url: url::Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    async fn send(self) -> (u16, Value, HeaderMap) {
        let client = reqwest::Client::new();
        let method = reqwest::Method::from_bytes(self.method.as_bytes()).unwrap();
        let answer = client.request(method, self.url).headers(self.headers).body(self.body).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)), headers)
    }
}

impl Side {
    fn signed_at(&self, method: &'static str, path: &str, body: &str, created: i64, more: &[(&'static str, &str)]) -> Call {
        let url = self.base.join(path).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let signer = Signer { key: self.key.as_ref(), keyid: &self.keyid };
        signer.sign(&url, method, body.as_bytes(), created, &mut headers).unwrap();
        Call { method, url, headers, body: body.as_bytes().to_vec() }
    }

    fn signed(&self, method: &'static str, path: &str, body: &str, more: &[(&'static str, &str)]) -> Call {
        self.signed_at(method, path, body, clock::now().unix_timestamp(), more)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value, _) = self.signed("GET", path, "", &[]).send().await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    async fn post(&self, path: &str, body: Value, key: &str) -> (u16, Value) {
        let (status, value, _) = self.signed("POST", path, &body.to_string(), &[("idempotency-key", key)]).send().await;
        (status, value)
    }

    async fn publish(&self, number: &str) {
        let record = json!({ "payment_no": number, "batch_no": "220171UD20170701", "purpose": "UD", "period": "201707", "payee_name": "王建国",
            "account_no": "6228650220171234568", "bank_code": "JLBANK", "amount": "480.00", "status": "SENT", "sent_at": "2017-07-10T09:00:00+08:00" });
        let content = ContentHash::of(&record);
        let id = EventId::derive(&"fund-payment".into(), "assistance-payment", number, &content, 0);
        let event: Event = serde_json::from_value(json!({
            "specversion": "1.0", "id": id, "source": "/systems/fund-payment", "type": "assistance-payment.upsert", "subject": number,
            "time": "2017-07-10T09:00:00+08:00", "dataschema": "assistance-payment/v1", "datacontenttype": "application/json",
            "division": "220171000000", "sequence": 1, "partitionkey": number, "contenthash": content, "occurrence": Occurrence::derive(&id, "test"), "bookdate": "2017-07-10",
            "data": { "record": record }
        }))
        .unwrap();
        let route = Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() };
        let message = Message { route, id: event.id.to_string(), body: event.to_bytes().into() };
        assert_eq!(self.running.hub.bus.publish(vec![message]).await, [Confirm::Stored]);
    }

    /// What was set aside, for whoever reads a failure.
    async fn dead(&self) -> String {
        let rows = self.running.hub.store.read("SELECT code, faults FROM dead", &[]).await.unwrap();
        rows.iter().map(|row| row.text(1)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_request_that_is_fresh_whole_and_signed_by_a_good_key_is_taken() {
    for name in Algorithm::ALL {
        let side = side(name, PARTNER).await;
        let body = r#"{"cursor":0}"#;
        let good = |key: &str| side.signed("POST", "/v1/events/ack", body, &[("idempotency-key", key)]);
        let (status, value, headers) = good("a").send().await;
        assert_eq!((status, headers["trace-id"].len()), (200, 32), "{value}");
        let now = clock::now().unix_timestamp();
        let late = side.signed_at("POST", "/v1/events/ack", body, now - 301, &[("idempotency-key", "b")]);
        let mut changed = good("c");
        changed.body[2] ^= 1;
        let mut bare = good("d");
        bare.headers.remove("signature");
        let mut less = good("e");
        let input = less.headers["signature-input"].to_str().unwrap().replace(" \"content-digest\"", "");
        less.headers.insert("signature-input", HeaderValue::from_str(&input).unwrap());
        let mut digest_of_another = good("f");
        digest_of_another.headers.insert("content-digest", HeaderValue::from_str(&digest::of(b"{}", false)).unwrap());
        let mut stranger = good("g");
        let input = stranger.headers["signature-input"].to_str().unwrap().replace(&side.keyid, "finance/9");
        stranger.headers.insert("signature-input", HeaderValue::from_str(&input).unwrap());
        for (call, code) in [
            (late, "CH-6613"),
            (changed, "CH-6616"),
            (bare, "CH-6610"),
            (less, "CH-6612"),
            (digest_of_another, "CH-6615"),
            (stranger, "CH-6614"),
        ] {
            let (status, value, headers) = call.send().await;
            assert_eq!((status, &value["code"]), (401, &json!(code)), "{value}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert!(
                value["message"]["zh"].is_string()
                    && value["hint"].is_string()
                    && value["trace_id"] == headers["trace-id"].to_str().unwrap()
            );
        }
        side.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_refused_after_a_restart_too() {
    let side = side(Algorithm::Ed25519, PARTNER).await;
    let call = side.signed("GET", "/v1/keys", "", &[]);
    assert_eq!(call.clone().send().await.0, 200);
    let (status, value, _) = call.clone().send().await;
    assert_eq!((status, &value["code"]), (401, &json!("CH-6617")));
    side.running.stop().await;
    // The same address again, as a proxy in front of the hub would give it.
    let (_, running) = start(side.dir.path(), &[]).await;
    let mut again = call;
    let host = format!("{}:{}", again.url.host_str().unwrap(), again.url.port().unwrap());
    again.headers.insert("host", HeaderValue::from_str(&host).unwrap());
    again.url.set_port(Some(running.listen.unwrap().port())).unwrap();
    let (status, value, _) = again.send().await;
    assert_eq!((status, &value["code"]), (401, &json!("CH-6617")), "{value}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_overlap_and_of_two_signatures_the_good_one_counts() {
    let mut side = side(Algorithm::Ed25519, PARTNER).await;
    let (secret, public) = algorithm::generate(Algorithm::Sm2).unwrap();
    let (status, added) = side.post("/v1/keys", json!({ "public_key": public.write() }), "k1").await;
    assert_eq!((status, &added["keyid"]), (201, &json!("finance/2")), "{added}");
    let old = std::mem::replace(&mut side.key, algorithm::secret(&secret).unwrap());
    let old_id = std::mem::replace(&mut side.keyid, "finance/2".to_owned());
    let keys = side.get("/v1/keys").await;
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["valid"] == true), "both are good: {keys}");
    let (status, _, _) = side.signed("DELETE", "/v1/keys/1", "", &[]).send().await;
    assert_eq!(status, 204);
    let url = side.base.join("/v1/keys").unwrap();
    let by = |key: &dyn Sign, keyid: &str| {
        let mut headers = HeaderMap::new();
        Signer { key, keyid }.sign(&url, "GET", b"", clock::now().unix_timestamp(), &mut headers).unwrap();
        headers
    };
    let (first, second) = (by(old.as_ref(), &old_id), by(side.key.as_ref(), &side.keyid));
    let alone = Call { method: "GET", url: url.clone(), headers: first.clone(), body: vec![] };
    assert_eq!(alone.send().await.0, 401);
    let mut both = HeaderMap::new();
    for name in ["signature-input", "signature"] {
        let text = |headers: &HeaderMap| headers[name].to_str().unwrap().to_owned();
        let joined = format!("{}, {}", text(&first), text(&second).replacen("sig1", "sig2", 1));
        both.insert(name, HeaderValue::from_str(&joined).unwrap());
    }
    let (status, value, _) = Call { method: "GET", url, headers: both, body: vec![] }.send().await;
    assert_eq!(status, 200, "{value}");
    side.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_for_each_idempotency_key() {
    let side = side(Algorithm::EcdsaP256, PARTNER).await;
    let manifest = json!({ "dataset": "assistance-payment", "rows": 1, "sha256": "ab".repeat(32) });
    let first = side.post("/v1/batches", manifest.clone(), "b1").await;
    assert_eq!(first.0, 201, "{}", first.1);
    assert_eq!(side.post("/v1/batches", manifest.clone(), "b1").await, first);
    let (status, value) =
        side.post("/v1/batches", json!({ "dataset": "assistance-payment", "rows": 2, "sha256": "ab".repeat(32) }), "b1").await;
    assert_eq!((status, &value["code"]), (422, &json!("CH-6631")));
    let (status, value, _) = side.signed("POST", "/v1/batches", &manifest.to_string(), &[]).send().await;
    assert_eq!((status, &value["code"]), (400, &json!("CH-6630")));
    // One that is under way.
    let sql = "UPDATE api_answer SET state = 'open', at = $1";
    side.running.hub.store.write(sql, &[clock::millis().into()]).await.unwrap();
    let (status, value, headers) =
        side.signed("POST", "/v1/batches", &manifest.to_string(), &[("idempotency-key", "b1")]).send().await;
    assert_eq!((status, &value["code"], &value["retryable"]), (409, &json!("CH-6632"), &json!(true)));
    assert!(headers.contains_key("retry-after"));
    // One that was left lying by a process that died: it is done again, with the same id.
    side.running.hub.store.write("UPDATE api_answer SET at = $1", &[(clock::millis() - 120_000).into()]).await.unwrap();
    assert_eq!(side.post("/v1/batches", manifest, "b1").await, first);
    side.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_etags_and_compression() {
    let text = PARTNER.replace("requests_per_second = 1000", "requests_per_second = 1");
    let side = side(Algorithm::Ed25519, &text).await;
    let (status, _, headers) = side.signed("GET", "/v1/meta/services", "", &[("accept-encoding", "gzip")]).send().await;
    assert_eq!((status, headers["content-encoding"].to_str().unwrap()), (200, "gzip"));
    let etag = headers["etag"].to_str().unwrap().to_owned();
    let (status, _, _) = side.signed("GET", "/v1/meta/services", "", &[("if-none-match", &etag)]).send().await;
    assert_eq!(status, 304);
    let mut refused = 0;
    for _ in 0..6 {
        let (status, value, headers) = side.signed("GET", "/v1/keys", "", &[]).send().await;
        if status == 429 {
            assert!(value["retryable"] == true && headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
            refused += 1;
        }
    }
    assert!(refused >= 3, "{refused}");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let long = "x".repeat((1 << 20) + 1);
    let (status, value, _) = side.signed("POST", "/v1/disputes", &long, &[("idempotency-key", "l")]).send().await;
    assert_eq!((status, &value["code"]), (413, &json!("CH-6621")));
    side.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_fetched_acknowledged_disputed_billed_and_sent_again() {
    let side = side(Algorithm::Sm2, PARTNER).await;
    side.publish("220171UD2017070100000001").await;
    eventually(Duration::from_secs(20), "the delivery lies in the mailbox", async || {
        assert_eq!(side.dead().await, "");
        !side.get("/v1/events").await["events"].as_array().unwrap().is_empty()
    })
    .await;
    let page = side.get("/v1/events?after=0&limit=10").await;
    let record = &page["events"][0]["event"]["data"]["record"];
    assert_eq!(record, &json!({ "payment_no": "220171UD2017070100000001", "amount": "480.00" }));
    assert_eq!(side.post("/v1/events/ack", json!({ "cursor": 1 }), "ack").await.0, 200);
    assert_eq!(side.post("/v1/events/ack", json!({ "cursor": 7 }), "ack7").await.0, 409);
    let delivery = side.get("/v1/deliveries").await["deliveries"][0].clone();
    assert_eq!((&delivery["dataset"], &delivery["resendable"]), (&json!("assistance-payment"), &json!(true)), "{delivery}");
    let id = delivery["id"].as_str().unwrap();
    let (status, resend) = side.post(&format!("/v1/deliveries/{id}/resend"), json!({}), "r1").await;
    assert_eq!(status, 202, "{resend}");
    eventually(Duration::from_secs(10), "it comes again", async || {
        side.get("/v1/events?after=1").await["events"].as_array().unwrap().len() == 1
    })
    .await;
    let again = side.get("/v1/events?after=1").await;
    assert_eq!(again["events"][0]["event"]["deliveryid"], json!(id), "the same delivery");
    let (status, replay) = side
        .post(
            "/v1/endpoints/default/replay",
            json!({ "from": "2017-01-01T00:00:00+08:00", "to": "2099-01-01T00:00:00+08:00" }),
            "rp",
        )
        .await;
    assert_eq!((status, &replay["deliveries"]), (202, &json!(1)), "{replay}");
    let (status, dispute) =
        side.post("/v1/disputes", json!({ "delivery_id": id, "pointer": "/amount", "problem": "should be 500.00" }), "c1").await;
    assert_eq!(status, 201, "{dispute}");
    let path = format!("/v1/disputes/{}", dispute["id"].as_str().unwrap());
    eventually(Duration::from_secs(10), "it lies with the owner", async || side.get(&path).await["state"] == "sent").await;
    let (status, value) =
        side.post("/v1/disputes", json!({ "delivery_id": "none", "pointer": "/amount", "problem": "x" }), "c2").await;
    assert_eq!((status, &value["pointer"]), (422, &json!("/delivery_id")));
    let bill = side.get(&format!("/v1/bills/{}", clock::iso_date(clock::today()))).await;
    assert_eq!(bill["deliveries"], 1, "{bill}");
    let file = reqwest::get(side.base.join(bill["link"].as_str().unwrap()).unwrap()).await.unwrap().bytes().await.unwrap();
    assert_eq!(
        (digest::sha256_hex(&file), digest::sm3_hex(&file)),
        (bill["sha256"].as_str().unwrap().to_owned(), bill["sm3"].as_str().unwrap().to_owned())
    );
    side.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_lies_in_the_agreed_networks_only_and_gets_deliveries() {
    let side = side(Algorithm::Ed25519, PARTNER).await;
    for (number, url) in [
        "http://169.254.169.254/",
        "http://[::ffff:169.254.169.254]/",
        "http://2130706433/",
        "http://u@127.0.0.1/",
        "https://10.0.0.1/",
        "x",
    ]
    .into_iter()
    .enumerate()
    {
        let (status, value) = side.post("/v1/endpoints", json!({ "url": url }), &format!("bad{number}")).await;
        assert_eq!((status, &value["pointer"]), (422, &json!("/url")), "{url}");
    }
    let seen = Arc::new(std::sync::Mutex::new(Vec::<HeaderMap>::new()));
    let kept = Arc::clone(&seen);
    let app = axum::Router::new()
        .route("/", axum::routing::post(move |headers: HeaderMap| async move { kept.lock().unwrap().push(headers) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (status, endpoint) = side.post("/v1/endpoints", json!({ "url": url }), "good").await;
    assert_eq!((status, endpoint["public_keys"].as_array().unwrap().len()), (201, 1), "{endpoint}");
    let id = endpoint["id"].as_str().unwrap().to_owned();
    let (_, rotated) = side.post(&format!("/v1/endpoints/{id}/rotate"), json!({}), "rot").await;
    assert_eq!(rotated["public_keys"].as_array().unwrap().len(), 2, "both keys sign");
    side.publish("220171UD2017070100000002").await;
    eventually(Duration::from_secs(20), "the endpoint is called", async || !seen.lock().unwrap().is_empty()).await;
    assert_eq!(seen.lock().unwrap()[0]["webhook-signature"].to_str().unwrap().matches("v1a,").count(), 2);
    assert_eq!(side.signed("DELETE", &format!("/v1/endpoints/{id}"), "", &[]).send().await.0, 204);
    side.running.stop().await;
}

/// Every operation with junk: no server error, and no status that the description does not have.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_described() {
    let side = side(Algorithm::Ed25519, PARTNER).await;
    let document: Value = reqwest::get(side.base.join("/v1/openapi.json").unwrap()).await.unwrap().json().await.unwrap();
    let mut number = 0;
    for operation in OPERATIONS {
        let path = operation
            .path
            .replace("{id}", "none")
            .replace("{serial}", "1")
            .replace("{date}", "2017-02-30")
            .replace("{token}", "a.b.c.d");
        for (query, body) in [
            ("", ""),
            ("", "{}"),
            ("?x=1", "[1]"),
            ("?after=-1&limit=0", "{\"a\":"),
            ("", "\u{0}"),
            ("", "{\"url\":1,\"cursor\":\"x\"}"),
        ] {
            number += 1;
            let body = if operation.method == "GET" || operation.method == "DELETE" { "" } else { body };
            let more = [("idempotency-key", format!("n{number}"))];
            let more: Vec<(&'static str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (status, value, headers) = side.signed(operation.method, &format!("{path}{query}"), body, &more).send().await;
            let known = &document["paths"][operation.path][operation.method.to_ascii_lowercase()]["responses"];
            assert!(
                status < 500 && known.get(status.to_string()).is_some(),
                "{} {path}{query} {body}: {status} {value}",
                operation.method
            );
            if status >= 400 {
                assert_eq!(headers["content-type"], "application/problem+json", "{path}");
            }
        }
    }
    let (status, value, headers) = side.signed("PATCH", "/v1/keys", "", &[]).send().await;
    assert_eq!((status, &value["code"]), (405, &json!("CH-6642")), "{headers:?}");
    assert!(headers.contains_key("allow"));
    side.running.stop().await;
}

/// What docs/partners.md tells a newcomer to type, typed.
#[test]
fn a_newcomer_follows_the_page() {
    use std::{os::unix::fs::symlink, process::Command};
    if !Command::new("python3").args(["-c", "import cryptography"]).status().is_ok_and(|status| status.success()) {
        return; // The client of the page needs it.
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/partners.md")).unwrap();
    let block = page.split("<!-- newcomer -->\n```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let block = block.replace("127.0.0.1:8090", &format!("127.0.0.1:{port}"));
    let dir = tempfile::tempdir().unwrap();
    for name in ["schemas", "config", "examples"] {
        symlink(root.join(name), dir.path().join(name)).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_civilhub"));
    let script = format!("set -eu\ntrap 'kill %1' EXIT\n{block}");
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("timeout");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
        command.env_remove(name);
    }
    let output = command.args(["180", "bash", "-c", &script]).current_dir(dir.path()).env("PATH", path).output().unwrap();
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let report: Value = serde_json::from_slice(&std::fs::read(dir.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["coverage"]["asked"], &report["coverage"]["answered"], &report["result"]),
        (&json!(17), &json!(17), &json!("WITHIN"))
    );
    let certificate: Value = serde_json::from_slice(&std::fs::read(dir.path().join("certificate.json")).unwrap()).unwrap();
    let public = std::fs::read_to_string(dir.path().join("bank-icbc.pub")).unwrap();
    assert_eq!((&certificate["passed"], certificate["public_key"].as_str()), (&json!(true), Some(public.trim())));
    department(dir.path(), program, &certificate);
}

/// The department takes the key with its certificate, and not without.
fn department(dir: &Path, program: &Path, certificate: &Value) {
    let partners = dir.join("partners");
    std::fs::create_dir(&partners).unwrap();
    std::fs::create_dir(dir.join("adapters")).unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/partners/bank-icbc.toml")).unwrap();
    let text = format!("conformance = {}\n{text}", certificate["signed_by"]);
    std::fs::write(partners.join("bank-icbc.toml"), text).unwrap();
    let migrated =
        std::process::Command::new(program).args(["migrate", "--data", "department"]).current_dir(dir).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    let add = |more: &[&str]| {
        let words = ["partner", "key", "add", "bank-icbc", "--public", "bank-icbc.pub", "--data", "department"];
        let mut command = std::process::Command::new(program);
        command.args(words).args(more).env("CIVILHUB__PATHS__PARTNERS", &partners).current_dir(dir).output().unwrap()
    };
    let without = add(&[]);
    assert!(String::from_utf8_lossy(&without.stderr).contains("CH-6820"), "{without:?}");
    let with = add(&["--certificate", "certificate.json"]);
    assert!(with.status.success(), "{with:?}");
    std::fs::write(dir.join("changed.json"), certificate.to_string().replace("\"passed\":true", "\"passed\": true,\"x\":1"))
        .unwrap();
    assert!(!add(&["--certificate", "changed.json"]).status.success());
}

fn civilhub(arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_civilhub"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
        command.env_remove(name);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap()
}

#[test]
fn every_partner_has_its_file_and_no_bank_sees_a_benefit_an_address_or_a_family() {
    let output = civilhub(&["partner", "list", "-o", "json"]);
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let named = |slug: &str| listed.iter().any(|partner| partner["partner"] == slug);
    for slug in [
        "bigdata-platform",
        "internet-plus",
        "hospitals",
        "pharmacies",
        "basic-insurance",
        "public-security",
        "hrss",
        "housing",
        "industry-commerce",
        "tax",
        "provident-fund",
        "securities",
        "disabled-federation",
        "finance",
        "mca",
        "charity-federation",
        "procuratorate",
        "community-departments",
        "eldercare-enterprise",
    ] {
        assert!(named(slug), "{slug}");
    }
    let mut banks = 0;
    let query = ["as_of", "query_no", "subject.id_number", "subject.id_type", "subject.name"];
    for partner in listed.iter().filter(|partner| partner["partner"].as_str().unwrap().starts_with("bank-")) {
        banks += 1;
        for agreement in partner["agreements"].as_array().unwrap() {
            let fields: Vec<&String> = agreement["fields"].as_object().unwrap().keys().collect();
            match agreement["dataset"].as_str().unwrap() {
                "asset-query" => assert_eq!(
                    (fields, &agreement["when"]),
                    (query.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().iter().collect(), &json!("requested"))
                ),
                _ => assert!(
                    !fields
                        .iter()
                        .any(|field| ["purpose", "case_no", "payee_id_number", "division_code"].contains(&field.as_str())),
                    "{partner}"
                ),
            }
        }
    }
    assert_eq!(banks, 17);
}

#[test]
fn explain_tells_what_leaves_and_why_the_rest_stays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/asset-query/examples/valid");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut record: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    record["provider"] = json!("ICBC");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("record.json");
    std::fs::write(&file, record.to_string()).unwrap();
    let explain = |slug: &str, more: &[&str]| {
        let output =
            civilhub(&[&["partner", "explain", slug, "--record", file.to_str().unwrap(), "-o", "json"][..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let own = explain("bank-icbc", &[]);
    assert_eq!(
        (&own["dataset"], &own["leaves"], own["fields"].as_array().unwrap().len()),
        (&json!("asset-query"), &json!(true), 5),
        "{own}"
    );
    let purpose = own["withheld"].as_array().unwrap().iter().find(|field| field["field"] == "purpose").unwrap();
    assert_eq!(purpose["reason"], "agreement `bank-icbc-query` does not list it");
    let other = explain("bank-abc", &[]);
    assert!(
        other["leaves"] == false && other["reason"].as_str().unwrap().contains("`where`") && other["record"].is_null(),
        "{other}"
    );
    let over = explain("bank-icbc", &["--on", "2028-01-01"]);
    assert!(over["leaves"] == false && over["reason"].as_str().unwrap().contains("last day is over"), "{over}");
    let none = explain("tax", &["--dataset", "person"]);
    assert_eq!(none["reason"], "the partner has no agreement on `person`");
    let output = civilhub(&["partner", "explain", "bank-icb", "--record", file.to_str().unwrap()]);
    assert!(output.status.code() == Some(1) && String::from_utf8_lossy(&output.stderr).contains("did you mean `bank-icbc`?"));
    let text = civilhub(&["partner", "explain", "bank-icbc", "--record", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("on a request only"));
}
