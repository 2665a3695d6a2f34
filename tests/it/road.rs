//! The road of a record in one process: a scripted source, the router, scripted receivers, on the embedded bus and both stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use civilhub::{
    adapter::{
        run::{Poller, Shared},
        source::{self, Batch, Position, Row, Source},
        spec::AdapterSpec,
    },
    bus::{Bus, Message, Queue, Route, Topology, embedded::EmbeddedBus},
    config::keys::Keys,
    dead::{self, Filter, Summary, replay},
    deliver::{
        Delivery, Outcome, Target,
        lane::{Lane, Settings, circuit::Pauses},
        webhook::KEY_HELD,
        worker::Worker,
    },
    domain::keyed_hash::KeyedHash,
    envelope::SubscriptionId,
    error::{Code, Fault},
    govern::{Agreements, keys::GovernKeys},
    identity::{IdentityKeys, StoreIndex},
    ledger::{books, verify},
    router::Router,
    schema::SchemaRegistry,
    store::Store,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Db, on_both},
    support::eventually,
};

on_both! {
    repeats_old_news_and_deletions
    refused_rows_and_records_tell_every_fault
    without_an_agreement_records_wait_in_order
    a_refused_delivery_holds_its_key_until_it_is_replayed
    a_refused_delivery_that_is_given_up_lets_the_next_pass
    a_replay_that_is_stopped_leaves_everything_as_it_was
    two_receivers_of_one_record
    a_receiver_that_is_away_keeps_the_order
    a_source_that_is_read_again_counts_once
    a_lane_may_be_quicker_than_the_router
    a_delivery_that_was_parked_before_a_crash_counts_once
    junk_on_the_bus_stops_nobody
    a_busy_road_keeps_order_and_books
}

const PARTITIONS: u16 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// One line of the toy system.
#[derive(Debug, Clone)]
struct Said {
    key: &'static str,
    sequence: i64,
    amount: &'static str,
    op: &'static str,
}

fn said(key: &'static str, sequence: i64, amount: &'static str) -> Said {
    Said { key, sequence, amount, op: "upsert" }
}

/// Hands out its rows a few at a time; the position is the number of the next.
struct Rows(Vec<Row>);

#[async_trait]
impl Source for Rows {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, source::Error> {
        let start = usize::try_from(position.0.as_u64().unwrap_or(0)).unwrap();
        let end = (start + max.min(7)).min(self.0.len());
        Ok(Batch {
            rows: self.0[start..end].to_vec(),
            bad: Vec::new(),
            next: Position(Value::from(end)),
            more: end < self.0.len(),
            load: None,
        })
    }
}

fn rows(said: &[Said]) -> Vec<Row> {
    let row = |(n, said): (usize, &Said)| Row {
        object: "PAY".into(),
        origin: format!("file#{n}"),
        file: "file".into(),
        number: n as u64 + 1,
        data: json!({ "NO": said.key, "SEQ": said.sequence.to_string(), "JE": said.amount, "OP": said.op }),
        meta: json!({}),
    };
    said.iter().enumerate().map(row).collect()
}

/// A receiver that does as it is told and notes what it has.
#[derive(Default)]
struct Script {
    away: AtomicBool,
    refuse: Mutex<BTreeSet<String>>,
    /// `<payment>/<sequence>` of everything it has taken, in order; `-` before a deletion.
    log: Mutex<Vec<String>>,
}

/// The receiver as a lane sees it.
struct At(Arc<Script>);

#[async_trait]
impl Target for At {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let away = Fault::new(Code::new(9901), "away");
        if self.0.away.load(Ordering::SeqCst) {
            return vec![Outcome::Unavailable { fault: away, retry_after: Some(Duration::from_millis(50)) }; batch.len()];
        }
        let mut held = BTreeSet::new();
        let outcome = |delivery: &Delivery| {
            let event = &delivery.event;
            let deleted = if event.kind.ends_with(".delete") { "-" } else { "" };
            let name = format!("{deleted}{}/{}", event.subject, event.sequence);
            if held.contains(&event.partitionkey) {
                return Outcome::Refused(Fault::new(KEY_HELD, "behind"));
            }
            if self.0.refuse.lock().unwrap().contains(&name) {
                held.insert(event.partitionkey.clone());
                return Outcome::Refused(Fault::new(Code::new(9902), "not this one"));
            }
            self.0.log.lock().unwrap().push(name);
            Outcome::Delivered { receipt: "taken".to_owned() }
        };
        batch.iter().map(outcome).collect()
    }

    fn batch_size(&self) -> usize {
        16
    }
}

impl Script {
    fn log(&self) -> String {
        self.log.lock().unwrap().join(" ")
    }

    fn refuse(&self, names: &[&str]) {
        *self.refuse.lock().unwrap() = names.iter().map(|name| (*name).to_owned()).collect();
    }
}

/// A hub in pieces: the test says which of them run, and when.
struct Road {
    store: Store,
    bus: Arc<EmbeddedBus>,
    keys: Keys,
    spec: Arc<AdapterSpec>,
    registry: Arc<SchemaRegistry>,
    agreements: Arc<Agreements>,
    receivers: BTreeMap<&'static str, Arc<Script>>,
    dir: TempDir,
    _db: Db,
}

impl Road {
    async fn new(db: Db, receivers: &[&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/schemas");
        let mut road = Self {
            store: db.open().await,
            bus: EmbeddedBus::open(&dir.path().join("bus")).unwrap(),
            keys: Keys::dry_run(),
            spec: Arc::new(AdapterSpec::load(&adapter(dir.path())).unwrap()),
            registry: Arc::new(SchemaRegistry::load(&schemas, Arc::new(|_: &str, _: &str| Some(true))).unwrap()),
            agreements: Arc::default(),
            receivers: BTreeMap::new(),
            dir,
            _db: db,
        };
        road.agree(receivers).await;
        road
    }

    /// From now on these have agreements.
    async fn agree(&mut self, receivers: &[&'static str]) {
        let partners = self.dir.path().join("partners");
        std::fs::create_dir_all(&partners).unwrap();
        for name in receivers {
            let text = format!(
                "slug = \"{name}\"\nname = \"{name}\"\n[transport]\nkind = \"lake\"\n[[agreement]]\nid = \"{name}\"\ndataset = \"allowance\"\n\
                 purpose = \"test\"\nlegal_basis = \"none\"\nvalid_from = \"2017-01-01\"\nvalid_to = \"2099-12-31\"\ndivisions = [\"22\"]\n\
                 key = [\"payment_no\"]\n[agreement.fields]\npayment_no = \"plain\"\namount = \"plain\"\n"
            );
            std::fs::write(partners.join(format!("{name}.toml")), text).unwrap();
            self.receivers.entry(name).or_default();
        }
        self.agreements = Arc::new(Agreements::load(&partners, &GovernKeys::new([1; 32])).unwrap());
        let subscriptions = self.agreements.subscriptions();
        self.bus.declare(&Topology { partitions: PARTITIONS, subscriptions }).await.unwrap();
    }

    fn receiver(&self, name: &str) -> &Arc<Script> {
        &self.receivers[name]
    }

    /// Reads the source to its end. `said` is all that it says, from the beginning of the test.
    async fn read(&self, said: &[Said]) {
        let cancel = CancellationToken::new();
        let bus: Arc<dyn Bus> = Arc::<EmbeddedBus>::clone(&self.bus);
        let shared = Shared { bus, store: self.store.clone(), keys: self.keys.clone(), cancel: cancel.clone() };
        let idle = Arc::new(AtomicBool::new(false));
        let source: Box<dyn Source> = Box::new(Rows(rows(said)));
        let poller = Poller {
            objects: vec![("PAY".to_owned(), source)],
            spec: Arc::clone(&self.spec),
            shared,
            every: Duration::from_secs(3600),
            idle: Arc::clone(&idle),
        };
        let running = tokio::spawn(poller.run());
        eventually(PATIENCE, "the source is read", async || idle.load(Ordering::Acquire)).await;
        cancel.cancel();
        running.await.unwrap();
    }

    fn spawn_router(&self, tasks: &mut JoinSet<()>, cancel: &CancellationToken) {
        let index = StoreIndex::new(self.store.clone(), IdentityKeys::new([2; 32], [3; 32])).unwrap();
        let bus: Arc<dyn Bus> = Arc::<EmbeddedBus>::clone(&self.bus);
        let router = Arc::new(Router {
            bus: Arc::clone(&bus),
            store: self.store.clone(),
            registry: Arc::clone(&self.registry),
            agreements: Arc::clone(&self.agreements),
            index: Arc::new(index),
            keys: self.keys.clone(),
            hash: KeyedHash::new(&self.keys.hmac),
            child: None,
            batch: 32,
            linger: Duration::ZERO,
            prefetch: 64,
        });
        for partition in 0..PARTITIONS {
            tasks.spawn(Arc::clone(&router).run(partition, cancel.clone()));
        }
        tasks.spawn(replay::run(bus, self.store.clone(), self.keys.clone(), cancel.clone()));
    }

    fn spawn_lanes(&self, tasks: &mut JoinSet<()>, cancel: &CancellationToken) {
        for (name, script) in &self.receivers {
            let subscription = SubscriptionId::from(*name);
            let pauses = Pauses { first: Duration::from_millis(50), most: Duration::from_millis(200) };
            let worker = Worker {
                lane: Lane::new(
                    subscription.clone(),
                    Box::new(At(Arc::clone(script))),
                    Settings { pauses, ..Settings::default() },
                ),
                subscription,
                bus: Arc::<EmbeddedBus>::clone(&self.bus),
                store: self.store.clone(),
                keys: self.keys.clone(),
                agreements: Arc::clone(&self.agreements),
                child: None,
                prefetch: 64,
                linger: Duration::ZERO,
            };
            tasks.spawn(worker.run(cancel.clone()));
        }
    }

    async fn waiting(&self, queues: &[Queue]) -> u64 {
        let mut waiting = 0;
        for queue in queues {
            let depth = self.bus.depth(queue).await.unwrap();
            waiting += depth.ready + depth.unsettled;
        }
        waiting
    }

    fn records() -> Vec<Queue> {
        (0..PARTITIONS).map(Queue::Records).collect()
    }

    fn deliveries(&self) -> Vec<Queue> {
        self.receivers.keys().map(|name| Queue::Deliver(SubscriptionId::from(*name))).collect()
    }

    /// Runs the router alone until it has nothing to do.
    async fn route(&self) {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        self.spawn_router(&mut tasks, &cancel);
        eventually(PATIENCE, "the router is done", async || self.waiting(&Self::records()).await == 0).await;
        cancel.cancel();
        tasks.join_all().await;
    }

    /// Runs the lanes alone until they have nothing to do.
    async fn deliver(&self) {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        self.spawn_lanes(&mut tasks, &cancel);
        eventually(PATIENCE, "the lanes are done", async || self.waiting(&self.deliveries()).await == 0).await;
        cancel.cancel();
        tasks.join_all().await;
    }

    /// Runs everything but the source until nothing moves and no letter is on its way.
    async fn settle(&self) {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        self.spawn_router(&mut tasks, &cancel);
        self.spawn_lanes(&mut tasks, &cancel);
        let underway = "SELECT COUNT(*) FROM dead WHERE state IN ('replaying', 'underway')";
        eventually(PATIENCE, "everything is settled", async || {
            let letters = self.store.read(underway, &[]).await.unwrap()[0].int(0);
            letters == 0 && self.waiting(&[Self::records(), self.deliveries()].concat()).await == 0
        })
        .await;
        cancel.cancel();
        tasks.join_all().await;
    }

    async fn run(&self, said: &[Said]) {
        self.read(said).await;
        self.settle().await;
    }

    /// The books of all days and systems in one line; they must balance, and the ledger must hold.
    async fn books(&self) -> String {
        let mut sum = [0; 8];
        for line in books::books(&self.store, None, 0).await.unwrap() {
            let numbers = [
                line.received,
                line.delivered,
                line.rejected,
                line.parked,
                line.superseded,
                line.duplicate,
                line.in_flight,
                line.gap,
            ];
            sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
        let report = verify::verify(&self.store, &self.keys.ledger.verifying_key()).await.unwrap();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        let names = ["received", "delivered", "rejected", "parked", "superseded", "duplicate", "in flight", "gap"];
        let told = names.iter().zip(sum).filter(|(_, number)| *number != 0).map(|(name, number)| format!("{number} {name}"));
        told.collect::<Vec<_>>().join(", ")
    }

    async fn letters(&self, state: &str) -> Vec<Summary> {
        dead::list(&self.store, &Filter { state: Some(state.into()), limit: 100, ..Filter::default() }).await.unwrap()
    }

    /// Codes of the letters in this state, those set aside first first.
    async fn codes(&self, state: &str) -> String {
        self.letters(state).await.iter().map(|letter| letter.code.clone()).collect::<Vec<_>>().join(" ")
    }

    async fn replay(&self, filter: Filter) -> u64 {
        replay::request(&self.store, Arc::clone(&self.keys.ledger), &filter, "mended").await.unwrap()
    }

    async fn discard(&self, filter: Filter) -> u64 {
        replay::discard(&self.store, Arc::clone(&self.keys.ledger), &filter, "given up").await.unwrap()
    }
}

/// The toy system: one object, one dataset.
fn adapter(dir: &Path) -> PathBuf {
    let folder = dir.join("adapters/toy");
    std::fs::create_dir_all(&folder).unwrap();
    let spec = "[system]\nslug = \"toy\"\nname = \"toy\"\nowner = \"nobody\"\n[source]\nkind = \"file\"\n[schedule]\nevery = \"1h\"\n\
                [[object]]\nname = \"PAY\"\nfiles = \"*.csv\"\nformat = \"csv\"\nkey = [\"NO\"]\ndatasets = [\"allowance\"]\n";
    let program = "number = string!(.NO)\n. = [{ \"dataset\": \"allowance\", \"op\": .OP, \"key\": number, \"division\": \"220105000000\", \
                   \"occurred_at\": \"2017-07-03T09:00:00+08:00\", \"sequence\": to_int!(.SEQ), \
                   \"record\": { \"payment_no\": number, \"amount\": .JE, \"payee_name\": \"张伟\" } }]\n";
    std::fs::write(folder.join("adapter.toml"), spec).unwrap();
    std::fs::write(folder.join("pay.vrl"), program).unwrap();
    folder
}

fn code(code: &str) -> Filter {
    Filter { code: Some(code.into()), ..Filter::default() }
}

async fn repeats_old_news_and_deletions(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    let delete = |sequence, amount| Said { op: "delete", ..said("P000001", sequence, amount) };
    let all = [
        said("P000001", 1, "1.00"),
        said("P000001", 1, "1.00"), // says the same again
        said("P000001", 3, "3.00"),
        said("P000001", 2, "2.00"), // is older
        said("P000001", 3, "3.50"), // a second change within the clock tick
        said("P000001", 3, "3.00"), // and back, within the tick
        delete(4, "3.00"),          // a deletion of the very record
        said("P000001", 5, "3.00"), // which comes back
        said("P000001", 9, "3.00"), // says the same again, later
        said("P000001", 7, "7.00"), // is older than that
        said("P000002", 1, "1.00"),
    ];
    road.run(&all).await;
    let log = road.receiver("bank").log();
    let of_one: Vec<&str> = log.split(' ').filter(|name| name.contains("P000001")).collect();
    assert_eq!(of_one.join(" "), "P000001/1 P000001/3 P000001/3 P000001/3 -P000001/4 P000001/5");
    assert_eq!(road.books().await, "11 received, 7 delivered, 2 superseded, 2 duplicate");
}

async fn refused_rows_and_records_tell_every_fault(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    let unmapped = Said { op: "no such operation", ..said("P000003", 1, "1.00") };
    road.run(&[said("P000001", 1, "1.00"), said("X", 1, "one"), unmapped, said("P000002", 1, "1.00")]).await;
    assert_eq!(road.receiver("bank").log.lock().unwrap().len(), 2, "the others flow");
    let letters = road.letters("rejected").await;
    let of = |stage: &str| letters.iter().find(|letter| letter.stage == stage).unwrap().faults.as_array().unwrap().clone();
    let pointers: BTreeSet<String> = of("route").iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect();
    assert_eq!(pointers, BTreeSet::from(["/amount".to_owned(), "/payment_no".to_owned()]));
    assert_eq!(of("map")[0]["row"], 3);
    assert_eq!(road.books().await, "4 received, 2 delivered, 2 rejected");
    // A rejected record does not hold its key, and is rejected again when nothing has changed.
    assert_eq!(road.replay(Filter::default()).await, 1, "a row that could not be mapped is read again from its source");
    road.settle().await;
    assert_eq!(road.books().await, "4 received, 2 delivered, 2 rejected");
    assert_eq!((road.letters("replayed").await.len(), road.letters("rejected").await.len()), (1, 2));
}

async fn without_an_agreement_records_wait_in_order(db: Db) {
    let mut road = Road::new(db, &[]).await;
    let all = [said("P000001", 1, "1.00"), said("P000002", 1, "1.00"), said("P000001", 2, "2.00"), said("P000001", 3, "3.00")];
    road.run(&all[..2]).await;
    road.run(&all).await;
    assert_eq!(road.codes("parked").await, "CH-5303 CH-5303 CH-5304 CH-5304");
    assert_eq!(road.books().await, "4 received, 4 parked");
    // Still none: everything is set aside again, once.
    assert_eq!(road.replay(code("CH-5303")).await, 2);
    road.settle().await;
    assert_eq!(road.books().await, "4 received, 4 parked");
    road.agree(&["bank"]).await;
    assert_eq!(road.replay(code("CH-5303")).await, 2);
    road.settle().await;
    let log = road.receiver("bank").log();
    let of_one: Vec<&str> = log.split(' ').filter(|name| name.starts_with("P000001")).collect();
    assert_eq!(of_one, ["P000001/1", "P000001/2", "P000001/3"], "what waited follows by itself, in order");
    assert_eq!(road.books().await, "4 received, 4 delivered");
}

async fn a_refused_delivery_holds_its_key_until_it_is_replayed(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    let bank = road.receiver("bank");
    bank.refuse(&["P000001/1"]);
    let all = [
        said("P000001", 1, "1.00"),
        said("P000002", 1, "1.00"),
        said("P000001", 2, "2.00"),
        said("P000001", 3, "3.00"),
        said("P000002", 2, "2.00"),
    ];
    road.run(&all[..2]).await;
    road.run(&all[..3]).await;
    road.run(&all).await;
    assert_eq!(bank.log(), "P000002/1 P000002/2", "others flow");
    assert_eq!(road.codes("parked").await, "CH-9902 CH-6502 CH-6502");
    assert_eq!(road.books().await, "5 received, 2 delivered, 3 parked");
    // Replayed too early: refused again, and nothing overtakes it.
    assert_eq!(road.replay(Filter::default()).await, 3);
    road.settle().await;
    assert_eq!((bank.log().as_str(), road.books().await.as_str()), ("P000002/1 P000002/2", "5 received, 2 delivered, 3 parked"));
    // Even when only a younger one is asked for.
    let youngest = road.letters("parked").await.last().unwrap().id.clone();
    assert_eq!(road.replay(Filter { id: Some(youngest), ..Filter::default() }).await, 1);
    road.settle().await;
    assert_eq!(bank.log(), "P000002/1 P000002/2");
    bank.refuse(&[]);
    assert_eq!(road.replay(code("CH-9902")).await, 1);
    road.settle().await;
    assert_eq!(bank.log(), "P000002/1 P000002/2 P000001/1 P000001/2 P000001/3");
    assert_eq!(road.books().await, "5 received, 5 delivered");
    assert_eq!(road.letters("replayed").await.len(), 3);
}

async fn a_refused_delivery_that_is_given_up_lets_the_next_pass(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    road.receiver("bank").refuse(&["P000001/1"]);
    let all = [said("P000001", 1, "1.00"), said("P000001", 2, "2.00"), said("P000001", 3, "3.00")];
    road.run(&all[..1]).await;
    road.run(&all[..2]).await;
    assert_eq!(road.discard(code("CH-9902")).await, 1);
    // It has not gone yet when the next one comes.
    road.run(&all).await;
    road.settle().await;
    assert_eq!(road.receiver("bank").log(), "P000001/2 P000001/3");
    assert_eq!(road.books().await, "3 received, 2 delivered, 1 rejected");
}

async fn a_replay_that_is_stopped_leaves_everything_as_it_was(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    road.receiver("bank").refuse(&["P000001/1"]);
    road.run(&[said("P000001", 1, "1.00"), said("X", 1, "1.00")]).await;
    let before = (road.books().await, road.codes("parked").await, road.codes("rejected").await);
    assert_eq!(before.0, "2 received, 1 rejected, 1 parked");
    assert_eq!(road.replay(Filter::default()).await, 2);
    assert_eq!(replay::stop(&road.store).await.unwrap(), 2);
    assert_eq!(before, (road.books().await, road.codes("parked").await, road.codes("rejected").await));
    assert_eq!(replay::stop(&road.store).await.unwrap(), 0);
    road.settle().await;
    assert_eq!(road.receiver("bank").log(), "");
}

async fn two_receivers_of_one_record(db: Db) {
    let road = Road::new(db, &["bank", "hall"]).await;
    for name in ["bank", "hall"] {
        road.receiver(name).refuse(&["P000001/1"]);
    }
    road.run(&[said("P000001", 1, "1.00"), said("P000002", 1, "1.00")]).await;
    assert_eq!(road.books().await, "2 received, 1 delivered, 1 parked");
    assert_eq!(road.letters("parked").await.len(), 2);
    road.receiver("bank").refuse(&[]);
    // Both in one decision; the hall still refuses.
    assert_eq!(road.replay(Filter::default()).await, 2);
    road.settle().await;
    assert_eq!(road.books().await, "2 received, 1 delivered, 1 parked");
    road.receiver("hall").refuse(&[]);
    assert_eq!(road.replay(Filter::default()).await, 1);
    road.settle().await;
    assert_eq!(road.books().await, "2 received, 2 delivered");
    assert_eq!(
        (road.receiver("bank").log(), road.receiver("hall").log()),
        ("P000002/1 P000001/1".to_owned(), "P000002/1 P000001/1".to_owned())
    );
}

async fn a_receiver_that_is_away_keeps_the_order(db: Db) {
    let road = Road::new(db, &["bank", "hall"]).await;
    let bank = Arc::clone(road.receiver("bank"));
    bank.away.store(true, Ordering::SeqCst);
    let back = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        bank.away.store(false, Ordering::SeqCst);
    });
    let all: Vec<Said> =
        (1..=40).map(|sequence| said(if sequence % 2 == 0 { "P000001" } else { "P000002" }, sequence, "1.00")).collect();
    let all: Vec<Said> = all
        .iter()
        .enumerate()
        .map(|(n, said)| Said { amount: if n % 4 < 2 { "1.00" } else { "2.00" }, ..said.clone() })
        .collect();
    road.run(&all).await;
    back.await.unwrap();
    for name in ["bank", "hall"] {
        in_order(&road.receiver(name).log(), 20);
    }
    assert_eq!(road.books().await, "40 received, 40 delivered");
}

/// Sequences of each payment grow; each payment was taken `count` times.
fn in_order(log: &str, count: usize) {
    let mut last: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for name in log.split(' ') {
        let (key, sequence) = name.split_once('/').unwrap();
        last.entry(key).or_default().push(sequence.parse().unwrap());
    }
    for (key, sequences) in last {
        assert!(sequences.is_sorted() && sequences.len() == count, "{key}: {sequences:?}");
    }
}

/// As after a crash between the bus's confirm and the source's commit.
async fn forget_the_reading(road: &Road) {
    for table in ["position", "handed_over"] {
        road.store.write(&format!("DELETE FROM {table}"), &[]).await.unwrap();
    }
}

async fn a_source_that_is_read_again_counts_once(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    let all = [said("P000001", 1, "1.00"), said("P000002", 1, "1.00"), said("P000001", 1, "1.00")];
    road.read(&all).await;
    forget_the_reading(&road).await;
    road.read(&all).await;
    road.route().await;
    forget_the_reading(&road).await;
    assert_eq!(road.books().await, "3 received, 1 duplicate, 2 in flight", "what arrived has been received");
    road.run(&all).await;
    assert_eq!(road.receiver("bank").log.lock().unwrap().len(), 2);
    assert_eq!(road.books().await, "3 received, 2 delivered, 1 duplicate");
}

async fn a_lane_may_be_quicker_than_the_router(db: Db) {
    let road = Road::new(db, &["bank", "hall"]).await;
    road.receiver("hall").refuse(&["P000002/1"]);
    let all = [said("P000001", 1, "1.00"), said("P000002", 1, "1.00")];
    road.read(&all).await;
    road.route().await;
    // The router died after the bus had the deliveries and before it committed: its records come again.
    for sql in [
        "DELETE FROM arrival",
        "DELETE FROM fence",
        "DELETE FROM ledger",
        "DELETE FROM ledger_head",
        "DELETE FROM ledger_checkpoint",
    ] {
        road.store.write(sql, &[]).await.unwrap();
    }
    forget_the_reading(&road).await;
    road.deliver().await;
    let early = road.store.read("SELECT COUNT(*) FROM arrival WHERE state = 'early'", &[]).await.unwrap()[0].int(0);
    assert_eq!(early, 2);
    road.run(&all).await;
    assert_eq!(road.receiver("bank").log.lock().unwrap().len(), 2, "the second try of a delivery has no effect");
    assert_eq!(road.books().await, "2 received, 1 delivered, 1 parked");
    road.receiver("hall").refuse(&[]);
    assert_eq!(road.replay(Filter::default()).await, 1);
    road.settle().await;
    assert_eq!(road.books().await, "2 received, 2 delivered");
}

async fn a_delivery_that_was_parked_before_a_crash_counts_once(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    road.receiver("bank").refuse(&["P000001/1"]);
    road.run(&[said("P000001", 1, "1.00")]).await;
    let letter = &road.store.read("SELECT body FROM dead", &[]).await.unwrap()[0];
    let body = road.keys.open(&letter.text(0)).unwrap();
    // The lane died between its commit and the ack.
    let again = || Message { route: Route::Deliver("bank".into()), id: "again".to_owned(), body: body.clone().into() };
    road.bus.publish(vec![again(), again()]).await;
    road.settle().await;
    assert_eq!(road.codes("parked").await, "CH-9902", "with its own reason");
    assert_eq!(road.books().await, "1 received, 1 parked");
    road.receiver("bank").refuse(&[]);
    assert_eq!(road.replay(Filter::default()).await, 1);
    road.settle().await;
    road.bus.publish(vec![again()]).await;
    road.settle().await;
    assert_eq!(road.receiver("bank").log(), "P000001/1");
    assert_eq!(road.books().await, "1 received, 1 delivered");
}

async fn junk_on_the_bus_stops_nobody(db: Db) {
    let road = Road::new(db, &["bank"]).await;
    let junk: [&[u8]; 6] =
        [b"", b"not json", b"\xff\xfe\x00", b"{\"specversion\":\"1.0\"}", b"{\"id\":\"a\\u0000b\"}", b"[[[[[[[["];
    let mut messages = Vec::new();
    for body in junk.iter().chain(&junk) {
        let body = bytes::Bytes::copy_from_slice(body);
        let key = "k".into();
        messages.push(Message {
            route: Route::Records { topic: "x.y.z".to_owned(), key },
            id: "junk\0".to_owned(),
            body: body.clone(),
        });
        messages.push(Message { route: Route::Deliver("bank".into()), id: "junk\0".to_owned(), body });
    }
    road.bus.publish(messages).await;
    road.run(&[said("P000001", 1, "1.00")]).await;
    assert_eq!(road.receiver("bank").log(), "P000001/1");
    assert_eq!(road.codes("parked").await.split(' ').collect::<BTreeSet<_>>(), BTreeSet::from(["CH-6501"]));
    assert_eq!((road.letters("rejected").await.len(), road.letters("parked").await.len()), (6, 6), "each once");
}

async fn a_busy_road_keeps_order_and_books(db: Db) {
    let road = Road::new(db, &["bank", "hall"]).await;
    let keys = ["P000001", "P000002", "P000003", "P000004", "P000005"];
    let amounts = ["1.00", "2.00", "3.00"];
    let all: Vec<Said> = (0..300).map(|n| said(keys[n % 5], (n / 5) as i64, amounts[(n / 5) % 3])).collect();
    // Everything runs while the source is read.
    let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
    road.spawn_router(&mut tasks, &cancel);
    road.spawn_lanes(&mut tasks, &cancel);
    road.read(&all).await;
    let all_queues = [Road::records(), road.deliveries()].concat();
    eventually(PATIENCE, "everything is delivered", async || road.waiting(&all_queues).await == 0).await;
    cancel.cancel();
    tasks.join_all().await;
    for name in ["bank", "hall"] {
        in_order(&road.receiver(name).log(), 60);
    }
    assert_eq!(road.books().await, "300 received, 300 delivered");
}
