//! A broker of three nodes and a database with a standby: a node that is killed, one that is cut off from the others, and a
//! failover of the database, all under load. Nothing is lost, nothing happens twice, and `/readyz` says how it stands.
//!
//! Once in the suite; `make failover` does each ten times. The times to recover are printed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

use super::faults::Scene;
use crate::support::{
    broker::Broker,
    cluster::Cluster,
    eventually,
    hub::HubFolder,
    postgres::Postgres,
    switch::{AMQP, Switch},
};

/// Longest time until a node has joined again, or a hub is ready again.
const LIMIT: Duration = Duration::from_secs(90);

fn times() -> usize {
    std::env::var("CIVILHUB_FAILOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What `/readyz` answered, asked all the time.
struct Readiness {
    url: String,
    ready: Arc<AtomicUsize>,
    not_ready: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Readiness {
    async fn watch(hub: &HubFolder) -> Self {
        let url = format!("http://{}/readyz", hub.listen().await);
        let (ready, not_ready) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (url.clone(), Arc::clone(&ready), Arc::clone(&not_ready));
        let task = tokio::spawn(async move {
            loop {
                let count = if ask(&counts.0).await { &counts.1 } else { &counts.2 };
                count.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(100)).await;
            }
        });
        Self { url, ready, not_ready, task }
    }

    fn counts(&self) -> (usize, usize) {
        (self.ready.load(Ordering::Relaxed), self.not_ready.load(Ordering::Relaxed))
    }

    /// Returns when the hub says that it is ready.
    async fn again(&self) {
        eventually(LIMIT, "the hub is ready again", async || ask(&self.url).await).await;
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(url: &str) -> bool {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    client.get(url).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_what_happens_to_nodes_of_its_broker() {
    for time in 1..=times() {
        let cluster = Cluster::start().await;
        let switch = Switch::watching(cluster.nodes(), AMQP).await;
        let scene = Scene::start(&format!("amqp://guest:guest@{}/%2f", switch.address()), Postgres::database().await).await;
        let readiness = Readiness::watch(scene.hub()).await;
        // RabbitMQ writes the directory of its quorum queues late: one killed right after a queue was declared loses the queue.
        sleep(Duration::from_secs(3)).await;

        let node = in_use(&cluster, &switch).await;
        let started = Instant::now();
        cluster.kill(node).await;
        scene.flows("a node that was killed").await;
        readiness.again().await;
        println!("{time}: a killed node: ready and flowing after {:?}", started.elapsed());
        cluster.restart(node).await;
        whole(&cluster).await;
        scene.flows("the node that is back").await;

        let node = in_use(&cluster, &switch).await;
        let other = node % 3 + 1;
        let started = Instant::now();
        cluster.part(node).await;
        eventually(LIMIT, "the others notice", async || cluster.seen_by(other).await == 2).await;
        scene.flows("a node that is cut off").await;
        readiness.again().await;
        println!("{time}: a node cut off: ready and flowing after {:?}", started.elapsed());
        cluster.heal(node).await;
        whole(&cluster).await;
        scene.flows("a cluster that is whole again").await;
        println!("{time}: ready {:?} times, not ready {:?} times", readiness.counts().0, readiness.counts().1);
        drop(readiness);
        scene.finish().await;
    }
}

async fn in_use(cluster: &Cluster, switch: &Switch) -> usize {
    eventually(LIMIT, "some node answers", async || switch.server().is_some()).await;
    cluster.number(switch.server().unwrap())
}

async fn whole(cluster: &Cluster) {
    for node in 1..=3 {
        eventually(LIMIT, "all nodes see one another", async || cluster.seen_by(node).await == 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_a_failover_of_its_database() {
    for time in 1..=times() {
        let primary = Postgres::private().await;
        let standby = primary.standby().await;
        let switch = Switch::to(door(primary.url())).await;
        let url = format!("postgres://postgres@{}/hub", switch.address());
        let scene = Scene::start(&Broker::shared().await, url).await;
        let readiness = Readiness::watch(scene.hub()).await;
        readiness.again().await;
        let before = readiness.counts().1;
        assert_eq!(before, 0, "ready all the time before the fault");
        primary.kill().await;
        let started = Instant::now();
        eventually(LIMIT, "the hub says that it is not ready", async || readiness.counts().1 > before).await;
        standby.promote().await;
        switch.turn(door(standby.url()));
        readiness.again().await;
        scene.flows("a failover of the database").await;
        println!("{time}: failover of the database: ready and flowing after {:?}", started.elapsed());
        drop(readiness);
        scene.finish().await;
    }
}

/// Host and port of a database.
fn door(url: &str) -> SocketAddr {
    url::Url::parse(url).unwrap().socket_addrs(|| None).unwrap()[0]
}
