//! The store's own rules, each on both backends.

use std::time::{Duration, Instant};

use civilhub::store::{Arg, Backend, Error, Store, Tx};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::postgres::Postgres;

/// One database that nobody else uses.
pub(crate) struct Db {
    pub url: String,
    _dir: Option<TempDir>,
}

impl Db {
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                Self { url: format!("sqlite://{}", dir.path().join("hub.db").display()), _dir: Some(dir) }
            }
            Backend::Postgres => Self { url: Postgres::database().await, _dir: None },
        }
    }

    pub async fn open(&self) -> Store {
        let store = Store::open(&self.url).await.unwrap();
        store.migrate().await.unwrap();
        store
    }
}

/// Runs each check on both backends.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Db::new(civilhub::store::Backend::Sqlite).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Db::new(civilhub::store::Backend::Postgres).await).await;
            })*
        }
    };
}
pub(crate) use on_both;

on_both! {
    migrations_may_be_repeated_and_raced
    a_batch_is_one_parameter
    conflicts_are_settled_in_the_statement
    an_update_takes_its_values_from_rows
    a_transaction_that_is_dropped_leaves_nothing
    writers_at_once_lose_no_count
    router_and_lane_may_count_in_either_order
    errors_name_no_values
    any_text_comes_back
}

fn rows(rows: impl IntoIterator<Item = Value>) -> Arg {
    Value::Array(rows.into_iter().collect()).to_string().into()
}

async fn count(store: &Store, sql: &str) -> i64 {
    store.read(sql, &[]).await.unwrap()[0].int(0)
}

async fn migrations_may_be_repeated_and_raced(db: Db) {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = db.url.clone();
        racers.spawn(async move {
            let store = Store::open(&url).await.unwrap();
            store.migrate().await
        });
    }
    while let Some(done) = racers.join_next().await {
        done.unwrap().unwrap();
    }
    let store = db.open().await;
    store.migrate().await.unwrap();
    assert_eq!(count(&store, "SELECT COUNT(*) FROM arrival").await, 0);
}

async fn a_batch_is_one_parameter(db: Db) {
    let store = db.open().await;
    let sql = "INSERT INTO attempt (message_id, stage, attempts) SELECT value ->> 0, $2, CAST(value ->> 1 AS BIGINT) FROM {rows}";
    let batch = rows((0..5000).map(|n| json!([format!("m{n}"), n])));
    assert_eq!(store.write(sql, &[batch, "route".into()]).await.unwrap(), 5000);
    assert_eq!(store.write(sql, &[rows([]), "route".into()]).await.unwrap(), 0);
    assert_eq!(count(&store, "SELECT CAST(SUM(attempts) AS BIGINT) FROM attempt").await, 4999 * 5000 / 2);
    let some = "SELECT message_id FROM attempt WHERE message_id IN (SELECT value ->> 0 FROM {rows}) ORDER BY message_id";
    let found = store.read(some, &[rows([json!(["m7"]), json!(["m42"]), json!(["none"])])]).await.unwrap();
    assert_eq!(found.iter().map(|row| row.text(0)).collect::<Vec<_>>(), ["m42", "m7"]);
}

async fn conflicts_are_settled_in_the_statement(db: Db) {
    let store = db.open().await;
    let sql = "INSERT INTO receipt (delivery_id, subscription, at, receipt) SELECT value ->> 0, 's', 1, value ->> 1 FROM {rows} WHERE true \
               ON CONFLICT DO NOTHING RETURNING delivery_id";
    let mut tx = store.begin().await.unwrap();
    // The same row twice in one statement, too.
    let first = tx.read(sql, &[rows([json!(["d1", "a"]), json!(["d1", "b"]), json!(["d2", "c"])])]).await.unwrap();
    assert_eq!(first.len(), 2);
    let second = tx.read(sql, &[rows([json!(["d2", "x"]), json!(["d3", "y"])])]).await.unwrap();
    assert_eq!(second.iter().map(|row| row.text(0)).collect::<Vec<_>>(), ["d3"], "only the new row is returned");
    tx.commit().await.unwrap();
    assert_eq!(store.read("SELECT receipt FROM receipt WHERE delivery_id = 'd2'", &[]).await.unwrap()[0].text(0), "c");
    let sql = "INSERT INTO ledger_head (chain, seq, hash, signature) VALUES ($1, $2, 'h', 's') \
               ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq WHERE ledger_head.seq = $3";
    let write = async |seq: i64, old: i64| store.write(sql, &["c".into(), seq.into(), old.into()]).await.unwrap();
    assert_eq!(
        (write(5, 0).await, write(9, 4).await, write(9, 5).await),
        (1, 0, 1),
        "a conflict whose condition fails touches nothing"
    );
}

async fn an_update_takes_its_values_from_rows(db: Db) {
    let store = db.open().await;
    let make = "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) SELECT value ->> 0, 's', 'd', 'dispatched', 2, 2 FROM {rows}";
    store.write(make, &[rows([json!(["a"]), json!(["b"]), json!(["c"])])]).await.unwrap();
    let sql = "UPDATE arrival SET parked = parked - CAST(value ->> 1 AS BIGINT) FROM {rows} WHERE occurrence = value ->> 0";
    assert_eq!(store.write(sql, &[rows([json!(["a", 1]), json!(["b", 2]), json!(["none", 5])])]).await.unwrap(), 2);
    let parked = store.read("SELECT parked FROM arrival ORDER BY occurrence", &[]).await.unwrap();
    assert_eq!(parked.iter().map(|row| row.int(0)).collect::<Vec<_>>(), [1, 0, 2]);
}

async fn a_transaction_that_is_dropped_leaves_nothing(db: Db) {
    let store = db.open().await;
    let sql = "INSERT INTO push_counted (occurrence, at) VALUES ($1, 1)";
    let mut tx = store.begin().await.unwrap();
    tx.execute(sql, &["gone".into()]).await.unwrap();
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    tx.execute(sql, &["kept".into()]).await.unwrap();
    assert!(tx.execute("INSERT INTO no_such_table VALUES (1)", &[]).await.is_err());
    drop(tx);
    store.write(sql, &["kept".into()]).await.unwrap();
    let rows = store.read("SELECT occurrence FROM push_counted", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.text(0)).collect::<Vec<_>>(), ["kept"]);
}

async fn add(tx: &mut Tx, occurrence: &str, state: &str, (open, parked): (i64, i64)) {
    let sql = "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) VALUES ($1, 's', 'd', $2, $3, $4) \
               ON CONFLICT (occurrence) DO UPDATE SET open = arrival.open + excluded.open, parked = arrival.parked + excluded.parked";
    tx.execute(sql, &[occurrence.into(), state.into(), open.into(), parked.into()]).await.unwrap();
}

async fn writers_at_once_lose_no_count(db: Db) {
    let store = db.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..25 {
                let mut tx = store.begin().await.unwrap();
                add(&mut tx, "o", "dispatched", (1, if writer % 2 == 0 { 1 } else { -1 })).await;
                // Some change their mind.
                if n % 5 == 4 { drop(tx) } else { tx.commit().await.unwrap() }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let row = &store.read("SELECT open, parked FROM arrival", &[]).await.unwrap()[0];
    assert_eq!((row.int(0), row.int(1)), (8 * 20, 0));
}

async fn router_and_lane_may_count_in_either_order(db: Db) {
    let store = db.open().await;
    // The router dispatches two copies; one lane delivers, the other parks.
    let steps: [(&str, (i64, i64)); 3] = [("dispatched", (2, 0)), ("early", (-1, 0)), ("early", (0, 1))];
    for (name, order) in [("a", [0, 1, 2]), ("b", [1, 0, 2]), ("c", [1, 2, 0]), ("d", [2, 1, 0])] {
        for step in order {
            let mut tx = store.begin().await.unwrap();
            add(&mut tx, name, steps[step].0, steps[step].1).await;
            tx.commit().await.unwrap();
        }
        let row = &store.read("SELECT open, parked FROM arrival WHERE occurrence = $1", &[name.into()]).await.unwrap()[0];
        assert_eq!((row.int(0), row.int(1)), (1, 1), "{name}");
    }
}

async fn errors_name_no_values(db: Db) {
    const SECRET: &str = "220171197001010053";
    let store = db.open().await;
    let insert = "INSERT INTO push_counted (occurrence, at) VALUES ($1, 1)";
    store.write(insert, &[SECRET.into()]).await.unwrap();
    let batch = "INSERT INTO push_counted (occurrence, at) SELECT value ->> 0, CAST(value ->> 1 AS BIGINT) FROM {rows}";
    let null = "INSERT INTO receipt (delivery_id, subscription, at, receipt) VALUES ($1, NULL, 1, '')";
    for (sql, args) in [
        (insert, vec![SECRET.into()]),
        (batch, vec![rows([json!([SECRET, 1])])]),
        (batch, vec![format!("[[\"{SECRET}\"").into()]),
        (null, vec![SECRET.into()]),
        ("SELECT CAST($1 AS BIGINT) FROM no_such_table", vec![SECRET.into()]),
    ] {
        let error = store.write(sql, &args).await.unwrap_err();
        assert!(matches!(error, Error::Failed(_)), "{sql}: {error}");
        assert!(!format!("{error:?} {}", error.fault()).contains(SECRET), "{error:?}");
    }
}

async fn any_text_comes_back(db: Db) {
    let store = db.open().await;
    let texts =
        ["it's \"quoted\" \\ back", "张伟·李娜", "👨‍👩‍👧 𠮷", "", " \t\r\n ", "$1 {rows} %_ ;--", "\\u0000", "\u{1}\u{7f}\u{feff}"];
    for text in texts {
        let direct = store.read("SELECT $1", &[text.into()]).await.unwrap();
        assert_eq!(direct[0].text(0), text);
        let unfolded = store.read("SELECT value ->> 0 FROM {rows}", &[rows([json!([text])])]).await.unwrap();
        assert_eq!(unfolded[0].text(0), text, "inside rows");
    }
    // U+0000 stops nobody: its neighbours arrive, and both backends keep the same in its place.
    let batch = rows([json!(["a\0b"]), json!(["neighbour"]), json!(["\\\0"])]);
    let read = store.read("SELECT value ->> 0 FROM {rows}", &[batch]).await.unwrap();
    assert_eq!(read.iter().map(|row| row.text(0)).collect::<Vec<_>>(), ["a\u{fffd}b", "neighbour", "\\\u{fffd}"]);
    assert_eq!(store.read("SELECT $1", &["a\0b".into()]).await.unwrap()[0].text(0), "a\u{fffd}b");
    assert_eq!(store.read("SELECT $1", &[Arg::Null]).await.unwrap()[0].optional_text(0), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_unreachable_in_time() {
    let started = Instant::now();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://hub@{}/hub", silent.local_addr().unwrap());
    let mut tries = tokio::task::JoinSet::new();
    for url in
        ["postgres://hub@127.0.0.1:1/hub", "sqlite:///no/such/folder/hub.db", "mysql://hub@127.0.0.1/hub", "hub.db", &silent]
    {
        let url = url.to_owned();
        tries.spawn(async move { (Store::open(&url).await.map(|_| ()), url) });
    }
    while let Some(tried) = tries.join_next().await {
        let (result, url) = tried.unwrap();
        assert_eq!(result.unwrap_err().fault().code.to_string(), "CH-8001", "{url}");
    }
    assert!(started.elapsed() < Duration::from_secs(45), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_database_is_unreachable() {
    let url = Postgres::database().await;
    let (server, _) = url.rsplit_once('/').unwrap();
    let error = Store::open(&format!("{server}/no_such_database")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
}
