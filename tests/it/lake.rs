//! The lake target against real tables in a folder: exactly once at every step, types, growth, upkeep, other readers.
//!
//! The store is SQLite, and with `CIVILHUB_TEST_POSTGRES=postgres://…/postgres` a new database of that server per test.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use civilhub::{
    clock,
    deliver::{
        Delivery, Outcome, Target,
        lake::{
            self, LakeOptions, LakeSchema, LakeTarget,
            step::{Step, Watch},
        },
    },
    envelope::{DeliveryId, Event},
    store::Store,
};
use serde_json::{Value, json};

/// A lake and a store in one folder.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    async fn store(&self) -> Store {
        open_store(self.folder.path()).await
    }

    async fn open(&self, options: LakeOptions) -> LakeTarget {
        LakeTarget::open(self.root().to_str().unwrap(), self.store().await, &schemas(), options).await.unwrap()
    }

    async fn counts(&self) -> HashMap<String, u64> {
        lake::counts(self.root().to_str().unwrap(), &HashMap::new()).await.unwrap().into_iter().collect()
    }

    fn parquet_files(&self, dataset: &str) -> usize {
        let days = std::fs::read_dir(self.root().join(dataset)).unwrap().flatten();
        let days = days.filter(|entry| entry.file_name().to_string_lossy().starts_with("ingest_date="));
        days.map(|day| std::fs::read_dir(day.path()).unwrap().count()).sum()
    }
}

async fn open_store(folder: &Path) -> Store {
    let url = match std::env::var("CIVILHUB_TEST_POSTGRES") {
        Ok(server) => database_of(&server, folder).await,
        Err(_) => format!("sqlite://{}/hub.db", folder.display()),
    };
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// The database of a test folder, made at its first use.
async fn database_of(server: &str, folder: &Path) -> String {
    let name: String =
        folder.file_name().unwrap().to_string_lossy().to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let admin = Store::open(server).await.unwrap();
    // Not `write`: PostgreSQL makes no database within a transaction. A second call finds it there.
    let _ = admin.read(&format!("CREATE DATABASE lake_{name}"), &[]).await;
    admin.close().await;
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/lake_{name}")
}

fn schemas() -> Vec<LakeSchema> {
    let person = json!({ "type": "object", "properties": {
        "name": { "type": "string" }, "birth_date": { "type": "string", "format": "date" }, "alive": { "type": "boolean" },
    } });
    let payment = json!({ "type": "object", "properties": {
        "amount": { "type": "string", "pattern": r"^-?\d{1,10}\.\d{2}$" }, "months": { "type": "integer" },
        "paid_at": { "type": "string", "format": "date-time" }, "members": { "type": "array" },
    } });
    vec![LakeSchema::new("person", person), LakeSchema::new("assistance-payment", payment)]
}

fn delivery(dataset: &str, id: &str, record: Value) -> Delivery {
    let event: Event = serde_json::from_value(json!({
        "specversion": "1.0", "id": format!("event-{id}"), "source": "/systems/urban-dibao", "type": format!("{dataset}.upsert"),
        "subject": format!("key-{id}"), "time": "2017-07-03T09:00:00+08:00", "dataschema": format!("{dataset}/v1"),
        "datacontenttype": "application/json", "division": "220171000000", "sequence": 1, "partitionkey": "p",
        "contenthash": "h", "occurrence": "o", "bookdate": "2017-07-03",
        "data": { "record": record, "quality": [{ "rule": "trimmed", "level": "fix", "field": "name" }] },
    }))
    .unwrap();
    Delivery { id: DeliveryId::from(id), event }
}

fn person(id: &str) -> Delivery {
    delivery("person", id, json!({ "name": format!("阿依古丽·{id}"), "birth_date": "1970-01-01", "alive": true }))
}

fn people(range: std::ops::Range<usize>) -> Vec<Delivery> {
    range.map(|number| person(&format!("d{number}"))).collect()
}

fn delivered(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Delivered { .. })).count()
}

/// Stops after one step, and from then on for good, as a killed process does.
struct StopAfter(Step, AtomicBool);

impl StopAfter {
    fn new(step: Step) -> Arc<Self> {
        Arc::new(Self(step, AtomicBool::new(false)))
    }
}

impl Watch for StopAfter {
    fn goes_on(&self, after: Step) -> bool {
        !self.1.load(Ordering::SeqCst)
            && (after != self.0 || {
                self.1.store(true, Ordering::SeqCst);
                false
            })
    }
}

#[tokio::test]
async fn one_row_per_delivery_whichever_step_was_the_last() {
    for step in Step::ALL {
        let bench = Bench::new();
        let batch = people(0..20);
        let dying = bench.open(LakeOptions { watch: StopAfter::new(step), ..LakeOptions::default() }).await;
        let outcomes = dying.deliver(&batch).await;
        assert!(
            outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unavailable { fault, .. } if fault.code == lake::STOPPED))
        );
        drop(dying);
        let next = bench.open(LakeOptions::default()).await;
        let expected = if matches!(step, Step::Committed | Step::Marked) { 20 } else { 0 };
        assert_eq!(bench.counts().await["person"], expected, "after {step:?}, before the second try");
        assert_eq!(delivered(&next.deliver(&batch).await), 20, "after {step:?}");
        assert_eq!(delivered(&next.deliver(&people(10..30)).await), 20, "after {step:?}");
        assert_eq!(bench.counts().await["person"], 30, "after {step:?}");
    }
}

#[tokio::test]
async fn another_writer_settles_what_the_first_left_open() {
    for step in Step::ALL {
        let bench = Bench::new();
        let options = |writer: &str| LakeOptions { writer: writer.to_owned(), ..LakeOptions::default() };
        let other = bench.open(options("b")).await;
        let dying = bench.open(LakeOptions { watch: StopAfter::new(step), ..options("a") }).await;
        dying.deliver(&people(0..5)).await;
        assert_eq!(delivered(&other.deliver(&people(0..8)).await), 8, "after {step:?}");
        // The first writer comes back to life under its own name.
        let again = bench.open(options("a")).await;
        assert_eq!(delivered(&again.deliver(&people(3..10)).await), 7, "after {step:?}");
        assert_eq!(bench.counts().await["person"], 10, "after {step:?}");
    }
}

/// Lets another target act between two steps of this one.
struct Interloper(Step, tokio::sync::mpsc::UnboundedSender<std::sync::mpsc::Sender<()>>);

impl Watch for Interloper {
    fn goes_on(&self, after: Step) -> bool {
        if after == self.0 {
            let (done, wait) = std::sync::mpsc::channel();
            if self.1.send(done).is_ok() {
                // The runtime must know that this thread waits, or a task queued behind it never runs.
                let _ = tokio::task::block_in_place(|| wait.recv());
            }
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_was_taken_over_while_alive_does_not_write_twice() {
    for step in [Step::Claimed, Step::FileWritten, Step::Committed] {
        let bench = Bench::new();
        let (sender, mut asked) = tokio::sync::mpsc::unbounded_channel();
        let slow = LakeOptions { writer: "a".into(), watch: Arc::new(Interloper(step, sender)), ..LakeOptions::default() };
        let slow = Arc::new(bench.open(slow).await);
        let fast = bench.open(LakeOptions { writer: "b".into(), ..LakeOptions::default() }).await;
        let first = tokio::spawn({
            let slow = Arc::clone(&slow);
            async move { slow.deliver(&people(0..5)).await }
        });
        let done = asked.recv().await.unwrap();
        assert_eq!(delivered(&fast.deliver(&people(0..5)).await), 5);
        drop(asked);
        done.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(delivered(&slow.deliver(&people(0..5)).await), 5, "after {step:?}");
        assert_eq!(bench.counts().await["person"], 5, "after {step:?}");
    }
}

#[tokio::test]
async fn duplicates_are_recognised_and_get_the_first_receipt() {
    let bench = Bench::new();
    let target = bench.open(LakeOptions::default()).await;
    let first = target.deliver(&people(0..3)).await;
    let mut mixed = people(2..5);
    mixed.push(person("d4"));
    let second = target.deliver(&mixed).await;
    assert_eq!(second[0], first[2]);
    assert_eq!(second[2], second[3]);
    assert_eq!(first[0], Outcome::Delivered { receipt: "delta:civilhub-hub/person@1".into() });
    assert_eq!(second[1], Outcome::Delivered { receipt: "delta:civilhub-hub/person@2".into() });
    assert_eq!(bench.counts().await["person"], 5);
}

#[tokio::test]
async fn one_bad_record_stops_only_itself() {
    let bench = Bench::new();
    let target = bench.open(LakeOptions::default()).await;
    let batch = [
        person("good"),
        delivery("person", "bad", json!({ "birth_date": "2017-02-30" })),
        delivery("unknown-set", "lost", json!({})),
        delivery("assistance-payment", "paid", json!({ "amount": "480.00" })),
    ];
    let outcomes = target.deliver(&batch).await;
    assert_eq!(delivered(&outcomes), 2);
    let Outcome::Refused(fault) = &outcomes[1] else { panic!("{:?}", outcomes[1]) };
    assert_eq!((fault.code, fault.place.pointer.as_deref()), (lake::MISFIT, Some("/data/record/birth_date")));
    let Outcome::Refused(fault) = &outcomes[2] else { panic!("{:?}", outcomes[2]) };
    assert_eq!(fault.code, lake::UNKNOWN_DATASET);
    assert_eq!(bench.counts().await, HashMap::from([("person".into(), 1), ("assistance-payment".into(), 1)]));
    let only_bad = target.deliver(&batch[1..2]).await;
    assert!(matches!(only_bad[0], Outcome::Refused(_)), "a refused delivery was not claimed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_share_a_table() {
    let bench = Bench::new();
    let mut tasks = Vec::new();
    for writer in ["a", "b", "a"] {
        let target = bench.open(LakeOptions { writer: writer.to_owned(), ..LakeOptions::default() }).await;
        tasks.push(tokio::spawn(async move {
            for round in 0..8 {
                // The batches of the writers overlap by half, and a failed one is sent again.
                let batch = people(round * 10..round * 10 + 20);
                for _ in 0..50 {
                    if delivered(&target.deliver(&batch).await) == batch.len() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(bench.counts().await["person"], 90);
}

#[tokio::test]
async fn merging_keeps_every_row() {
    let bench = Bench::new();
    let target = bench.open(LakeOptions { small_files: 4, checkpoint_every: 10, ..LakeOptions::default() }).await;
    for round in 0..12 {
        target.deliver(&people(round * 5..round * 5 + 5)).await;
    }
    let upkeep = target.maintain().await.unwrap();
    let merged = upkeep.compacted.unwrap();
    assert_eq!((merged.dataset.as_str(), merged.files, merged.rows), ("person", 12, 60));
    assert_eq!(merged.ingest_date, clock::iso_date(clock::today()));
    assert_eq!(upkeep.checkpoints, ["person"]);
    assert_eq!(bench.counts().await["person"], 60);
    assert_eq!(target.maintain().await.unwrap().compacted, None, "one file is not too many");
    // Deliveries go on after it, duplicates are still known, and a fresh start reads the checkpoint.
    assert_eq!(delivered(&target.deliver(&people(55..65)).await), 10);
    assert_eq!(bench.counts().await["person"], 65);
    let again = bench.open(LakeOptions::default()).await;
    assert_eq!(delivered(&again.deliver(&people(0..66)).await), 66);
    assert_eq!(bench.counts().await["person"], 66);
    assert_eq!(again.compact("person", &merged.ingest_date, 1).await.unwrap(), None, "nothing fits into one byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_and_deliveries_at_once_keep_every_row() {
    let bench = Bench::new();
    let open = |writer: &str| LakeOptions { writer: writer.to_owned(), small_files: 2, ..LakeOptions::default() };
    let first = Arc::new(bench.open(open("a")).await);
    let second = Arc::new(bench.open(open("b")).await);
    first.deliver(&people(0..10)).await;
    second.deliver(&people(10..20)).await;
    let day = clock::iso_date(clock::today());
    let merging = [Arc::clone(&first), Arc::clone(&second)].map(|target| {
        let day = day.clone();
        tokio::spawn(async move {
            for _ in 0..6 {
                // The slower of two merges gives way; that is no harm.
                let _ = target.compact("person", &day, 1 << 20).await;
            }
        })
    });
    for round in 2..12 {
        assert_eq!(delivered(&first.deliver(&people(round * 10..round * 10 + 10)).await), 10);
    }
    for task in merging {
        task.await.unwrap();
    }
    assert_eq!(bench.counts().await["person"], 120);
}

#[tokio::test]
async fn files_that_nobody_refers_to_are_removed() {
    let bench = Bench::new();
    let options = || LakeOptions { file_retention: Duration::ZERO, vacuum_every: Duration::ZERO, ..LakeOptions::default() };
    let dying = bench.open(LakeOptions { watch: StopAfter::new(Step::FileWritten), ..options() }).await;
    dying.deliver(&people(0..5)).await;
    assert_eq!(bench.parquet_files("person"), 1, "the file of the batch that was not committed");
    let next = bench.open(options()).await;
    next.deliver(&people(0..5)).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(next.maintain().await.unwrap().removed, 1);
    assert_eq!((bench.parquet_files("person"), bench.counts().await["person"]), (1, 5));
    assert_eq!(delivered(&next.deliver(&people(5..6)).await), 1);
}

#[tokio::test]
async fn a_table_grows_new_columns_and_refuses_new_types() {
    let bench = Bench::new();
    bench.open(LakeOptions::default()).await.deliver(&people(0..3)).await;
    let open = |schema: Value| {
        let root = bench.root();
        let store = bench.store();
        async move {
            let schemas = [LakeSchema::new("person", schema)];
            LakeTarget::open(root.to_str().unwrap(), store.await, &schemas, LakeOptions::default()).await
        }
    };
    let wider = json!({ "properties": { "name": { "type": "string" }, "income": { "type": "string", "pattern": r"^-?\d{1,10}\.\d{2}$" } } });
    let target = open(wider).await.unwrap();
    assert_eq!(delivered(&target.deliver(&[delivery("person", "w1", json!({ "income": "12.34" }))]).await), 1);
    // A narrower program leaves the columns it does not know null, and merging keeps them.
    let older = bench.open(LakeOptions { small_files: 1, ..LakeOptions::default() }).await;
    assert_eq!(delivered(&older.deliver(&people(3..4)).await), 1);
    assert_eq!(older.maintain().await.unwrap().compacted.map(|merged| merged.rows), Some(5));
    assert_eq!(bench.counts().await["person"], 5);

    let changed = json!({ "properties": { "name": { "type": "integer" }, "alive": { "type": "string" }, "birth_date": {} } });
    let Err(lake::Error::Faults(faults)) = open(changed).await else { panic!("a change of type was accepted") };
    let columns: Vec<_> = faults.0.iter().map(|fault| (fault.code, fault.place.column.as_deref().unwrap())).collect();
    assert_eq!(columns, ["alive", "birth_date", "name"].map(|name| (lake::INCOMPATIBLE, name)));
}

#[tokio::test]
async fn an_unusable_root_is_named() {
    let bench = Bench::new();
    for root in ["nowhere://bucket/lake", "/proc/nothing/lake", "s3 ://x"] {
        let opened = LakeTarget::open(root, bench.store().await, &schemas(), LakeOptions::default()).await;
        assert_eq!(opened.err().unwrap().fault().code, lake::LOCATION, "{root}");
    }
}

#[tokio::test]
async fn a_lake_that_fails_is_unavailable_and_loses_nothing() {
    let bench = Bench::new();
    let target = bench.open(LakeOptions::default()).await;
    let table = bench.root().join("person");
    let aside = bench.root().join("aside");
    target.deliver(&people(0..2)).await;
    std::fs::rename(&table, &aside).unwrap();
    std::fs::write(&table, "in the way").unwrap();
    let outcomes = target.deliver(&people(0..4)).await;
    assert_eq!(delivered(&outcomes), 0);
    assert!(
        outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unavailable { fault, .. } if fault.code == lake::UNREACHABLE))
    );
    std::fs::remove_file(&table).unwrap();
    std::fs::rename(&aside, &table).unwrap();
    assert_eq!(delivered(&target.deliver(&people(0..4)).await), 4);
    assert_eq!(bench.counts().await["person"], 4);
}

#[tokio::test]
async fn the_book_forgets_old_batches() {
    let bench = Bench::new();
    let target = bench.open(LakeOptions { remember: Duration::ZERO, ..LakeOptions::default() }).await;
    target.deliver(&people(0..2)).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(target.maintain().await.unwrap().forgotten, 1);
    let rows = bench.store().await.read("SELECT COUNT(*) FROM lake_delivery", &[]).await.unwrap();
    assert_eq!(rows[0].int(0), 0);
    assert_eq!(delivered(&target.deliver(&people(2..4)).await), 2);
    drop(target);
    let again = bench.open(LakeOptions::default()).await;
    let next = again.deliver(&people(4..5)).await;
    assert_eq!(next[0], Outcome::Delivered { receipt: "delta:civilhub-hub/person@3".into() }, "numbers go on");
}

/// Folder for the process of [`kill_minus_nine_between_any_two_instructions`]; empty in a normal run.
const CHILD: &str = "CIVILHUB_LAKE_CHILD";

#[tokio::test]
async fn child_of_the_kill_test() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = PathBuf::from(folder);
    let root = folder.join("lake");
    let target =
        LakeTarget::open(root.to_str().unwrap(), open_store(&folder).await, &schemas(), LakeOptions::default()).await.unwrap();
    println!("ready");
    for round in 0.. {
        let batch = people(round * 7..round * 7 + 7);
        if delivered(&target.deliver(&batch).await) != batch.len() {
            break;
        }
    }
}

#[tokio::test]
async fn kill_minus_nine_between_any_two_instructions() {
    let bench = Bench::new();
    for pause in [3_u64, 11, 17, 29, 41, 53] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["child_of_the_kill_test", "--nocapture"]).env(CHILD, bench.folder.path());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.any(|line| line.unwrap().contains("ready")));
        std::thread::sleep(Duration::from_millis(100 + pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let target = bench.open(LakeOptions::default()).await;
    let written = bench.counts().await["person"];
    let most = usize::try_from(written).unwrap();
    assert!(most > 0, "the child wrote nothing before it was killed");
    assert_eq!(most % 7, 0, "a batch is in the table whole or not at all");
    // Everything again: what is there is recognised, what is not is written.
    let mut all = Vec::new();
    for round in 0..most / 7 + 2 {
        all.extend(people(round * 7..round * 7 + 7));
    }
    assert_eq!(delivered(&target.deliver(&all).await), all.len());
    assert_eq!(bench.counts().await["person"], all.len() as u64);
}

/// A Python with the package `deltalake`, in an environment of its own below the target folder; `None` without network.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lake-venv");
    let python = venv.join("bin/python");
    let works = |python: &Path| {
        let check = Command::new(python).args(["-c", "import deltalake, pyarrow"]).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    };
    if works(&python) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).stdout(Stdio::null()).stderr(Stdio::null()).status();
    made.ok().filter(std::process::ExitStatus::success)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "deltalake", "pyarrow"];
    let _ = Command::new(&python).args(pip).stdout(Stdio::null()).stderr(Stdio::null()).status();
    works(&python).then_some(python)
}

#[tokio::test]
async fn python_reads_the_same() {
    let Some(python) = python() else {
        eprintln!("skipped: no python3 with the package deltalake");
        return;
    };
    let bench = Bench::new();
    let target = bench.open(LakeOptions { small_files: 1, checkpoint_every: 2, ..LakeOptions::default() }).await;
    let paid =
        json!({ "amount": "-480.05", "months": 3, "paid_at": "2017-07-03T09:00:00.25+08:00", "members": [{ "姓名": "古丽" }] });
    target.deliver(&[delivery("assistance-payment", "p1", paid)]).await;
    target.deliver(&[delivery("assistance-payment", "p2", json!({}))]).await;
    target.deliver(&people(0..4)).await;
    target.maintain().await.unwrap();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/read_lake.py");
    let output = Command::new(python).arg(script).arg(bench.root()).args(["--sample", "2"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let payment = &tables[0];
    assert_eq!(
        (&payment["dataset"], &payment["rows"], &payment["deliveries"]),
        (&json!("assistance-payment"), &json!(2), &json!(2))
    );
    let types = &payment["types"];
    assert_eq!(types["amount"], "decimal128(12, 2)");
    assert_eq!((&types["months"], &types["ingest_date"]), (&json!("int64"), &json!("date32[day]")));
    assert_eq!((&types["paid_at"], &types["occurred_at"]), (&json!("timestamp[us, tz=UTC]"), &json!("timestamp[us, tz=UTC]")));
    let (full, empty) = (&payment["sample"][0], &payment["sample"][1]);
    assert_eq!((&full["amount"], &full["members"]), (&json!("-480.05"), &json!(r#"[{"姓名":"古丽"}]"#)));
    assert!(full["paid_at"].as_str().unwrap().starts_with("2017-07-03 01:00:00.250000"), "{}", full["paid_at"]);
    assert_eq!((&empty["amount"], &empty["months"], &empty["delivery_id"]), (&Value::Null, &Value::Null, &json!("p2")));
    let person = &tables[1];
    assert_eq!(
        (&person["rows"], &person["types"]["alive"], &person["types"]["birth_date"]),
        (&json!(4), &json!("bool"), &json!("date32[day]"))
    );
    assert!(person["sample"][0]["name"].as_str().unwrap().starts_with("阿依古丽·d"));
    assert_eq!(person["sample"][0]["ingest_date"], clock::iso_date(clock::today()));
}
