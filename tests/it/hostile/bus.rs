//! Bytes that are no event, published straight to a partition of the bus: a coded dead letter, and neighbours delivered.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use civilhub::{
    bus::{Confirm, Message, Route},
    config::{BusKind, Config},
    dead::{self, Filter},
    envelope::{ContentHash, Data, Event, EventId, Occurrence, PartitionKey, event::SpecVersion},
    hub::{Hub, Role},
    ledger::books,
    router::NOT_AN_EVENT,
};
use serde_json::{Value, json};

use crate::support::{broker::Broker, eventually, unique};

fn event(number: usize) -> Event {
    let record = json!({
        "report_key": format!("0102002017071322022101-220221100000-{}", number + 1), "event_no": "0102002017071322022101",
        "division_code": "220221100000", "report_type": "INITIAL", "seq": number + 1, "late": false, "reporter": { "name": "王建国" },
        "hazard": "010200", "occurred_at": "2017-07-13T18:00:00+08:00", "as_of": "2017-07-13T19:00:00+08:00",
        "submitted_at": "2017-07-13T19:30:00+08:00", "indicators": { "A02": number }, "status": "ENTERED"
    });
    let content = ContentHash::of(&record);
    let id = EventId::derive(&"disaster-report".into(), "disaster-report", &number.to_string(), &content, 0);
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "test"),
        id,
        source: "/systems/disaster-report".to_owned(),
        kind: "disaster-report.upsert".to_owned(),
        subject: format!("E{number}"),
        time: "2017-07-13T19:30:00+08:00".to_owned(),
        dataschema: "disaster-report/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: "220221100000".to_owned(),
        sequence: i64::try_from(number).unwrap(),
        partitionkey: PartitionKey::from("one"),
        contenthash: content,
        bookdate: "2017-07-13".to_owned(),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data { record, quality: Vec::new() },
    }
}

/// An event with one attribute changed.
fn with(name: &str, value: Value) -> Vec<u8> {
    // Each has ids of its own: the same occurrence again would be a repeat, and no dead letter.
    let mut event = serde_json::to_value(event(1_000 + name.len())).unwrap();
    event[name] = value;
    event.to_string().into_bytes()
}

fn without(name: &str) -> Vec<u8> {
    let mut event = serde_json::to_value(event(999)).unwrap();
    event.as_object_mut().unwrap().remove(name);
    event.to_string().into_bytes()
}

fn hostile() -> Vec<Vec<u8>> {
    let number = "220171197001010053";
    vec![
        Vec::new(),
        vec![0; 1000],
        b"\xff\xfe\x00{".to_vec(),
        "[".repeat(100_000).into_bytes(),
        b"{\"specversion\":\"1.0\",\"specversion\":\"1.0\"}".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        format!("\"{number}\"").into_bytes(),
        vec![b'x'; 5 << 20],
        event(998).to_bytes()[..300].to_vec(),
        with("specversion", json!(number)),
        with("source", json!(format!("/systems/{number}"))),
        with("source", json!("王建国")),
        with("type", json!(format!("{number}.upsert"))),
        with("type", json!("disaster-report")),
        with("id", json!(number)),
        with("bookdate", json!("王建国")),
        with("dataschema", json!(format!("{number}/v1"))),
        with("division", json!(number)),
        with("sequence", json!(18_446_744_073_709_551_615_u64)),
        with("sequence", json!(1.5)),
        with("data", json!(number)),
        without("id"),
        without("data"),
    ]
}

async fn open(data: &Path, kind: BusKind, url: &str) -> Arc<Hub> {
    let mut config = Config::load(None, Some(data)).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    config.paths.adapters = data.join("no-adapters");
    config.paths.schemas = repository.join("schemas");
    config.paths.partners = data.join("partners");
    std::fs::create_dir_all(&config.paths.adapters).unwrap();
    std::fs::create_dir_all(&config.paths.partners).unwrap();
    std::fs::copy(repository.join("config/partners/bigdata-platform.toml"), config.paths.partners.join("bigdata-platform.toml"))
        .unwrap();
    config.http.listen = "127.0.0.1:0".to_owned();
    config.env = BTreeMap::new();
    config.bus.kind = kind;
    config.bus.url = url.to_owned();
    config.bus.prefix = format!("{}.", unique("hostile"));
    Hub::open(config, None).await.unwrap()
}

async fn suffers(kind: BusKind, url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let hub = open(folder.path(), kind, url).await;
    let mut running = Some(hub.start(Role::All).await.unwrap());
    let bodies = hostile();
    let mut batch = Vec::new();
    // All of one partition key: good and bad stand side by side in one batch.
    for (number, body) in bodies.iter().enumerate() {
        batch.push((event(number).id.to_string(), Bytes::from(event(number).to_bytes())));
        batch.push((format!("hostile-{number}"), Bytes::from(body.clone())));
    }
    for chunk in batch.chunks(16) {
        let route = || Route::Records { topic: "disaster-report.220221.upsert".to_owned(), key: PartitionKey::from("one") };
        let messages = chunk.iter().map(|(id, body)| Message { route: route(), id: id.clone(), body: body.clone() }).collect();
        assert!(hub.bus.publish(messages).await.iter().all(|confirm| *confirm == Confirm::Stored));
    }
    let filter = Filter { limit: 1000, ..Filter::default() };
    let letters = || dead::list(&hub.store, &filter);
    let delivered = async || books::books(&hub.store, None, 0).await.unwrap().iter().map(|line| line.delivered).sum::<i64>();
    let good = i64::try_from(bodies.len()).unwrap();
    eventually(Duration::from_secs(60), "the neighbours arrive, the others are set aside", async || {
        let now = (delivered().await, letters().await.unwrap().len());
        println!("of {good}: delivered and set aside {now:?}");
        now == (good, bodies.len())
    })
    .await;
    for letter in letters().await.unwrap() {
        let shown = serde_json::to_string(&letter).unwrap();
        assert_eq!(letter.code, NOT_AN_EVENT.to_string(), "{shown}");
        assert_eq!((letter.state.as_str(), letter.stage.as_str()), ("rejected", "route"), "{shown}");
        assert!(!shown.contains("王建国") && !shown.contains("220171197001010053"), "{shown}");
        let body = dead::masked_body(&hub.store, &hub.keys, &letter.id).await.unwrap().to_string();
        assert!(!body.contains("王建国") && !body.contains("220171197001010053"), "{body}");
    }
    let lines = books::books(&hub.store, None, 0).await.unwrap();
    assert!(lines.iter().all(|line| line.gap == 0 && line.in_flight == 0), "{lines:?}");
    assert!(lines.iter().all(|line| matches!(line.system.as_str(), "unknown" | "disaster-report")), "{lines:?}");
    running.take().unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_event_are_set_aside_on_the_embedded_bus() {
    suffers(BusKind::Embedded, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_event_are_set_aside_on_rabbitmq() {
    suffers(BusKind::Rabbitmq, &Broker::shared().await).await;
}
