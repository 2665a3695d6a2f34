//! One trace from the legacy row to the receipt, across three processes, in a collector.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use crate::support::{
    collector::{Collector, Span},
    eventually,
    hub::{Backends, HubFolder, Plan},
};

const ROAD: [&str; 6] = ["read", "map", "publish", "route", "deliver", "receipt"];

fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters/senior-allowance/samples/gl_full.20170701.csv")
}

/// The spans from a receipt back to the row.
fn way_back<'a>(receipt: &'a Span, by_id: &BTreeMap<(&str, &str), &'a Span>) -> Vec<&'a Span> {
    let mut way = vec![receipt];
    while let Some(parent) = by_id.get(&(receipt.trace.as_str(), way[way.len() - 1].parent.as_str())) {
        way.push(parent);
    }
    way.reverse();
    way
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_three_processes() {
    let (dir, collector) = (tempfile::tempdir().unwrap(), Collector::start().await);
    let dibao = dir.path().join("dibao.sqlite");
    let plan = Plan {
        dir: &dir.path().join("hub"),
        backends: Backends::servers().await,
        dibao: &dibao,
        stub: "http://127.0.0.1:9/".to_owned(),
        rate: 0,
    };
    let mut hub = HubFolder::write(plan);
    hub.set("CIVILHUB__TRACES__URL", &format!("http://{}", collector.address));
    hub.set("CIVILHUB__HUB__SYSTEMS", "senior-allowance");
    assert!(hub.run(&["migrate"]).await.status.success());
    let file = dir.path().join("GL_full_20170701.csv");
    std::fs::copy(sample(), &file).unwrap();
    hub.hand_in("senior-allowance", &file);
    // One after the other: the first makes the keys that all share.
    let mut processes = Vec::new();
    for role in ["router", "deliver", "adapters"] {
        processes.push(hub.start(&["serve", role]));
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let receipts = || collector.spans().iter().filter(|span| span.name == "receipt").count();
    eventually(Duration::from_secs(60), "receipts are told of", async || receipts() >= 3).await;

    let spans = collector.spans();
    let by_id: BTreeMap<(&str, &str), &Span> = spans.iter().map(|span| ((span.trace.as_str(), span.id.as_str()), span)).collect();
    for receipt in spans.iter().filter(|span| span.name == "receipt") {
        let way = way_back(receipt, &by_id);
        assert_eq!(way.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ROAD, "{}", hub.log_tail());
        assert!(way.iter().all(|span| span.trace == receipt.trace && span.start > 0 && span.end >= span.start));
        let processes: BTreeSet<&str> = way.iter().map(|span| span.process["process.pid"].as_str()).collect();
        assert_eq!(processes.len(), 3);
        let roles: Vec<&str> = way.iter().map(|span| span.process["civilhub.role"].as_str()).collect();
        assert_eq!(roles, ["adapters", "adapters", "adapters", "router", "deliver", "deliver"]);
        assert_eq!(way[4].attributes["civilhub.subscription"], "bigdata-platform");
        assert_eq!(way[2].attributes["civilhub.system"], "senior-allowance");
        // The same record all the way, and the command that tells its life knows it.
        assert_eq!(way[2].attributes["civilhub.event_id"], receipt.attributes["civilhub.event_id"]);
    }
    let known = &spans.iter().find(|span| span.name == "receipt").unwrap().attributes["civilhub.event_id"];
    assert!(hub.json(&["trace", known, "-o", "json"]).await.as_array().is_some_and(|steps| !steps.is_empty()));
    nothing_personal(&spans);
    for mut process in processes {
        let _ = process.kill().await;
    }
}

/// No run of digits as long as an identity number, and nothing that is not ASCII.
fn nothing_personal(spans: &[Span]) {
    for span in spans {
        for text in span.attributes.values().chain(span.process.values()) {
            assert!(text.is_ascii() && civilhub::telemetry::log::blank_numbers(text) == *text, "{text}");
        }
    }
}
