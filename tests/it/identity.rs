//! The person index over a real store: SQLite always, PostgreSQL when `CIVILHUB_TEST_PG` holds the URL of a server where
//! databases may be made.

#![allow(clippy::unwrap_used, reason = "helpers outside `#[test]` functions are tests too")]

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use civilhub::{
    envelope::PersonKey,
    identity::{Evidence, IdentityKeys, PersonIndex, PersonQuery, Resolution, StoreIndex},
    store::{Arg, Store},
};

/// A fresh database that vanishes with the test.
struct Database {
    url: String,
    _dir: Option<tempfile::TempDir>,
}

impl Database {
    fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite://{}", dir.path().join("hub.db").display()), _dir: Some(dir) }
    }

    async fn postgres(server: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("identity_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = sqlx_admin(server, &format!("CREATE DATABASE {name}")).await;
        admin.unwrap();
        let (base, query) = server.split_once('?').map_or((server, String::new()), |(base, query)| (base, format!("?{query}")));
        let (host, _) = base.rsplit_once('/').unwrap();
        Self { url: format!("{host}/{name}{query}"), _dir: None }
    }

    async fn open(&self) -> Store {
        let store = Store::open(&self.url).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    async fn index(&self) -> StoreIndex {
        StoreIndex::new(self.open().await, keys(1)).unwrap()
    }
}

/// `CREATE DATABASE` runs outside any transaction, which `Store` does not offer.
async fn sqlx_admin(server: &str, sql: &str) -> Result<(), sqlx::Error> {
    use sqlx::{ConnectOptions, Connection, Executor};
    let options: sqlx::postgres::PgConnectOptions = server.parse()?;
    let mut connection = options.connect().await?;
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?;
    connection.close().await
}

fn keys(seed: u8) -> IdentityKeys {
    IdentityKeys::new([seed; 32], [seed.wrapping_add(100); 32])
}

mod kills;
mod linking;

/// Runs one test on every store there is.
macro_rules! on_every_store {
    ($module:ident: $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $module::$name(&Database::sqlite()).await;
            if let Ok(server) = std::env::var("CIVILHUB_TEST_PG") {
                $module::$name(&Database::postgres(&server).await).await;
            }
        }
    )*};
}

on_every_store! {
    linking:
    evidence_links_asks_or_parts
    twins_stay_two
    two_routers_make_a_new_citizen_once
    an_accepted_review_joins
    who_is_told_apart_stays_apart
    golden_records_follow_their_records
    receivers_of_an_old_key_are_told
    routers_hear_what_humans_decide
    families_that_share_half_are_one_household
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_linking() {
    match std::env::var("CIVILHUB_TEST_PG") {
        Ok(server) => kills::killed_while_linking(&Database::postgres(&server).await, &Database::postgres(&server).await).await,
        Err(_) => kills::killed_while_linking(&Database::sqlite(), &Database::sqlite()).await,
    }
}

on_every_store! {
    checks:
    one_number_is_one_person
    old_and_new_numbers_meet
    a_number_under_another_name_proves_nothing
    a_reference_that_gains_a_number_joins_two_persons
    two_valid_numbers_never_become_one_person
    persons_of_one_batch_are_made_once
    routers_at_once_make_each_citizen_once
    merging_routers_agree
    keys_survive_a_restart
    other_keys_are_refused
    no_number_and_no_name_in_plain_text
}

fn query(system: &str, reference: &str, name: &str, number: &str) -> PersonQuery {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PersonQuery {
        system: system.into(),
        reference: reference.to_owned(),
        name: filled(name),
        number: filled(number),
        birth_date: None,
        sex: None,
        address: None,
        phone: None,
        event: "0123456789abcdef0123456789abcdef".into(),
    }
}

async fn one(index: &StoreIndex, query: PersonQuery) -> Resolution {
    let mut answers = index.resolve(&[query]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// The n-th citizen's number: demonstration division, a running sequence, the check digit of GB 11643.
fn number(n: u32) -> String {
    let day = n / 900 % 28 + 1;
    let body = format!("220171197001{day:02}{:03}", n % 900 + 1);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

async fn count(store: &Store, what: &str) -> i64 {
    store.read(&format!("SELECT COUNT(*) FROM {what}"), &[]).await.unwrap()[0].int(0)
}

fn rules(resolution: &Resolution) -> Vec<&str> {
    resolution.remarks.iter().map(|remark| remark.rule.as_str()).collect()
}

mod checks {
    use super::*;

    pub(super) async fn one_number_is_one_person(database: &Database) {
        let index = database.index().await;
        let first = one(&index, query("urban-dibao", "m:1", "王喆", &number(1))).await;
        assert!(first.created && first.evidence == Evidence::New);
        // Twice: from the store, then from the cache.
        for _ in 0..2 {
            let second = one(&index, query("funeral", "f:9", "王 哲", &number(1))).await;
            assert_eq!((second.key.clone(), second.created), (first.key.clone(), false));
            assert_eq!(second.evidence, Evidence::Number);
        }
        let third = one(&index, query("funeral", "f:9", "", "")).await;
        assert_eq!((third.key, third.evidence), (first.key.clone(), Evidence::Reference));
        let wild = one(&index, query("tekun", "t:1", "王?", &number(1))).await;
        assert_eq!(wild.key, first.key);
        let other = one(&index, query("funeral", "f:10", "王喆", &number(2))).await;
        assert_ne!(other.key, first.key);
    }

    pub(super) async fn old_and_new_numbers_meet(database: &Database) {
        let index = database.index().await;
        let old = one(&index, query("tekun", "t:1", "张建国", "220105800315004")).await;
        let new = one(&index, query("urban-dibao", "m:1", "张建国", "２２０１０５１９８００３１５００４２")).await;
        assert_eq!(old.key, new.key);
        let bad = one(&index, query("urban-dibao", "m:2", "张建国", "220105198003150041")).await;
        assert_eq!(bad.key, new.key, "a slip in the check digit, under the same name and birthday");
        assert_eq!(rules(&bad), ["number-bad"]);
        let stranger = one(&index, query("urban-dibao", "m:3", "李秀英", "220105198003150041")).await;
        assert_ne!(stranger.key, new.key);
    }

    pub(super) async fn a_number_under_another_name_proves_nothing(database: &Database) {
        let index = database.index().await;
        let holder = one(&index, query("urban-dibao", "m:1", "王喆", &number(1))).await;
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let clash = one(&index, query("rural-dibao", "r:1", "李秀英", &number(1))).await;
            assert_ne!(clash.key, holder.key);
            assert_eq!(rules(&clash), ["number-held-by-other-name"]);
            seen.insert(clash.key);
        }
        assert_eq!(seen.len(), 1, "the reference finds the second person again");
        let store = database.open().await;
        assert_eq!(count(&store, "review_item WHERE reason = 'number-held-by-other-name' AND state = 'open'").await, 1);
        let again = one(&index, query("funeral", "f:1", "王喆", &number(1))).await;
        assert_eq!(again.key, holder.key, "the number stays with its first holder");
    }

    pub(super) async fn a_reference_that_gains_a_number_joins_two_persons(database: &Database) {
        let (here, elsewhere) = (database.index().await, database.index().await);
        let older = one(&here, query("shelter", "s:1", "赵六", "")).await;
        assert_eq!(one(&elsewhere, query("shelter", "s:1", "赵六", "")).await.key, older.key);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let younger = one(&here, query("urban-dibao", "m:1", "赵六", &number(1))).await;
        assert_ne!(older.key, younger.key);
        assert_eq!(one(&elsewhere, query("urban-dibao", "m:1", "赵六", &number(1))).await.key, younger.key);

        let joined = one(&here, query("shelter", "s:1", "赵六", &number(1))).await;
        assert_eq!(joined.key, older.key, "the older key survives");
        // The other router has the retired key in its cache.
        let seen = one(&elsewhere, query("urban-dibao", "m:1", "赵六", &number(1))).await;
        assert_eq!(seen.key, older.key);
        assert_eq!(here.current(&younger.key).await.unwrap(), older.key);

        let events = here.outbox(10).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind.as_str(), &events[0].person_key), ("person.merged", &older.key));
        assert_eq!(events[0].other_key, younger.key);
        here.published(&[events[0].id.clone()]).await.unwrap();
        assert!(here.outbox(10).await.unwrap().is_empty());
    }

    pub(super) async fn two_valid_numbers_never_become_one_person(database: &Database) {
        let index = database.index().await;
        let one_key = one(&index, query("urban-dibao", "m:1", "孙八", &number(1))).await.key;
        let two_key = one(&index, query("rural-dibao", "r:1", "孙八", &number(2))).await.key;
        assert_ne!(one_key, two_key);
        // The number of the first appears under the reference of the second.
        let crossed = one(&index, query("rural-dibao", "r:1", "孙八", &number(1))).await;
        assert_eq!(crossed.key, one_key);
        assert_eq!(rules(&crossed), ["two-valid-numbers"]);
        // A number nobody holds appears under the reference of the first.
        let changed = one(&index, query("urban-dibao", "m:1", "孙八", &number(3))).await;
        assert_eq!((changed.key.clone(), rules(&changed)), (one_key.clone(), vec!["two-valid-numbers"]));
        assert_eq!(one(&index, query("rural-dibao", "r:1", "孙八", &number(2))).await.key, two_key);
        let store = database.open().await;
        assert_eq!(count(&store, "person WHERE state = 'merged'").await, 0);
        // The two persons as such, and each of the two contradictions.
        assert_eq!(count(&store, "review_item WHERE reason = 'two-valid-numbers'").await, 3);
    }

    pub(super) async fn persons_of_one_batch_are_made_once(database: &Database) {
        let index = database.index().await;
        let batch = [
            query("shelter", "s:1", "周九", ""),
            query("urban-dibao", "m:1", "周九", &number(1)),
            query("fund-payment", "p:1", "周九", &number(1)),
            query("shelter", "s:1", "周九", &number(1)),
            query("shelter", "", "无名", ""),
            PersonQuery { event: "another".into(), ..query("shelter", "", "无名", "") },
        ];
        let answers = index.resolve(&batch).await.unwrap();
        let first: HashSet<&PersonKey> = answers[..4].iter().map(|answer| &answer.key).collect();
        assert_eq!(first.len(), 1, "the merge inside the batch reaches its earlier answers");
        assert_ne!(answers[4].key, answers[5].key, "without any evidence nobody is the same");
        let store = database.open().await;
        assert_eq!(count(&store, "person").await, 3);
        assert_eq!(count(&store, "identity_event").await, 0, "nobody has seen the key that went");
        assert!(index.resolve(&[]).await.unwrap().is_empty());

        // The process died before it acked, and everything comes again: nobody is made twice.
        let after = database.index().await.resolve(&batch).await.unwrap();
        assert!(answers.iter().zip(&after).all(|(before, after)| before.key == after.key && !after.created));
        let clash = PersonQuery { event: "third".into(), ..query("shelter", "", "李秀英", &number(1)) };
        let first = one(&index, clash.clone()).await;
        assert_eq!(one(&database.index().await, clash).await.key, first.key);
        assert_eq!(count(&store, "person").await, 4);
    }

    pub(super) async fn routers_at_once_make_each_citizen_once(database: &Database) {
        let indexes = [Arc::new(database.index().await), Arc::new(database.index().await)];
        let tasks = (0..8_u32).map(|task| {
            let index = Arc::clone(&indexes[task as usize % 2]);
            tokio::spawn(async move {
                let mut keys = vec![PersonKey::from(""); 200];
                // Every task meets the citizens in another order.
                let order: Vec<u32> = (0..200).map(|n| (n * 7 + task * 31) % 200).collect();
                for chunk in order.chunks(25) {
                    let batch: Vec<_> =
                        chunk.iter().map(|n| query(&format!("s{task}"), &format!("m:{n}"), "吴十", &number(*n))).collect();
                    for (n, answer) in chunk.iter().zip(index.resolve(&batch).await.unwrap()) {
                        keys[*n as usize] = answer.key;
                    }
                }
                keys
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert!(answers.iter().all(|keys| *keys == answers[0]));
        let store = database.open().await;
        assert_eq!(count(&store, "person").await, 200);
        assert_eq!(count(&store, "person_identifier").await, 200);
        assert_eq!(count(&store, "source_record").await, 1_600);
    }

    /// Persons known by reference alone, whose numbers turn up in two routers at once.
    pub(super) async fn merging_routers_agree(database: &Database) {
        let indexes = [Arc::new(database.index().await), Arc::new(database.index().await)];
        let seed: Vec<_> = (0..40).map(|n| query("shelter", &format!("s:{n}"), "郑一", "")).collect();
        let known = indexes[0].resolve(&seed).await.unwrap();
        let tasks = (0..4_u32).map(|task| {
            let index = Arc::clone(&indexes[task as usize % 2]);
            tokio::spawn(async move {
                let system = if task < 2 { "shelter".to_owned() } else { format!("other{task}") };
                let order = (0..40_u32).map(|n| (n * 3 + task * 11) % 40);
                let batch: Vec<_> = order.map(|n| query(&system, &format!("s:{n}"), "郑一", &number(n))).collect();
                index.resolve(&batch).await.unwrap();
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await.unwrap();
        }
        let store = database.open().await;
        assert_eq!(count(&store, "person WHERE state = 'active'").await, 40);
        assert_eq!(count(&store, "source_record s JOIN person p ON p.person_key = s.person_key AND p.state = 'merged'").await, 0);
        for (n, known) in known.iter().enumerate() {
            for index in &indexes {
                let now = one(index, query("funeral", "", "郑一", &number(u32::try_from(n).unwrap()))).await;
                assert_eq!(now.key, known.key, "the first key of citizen {n} survives");
            }
        }
    }

    pub(super) async fn keys_survive_a_restart(database: &Database) {
        let batch: Vec<_> = (0..50).map(|n| query("urban-dibao", &format!("m:{n}"), "冯二", &number(n))).collect();
        let before = database.index().await.resolve(&batch).await.unwrap();
        let after = database.index().await.resolve(&batch).await.unwrap();
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.key, after.key);
            assert!(before.created && !after.created);
            assert_eq!(before.key.as_str().len(), 36);
        }
    }

    pub(super) async fn other_keys_are_refused(database: &Database) {
        let first = one(&database.index().await, query("urban-dibao", "m:1", "陈三", &number(1))).await;
        let wrong = StoreIndex::new(database.open().await, keys(2)).unwrap();
        let error = wrong.resolve(&[query("urban-dibao", "m:1", "陈三", &number(1))]).await.unwrap_err();
        assert!(error.to_string().contains("CH-5002"), "{error}");
        let store = database.open().await;
        assert_eq!(count(&store, "person").await, 1);
        assert_eq!(one(&database.index().await, query("urban-dibao", "m:1", "陈三", &number(1))).await.key, first.key);
    }

    pub(super) async fn no_number_and_no_name_in_plain_text(database: &Database) {
        let index = database.index().await;
        let mut asked = query("urban-dibao", &format!("id:{}", number(1)), "褚四", &number(1));
        asked.phone = Some("13800000000".to_owned());
        one(&index, asked).await;
        one(&index, query("rural-dibao", "r:1", "卫五", &number(1))).await;
        one(&index, query("shelter", "s:1", "褚四", "")).await;
        one(&index, query("shelter", "s:1", "褚四", &number(1))).await;
        let store = database.open().await;
        let tables = ["person", "person_redirect", "source_record", "person_identifier", "review_item", "identity_event"];
        for table in tables {
            let columns = columns(&store, table).await;
            let sql = format!(
                "SELECT {} FROM {table}",
                columns.iter().map(|name| format!("CAST({name} AS TEXT)")).collect::<Vec<_>>().join(" || '|' || ")
            );
            let rows = store.read(&sql, &[]).await.unwrap();
            assert!(!rows.is_empty(), "{table} is empty: the test looks at nothing");
            for row in rows {
                let text = row.text(0);
                assert!(text.len() > 20, "{table}");
                for secret in [number(1).as_str(), &number(1)[6..], "褚四", "卫五", "13800000000"] {
                    assert!(!text.contains(secret), "{table} shows it");
                }
            }
        }
    }

    async fn columns(store: &Store, table: &str) -> Vec<String> {
        let sql = match store.backend() {
            civilhub::store::Backend::Sqlite => "SELECT name FROM pragma_table_info($1)",
            civilhub::store::Backend::Postgres => {
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = $1"
            }
        };
        store.read(sql, &[Arg::from(table)]).await.unwrap().iter().map(|row| row.text(0)).collect()
    }
}
