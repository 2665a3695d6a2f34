//! Servers that die, freeze, starve or lose a binding under a running hub: nothing is lost, and after the fault the
//! records flow again by themselves.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use civilhub::deliver::lake;
use lapin::{Connection, ConnectionProperties, options::ExchangeUnbindOptions, types::FieldTable};
use tokio::{process::Child, task::JoinHandle, time::sleep};

use super::{Province, Stub, all_is_well, drain, ends_well, hub, province::name};
use crate::support::{
    broker::Broker,
    eventually,
    hub::{Backends, HubFolder},
    postgres::Postgres,
    signal, unique,
};

/// After a fault records must flow within this time, without a hand.
const RECOVERY: Duration = Duration::from_secs(30);
const PERSONS: u64 = 3_000;
/// So many files are left for [`Scene::flows`] when the load ends.
const RESERVE: usize = 20;
/// No more files come in while so many are on their way to the stub: else the time to recover would be that of the backlog.
const UNDER_WAY: usize = 20;
/// A payroll file comes in this often.
const PACE: Duration = Duration::from_millis(300);

type Files = Arc<Mutex<VecDeque<PathBuf>>>;

/// A running hub into which files come all the time.
pub(super) struct Scene {
    _province: Province,
    stub: Stub,
    hub: HubFolder,
    child: Child,
    files: Files,
    feeder: JoinHandle<()>,
}

impl Scene {
    async fn start(amqp: &str, postgres: String) -> Self {
        Self::with(PERSONS, amqp, postgres).await
    }

    /// In a province of so many persons: the more there are, the longer records flow.
    pub(super) async fn with(persons: u64, amqp: &str, postgres: String) -> Self {
        let province = Province::write(persons).await;
        let stub = Stub::start().await;
        let prefix = format!("{}.", unique("hub"));
        let backends = Backends::Servers { amqp: amqp.to_owned(), prefix, postgres };
        let hub = hub(&province, "hub", backends, &stub, 0);
        // The file whose header lies has no records.
        let files = province.files("fund-payment", "PAY").into_iter().filter(|file| !name(file).ends_with("99.txt"));
        let files: Files = Arc::new(Mutex::new(files.collect()));
        let feeder = tokio::spawn(feed(hub.clone(), stub.clone(), Arc::clone(&files)));
        let child = hub.start(&["serve", "all"]);
        let scene = Self { _province: province, stub, hub, child, files, feeder };
        scene.flows("the start").await;
        scene
    }

    /// Hands in one more file and waits until the partner has its records and the lake grows again.
    pub(super) async fn flows(&self, after: &str) {
        let file = self.files.lock().unwrap().pop_front().expect("more files");
        let batch = batch(&file);
        let started = Instant::now();
        self.hub.hand_in("fund-payment", &file);
        let log = || self.hub.log_tail();
        let what = format!("the stub gets records after {after}");
        let both = async {
            eventually(RECOVERY, &what, async || self.stub.has_subject(&batch)).await;
            let stub = started.elapsed();
            let before = self.rows().await;
            eventually(RECOVERY, "the lake grows", async || self.rows().await > before).await;
            (stub, started.elapsed())
        };
        let (stub, lake) =
            tokio::time::timeout(RECOVERY, both).await.unwrap_or_else(|_| panic!("{what}: not within 30 s\n{}", log()));
        println!("after {after}: stub {stub:?}, lake {lake:?}");
    }

    pub(super) fn hub(&self) -> &HubFolder {
        &self.hub
    }

    async fn rows(&self) -> u64 {
        let counts = lake::counts(&self.hub.lake().display().to_string(), &HashMap::new()).await;
        counts.map_or(0, |counts| counts.iter().map(|(_, rows)| rows).sum())
    }

    /// Ends the hub in order, lets another one do the rest, and looks at everything.
    pub(super) async fn finish(mut self) {
        self.feeder.abort();
        assert!(self.child.try_wait().unwrap().is_none(), "the hub has died: {}", self.hub.log_tail());
        signal("-TERM", &self.child.id().unwrap().to_string()).await;
        ends_well(&self.hub, &mut self.child).await;
        drain(&self.hub).await;
        let books = all_is_well(&self.hub, &self.stub).await;
        println!("{:?}, {books:?}", self.stub.seen());
    }
}

/// The batch of a payroll file, with which the subjects of its records begin.
fn batch(file: &Path) -> String {
    name(file).replace("PAY", "").replace(".txt", "")
}

async fn feed(hub: HubFolder, stub: Stub, files: Files) {
    let mut under_way: Vec<String> = Vec::new();
    loop {
        under_way.retain(|batch| !stub.has_subject(batch));
        if under_way.len() < UNDER_WAY {
            let next = {
                let mut files = files.lock().unwrap();
                if files.len() > RESERVE { files.pop_front() } else { None }
            };
            let Some(file) = next else { return };
            under_way.push(batch(&file));
            hub.hand_in("fund-payment", &file);
        }
        sleep(PACE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_its_broker_being_killed() {
    let broker = Broker::private().await;
    let scene = Scene::start(broker.url(), Postgres::database().await).await;
    // RabbitMQ writes the directory of its quorum queues late: one killed right after a queue was declared loses the queue.
    sleep(Duration::from_secs(3)).await;
    broker.kill().await;
    sleep(Duration::from_secs(2)).await;
    broker.start().await;
    scene.flows("a broker that was killed").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_its_broker_being_frozen() {
    let broker = Broker::private().await;
    let scene = Scene::start(broker.url(), Postgres::database().await).await;
    let long = std::env::var_os("CIVILHUB_LONG").is_some();
    broker.freeze().await;
    sleep(Duration::from_secs(if long { 60 } else { 15 })).await;
    broker.thaw().await;
    scene.flows("a broker that was frozen").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_a_memory_alarm() {
    let broker = Broker::private().await;
    let scene = Scene::start(broker.url(), Postgres::database().await).await;
    broker.alarm(true).await;
    sleep(Duration::from_secs(8)).await;
    broker.alarm(false).await;
    scene.flows("a memory alarm").await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_puts_lost_bindings_back() {
    let broker = Broker::private().await;
    let scene = Scene::start(broker.url(), Postgres::database().await).await;
    let Backends::Servers { prefix, .. } = scene.hub.backends().clone() else { unreachable!("this scene has servers") };
    let connection = Connection::connect(broker.url(), ConnectionProperties::default()).await.unwrap();
    let vandal = connection.create_channel().await.unwrap();
    let named = |what: &str| format!("{prefix}{what}");

    for subscription in ["stub", "bigdata-platform"] {
        let queue = named(&format!("deliver.{subscription}"));
        vandal.queue_unbind(queue.into(), named("deliver").into(), subscription.into(), FieldTable::default()).await.unwrap();
        scene.flows(&format!("deliver.{subscription} was unbound")).await;
    }
    let all = ExchangeUnbindOptions::default();
    vandal
        .exchange_unbind(named("partitions").into(), named("records").into(), "#".into(), all, FieldTable::default())
        .await
        .unwrap();
    scene.flows("the partitions were unbound").await;

    // One partition without its binding: the others get its keys, and nothing is returned that would tell.
    let bound = async || {
        broker
            .ctl(&["list_bindings", "source_name", "destination_name"])
            .await
            .lines()
            .any(|line| line == format!("{prefix}partitions\t{prefix}records.0"))
    };
    let unbound = async || {
        vandal
            .queue_unbind(named("records.0").into(), named("partitions").into(), "10".into(), FieldTable::default())
            .await
            .unwrap();
        !bound().await
    };
    eventually(RECOVERY, "records.0 is not bound", unbound).await;
    let started = Instant::now();
    scene.flows("records.0 was unbound").await;
    eventually(RECOVERY, "records.0 is bound again", bound).await;
    println!("records.0 is bound again after {:?}", started.elapsed());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_survives_its_database_being_killed() {
    let (broker, database) = (Broker::shared().await, Postgres::private().await);
    let scene = Scene::start(&broker, database.url().to_owned()).await;
    database.kill().await;
    sleep(Duration::from_secs(8)).await;
    database.start().await;
    scene.flows("a database that was killed").await;
    scene.finish().await;
}
