use std::collections::BTreeSet;

use super::*;
use crate::telemetry::{label, metric::Kind, text};

/// Does everything once.
fn everything(system: &System, subscription: &SubscriptionId) {
    rows_read(system, 7);
    rows_refused(system, Stage::Map, 2);
    records_published(system, 5);
    source_failed(system);
    source_read(system);
    loads_held(system, 1);
    source_schedule(system, Duration::from_secs(900));
    spans_dropped(3);
    let fates = ["dispatched", "dispatched", "rejected", "parked", "superseded", "duplicate", "seen"];
    routed(fates.into_iter().map(|fate| (system.clone(), fate)));
    deliveries(subscription, ["delivered", "refused", "delivered"].into_iter());
    circuit(subscription, 2);
    agreement_days(subscription, 12);
    dead_letter(Stage::Route, Code::new(5303));
    dead_letters_open(&BTreeMap::from([((Stage::Route, "parked"), 3)]));
    replayed(Stage::Route, 1);
    redelivered(Stage::Deliver, 4);
    batch_repeated(Stage::Route);
    confirms_failed(["nacked", "closed"].into_iter());
    batch(Stage::Read, Duration::from_millis(20));
    transaction(Instant::now());
    queue("deliver.record-bank", 12, Duration::from_millis(1500));
    dependency("bus", true);
}

#[test]
fn every_metric_is_shown_with_exactly_its_labels() {
    label::know(["record-test", "record-bank", "deliver.record-bank"].map(str::to_owned));
    everything(&System::from("record-test"), &SubscriptionId::from("record-bank"));
    let text = text().unwrap();
    for metric in Metric::ALL {
        let spec = metric.spec();
        assert!(text.contains(&format!("# TYPE {} {}\n", spec.name, spec.kind.name())), "{} is not shown", spec.name);
        let suffix = if spec.kind == Kind::Histogram { "_count" } else { "" };
        let sample = format!("{}{suffix}", spec.name);
        let lines: Vec<&str> = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(sample.as_str())).collect();
        assert!(!lines.is_empty(), "{sample} has no sample");
        for line in lines {
            let wanted: BTreeSet<&str> = spec.labels.iter().map(|label| label.name()).collect();
            assert_eq!(names(line), wanted, "{line}");
        }
    }
    for line in [
        "civilhub_rows_read_total{system=\"record-test\"} 7",
        "civilhub_records_routed_total{outcome=\"dispatched\",system=\"record-test\"} 2",
        "civilhub_deliveries_total{outcome=\"delivered\",subscription=\"record-bank\"} 2",
        "civilhub_circuit_state{subscription=\"record-bank\"} 2",
        "civilhub_queue_oldest_seconds{queue=\"deliver.record-bank\"} 1.5",
        "civilhub_dead_letters_open{stage=\"deliver\",state=\"parked\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

fn names(line: &str) -> BTreeSet<&str> {
    let Some((_, labels)) = line.split_once('{') else { return BTreeSet::new() };
    labels.split("\",").filter_map(|label| label.trim_start().split_once('=')).map(|(name, _)| name).collect()
}

#[test]
fn a_source_that_calls_itself_by_a_number_makes_no_series() {
    routed(["220171197001010053", "22017119700101007X"].into_iter().map(|source| (System::from(source), "rejected")));
    let text = text().unwrap();
    assert!(!text.contains("2201711970"), "{text}");
    assert!(text.contains("civilhub_records_routed_total{outcome=\"rejected\",system=\"other\"}"), "{text}");
}
