//! Disputes over a running hub: partners call it as partners do, desks with the program, and the ledger is read afterwards.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue};
use civilhub::{
    api::v1::keys as partner_keys,
    bus::{self, Bus, Confirm, Consumer, Depth, Message, Queue, Route, Topology},
    clock,
    config::{Config, keys::Keys},
    correction::{drive, list},
    envelope::{ContentHash, Event, EventId, Occurrence},
    govern::{Agreements, keys::GovernKeys},
    hub::{Hub, Role, Running},
    ledger::verify,
    signature::{
        algorithm::{self, Algorithm, Sign},
        sign::Signer,
    },
    simulate,
    store::Store,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{
    eventually,
    hub::{Backends, HubFolder, Plan, total},
    postgres::Postgres,
};

/// A partner that fetches; `divisions` and `fields` make the difference.
fn partner(slug: &str, divisions: &str, fields: &str) -> String {
    format!(
        "slug = \"{slug}\"\nname = \"测试\"\nrequests_per_second = 1000\n[transport]\nkind = \"mailbox\"\n\
         [[agreement]]\nid = \"pay\"\ndataset = \"assistance-payment\"\npurpose = \"payroll\"\nlegal_basis = \"test\"\n\
         valid_from = \"2017-07-01\"\nvalid_to = \"2099-12-31\"\ndivisions = [\"{divisions}\"]\nkey = [\"payment_no\"]\n\
         [agreement.fields]\npayment_no = \"plain\"\n{fields}"
    )
}

/// Three that receive payments: one of the province, one of one county only, one that sees names masked.
fn partners() -> Vec<(&'static str, String)> {
    vec![
        ("finance", partner("finance", "22", "amount = \"plain\"\nstatus = \"plain\"\n")),
        ("county", partner("county", "220171", "amount = \"plain\"\n")),
        ("audit", partner("audit", "22", "payee_name = \"masked\"\n")),
    ]
}

/// A hub of which the test drives the disputes by itself.
struct World {
    dir: TempDir,
    url: String,
    hub: Arc<Hub>,
    running: Running,
    api: Running,
    router: CancellationToken,
    keys: Vec<(String, Box<dyn Sign>)>,
}

const NUMBER: &str = "220171UD2017070100000001";

impl World {
    async fn new(url: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::load(None, Some(dir.path())).unwrap();
        config.paths.adapters = dir.path().join("adapters");
        config.paths.partners = dir.path().join("partners");
        config.paths.schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        config.http.listen = "127.0.0.1:0".to_owned();
        config.store.url = url.clone().unwrap_or_default();
        for folder in [&config.paths.adapters, &config.paths.partners] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for (slug, text) in partners() {
            std::fs::write(config.paths.partners.join(format!("{slug}.toml")), text).unwrap();
        }
        let partitions = config.bus.partitions;
        let hub = Hub::open(config, None).await.unwrap();
        let mut keys = Vec::new();
        for (slug, _) in partners() {
            let (secret, public) = algorithm::generate(Algorithm::Ed25519).unwrap();
            let added = partner_keys::add(&hub.store, slug, public.as_ref(), "test").await.unwrap().unwrap();
            keys.push((added.id(), algorithm::secret(&secret).unwrap()));
        }
        let running = hub.start(Role::Deliver).await.unwrap();
        let api = hub.start(Role::Api).await.unwrap();
        let router = CancellationToken::new();
        let road = Arc::new(hub.router());
        for partition in 0..partitions {
            tokio::spawn(Arc::clone(&road).run(partition, router.clone()));
        }
        Self { dir, url: url.unwrap_or_default(), hub, running, api, router, keys }
    }

    async fn step(&self) -> usize {
        drive::step(self.hub.bus.as_ref(), &self.hub.disputes(), &self.hub.agreements).await.unwrap()
    }

    /// One more word of the payment; answers its event id.
    async fn say(&self, sequence: i64, division: &str, change: Value) -> String {
        let mut record = json!({ "payment_no": NUMBER, "batch_no": "220171UD20170701", "purpose": "UD", "period": "201707",
            "payee_name": "王建国", "account_no": "6228650220171234568", "bank_code": "JLBANK", "amount": "480.00",
            "status": "SENT", "sent_at": "2017-07-10T09:00:00+08:00" });
        record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let content = ContentHash::of(&record);
        let id = EventId::derive(&"fund-payment".into(), "assistance-payment", NUMBER, &content, sequence);
        let event: Event = serde_json::from_value(json!({
            "specversion": "1.0", "id": id, "source": "/systems/fund-payment", "type": "assistance-payment.upsert", "subject": NUMBER,
            "time": "2017-07-10T09:00:00+08:00", "dataschema": "assistance-payment/v1", "datacontenttype": "application/json",
            "division": division, "sequence": sequence, "partitionkey": NUMBER, "contenthash": content,
            "occurrence": Occurrence::derive(&id, "test"), "bookdate": "2017-07-10", "data": { "record": record }
        }))
        .unwrap();
        // The bus may bring it twice.
        for _ in 0..2 {
            let route = Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() };
            let message = Message { route, id: event.id.to_string(), body: event.to_bytes().into() };
            assert_eq!(self.hub.bus.publish(vec![message]).await, [Confirm::Stored]);
        }
        id.to_string()
    }

    async fn call(&self, who: usize, method: &'static str, path: &str, body: &str, key: &str) -> (u16, Value) {
        let url = format!("http://{}{path}", self.api.listen.unwrap()).parse().unwrap();
        let (keyid, key_of) = &self.keys[who];
        let mut headers = HeaderMap::new();
        if method == "POST" {
            headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
        }
        let signer = Signer { key: key_of.as_ref(), keyid };
        signer.sign(&url, method, body.as_bytes(), clock::now().unix_timestamp(), &mut headers).unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = reqwest::Client::new().request(method, url).headers(headers).body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn dispute(&self, who: usize, body: Value, key: &str) -> (u16, Value) {
        self.call(who, "POST", "/v1/disputes", &body.to_string(), key).await
    }

    async fn shown(&self, who: usize, id: &str) -> Value {
        let (status, value) = self.call(who, "GET", &format!("/v1/disputes/{id}"), "", "").await;
        assert_eq!(status, 200, "{value}");
        value
    }

    /// Events in the mailbox of a partner, once there are so many.
    async fn mail(&self, who: usize, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        eventually(Duration::from_secs(20), "the mailbox fills", async || {
            let rows = self.hub.store.read("SELECT faults FROM dead", &[]).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.text(0)).collect::<String>(), "");
            let (_, page) = self.call(who, "GET", "/v1/events", "", "").await;
            events = page["events"].as_array().unwrap().iter().map(|one| one["event"].clone()).collect();
            events.len() >= count
        })
        .await;
        assert_eq!(events.len(), count, "{events:?}");
        events
    }

    /// The program on the folder of this hub.
    async fn program(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
            command.env_remove(name);
        }
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).arg("--data").arg(self.dir.path());
        command.env("CIVILHUB__PATHS__PARTNERS", self.dir.path().join("partners"));
        if !self.url.is_empty() {
            command.env("CIVILHUB__STORE__URL", &self.url);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The ledger's rows about an event that are about disputes.
    async fn kinds(&self, event: &str) -> Vec<String> {
        let sql = "SELECT kind FROM ledger WHERE chain = 'correction' AND event_id = $1 ORDER BY seq";
        self.hub.store.read(sql, &[event.into()]).await.unwrap().iter().map(|row| row.text(0)).collect()
    }

    /// Chains hold, books balance, and no value stands in the ledger or beside the sealed texts.
    async fn end(self, secrets: &[&str]) {
        let store = &self.hub.store;
        let report = verify::verify(store, &self.hub.keys.ledger.verifying_key()).await.unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        let open = store.read("SELECT occurrence FROM arrival WHERE open <> 0 OR state = 'early'", &[]).await.unwrap();
        assert!(open.is_empty(), "something is open in the books");
        for sql in ["SELECT body FROM ledger", "SELECT said || body || reason || fix_said FROM dispute"] {
            for row in store.read(sql, &[]).await.unwrap() {
                assert!(secrets.iter().all(|secret| !row.text(0).contains(secret)), "{}", row.text(0));
            }
        }
        self.router.cancel();
        self.running.stop().await;
    }
}

/// The broker has it and does not say so.
struct Mute(Arc<dyn Bus>);

#[async_trait]
impl Bus for Mute {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Confirm> {
        self.0.publish(messages).await.iter().map(|_| Confirm::TimedOut).collect()
    }

    async fn declare(&self, topology: &Topology) -> Result<(), bus::Error> {
        self.0.declare(topology).await
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, bus::Error> {
        self.0.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, bus::Error> {
        self.0.depth(queue).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

async fn backends() -> Vec<Option<String>> {
    vec![None, Some(Postgres::database().await)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_travels_round_and_everyone_holds_the_right_value() {
    for backend in backends().await {
        let world = World::new(backend).await;
        let wrong = world.say(1, "220171000000", json!({})).await;
        let first = world.mail(0, 1).await;
        world.mail(1, 1).await;
        world.mail(2, 1).await;
        let claim =
            json!({ "delivery_id": first[0]["deliveryid"], "pointer": "/amount", "problem": "应为五百元", "proposed": "500.00" });
        let (status, opened) = world.dispute(0, claim.clone(), "d1").await;
        assert_eq!((status, &opened["state"]), (201, &json!("opened")), "{opened}");
        let id = opened["id"].as_str().unwrap();
        // The same again is the same dispute, whatever the key; and by the attributes of the event too.
        assert_eq!(world.dispute(0, claim, "d1").await.0, 201);
        let named =
            json!({ "id": wrong, "source": "/systems/fund-payment", "dataschema": "assistance-payment/v1", "subject": NUMBER });
        let (status, again) = world.dispute(0, json!({ "event": named, "pointer": "/amount", "problem": "again" }), "d2").await;
        assert_eq!((status, &again["id"]), (200, &opened["id"]), "{again}");
        assert_eq!(world.step().await, 0);
        let (code, out, err) = world.program(&["dispute", "list", "--system", "fund-payment", "-o", "json"]).await;
        let queue: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        assert_eq!((code, queue.len(), &queue[0]["state"], &queue[0]["workdays_left"]), (Some(0), 1, &json!("sent"), &json!(10)));
        // Another change of the record does not answer it.
        world.say(2, "220171000000", json!({ "period": "201708" })).await;
        world.mail(0, 2).await;
        world.mail(1, 2).await;
        world.mail(2, 2).await;
        world.step().await;
        let one = list::find(&world.hub.store, id).await.unwrap();
        assert_eq!((one.state.as_str(), one.newer_record.as_str()), ("sent", "unchanged"));
        let (_, out, err) = world.program(&["dispute", "answer", id, "--uphold", "--by", "220171"]).await;
        assert!(out.contains("says the same"), "{out}{err}");
        // The fix: the right amount, and the payment is another county's now.
        let fix = world.say(3, "220172000000", json!({ "amount": "500.00" })).await;
        assert_eq!(world.mail(0, 3).await[2]["data"]["record"]["amount"], "500.00");
        world.mail(2, 3).await;
        // The broker takes the withdrawal of the county and does not say so: it is sent again.
        let mute = Mute(Arc::clone(&world.hub.bus));
        assert!(drive::step(&mute, &world.hub.disputes(), &world.hub.agreements).await.is_err());
        let half = world.shown(0, id).await;
        assert_eq!((&half["state"], &half["outcome"]), (&json!("answered"), &json!("corrected")), "{half}");
        eventually(Duration::from_secs(20), "it is closed", async || {
            world.step().await;
            list::find(&world.hub.store, id).await.unwrap().state == "closed"
        })
        .await;
        let told = world.mail(1, 3).await.pop().unwrap();
        assert_eq!((&told["type"], &told["subject"]), (&json!("assistance-payment.delete"), &json!(NUMBER)));
        assert_eq!(told["data"]["record"], json!({ "payment_no": NUMBER }), "the key and nothing else");
        let own = world.shown(0, id).await;
        assert_eq!((&own["receivers"], &own["yours"]["kind"]), (&json!({ "all": 2, "done": 2 }), &json!("version")), "{own}");
        let states: Vec<_> = list::receivers(&world.hub.store, id).await.unwrap();
        let states: Vec<_> =
            states.iter().map(|one| (one.subscription.as_str(), one.kind.as_str(), one.state.as_str())).collect();
        // The audit has never had the amount.
        assert_eq!(states, [("county", "withdrawal", "received"), ("finance", "version", "received")]);
        // Both stand in the ledger; nothing changes any more.
        assert_eq!(world.kinds(&wrong).await, ["disputed", "asked", "answered", "answered", "closed"]);
        assert_eq!(world.kinds(&fix).await, ["corrected"]);
        let (_, out, _) = world.program(&["trace", &wrong]).await;
        assert!(["disputed", "closed", "delivered"].iter().all(|word| out.contains(word)), "{out}");
        assert_eq!(world.step().await, 0);
        world.mail(1, 3).await;
        world.end(&["480.00", "500.00", "五百"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_received_can_be_disputed_and_a_rejection_has_a_reason() {
    let world = World::new(None).await;
    let event = world.say(1, "220171000000", json!({})).await;
    let mail = world.mail(2, 1).await;
    let mine = mail[0]["deliveryid"].clone();
    let other = world.mail(0, 1).await[0]["deliveryid"].clone();
    world.mail(1, 1).await;
    let named = |id: &str| json!({ "id": id, "source": "/systems/fund-payment", "dataschema": "assistance-payment/v1", "subject": NUMBER });
    for (n, (body, code)) in [
        (json!({ "delivery_id": other, "pointer": "/amount", "problem": "x" }), "CH-7601"),
        (json!({ "delivery_id": "none", "pointer": "/payee_name", "problem": "x" }), "CH-7601"),
        (json!({ "event": named("none"), "pointer": "/payee_name", "problem": "x" }), "CH-7601"),
        (json!({ "delivery_id": mine, "pointer": "/amount", "problem": "x" }), "CH-7603"),
        (json!({ "event": named(&event), "pointer": "/amount", "problem": "x" }), "CH-7603"),
        (json!({ "delivery_id": mine, "pointer": "amount", "problem": "x" }), "CH-7603"),
        (json!({ "delivery_id": mine, "pointer": "/payee_name", "problem": "  " }), "CH-7604"),
        (json!({ "pointer": "/payee_name", "problem": "x" }), "CH-6644"),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, value) = world.dispute(2, body, &format!("k{n}")).await;
        assert_eq!((status, &value["code"]), (422, &json!(code)), "{n}: {value}");
    }
    let (_, opened) =
        world.dispute(2, json!({ "delivery_id": mine, "pointer": "/payee_name", "problem": "姓名有误" }), "good").await;
    let id = opened["id"].as_str().unwrap();
    assert_eq!(world.call(0, "GET", &format!("/v1/disputes/{id}"), "", "").await.0, 404, "only its own");
    world.step().await;
    let (code, _, err) = world.program(&["dispute", "answer", id, "--reject", "--by", "220171"]).await;
    assert_eq!(code, Some(2), "{err}");
    let why = "与户口簿一致";
    let (code, out, err) = world.program(&["dispute", "answer", id, "--reject", "--reason", why, "--by", "220171"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = world.program(&["dispute", "answer", id, "--uphold", "--by", "220171"]).await;
    assert!(code == Some(1) && err.contains("CH-7606"), "{err}");
    assert_eq!(world.step().await, 1);
    let own = world.shown(2, id).await;
    assert_eq!((&own["state"], &own["outcome"], &own["reason"]), (&json!("closed"), &json!("rejected"), &json!(why)));
    let (_, list) = world.call(2, "GET", "/v1/disputes", "", "").await;
    assert_eq!(list["disputes"].as_array().unwrap().len(), 1, "{list}");
    let (_, out, _) = world.program(&["dispute", "show", id, "-o", "json"]).await;
    assert!(!out.contains("姓名有误"), "what people say is not shown by itself: {out}");
    let (_, out, err) = world.program(&["dispute", "show", id, "--plain", "--reason", "desk", "-o", "json"]).await;
    assert!(out.contains("姓名有误"), "{out}{err}");
    assert_eq!(world.kinds(&event).await, ["disputed", "asked", "answered", "closed", "seen"]);
    world.end(&["姓名", "户口", "王建国"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_disputes_a_fix_comes_first_and_a_receiver_is_given_up() {
    let world = World::new(None).await;
    world.say(1, "220171000000", json!({})).await;
    for who in 0..3 {
        world.mail(who, 1).await;
    }
    let record = ["--system", "fund-payment", "--dataset", "assistance-payment", "--subject", NUMBER];
    let open =
        |field: &'static str| [&["dispute", "open"][..], &record, &["--field", field, "--problem", "x", "-o", "json"]].concat();
    let (code, _, err) = world.program(&open("/account_no")).await;
    assert!(code == Some(1) && err.contains("CH-7603"), "nobody received it: {err}");
    let (code, out, err) = world.program(&open("/amount")).await;
    assert_eq!(code, Some(0), "{err}");
    let id = serde_json::from_str::<Value>(&out).unwrap()["id"].as_str().unwrap().to_owned();
    // The right value comes before the dispute lies in any queue.
    world.say(2, "220172000000", json!({ "amount": "520.00" })).await;
    world.mail(0, 2).await;
    world.mail(2, 2).await;
    // Its owner is late.
    world.hub.store.write("UPDATE dispute SET due_on = '2017-07-03'", &[]).await.unwrap();
    let (code, out, _) = world.program(&["dispute", "list", "--overdue"]).await;
    assert!(code == Some(1) && out.contains("OVERDUE"), "{out}");
    // The county's partner file is gone: nothing can be sent there, until somebody answers for it.
    let folder = world.dir.path().join("fewer");
    std::fs::create_dir_all(&folder).unwrap();
    for (slug, text) in partners().into_iter().filter(|(slug, _)| *slug != "county") {
        std::fs::write(folder.join(format!("{slug}.toml")), text).unwrap();
    }
    let keys = GovernKeys::new(world.hub.keys.derive("govern"));
    let without = Agreements::load(&folder, &keys).unwrap();
    for _ in 0..2 {
        assert_eq!(drive::step(world.hub.bus.as_ref(), &world.hub.disputes(), &without).await.unwrap(), 0);
    }
    let (_, out, _) = world.program(&["dispute", "show", &id]).await;
    assert!(out.contains("withdrawal") && out.contains("due"), "{out}");
    let (code, _, err) = world.program(&["dispute", "waive", &id, "--receiver", "county", "--reason", "left"]).await;
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = world.program(&["dispute", "waive", &id, "--receiver", "county", "--reason", "left"]).await;
    assert!(code == Some(1) && err.contains("CH-7606"), "{err}");
    assert_eq!(drive::step(world.hub.bus.as_ref(), &world.hub.disputes(), &without).await.unwrap(), 1);
    assert_eq!(list::find(&world.hub.store, &id).await.unwrap().state, "closed");
    world.mail(1, 1).await;
    world.end(&["480.00", "520.00"]).await;
}

/// The province's payment system is corrected, and the hub dies again and again on the way.
#[tokio::test(flavor = "multi_thread")]
async fn the_fix_comes_through_the_adapter_of_a_hub_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("province");
    let today = time::macros::date!(2017 - 07 - 15);
    simulate::write(&simulate::Options { persons: 60, seed: 7, out: out.clone(), today }, &|_| ()).await.unwrap();
    let dibao = out.join("urban-dibao/urban_dibao.sqlite");
    let folder = dir.path().join("hub");
    let hub = HubFolder::write(Plan {
        dir: &folder,
        backends: Backends::Embedded,
        dibao: &dibao,
        stub: "http://127.0.0.1:9/".to_owned(),
        rate: 0,
    });
    let lake = std::fs::read_to_string(folder.join("partners/bigdata-platform.toml")).unwrap();
    let boxed = lake.replace("slug = \"bigdata-platform\"", "slug = \"stub\"").replace("kind = \"lake\"", "kind = \"mailbox\"");
    std::fs::write(folder.join("partners/stub.toml"), boxed).unwrap();
    let once = hub.start(&["serve", "all", "--once"]).wait().await.unwrap();
    assert!(once.success(), "{}", hub.log_tail());
    let store = Store::open(&format!("sqlite://{}", hub.data().join("hub.db").display())).await.unwrap();
    let keys = Keys::load(&hub.data().join("keys.toml")).unwrap();
    let newest = async || {
        let sql = "SELECT body FROM partner_sent WHERE dataset = 'assistance-payment' ORDER BY at DESC, delivery_id LIMIT 1";
        let sealed = store.read(sql, &[]).await.unwrap()[0].text(0);
        serde_json::from_slice::<Event>(&keys.open(&sealed).unwrap()).unwrap()
    };
    let wrong = newest().await;
    let delivery = wrong.deliveryid.unwrap();
    let opened = ["dispute", "open", "--delivery", delivery.as_str(), "--field", "/amount", "--problem", "x", "-o", "json"];
    let id = hub.json(&opened).await["id"].as_str().unwrap().to_owned();
    let source = Store::open(&format!("sqlite://{}", dibao.display())).await.unwrap();
    let sql = "UPDATE DB_PAY SET PAY_MONEY = '999.00', MOD_TIME = '20170716090000' WHERE PAY_ID = $1";
    let number = wrong.data.record["payment_no"].as_str().unwrap();
    assert_eq!(source.write(sql, &[number.into()]).await.unwrap(), 1);
    for pause in [300, 900, 1500, 2100] {
        let mut child = hub.start(&["serve", "all"]);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        child.kill().await.unwrap();
    }
    let mut child = hub.start(&["serve", "all"]);
    eventually(Duration::from_secs(40), "the dispute is closed", async || {
        list::find(&store, &id).await.unwrap().state == "closed"
    })
    .await;
    child.kill().await.unwrap();
    let shown = hub.json(&["dispute", "show", &id, "-o", "json"]).await;
    let states: Vec<_> =
        shown["receivers"].as_array().unwrap().iter().map(|one| (&one["subscription"], &one["kind"], &one["state"])).collect();
    let (version, received) = (json!("version"), json!("received"));
    assert_eq!(states, [(&json!("bigdata-platform"), &version, &received), (&json!("stub"), &version, &received)]);
    let right = newest().await;
    assert_eq!((right.data.record["amount"].as_str(), right.subject), (Some("999.00"), wrong.subject));
    assert_eq!((&shown["fix_event"], &shown["outcome"]), (&json!(right.id.as_str()), &json!("corrected")));
    let ledger = hub.json(&["ledger", "verify", "-o", "json"]).await;
    assert_eq!(ledger["faults"], json!([]));
    let books = hub.books().await;
    assert_eq!((total(&books, "gap"), total(&books, "in_flight")), (0, 0), "{books:#?}");
}
