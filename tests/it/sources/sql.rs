//! Databases. The test runs against any URL; a file of SQLite is always there.

use sqlx::{AnyPool, AssertSqlSafe, any::AnyPoolOptions};

use super::*;

const OBJECT: &str =
    "table = 'T_FAMILY'\nkey = ['ID']\nwatermark = 'MOD_TIME'\nwatermark_format = 'yyyymmddhh24miss'\noverlap = '5m'";

struct Db {
    pool: AnyPool,
    url: String,
}

impl Db {
    async fn sqlite(place: &Place) -> Self {
        sqlx::any::install_default_drivers();
        let path = place.folder.path().join("legacy.db");
        let url = format!("sqlite://{}", path.display());
        let pool = AnyPoolOptions::new().max_connections(1).connect(&format!("{url}?mode=rwc")).await.unwrap();
        Self { pool, url }
    }

    /// A schema of its own on the server of `CIVILHUB_TEST_PG`.
    async fn postgres(url: &str) -> Self {
        sqlx::any::install_default_drivers();
        let schema = format!("legacy_{}", std::process::id());
        let admin = AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap();
        let make = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&admin).await.unwrap();
        let url = format!("{url}{}options[search_path]={schema}", if url.contains('?') { '&' } else { '?' });
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        Self { pool, url }
    }

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    async fn tables(&self) {
        self.run(
            "CREATE TABLE \"T_FAMILY\" (\"ID\" VARCHAR(32) PRIMARY KEY, \"NAME\" VARCHAR(50), \"INCOME\" NUMERIC(10, 2), \"MOD_TIME\" VARCHAR(14));
             CREATE TABLE \"T_MEMBER\" (\"MEMBER_ID\" INTEGER PRIMARY KEY, \"ID\" VARCHAR(32), \"NAME\" VARCHAR(50))",
        )
        .await;
    }

    async fn put(&self, id: &str, name: &str, time: &str) {
        let sql = format!(
            "DELETE FROM \"T_FAMILY\" WHERE \"ID\" = '{id}'; INSERT INTO \"T_FAMILY\" VALUES ('{id}', '{name}', NULL, '{time}')"
        );
        self.run(&sql).await;
    }

    fn source(&self, place: &Place, object: &str) -> Box<dyn Source> {
        place.open(&format!("kind = 'sql'\nurl = '{}'", self.url), object).unwrap()
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["ID"].as_str().unwrap()).collect()
}

async fn check_watermarks(place: &Place, db: &Db) {
    db.tables().await;
    // Ten rows of one second, read three at a time.
    for id in 0..10 {
        db.put(&format!("F{id}"), "a", "20170703090000").await;
    }
    let (mut source, mut position) = (db.source(place, OBJECT), Position::default());
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 10);
    // Nothing new: nothing comes, by a new process as well.
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
    let mut source = db.source(place, OBJECT);
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
    // A smaller key in the same second, a commit four minutes late, and a row changed without a new time stamp.
    db.put("E0", "b", "20170703090000").await;
    db.put("L1", "b", "20170703085600").await;
    db.put("F3", "changed", "20170703090000").await;
    assert_eq!(ids(&drain(&mut *source, &mut position).await.0), ["L1", "E0", "F3"]);
    // Beyond the window is beyond.
    db.put("OLD", "b", "20170703080000").await;
    db.put("NEW", "b", "20170703100000").await;
    assert_eq!(ids(&drain(&mut *source, &mut position).await.0), ["NEW"]);
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
}

#[tokio::test]
async fn equal_watermarks_and_late_commits_are_not_skipped() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    check_watermarks(&place, &db).await;
}

#[tokio::test]
async fn postgres_keeps_time_stamps_and_decimals_exactly() {
    let Ok(url) = std::env::var("CIVILHUB_TEST_PG") else {
        println!("not run: CIVILHUB_TEST_PG names no PostgreSQL server");
        return;
    };
    let place = Place::new().await;
    let db = Db::postgres(&url).await;
    check_watermarks(&place, &db).await;
    db.run(
        "CREATE TABLE t (id BIGINT, part CHAR(4), n NUMERIC(20, 4), m MONEY, b BYTEA, f FLOAT8, t TIMESTAMPTZ, PRIMARY KEY (id, part));
         INSERT INTO t VALUES (9007199254740993, 'a', 480.10, 12.5, '\\x00ff', 0.1, '2017-07-03 09:00:00.123456+08'),
                              (9007199254740993, 'b', 'NaN', NULL, NULL, NULL, '2017-07-03 09:00:00.123456+08'),
                              (2, 'c', 0, 0, '', 1, 'infinity')",
    )
    .await;
    let object = "table = 'T'\nkey = ['id', 'part']\nwatermark = 't'";
    let (mut source, mut position) = (db.source(&place, object), Position::default());
    let first = source.read(&position, 2).await.unwrap();
    assert_eq!(first.rows[0].data["t"], "2017-07-03 09:00:00.123456+08");
    let (rows, faults) = drain(&mut *source, &mut position).await;
    let expected = json!({"id": "9007199254740993", "part": "a", "n": "480.1000", "m": "12.50", "b": "00ff", "f": "0.1",
        "t": "2017-07-03 09:00:00.123456+08"});
    assert_eq!((&rows[0], rows.len(), faults.len()), (&expected, 2, 1));
    db.run("INSERT INTO t VALUES (1, 'x', 0, 0, '', 0, '2017-07-03 08:56:00+08')").await;
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 1);
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
}

#[tokio::test]
async fn mariadb_keeps_zero_dates_floats_and_latin1() {
    let Ok(url) = std::env::var("CIVILHUB_TEST_MYSQL") else {
        println!("not run: CIVILHUB_TEST_MYSQL names no empty database of MariaDB");
        return;
    };
    let place = Place::new().await;
    sqlx::any::install_default_drivers();
    let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let db = Db { pool, url };
    db.run("SET SESSION sql_mode = 'ANSI_QUOTES'; DROP TABLE IF EXISTS T_FAMILY, T_MEMBER, t").await;
    check_watermarks(&place, &db).await;
    db.run(
        "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, n DECIMAL(20, 4), f FLOAT, d DATE, b BLOB, x BIT(4), l VARCHAR(20) CHARACTER SET latin1, t DATETIME(6));
         INSERT INTO t VALUES (9007199254740993, 480.10, 0.1, '0000-00-00', x'00ff', b'101', x'D5C5', '2017-07-03 09:00:00.123456'),
                              (9007199254740995, NULL, NULL, NULL, NULL, NULL, NULL, '2017-07-03 09:00:00.123456'),
                              (2, 0, 0, '2017-07-03', '', b'0', '', '2017-07-03 09:00:00.123456')",
    )
    .await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 't'";
    let (mut source, mut position) = (db.source(&place, object), Position::default());
    let first = source.read(&position, 2).await.unwrap();
    let expected = json!({"id": "9007199254740993", "n": "480.1000", "f": "0.1", "d": "0000-00-00", "b": "00ff", "x": "5", "l": "ÕÅ",
        "t": "2017-07-03 09:00:00.123456"});
    assert_eq!((first.rows[0].data["id"].as_str(), &first.rows[1].data), (Some("2"), &expected));
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 3);
    db.run("INSERT INTO t VALUES (1, 0, 0, NULL, '', b'0', '', '2017-07-03 08:56:00')").await;
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 1);
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
}

#[tokio::test]
async fn a_crash_repeats_a_batch_with_the_same_origins() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    for id in 0..5 {
        db.put(&format!("F{id}"), "a", "20170703090000").await;
    }
    let mut source = db.source(&place, OBJECT);
    let first = source.read(&Position::default(), 2).await.unwrap();
    let second = source.read(&first.next, 2).await.unwrap();
    let mut again = db.source(&place, OBJECT);
    assert_eq!(origins(&again.read(&first.next, 2).await.unwrap()), origins(&second));
    assert_eq!(origins(&again.read(&Position::default(), 2).await.unwrap()), origins(&first));
    assert!(first.more && origins(&first)[0].starts_with("20170703090000/F0/"));
}

#[tokio::test]
async fn children_are_nested_and_a_changed_child_makes_news_of_its_parent() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.put("F1", "a", "20170703090000").await;
    db.put("F2", "b", "20170703090001").await;
    db.run("INSERT INTO \"T_MEMBER\" VALUES (1, 'F1', 'x'), (2, 'F1', 'y'), (3, 'F9', 'z')").await;
    let object = format!("{OBJECT}\nchildren = [{{ name = 'MEMBERS', table = 't_member', on = 'ID' }}]");
    let (mut source, mut position) = (db.source(&place, &object), Position::default());
    let (rows, _) = drain(&mut *source, &mut position).await;
    let members = json!([{"MEMBER_ID": "1", "ID": "F1", "NAME": "x"}, {"MEMBER_ID": "2", "ID": "F1", "NAME": "y"}]);
    assert_eq!(
        rows[0],
        json!({"ID": "F1", "NAME": "a", "INCOME": null, "MOD_TIME": "20170703090000", "MEMBERS": sorted(members)})
    );
    assert_eq!(rows[1]["MEMBERS"], json!([]));
    db.run("UPDATE \"T_MEMBER\" SET \"NAME\" = 'yy' WHERE \"MEMBER_ID\" = 2").await;
    assert_eq!(ids(&drain(&mut *source, &mut position).await.0), ["F1"]);
}

fn sorted(mut value: Value) -> Value {
    value.as_array_mut().unwrap().sort_by_cached_key(Value::to_string);
    value
}

#[tokio::test]
async fn rows_that_no_watermark_reaches_are_reported_once_a_day_and_hide_nothing() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.put("A", "a", "20170703090000").await;
    db.put("B", "b", "99991231235959").await;
    db.put("D", "d", "ZZZ").await;
    db.run("INSERT INTO \"T_FAMILY\" VALUES ('C', 'c', 1, NULL)").await;
    let (mut source, mut position) = (db.source(&place, OBJECT), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((ids(&rows), faults.len()), (vec!["A"], 1));
    assert_eq!(faults[0].code, source::sql::UNREADABLE_WATERMARK);
    assert!(faults[0].message.starts_with("3 rows"));
    db.put("E", "e", "20170703090100").await;
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((ids(&rows), faults.len()), (vec!["E"], 0));
}

#[tokio::test]
async fn numbers_counters_and_blobs_keep_their_digits() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, r REAL, b BLOB, v INTEGER)").await;
    db.run("INSERT INTO t VALUES (1, 9007199254740993, 0.1, x'00ff', 9), (2, -1, 12.5, 'a' || char(0) || 'b', 10)").await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 'v'\nwatermark_format = 'integer'\noverlap = 1";
    let (mut source, mut position) = (db.source(&place, object), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!(rows, [json!({"id": "1", "n": "9007199254740993", "r": "0.1", "b": "00ff", "v": "9"})]);
    assert_eq!((faults.len(), faults[0].place.column.as_deref()), (1, Some("b")));
    db.run("INSERT INTO t VALUES (3, 1, 1, 'x', 11), (4, 1, 1, 'x', 9)").await;
    let read = drain(&mut *source, &mut position).await.0;
    assert_eq!(read.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["4", "3"]);
}

#[tokio::test]
async fn a_bulk_load_of_one_second_keeps_the_position_small() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15000)
         INSERT INTO \"T_FAMILY\" SELECT printf('F%06d', i), 'a', NULL, '20170703090000' FROM n",
    )
    .await;
    let (mut source, mut position) = (db.source(&place, OBJECT), Position::default());
    let mut rows = 0;
    for round in 0..40 {
        let batch = source.read(&position, 512).await.unwrap();
        position = batch.next;
        rows += batch.rows.len();
        assert!(position.0.to_string().len() < 300_000, "round {round}");
    }
    assert_eq!(rows, 15_000);
    db.put("Z", "a", "20170703090001").await;
    assert_eq!(source.read(&position, 512).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn missing_databases_tables_and_columns_are_told_apart() {
    let place = Place::new().await;
    let gone = place.open("kind = 'sql'\nurl = 'sqlite:///no/such/file.db'", OBJECT).unwrap().read(&Position::default(), 1).await;
    assert!(matches!(gone, Err(Error::Unreachable(_))), "{gone:?}");
    let db = Db::sqlite(&place).await;
    let missing = db.source(&place, OBJECT).read(&Position::default(), 1).await;
    assert!(matches!(&missing, Err(Error::Refused(fault)) if fault.code == source::sql::TABLE), "{missing:?}");
    db.tables().await;
    let object = format!("{OBJECT}\ncolumns = ['NAMEE']");
    let wrong = db.source(&place, &object).read(&Position::default(), 1).await;
    assert!(matches!(&wrong, Err(Error::Refused(fault)) if fault.hint.as_deref() == Some("did you mean `NAME`?")), "{wrong:?}");
    let faults =
        place.open("kind = 'sql'\nurl = 'sqlite:x'", "table = 'a; DROP TABLE b'\nkey = ['x']\nwatermark = 'y'").err().unwrap();
    assert_eq!(faults[0].code, source::sql::IDENTIFIER);
}
