//! Probes, metrics and trace contexts on a hub that runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use civilhub::{
    api,
    bus::{self, Bus, Confirm, Consumer, Depth, Message, Queue, Route, Topology},
    config::Config,
    envelope::{ContentHash, Data, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
    hub::{Hub, Role, Running},
    ledger::trace::trace,
    telemetry::trace::{Context, stamp},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TOKEN: &str = "a-token-of-the-telemetry-test-that-is-long-enough";
/// Stands in a subject and a source by mistake: must not be seen anywhere.
const NUMBER: &str = "220171197001010053";

/// A hub in a folder: no adapters, one partner with a mailbox.
async fn open(dir: &Path, partner: &str) -> Arc<Hub> {
    let folders = ["adapters", "partners"].map(|name| dir.join(name));
    for folder in &folders {
        std::fs::create_dir_all(folder).unwrap();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let platform = std::fs::read_to_string(root.join("config/partners/internet-plus.toml")).unwrap();
    let file = platform.replace("slug = \"internet-plus\"", &format!("slug = \"{partner}\""));
    assert!(file.contains(partner), "the partner file has changed its form");
    std::fs::write(folders[1].join(format!("{partner}.toml")), file).unwrap();
    let config = format!(
        "[hub]\ndata = {:?}\n[paths]\nadapters = {:?}\nschemas = {:?}\npartners = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[bus]\npartitions = 2\n\
         [env]\nINTERNET_PLUS_TOKEN = \"{TOKEN}\"\n",
        dir.join("data"),
        folders[0],
        root.join("schemas"),
        folders[1]
    );
    let path = dir.join("civilhub.toml");
    std::fs::write(&path, config).unwrap();
    Hub::open(Config::load(Some(&path), None).unwrap(), Some(&path)).await.unwrap()
}

async fn get(running: &Running, path: &str) -> (u16, String) {
    get_from(&running.listen.unwrap().to_string(), path).await
}

async fn get_from(address: &str, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let answer = client.get(format!("http://{address}{path}")).bearer_auth(TOKEN).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn request(number: u32, source: &str) -> Event {
    let record = json!({
        "request_no": format!("JZ{number:04}"), "item_code": "01008", "dept": "01", "channel": "window", "division_code": "220171001001",
        "applicant_name": "金哲洙", "status": "ACCEPTED", "steps": [{ "step": "ACCEPTED", "at": "2017-07-03T09:00:00+08:00" }]
    });
    let contenthash = ContentHash::of(&record);
    let id = EventId::derive(&System::from(source), "service-request", &number.to_string(), &contenthash, 0);
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "file#1"),
        id,
        source: format!("/systems/{source}"),
        kind: "service-request.upsert".to_owned(),
        subject: format!("JZ{number:04}"),
        time: "2017-07-03T09:00:00+08:00".to_owned(),
        dataschema: "service-request/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: "220171001001".to_owned(),
        sequence: 1,
        partitionkey: PartitionKey::from(format!("{number:032x}")),
        contenthash,
        bookdate: "2017-07-03".to_owned(),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data { record, quality: Vec::new() },
    }
}

async fn publish(hub: &Hub, events: &[Event]) {
    let message = |event: &Event| Message {
        route: Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() },
        id: event.id.to_string(),
        body: event.to_bytes().into(),
    };
    let confirms = hub.bus.publish(events.iter().map(message).collect()).await;
    assert!(confirms.iter().all(|confirm| *confirm == Confirm::Stored), "{confirms:?}");
}

/// The value of one sample; zero if it is not there.
fn sample(metrics: &str, name: &str) -> f64 {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map_or(0.0, |value| value.parse().unwrap())
}

/// Asks until the metrics are as wanted.
async fn wait_for(running: &Running, wanted: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (status, metrics) = get(running, "/metrics").await;
        assert_eq!(status, 200);
        if wanted(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < until, "the metrics do not come to what they should:\n{metrics}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_can_be_followed_by_its_trace_and_is_counted_at_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path(), "telemetry-one").await;
    let running = hub.start(Role::All).await.unwrap();
    let mut events = vec![request(1, "unheard-of"), request(2, "unheard-of")];
    stamp(&mut events);
    let trace_id = Context::of(&events[0]).unwrap().trace_id().to_owned();
    publish(&hub, &events).await;
    running.wait_until_drained().await;
    // The same batch once more, as after a crash between confirm and commit.
    publish(&hub, &events).await;
    running.wait_until_drained().await;

    let (status, body) = get(&running, "/v1/mailbox/telemetry-one/events").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["events"].as_array().map(Vec::len)), (200, Some(2)), "{body}");
    for letter in body["events"].as_array().unwrap() {
        let delivered: Event = serde_json::from_value(letter["event"].clone()).unwrap();
        let span = &delivered.deliveryid.as_ref().unwrap().as_str()[..16];
        assert_eq!(delivered.traceparent, Some(format!("00-{trace_id}-{span}-01")));
    }
    let steps = trace(&hub.store, events[1].id.as_str()).await.unwrap();
    let received: Vec<&Value> = steps.iter().filter(|step| step.what == "received").map(|step| &step.detail["trace"]).collect();
    assert_eq!(received, [&Value::String(trace_id)]);

    let metrics = wait_for(&running, |text| {
        sample(text, r#"civilhub_deliveries_total{outcome="delivered",subscription="telemetry-one"}"#) == 2.0
    })
    .await;
    assert!(sample(&metrics, r#"civilhub_records_routed_total{outcome="dispatched",system="other"}"#) >= 2.0);
    assert!(sample(&metrics, r#"civilhub_records_routed_total{outcome="seen",system="other"}"#) >= 2.0);
    for name in [
        "civilhub_batch_seconds_count{stage=\"route\"}",
        "civilhub_batch_seconds_count{stage=\"deliver\"}",
        "civilhub_store_transaction_seconds_count",
    ] {
        assert!(sample(&metrics, name) >= 1.0, "{name}");
    }
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"] {
        assert!(sample(&metrics, name) > 0.0, "{name}");
    }
    assert!(metrics.contains("civilhub_circuit_state{subscription=\"telemetry-one\"} 0"));
    // No number of a citizen, wherever it came from.
    assert!(!metrics.contains(NUMBER) && !metrics.contains("金哲洙"), "{metrics}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_message_grows_old_while_nobody_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path(), "telemetry-age").await;
    let age = r#"civilhub_queue_oldest_seconds{queue="deliver.telemetry-age"}"#;
    let messages = r#"civilhub_queue_messages{queue="deliver.telemetry-age"}"#;
    // A message in the queue of a receiver, and only the interface runs.
    let route = Route::Deliver("telemetry-age".into());
    hub.bus.publish(vec![Message { route, id: "m1".to_owned(), body: b"{}".as_slice().into() }]).await;
    let running = hub.start(Role::Api).await.unwrap();
    wait_for(&running, |text| sample(text, age) >= 2.0 && sample(text, messages) == 1.0).await;
    running.stop().await;
    drop(hub);
    // A hub that starts later still knows how long it has stood there.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let hub = open(folder.path(), "telemetry-age").await;
    let running = hub.start(Role::Api).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let metrics = get(&running, "/metrics").await.1;
    assert!(sample(&metrics, age) >= 5.0, "the age of the first run is lost: {}", sample(&metrics, age));
    // With a worker it goes: what is no delivery is parked, and the queue is empty.
    let worker = hub.start(Role::Deliver).await.unwrap();
    let metrics = wait_for(&running, |text| sample(text, messages) == 0.0 && sample(text, age) == 0.0).await;
    assert!(sample(&metrics, r#"civilhub_dead_letters_total{code="CH-6501",stage="deliver"}"#) >= 1.0);
    running.stop().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_answers_its_probes() {
    for role in [Role::All, Role::Adapters, Role::Router, Role::Deliver, Role::Api] {
        let folder = tempfile::tempdir().unwrap();
        let running = open(folder.path(), "telemetry-role").await.start(role).await.unwrap();
        assert_eq!(get(&running, "/livez").await, (200, "alive\n".to_owned()), "{role:?}");
        assert_eq!(get(&running, "/readyz").await, (200, "store: ready\nbus: ready\n".to_owned()), "{role:?}");
        assert_eq!(get(&running, "/metrics").await.0, 200, "{role:?}");
        running.stop().await;
    }
}

/// A bus that neither answers nor refuses.
struct Silent;

#[async_trait]
impl Bus for Silent {
    async fn declare(&self, _: &Topology) -> Result<(), bus::Error> {
        future::pending().await
    }

    async fn publish(&self, _: Vec<Message>) -> Vec<Confirm> {
        future::pending().await
    }

    async fn consume(&self, _: &Queue, _: u16) -> Result<Box<dyn Consumer>, bus::Error> {
        future::pending().await
    }

    async fn depth(&self, _: &Queue) -> Result<Depth, bus::Error> {
        future::pending().await
    }

    async fn close(&self) {}
}

async fn serve(hub: Hub) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, api::routes(Arc::new(hub))).await });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_bus_is_silent_lives_but_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Arc::into_inner(open(folder.path(), "telemetry-silent").await).unwrap();
    hub.bus = Arc::new(Silent);
    let address = serve(hub).await;
    let asked = Instant::now();
    let (ready, alive) = tokio::join!(get_from(&address, "/readyz"), get_from(&address, "/livez"));
    assert_eq!(ready, (503, "store: ready\nbus: no answer within 2 s\n".to_owned()));
    assert!((Duration::from_secs(2)..Duration::from_secs(5)).contains(&asked.elapsed()), "{:?}", asked.elapsed());
    assert_eq!(alive.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_store_is_gone_lives_but_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path(), "telemetry-storeless").await;
    hub.store.close().await;
    let address = serve(Arc::into_inner(hub).unwrap()).await;
    assert_eq!(get_from(&address, "/readyz").await, (503, "store: it refuses or cannot be reached\nbus: ready\n".to_owned()));
    assert_eq!(get_from(&address, "/livez").await.0, 200);
    let (status, metrics) = get_from(&address, "/metrics").await;
    assert_eq!(status, 200, "metrics need no store");
    assert!(metrics.contains("civilhub_dependency_up{dependency=\"store\"}"), "{metrics}");
}

/// `make soak` does it for an hour.
#[test]
fn a_minute_at_half_of_the_top_speed() {
    let limits = ["--minutes", "1", "--records", "10000", "--persons", "2000", "--most-growth", "30", "-o", "json"];
    let done = crate::support::program::expect(0, &[&["bench", "soak"], limits.as_slice()].concat());
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((report["gap"].as_i64(), report["offered"].as_i64()), (Some(0), report["delivered"].as_i64()), "{report}");
    assert!(report["offered"].as_i64().unwrap() > 1_000, "{report}");
}
