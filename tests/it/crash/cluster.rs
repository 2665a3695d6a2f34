//! A broker of three nodes and a database with a standby, under load: a node that is killed, one that is cut off, a majority
//! that is gone; a standby that is gone, a failover, a former primary that comes back. Nothing is lost, nothing happens twice,
//! and `/readyz` says how it stands.
//!
//! Once in the suite; `make failover` does each ten times. The times to recover are printed.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};

use super::faults::Scene;
use crate::support::{broker::Broker, cluster::Cluster, eventually, hub::HubFolder, postgres::Postgres};

/// Longest time until a node has joined again, or a hub is ready again.
const LIMIT: Duration = Duration::from_secs(90);

fn rounds() -> usize {
    std::env::var("CIVILHUB_FAILOVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Enough for some minutes of load, or for one.
fn persons() -> u64 {
    if rounds() > 1 { 3_000 } else { 1_500 }
}

/// Times to recover, by what had happened.
#[derive(Default)]
struct Times(Vec<(&'static str, Vec<Duration>)>);

impl Times {
    fn note(&mut self, what: &'static str, since: Instant) {
        let took = since.elapsed();
        println!("{what}: ready and flowing after {took:.1?}");
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => times.push(took),
            None => self.0.push((what, vec![took])),
        }
    }

    fn print(mut self) {
        for (what, times) in &mut self.0 {
            times.sort();
            let (least, middle, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
            println!("time to recover, {what}: {} times, min {least:.1?}, median {middle:.1?}, max {most:.1?}", times.len());
        }
    }
}

/// What `/readyz` answers, asked all the time.
struct Readiness {
    url: String,
    /// When it was asked, and whether it said that it was ready.
    answers: Arc<Mutex<Vec<(Instant, bool)>>>,
    task: JoinHandle<()>,
}

impl Readiness {
    async fn watch(hub: &HubFolder) -> Self {
        let url = format!("http://{}/readyz", hub.listen().await);
        let answers: Arc<Mutex<Vec<(Instant, bool)>>> = Arc::default();
        let (address, book) = (url.clone(), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            loop {
                let asked = Instant::now();
                let ready = ask(&address).await.is_ok();
                book.lock().unwrap().push((asked, ready));
                sleep(Duration::from_millis(100)).await;
            }
        });
        let watch = Self { url, answers, task };
        watch.again().await;
        watch
    }

    /// Returns when the hub says that it is ready.
    async fn again(&self) {
        eventually(LIMIT, "the hub is ready again", async || ask(&self.url).await.is_ok()).await;
    }

    /// Returns when the hub has said that this is why it is not ready, and again, and nothing else between.
    async fn misses(&self, what: &str) {
        let names = |text: String| text.lines().any(|line| line.starts_with(what) && !line.ends_with(": ready"));
        let says = async || ask(&self.url).await.is_err_and(names);
        eventually(LIMIT, &format!("the hub says that it misses {what}"), says).await;
        let since = Instant::now();
        let after = || self.answers.lock().unwrap().iter().filter(|(asked, _)| *asked >= since).copied().collect::<Vec<_>>();
        eventually(LIMIT, "it was asked again", async || after().len() >= 2).await;
        assert!(after().iter().all(|(_, ready)| !ready), "the hub says that it is ready without {what}");
    }

    fn print(&self) {
        let answers = self.answers.lock().unwrap();
        let ready = answers.iter().filter(|(_, ready)| *ready).count();
        println!("/readyz: ready {ready} times, not ready {} times", answers.len() - ready);
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Nothing when the hub is ready, else what it says.
async fn ask(url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let answer = client.get(url).send().await.map_err(|error| error.to_string())?;
    if answer.status() == 200 { Ok(()) } else { Err(answer.text().await.unwrap_or_default()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_what_happens_to_nodes_of_its_broker() {
    let cluster = Cluster::start().await;
    let mut times = Times::default();
    for round in 1..=rounds() {
        let vhost = format!("round{round}");
        let scene = Scene::with(persons(), &cluster.vhost(&vhost).await, Postgres::database().await).await;
        let readiness = Readiness::watch(scene.hub()).await;
        cluster.sync().await;
        kill(&cluster, &scene, &readiness, &mut times).await;
        cut_off(&cluster, &scene, &readiness, &mut times).await;
        lose_majority(&cluster, &scene, &readiness, &mut times).await;
        readiness.print();
        drop(readiness);
        scene.finish().await;
        cluster.forget(&vhost).await;
    }
    times.print();
}

/// The node that the hub is connected to dies, with the leaders of its queues.
async fn kill(cluster: &Cluster, scene: &Scene, readiness: &Readiness, times: &mut Times) {
    let node = in_use(cluster, 1).await;
    let began = Instant::now();
    cluster.kill(node).await;
    scene.flows("a node that was killed").await;
    readiness.again().await;
    times.note("a node killed", began);
    cluster.restart(node).await;
    whole(cluster).await;
    scene.flows("the node that is back").await;
}

/// The node that the hub is connected to sees the others no more: it stands still, the others go on.
async fn cut_off(cluster: &Cluster, scene: &Scene, readiness: &Readiness, times: &mut Times) {
    let node = in_use(cluster, 1).await;
    let began = Instant::now();
    cluster.part(node).await;
    eventually(LIMIT, "the others notice", async || cluster.seen_by(node % 3 + 1).await == 2).await;
    scene.flows("a node that is cut off").await;
    readiness.again().await;
    times.note("a node cut off", began);
    cluster.heal(node).await;
    whole(cluster).await;
    scene.flows("a cluster that is whole again").await;
}

/// One node is left, which stands still: nothing flows, and the hub says so.
async fn lose_majority(cluster: &Cluster, scene: &Scene, readiness: &Readiness, times: &mut Times) {
    let node = in_use(cluster, 1).await;
    let (one, other) = (node % 3 + 1, (node + 1) % 3 + 1);
    cluster.kill(one).await;
    cluster.kill(other).await;
    readiness.misses("bus").await;
    let began = Instant::now();
    tokio::join!(cluster.restart(one), cluster.restart(other));
    scene.flows("a majority that is back").await;
    readiness.again().await;
    times.note("two nodes killed, from their start", began);
    whole(cluster).await;
}

async fn in_use(cluster: &Cluster, asked: usize) -> usize {
    let mut node = None;
    eventually(LIMIT, "the hub is connected", async || {
        node = cluster.in_use(asked).await;
        node.is_some()
    })
    .await;
    node.unwrap()
}

async fn whole(cluster: &Cluster) {
    for node in 1..=3 {
        eventually(LIMIT, "all nodes see one another", async || cluster.seen_by(node).await == 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_a_failover_of_its_database() {
    let mut times = Times::default();
    for _ in 1..=rounds() {
        let primary = Postgres::private().await;
        let standby = primary.standby().await;
        let scene = Scene::with(persons(), &Broker::shared().await, both(primary.url(), standby.url())).await;
        let readiness = Readiness::watch(scene.hub()).await;

        // The primary answers and waits for its standby at every commit.
        standby.kill().await;
        readiness.misses("store").await;
        let began = Instant::now();
        standby.start().await;
        scene.flows("a standby that is back").await;
        readiness.again().await;
        times.note("a standby gone, from its start", began);

        primary.kill().await;
        readiness.misses("store").await;
        let began = Instant::now();
        standby.promote().await;
        scene.flows("a failover of the database").await;
        readiness.again().await;
        times.note("a failover of the database, from its order", began);

        // Nobody has told it that there is another one now. Whoever took its word would lose what was committed since; the
        // hub that runs at the end, and a new one, must not.
        primary.start().await;
        scene.flows("a former primary that came back").await;
        readiness.print();
        drop(readiness);
        scene.finish().await;
    }
    times.print();
}

/// One address for two servers.
fn both(one: &str, other: &str) -> String {
    let server = |url: &str| url.split(['@', '/']).nth(3).unwrap().to_owned();
    format!("postgres://postgres@{},{}/hub", server(one), server(other))
}
