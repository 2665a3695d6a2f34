//! The hub as a process that dies: killed at random moments, by a record, or while its servers die under it.
//!
//! Long forms: `CIVILHUB_KILLS=500` for more kills, `CIVILHUB_LONG=1` for a broker that is frozen for a minute,
//! `CIVILHUB_SEED=…` for the kill times of an earlier run.

use std::{collections::BTreeSet, time::Duration};

use civilhub::bus::{
    Bus, Queue,
    embedded::EmbeddedBus,
    rabbit::{RabbitBus, RabbitOptions},
};
use tokio::process::Child;

use crate::support::hub::{Backends, Books, HubFolder, Plan, total};
use province::{Province, rows_of_lake};
use stub::Stub;

mod cluster;
mod faults;
mod kills;
mod poison;
mod province;
mod rolling;
mod stub;

/// Longest time of an undisturbed run to its end.
const DRAIN: Duration = Duration::from_secs(180);

/// A hub in the folder `name` beside the province, with the stub as its partner.
fn hub(province: &Province, name: &str, backends: Backends, stub: &Stub, rate: u32) -> HubFolder {
    let (dir, dibao) = (province.dir().join(name), province.dibao());
    HubFolder::write(Plan { dir: &dir, backends, dibao: &dibao, stub: stub.url.clone(), rate })
}

/// Runs the hub until nothing is left to do.
async fn drain(hub: &HubFolder) {
    let mut child = hub.start(&["serve", "all", "--once"]);
    ends_well(hub, &mut child).await;
}

async fn ends_well(hub: &HubFolder, child: &mut Child) {
    let Ok(status) = tokio::time::timeout(DRAIN, child.wait()).await else {
        panic!("the hub does not come to its end: {:?}\n{}", hub.books().await, hub.log_tail());
    };
    let status = status.unwrap();
    assert!(status.success(), "{status}: {}", hub.log_tail());
}

/// Every record had exactly one effect at each receiver, and everything that counts says the same. Gives the books.
async fn all_is_well(hub: &HubFolder, stub: &Stub) -> Books {
    let books = hub.books().await;
    for column in ["gap", "in_flight", "parked"] {
        let letters = hub.run(&["dead", "list", "--state", "parked", "--limit", "10"]).await.stdout;
        assert_eq!(total(&books, column), 0, "{column}: {books:#?}\n{}\n{}", String::from_utf8_lossy(&letters), hub.log_tail());
    }
    let delivered = usize::try_from(total(&books, "delivered")).unwrap();
    stub.check();
    assert_eq!(stub.seen().effects, delivered, "effects at the stub");
    for (dataset, ids) in rows_of_lake(&hub.lake()).await {
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{dataset} has a delivery twice");
    }
    let rows: usize = rows_of_lake(&hub.lake()).await.values().map(Vec::len).sum();
    assert_eq!(rows, delivered, "rows of the lake");
    let ledger = hub.json(&["ledger", "verify", "-o", "json"]).await;
    assert_eq!(ledger["faults"].as_array().unwrap().len(), 0, "{ledger}");
    queues_are_empty(hub).await;
    books
}

/// Also that nothing has gone to the dead letters of the bus, where the books do not see it.
async fn queues_are_empty(hub: &HubFolder) {
    let bus: std::sync::Arc<dyn Bus> = match hub.backends() {
        Backends::Embedded => EmbeddedBus::open(&hub.data().join("bus")).unwrap(),
        Backends::Servers { amqp, prefix, .. } => {
            RabbitBus::connect(RabbitOptions { prefix: prefix.clone(), ..RabbitOptions::new(amqp) }).await.unwrap()
        }
    };
    let receivers = ["stub", "bigdata-platform"].map(|name| Queue::Deliver(name.into()));
    for queue in (0..8).map(Queue::Records).chain(receivers).chain([Queue::Dead]) {
        let depth = bus.depth(&queue).await.unwrap();
        assert_eq!(depth.ready + depth.unsettled, 0, "{}", queue.name());
    }
    bus.close().await;
}
