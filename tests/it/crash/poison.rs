//! A record that kills the process is found, and set aside with those behind it; everything else is delivered.

use super::{Province, Stub, all_is_well, drain, hub, province::HandIn};
use serde_json::Value;

use crate::support::hub::{Backends, HubFolder, total};

const PERSONS: u64 = 1_500;
/// Starts after which the hub must stay up: two attempts die, the third is tried in a child.
const STARTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_record_is_parked_on_the_embedded_bus() {
    a_fatal_record_is_parked(Backends::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_record_is_parked_on_servers() {
    a_fatal_record_is_parked(Backends::servers().await).await;
}

async fn a_fatal_record_is_parked(backends: Backends) {
    let province = Province::write(PERSONS).await;
    let stub = Stub::start().await;
    let mut hub = hub(&province, "hub", backends, &stub, 0);
    // The first line of the first payroll file; the bank's answer to it comes later under the same key.
    let file = province.files("fund-payment", "PAY")[0].display().to_string();
    let events = hub.run(&["adapter", "run", "fund-payment", "--input", &file]).await;
    let first: Value = serde_json::from_str(String::from_utf8_lossy(&events.stdout).lines().next().unwrap()).unwrap();
    let victim = first["subject"].as_str().unwrap().to_owned();
    hub.set("CIVILHUB_FAULT_ABORT", &format!("{victim}#{}", first["sequence"].as_i64().unwrap()));
    HandIn::new(&province).all(&hub);
    let deaths = start_until_it_stays(&hub).await;
    assert!(deaths > 0, "the fault hook did nothing");

    let letters = hub.json(&["dead", "list", "--state", "parked", "-o", "json"]).await;
    let letters = letters.as_array().unwrap();
    let with = |code: &str| letters.iter().filter(|letter| letter["code"] == code).count();
    let behind = with("CH-5304");
    println!("{deaths} deaths, {behind} records behind the fatal one");
    assert_eq!((with("CH-5302"), letters.len()), (1, 1 + behind), "{letters:#?}");
    assert!(behind > 0, "the answer of the bank has overtaken the payment");
    let books = hub.books().await;
    assert_eq!(
        (total(&books, "parked"), total(&books, "in_flight"), total(&books, "gap")),
        (1 + behind as i64, 0, 0),
        "{books:#?}"
    );
    assert_eq!(stub.seen().effects as i64, total(&books, "delivered"));
    assert!(total(&books, "delivered") > 1_000 && !stub.subjects().contains(&victim));

    hub.unset("CIVILHUB_FAULT_ABORT");
    let unsure = hub.run(&["dead", "replay", "--code", "CH-5302", "--count", "2", "--reason", "mended"]).await;
    assert!(!unsure.status.success());
    let replay = hub.run(&["dead", "replay", "--code", "CH-5302", "--count", "1", "--reason", "mended"]).await;
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    drain(&hub).await;
    let books = all_is_well(&hub, &stub).await;
    assert!(stub.subjects().contains(&victim), "{books:#?}");
}

/// Starts the hub again and again, as a service manager does; gives the number of deaths.
async fn start_until_it_stays(hub: &HubFolder) -> usize {
    for deaths in 0..STARTS {
        let mut child = hub.start(&["serve", "all", "--once"]);
        let status = tokio::time::timeout(super::DRAIN, child.wait()).await.expect("the hub hangs").unwrap();
        if status.success() {
            return deaths;
        }
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}: {}", hub.log_tail());
    }
    panic!("the hub does not stay up: {}", hub.log_tail());
}
