//! Full loads: what vanished is deleted when the file is whole and the drop is small; otherwise nothing is touched.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use civilhub::{
    adapter::{
        load::{LOAD_HELD, held},
        run::{Poller, Shared},
        source::{self, ObjectOptions, SourceContext},
        spec::AdapterSpec,
    },
    bus::{Bus, Queue, Topology, embedded::EmbeddedBus},
    config::keys::Keys,
    dead::{self, Filter},
    ledger::books,
    store::Store,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Db, on_both},
    support::eventually,
};

on_both! {
    what_vanished_is_deleted_and_nothing_newer
    a_large_drop_is_held_until_somebody_decides
    a_file_that_is_not_whole_deletes_nothing
    deletions_that_are_made_again_are_the_same
    a_great_load_goes_in_batches
}

const ADAPTER: &str = "[system]\nslug = \"card\"\nname = \"x\"\nowner = \"y\"\n[source]\nkind = \"file\"\nsettle = \"10ms\"\n\
    [[object]]\nname = \"FULL\"\nprogram = \"card.vrl\"\nfiles = \"full*.csv\"\nformat = \"csv\"\nencoding = \"UTF-8\"\n\
    key = [\"NO\"]\ndatasets = [\"a\", \"b\"]\nload = \"full\"\nkeys = \"CARD\"\nmax_drop = 0.25\n\
    [[object]]\nname = \"DELTA\"\nprogram = \"card.vrl\"\nfiles = \"delta*.csv\"\nformat = \"csv\"\nencoding = \"UTF-8\"\n\
    key = [\"NO\"]\ndatasets = [\"a\", \"b\"]\nload = \"delta\"\nkeys = \"CARD\"\n";

/// Two records for each card; the day is in the name of the file.
const PROGRAM: &str = r#"
found = parse_regex!(to_string!(%file), r'(?P<day>20[0-9]{6})')
day = cn_time!(found.day)
amount = yuan!(.JE)
op = if .OP == "D" { "delete" } else { "upsert" }
division = division!("220105")
record = { "card_no": .NO, "amount": amount, "ref": "card:" + to_string!(.NO) }
. = [
  { "dataset": "a", "op": op, "key": .NO, "division": division, "occurred_at": day, "record": record },
  { "dataset": "b", "op": op, "key": .NO, "division": division, "occurred_at": day, "record": record }
]
"#;

struct Cards {
    store: Store,
    bus: Arc<EmbeddedBus>,
    spec: Arc<AdapterSpec>,
    dir: TempDir,
    _db: Db,
}

impl Cards {
    async fn new(db: Db) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let adapter = dir.path().join("card");
        fs::create_dir_all(&adapter).unwrap();
        fs::write(adapter.join("adapter.toml"), ADAPTER).unwrap();
        fs::write(adapter.join("card.vrl"), PROGRAM).unwrap();
        let bus = EmbeddedBus::open(&dir.path().join("bus")).unwrap();
        bus.declare(&Topology { partitions: 1, subscriptions: Vec::new() }).await.unwrap();
        let spec = Arc::new(AdapterSpec::load(&adapter).unwrap());
        Self { store: db.open().await, bus, spec, dir, _db: db }
    }

    fn inbox(&self) -> std::path::PathBuf {
        self.dir.path().join("inbox")
    }

    fn put(&self, name: &str, rows: impl IntoIterator<Item = String>) {
        let folder = self.inbox().join("card");
        fs::create_dir_all(&folder).unwrap();
        let text: String = std::iter::once("NO,JE,OP".to_owned()).chain(rows).map(|row| row + "\n").collect();
        fs::write(folder.join(name), text).unwrap();
    }

    /// Reads all files there are and comes to rest.
    async fn read(&self) {
        let context = SourceContext { store: self.store.clone(), inbox: self.inbox(), env: Default::default() };
        let objects: Vec<ObjectOptions> = self.spec.objects.iter().map(options).collect();
        let objects = source::open(&self.spec.slug, &self.spec.source, &objects, &context).unwrap();
        let (cancel, idle) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let bus: Arc<dyn Bus> = Arc::<EmbeddedBus>::clone(&self.bus);
        let shared = Shared { bus, store: self.store.clone(), keys: Keys::dry_run(), cancel: cancel.clone() };
        let every = Duration::from_secs(3600);
        let poller = Poller { objects, spec: Arc::clone(&self.spec), shared, every, idle: Arc::clone(&idle) };
        let running = tokio::spawn(poller.run());
        eventually(Duration::from_secs(60), "the files are read", async || idle.load(Ordering::Acquire)).await;
        cancel.cancel();
        running.await.unwrap();
    }

    async fn events(&self) -> Vec<Value> {
        let messages = self.bus.peek(&Queue::Records(0), 100_000).await.unwrap();
        messages.iter().map(|message| serde_json::from_slice(&message.body).unwrap()).collect()
    }

    /// Keys of dataset `a` that were deleted.
    async fn deleted(&self) -> BTreeSet<String> {
        let events = self.events().await;
        let gone = events.iter().filter(|event| event["type"] == "a.delete");
        gone.map(|event| event["subject"].as_str().unwrap().to_owned()).collect()
    }

    async fn loads(&self, state: &str) -> Vec<held::Summary> {
        held::list(&self.store, Some(state), 100).await.unwrap()
    }

    async fn sql(&self, sql: &str) {
        self.store.write(sql, &[]).await.unwrap();
    }
}

fn options(object: &civilhub::adapter::spec::ObjectSpec) -> ObjectOptions {
    ObjectOptions { name: object.name.clone(), key: object.key.clone(), options: object.options.clone() }
}

fn cards(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("C{number:05},100,")).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into_iter().collect()
}

async fn what_vanished_is_deleted_and_nothing_newer(db: Db) {
    let cards_of = Cards::new(db).await;
    cards_of.put("full20170601.csv", cards(0..20));
    // One is added, one deleted by a delta.
    cards_of.put("delta20170602.csv", ["C00100,100,A".to_owned(), "C00003,100,D".to_owned()]);
    cards_of.read().await;
    assert_eq!(cards_of.deleted().await, names(["C00003"]));
    // A second delta is newer than the full file that comes after it: its card is not in the file and stays.
    cards_of.put("delta20170702.csv", ["C00200,100,A".to_owned()]);
    cards_of.read().await;
    // A card whose amount cannot be read is there all the same. Two are gone, and the one of the first delta.
    let mut rows = cards((0..20).filter(|number| ![3, 4, 5].contains(number)));
    rows[0] = "C00000,much,".to_owned();
    cards_of.put("full20170701.csv", rows);
    cards_of.read().await;
    assert_eq!(cards_of.deleted().await, names(["C00003", "C00004", "C00005", "C00100"]));
    let load = &cards_of.loads("done").await[0];
    // Two records for each card.
    assert_eq!((load.known, load.vanished, load.deleted), (42, 6, 6));
    let events = cards_of.events().await;
    let gone = events.iter().find(|event| event["type"] == "b.delete" && event["subject"] == "C00004").unwrap();
    assert_eq!((&gone["division"], &gone["time"]), (&"220105000000".into(), &"2017-07-01T00:00:00+08:00".into()));
    assert_eq!(gone["data"]["record"], serde_json::json!({ "card_no": "C00004", "ref": "card:C00004" }));
    let written = events.iter().find(|event| event["type"] == "b.upsert" && event["subject"] == "C00004").unwrap();
    assert_eq!(gone["partitionkey"], written["partitionkey"], "a deletion keeps its turn behind what it deletes");
    let received: i64 = books::books(&cards_of.store, None, 0).await.unwrap().iter().map(|line| line.received).sum();
    assert_eq!(received, i64::try_from(events.len()).unwrap() + 1, "the books know the deletions, and the refused row");
    // Read again, nothing more comes.
    cards_of.read().await;
    assert_eq!(cards_of.events().await.len(), events.len());
}

async fn a_large_drop_is_held_until_somebody_decides(db: Db) {
    let cards_of = Cards::new(db).await;
    cards_of.put("full20170601.csv", cards(0..20));
    cards_of.read().await;
    cards_of.put("full20170701.csv", cards(10..20));
    cards_of.read().await;
    assert!(cards_of.deleted().await.is_empty());
    let held = cards_of.loads("held").await;
    assert_eq!((held[0].known, held[0].vanished), (40, 20));
    let letters = dead::list(&cards_of.store, &Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert!(letters[0].faults.to_string().contains(&LOAD_HELD.to_string()), "{:?}", letters[0].faults);
    // Upserts of the held file have gone on; the next complete file decides anew.
    cards_of.put("full20170702.csv", cards(9..20));
    cards_of.read().await;
    assert_eq!(cards_of.loads("superseded").await.len(), 1);
    let held = cards_of.loads("held").await;
    assert_eq!((held.len(), held[0].vanished), (1, 18));
    assert!(!held::release(&cards_of.store, "nonsense", "").await.unwrap());
    // What a delta says after the file is not deleted by its release.
    cards_of.put("delta20170703.csv", ["C00000,100,A".to_owned()]);
    cards_of.read().await;
    assert!(held::release(&cards_of.store, &held[0].id, "the county left").await.unwrap());
    cards_of.read().await;
    assert_eq!(cards_of.deleted().await.len(), 8);
    assert!(!cards_of.deleted().await.contains("C00000"));
    // Dropped: what vanished stays.
    cards_of.put("full20170801.csv", cards(19..20));
    cards_of.read().await;
    let held = cards_of.loads("held").await;
    assert!(held::give_up(&cards_of.store, &held[0].id, "the export was broken").await.unwrap());
    cards_of.read().await;
    assert_eq!(cards_of.deleted().await.len(), 8);
}

async fn a_file_that_is_not_whole_deletes_nothing(db: Db) {
    let cards_of = Cards::new(db).await;
    cards_of.put("full20170601.csv", cards(0..20));
    cards_of.read().await;
    // Refused whole for its header.
    let folder = cards_of.inbox().join("card");
    fs::write(folder.join("full20170602.csv"), "").unwrap();
    cards_of.read().await;
    assert!(folder.join(".quarantine").join("full20170602.csv").exists());
    // One row nobody can read: it may be any of those that vanished.
    let mut rows = cards(1..20);
    rows.push("C00000,100,,,,".to_owned());
    cards_of.put("full20170603.csv", rows);
    cards_of.read().await;
    let held = cards_of.loads("held").await;
    assert_eq!((held.len(), held[0].unread, held[0].vanished), (1, 1, 2));
    // A file without a single row is no reason to delete everybody.
    cards_of.put("full20170604.csv", []);
    cards_of.read().await;
    assert!(cards_of.deleted().await.is_empty());
    assert_eq!(cards_of.loads("held").await[0].vanished, 40);
}

async fn deletions_that_are_made_again_are_the_same(db: Db) {
    let cards_of = Cards::new(db).await;
    cards_of.put("full20170601.csv", cards(0..20));
    cards_of.read().await;
    cards_of.sql("CREATE TABLE kept AS SELECT * FROM load_key").await;
    cards_of.put("full20170701.csv", cards(2..20));
    cards_of.read().await;
    let ids = async || {
        let events = cards_of.events().await;
        let gone = events.iter().filter(|event| event["type"].as_str().unwrap().ends_with(".delete"));
        gone.map(|event| format!("{}/{}", event["id"], event["occurrence"])).collect::<Vec<_>>()
    };
    let first = ids().await;
    assert_eq!(first.len(), 4);
    // As if the process had died between the bus and the store.
    cards_of.sql("INSERT INTO load_key SELECT * FROM kept WHERE id NOT IN (SELECT id FROM load_key)").await;
    cards_of.sql("UPDATE full_load SET state = 'deleting' WHERE file LIKE '%0701%'").await;
    cards_of.read().await;
    let again = ids().await;
    assert_eq!((again.len(), &again[first.len()..]), (2 * first.len(), &first[..]), "the same ids for the same keys");
}

async fn a_great_load_goes_in_batches(db: Db) {
    let cards_of = Cards::new(db).await;
    cards_of.put("full20170601.csv", cards(0..4000));
    cards_of.read().await;
    cards_of.put("full20170701.csv", cards(900..4000));
    cards_of.read().await;
    assert_eq!(cards_of.deleted().await.len(), 900);
    let load = &cards_of.loads("done").await[0];
    assert_eq!((load.known, load.vanished, load.deleted), (8000, 1800, 1800));
}

#[test]
fn the_full_files_of_senior_allowance_are_known() {
    let adapters = Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters");
    let spec = AdapterSpec::load(&adapters.join("senior-allowance")).unwrap();
    let of =
        |name: &str, key: &str| spec.object(name).unwrap().options.get(key).and_then(|value| value.as_str().map(str::to_owned));
    assert_eq!((of("GL_FULL", "load"), of("GL_DELTA", "load")), (Some("full".into()), Some("delta".into())));
    assert_eq!(of("GL_FULL", "keys"), of("GL_DELTA", "keys"));
}
