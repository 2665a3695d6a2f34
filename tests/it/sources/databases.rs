//! One suite for every database: what holds for the one must hold for the others.

use sqlx::{AnyPool, AssertSqlSafe, any::AnyPoolOptions};

use super::*;
use crate::support::{mariadb::MariaDb, postgres::Postgres, unique};

/// How a database is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    Sqlite,
    Postgres,
    MariaDb,
    #[cfg(feature = "odbc")]
    OdbcPostgres,
    #[cfg(feature = "odbc")]
    OdbcMariaDb,
    /// Nothing but standard SQL and what the driver says.
    #[cfg(feature = "odbc")]
    OdbcGeneric,
}

/// A database of one test: written to natively, read as its road says.
pub struct Db {
    pool: AnyPool,
    /// The lines of `[source]`.
    source: String,
    road: Road,
    url: String,
}

impl Db {
    pub async fn sqlite(place: &Place) -> Self {
        Self::open(place, Road::Sqlite).await
    }

    pub async fn open(place: &Place, road: Road) -> Self {
        sqlx::any::install_default_drivers();
        let url = match road.server() {
            Server::Sqlite => format!("sqlite://{}", place.folder.path().join("legacy.db").display()),
            Server::Postgres => Postgres::database().await,
            Server::MariaDb => MariaDb::database().await,
        };
        let made = if road == Road::Sqlite { format!("{url}?mode=rwc") } else { url.clone() };
        let pool = AnyPoolOptions::new().max_connections(1).connect(&made).await.unwrap();
        let source = road.source(&url);
        let db = Self { pool, source, road, url };
        if road.server() == Server::MariaDb {
            db.run("SET SESSION sql_mode = 'ANSI_QUOTES'").await;
        }
        db
    }

    pub async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub async fn tables(&self) {
        self.run(
            "CREATE TABLE \"T_FAMILY\" (\"ID\" VARCHAR(32) PRIMARY KEY, \"NAME\" VARCHAR(50), \"INCOME\" NUMERIC(10, 2), \"MOD_TIME\" VARCHAR(14));
             CREATE TABLE \"T_MEMBER\" (\"MEMBER_ID\" INTEGER PRIMARY KEY, \"ID\" VARCHAR(32), \"NAME\" VARCHAR(50))",
        )
        .await;
    }

    pub async fn put(&self, id: &str, name: &str, time: &str) {
        let sql = format!(
            "DELETE FROM \"T_FAMILY\" WHERE \"ID\" = '{id}'; INSERT INTO \"T_FAMILY\" VALUES ('{id}', '{name}', NULL, '{time}')"
        );
        self.run(&sql).await;
    }

    pub fn source(&self, place: &Place, object: &str) -> Box<dyn Source> {
        place.open(&format!("kind = 'sql'\n{}", self.source), object).unwrap()
    }

    /// The same database through an account that may only read its tables.
    async fn read_only(&self) -> Self {
        let name = unique("ro");
        match self.road.server() {
            Server::Sqlite => {}
            Server::Postgres => {
                self.run(&format!("CREATE ROLE {name} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")).await;
            }
            Server::MariaDb => {
                let database = self.url.rsplit_once('/').unwrap().1;
                self.run(&format!("CREATE USER {name}@'127.0.0.1'; GRANT SELECT ON {database}.* TO {name}@'127.0.0.1'")).await;
            }
        }
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let url = match rest.split_once('@') {
            Some((_, host)) => format!("{scheme}://{name}@{host}"),
            None => self.url.clone(),
        };
        Self { pool: self.pool.clone(), source: self.road.source(&url), road: self.road, url }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Sqlite,
    Postgres,
    MariaDb,
}

impl Road {
    fn server(self) -> Server {
        match self {
            Self::Sqlite => Server::Sqlite,
            Self::Postgres => Server::Postgres,
            Self::MariaDb => Server::MariaDb,
            #[cfg(feature = "odbc")]
            Self::OdbcPostgres | Self::OdbcGeneric => Server::Postgres,
            #[cfg(feature = "odbc")]
            Self::OdbcMariaDb => Server::MariaDb,
        }
    }

    fn source(self, url: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres | Self::MariaDb => format!("url = '{url}'"),
            #[cfg(feature = "odbc")]
            Self::OdbcPostgres => odbc("PostgreSQL Unicode", "postgres", url),
            #[cfg(feature = "odbc")]
            Self::OdbcMariaDb => odbc("MariaDB Unicode", "mysql", url),
            #[cfg(feature = "odbc")]
            Self::OdbcGeneric => odbc("PostgreSQL Unicode", "generic", url),
        }
    }
}

#[cfg(feature = "odbc")]
fn odbc(driver: &str, dialect: &str, url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let database = url.path().trim_start_matches('/');
    let (host, port, user) = (url.host_str().unwrap(), url.port().unwrap(), url.username());
    let password = url.password().unwrap_or_default();
    format!(
        "url = 'odbc:Driver={{{driver}}};Server={host};Port={port};Database={database};UID={user};PWD={password}'\ndialect = '{dialect}'"
    )
}

pub const OBJECT: &str =
    "table = 'T_FAMILY'\nkey = ['ID']\nwatermark = 'MOD_TIME'\nwatermark_format = 'yyyymmddhh24miss'\noverlap = '5m'";

pub fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["ID"].as_str().unwrap()).collect()
}

async fn equal_watermarks_and_late_commits(place: &Place, db: &Db) {
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

/// The types that keep what they are given differ; what comes out is text, exactly.
async fn values_stay_what_they_are(place: &Place, db: &Db) {
    if by_driver(db.road) {
        return;
    }
    let (table, rows, expected) = match db.road.server() {
        Server::Sqlite => (
            "id INTEGER PRIMARY KEY, n TEXT, f REAL, m REAL, d TEXT, b BLOB, t TEXT",
            "(9007199254740993, '480.10', 0.1, 480.1, '0000-00-00', x'00ff', '2017-07-03 09:00:00.123')",
            json!({"id": "9007199254740993", "n": "480.10", "f": "0.1", "m": "480.1", "d": "0000-00-00", "b": "00ff",
                "t": "2017-07-03 09:00:00.123"}),
        ),
        Server::Postgres => (
            "id BIGINT, n NUMERIC(20, 4), f FLOAT4, m MONEY, d DATE, b BYTEA, t TIMESTAMP, PRIMARY KEY (id)",
            "(9007199254740993, 480.10, 123456.78, 12.5, 'infinity', '\\x00ff', '2017-07-03 09:00:00.123456')",
            json!({"id": "9007199254740993", "n": "480.1000", "f": "123456.78", "m": "12.50", "d": "infinity", "b": "00ff",
                "t": "2017-07-03 09:00:00.123456"}),
        ),
        Server::MariaDb => (
            "id BIGINT UNSIGNED PRIMARY KEY, n DECIMAL(20, 4), f FLOAT, m DOUBLE, d DATE, b BLOB, t DATETIME(6)",
            "(9007199254740993, 480.10, 123456.78, 480.1, '0000-00-00', x'00ff', '2017-07-03 09:00:00.123456')",
            json!({"id": "9007199254740993", "n": "480.1000", "f": "123456.78", "m": "480.1", "d": "0000-00-00", "b": "00ff",
                "t": "2017-07-03 09:00:00.123456"}),
        ),
    };
    db.run(&format!(
        "CREATE TABLE t ({table}); INSERT INTO t VALUES {rows}, (2, NULL, NULL, NULL, NULL, NULL, '2017-07-03 09:00:00')"
    ))
    .await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 't'";
    let (mut source, mut position) = (db.source(place, object), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((faults, &rows[1]), (vec![], &expected));
    assert_eq!((&rows[0]["n"], &rows[0]["d"]), (&Value::Null, &Value::Null));
    // The position is a text of the database's own and finds its place again.
    db.run("INSERT INTO t VALUES (1, NULL, NULL, NULL, NULL, NULL, '2017-07-03 08:56:00')").await;
    let late = drain(&mut *source, &mut position).await.0;
    assert_eq!(late.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["1"]);
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
}

/// Whether nothing but the driver makes text of values: then types beyond the standard look as it likes.
fn by_driver(road: Road) -> bool {
    format!("{road:?}") == "OdbcGeneric"
}

async fn null_and_the_empty_text_differ(place: &Place, db: &Db) {
    db.tables().await;
    db.put("A", "", "20170703090000").await;
    db.run("INSERT INTO \"T_FAMILY\" VALUES ('B', NULL, NULL, '20170703090001')").await;
    let (mut source, mut position) = (db.source(place, OBJECT), Position::default());
    let rows = drain(&mut *source, &mut position).await.0;
    assert_eq!((&rows[0]["NAME"], &rows[1]["NAME"]), (&json!(""), &Value::Null));
}

async fn old_texts_come_as_their_bytes_say(place: &Place, db: &Db) {
    let latin1 = if db.road.server() == Server::MariaDb { "VARCHAR(20) CHARACTER SET latin1" } else { "VARCHAR(20)" };
    // 张 and 王€ in GBK: the second holds a byte that ISO 8859-1 and code page 1252 read differently.
    let bytes = match db.road.server() {
        Server::Sqlite => ["CAST(x'D5C5' AS TEXT)", "CAST(x'CDF5A2E3' AS TEXT)", "CAST(x'FF' AS TEXT)"],
        Server::Postgres => {
            ["convert_from('\\xD5C5', 'LATIN1')", "convert_from('\\xCDF5A2E3', 'LATIN1')", "convert_from('\\xFF', 'LATIN1')"]
        }
        Server::MariaDb => ["x'D5C5'", "x'CDF5A2E3'", "x'FF'"],
    };
    db.run(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, g {latin1}, u VARCHAR(40), v VARCHAR(14))")).await;
    for (id, bytes) in bytes.iter().enumerate() {
        // The second text column is UTF-8 that was taken for Latin-1 and stored as UTF-8 again.
        db.run(&format!("INSERT INTO t VALUES ({id}, {bytes}, 'å¼\u{a0}ä¸‰', '20170703090000')")).await;
    }
    let object = "table = 't'\nkey = ['id']\nwatermark = 'v'\nwatermark_format = 'yyyymmddhh24miss'\ngbk_in_latin1 = ['g']";
    let (mut source, mut position) = (db.source(place, object), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!(rows.iter().map(|row| &row["g"]).collect::<Vec<_>>(), ["张", "王€"]);
    assert_eq!((faults.len(), faults[0].place.column.as_deref()), (1, Some("g")), "{faults:?}");
    assert_eq!(rows[0]["u"], "å¼\u{a0}ä¸‰", "what no option names stays as it is");
    assert_eq!(civilhub::domain::mojibake::repair(rows[0]["u"].as_str().unwrap()).unwrap(), "张三");
    let wrong = object.replace("['id']", "['g']");
    assert!(place.open(&format!("kind = 'sql'\n{}", db.source), &wrong).is_err(), "keys are compared in the database");
}

async fn seconds_since_1970_are_a_watermark(place: &Place, db: &Db) {
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, s BIGINT)").await;
    let now = civilhub::clock::now().unix_timestamp();
    db.run(&format!("INSERT INTO t VALUES (1, 1499043600), (2, 1499043600), (3, {}), (4, NULL)", now + 400_000)).await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 's'\nwatermark_format = 'unix'\noverlap = '1m'";
    let (mut source, mut position) = (db.source(place, object), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((rows.len(), faults.len()), (2, 1));
    assert_eq!(faults[0].code, source::sql::UNREADABLE_WATERMARK);
    db.run("INSERT INTO t VALUES (5, 1499043541), (6, 1499043539), (7, 1499043600)").await;
    let rows = drain(&mut *source, &mut position).await.0;
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["5", "7"]);
}

async fn a_counter_ends_its_run_at_a_bound(place: &Place, db: &Db) {
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v BIGINT)").await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 'v'\nwatermark_format = 'integer'\noverlap = 0\nupper = 'max'";
    let (mut source, mut position) = (db.source(place, object), Position::default());
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
    db.run("INSERT INTO t VALUES (1, 9007199254740993), (2, 9007199254740994), (3, 9007199254740995)").await;
    let first = source.read(&position, 2).await.unwrap();
    assert!(first.more && first.rows.len() == 2);
    // What is written while a run goes on belongs to the next one.
    db.run("INSERT INTO t VALUES (4, 9007199254740996)").await;
    let mut source = db.source(place, object);
    let second = source.read(&first.next, 2).await.unwrap();
    assert_eq!(second.rows.iter().map(|row| row.data["id"].as_str().unwrap()).collect::<Vec<_>>(), ["3"]);
    let mut position = second.next;
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 1);
}

async fn values_are_bound_and_names_checked(place: &Place, db: &Db) {
    db.tables().await;
    for (at, id) in ["O''B\"--", "a; DROP TABLE x", "张三%_", "\\"].iter().enumerate() {
        let id = if db.road.server() == Server::MariaDb { id.replace('\\', "\\\\") } else { (*id).to_owned() };
        db.put(&id, "a", &format!("2017070309000{at}")).await;
    }
    db.run("INSERT INTO \"T_MEMBER\" VALUES (1, 'O''B\"--', 'x'), (2, '张三%_', 'y')").await;
    let object = format!("{OBJECT}\nchildren = [{{ name = 'MEMBERS', table = 't_member', on = 'ID' }}]");
    let (mut source, mut position) = (db.source(place, &object), Position::default());
    let rows = drain(&mut *source, &mut position).await.0;
    assert_eq!(ids(&rows), ["O'B\"--", "a; DROP TABLE x", "张三%_", "\\"]);
    assert_eq!((&rows[0]["MEMBERS"][0]["NAME"], &rows[2]["MEMBERS"][0]["NAME"]), (&json!("x"), &json!("y")));
    for option in ["table = 'a; DROP TABLE b'", "table = 'T_FAMILY'\ncolumns = ['a\"b']"] {
        let object = format!("{option}\nkey = ['ID']\nwatermark = 'MOD_TIME'");
        let faults = place.open(&format!("kind = 'sql'\n{}", db.source), &object).err().unwrap();
        assert_eq!(faults[0].code, source::sql::IDENTIFIER);
    }
}

async fn an_account_that_may_only_read_is_enough(place: &Place, db: &Db) {
    db.tables().await;
    db.put("A", "a", "20170703090000").await;
    let reader = db.read_only().await;
    let (mut source, mut position) = (reader.source(place, OBJECT), Position::default());
    assert_eq!(ids(&drain(&mut *source, &mut position).await.0), ["A"]);
    let missing = reader.source(place, &OBJECT.replace("T_FAMILY", "T_NONE")).read(&Position::default(), 1).await;
    assert!(matches!(&missing, Err(Error::Refused(fault)) if fault.code == source::sql::TABLE), "{missing:?}");
}

macro_rules! suite {
    ($($(#[$gate:meta])? $module:ident: $road:ident;)*) => {$(
        $(#[$gate])?
        mod $module {
            use super::*;
            suite!(@cases $road: equal_watermarks_and_late_commits values_stay_what_they_are null_and_the_empty_text_differ
                old_texts_come_as_their_bytes_say seconds_since_1970_are_a_watermark a_counter_ends_its_run_at_a_bound
                values_are_bound_and_names_checked an_account_that_may_only_read_is_enough);
        }
    )*};
    (@cases $road:ident: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let place = Place::new().await;
            let db = Db::open(&place, Road::$road).await;
            super::$case(&place, &db).await;
        }
    )*};
}

suite! {
    sqlite: Sqlite;
    postgres: Postgres;
    mariadb: MariaDb;
    #[cfg(feature = "odbc")]
    odbc_postgres: OdbcPostgres;
    #[cfg(feature = "odbc")]
    odbc_mariadb: OdbcMariaDb;
    #[cfg(feature = "odbc")]
    odbc_generic: OdbcGeneric;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_reads_transactions_only_below_those_that_are_open() {
    let place = Place::new().await;
    let db = Db::open(&place, Road::Postgres).await;
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, x BIGINT NOT NULL DEFAULT txid_current())").await;
    let slow = AnyPoolOptions::new().max_connections(1).connect(&db.url).await.unwrap();
    let mut open = slow.begin().await.unwrap();
    sqlx::query("INSERT INTO t (id) VALUES (1)").execute(&mut *open).await.unwrap();
    db.run("INSERT INTO t (id) VALUES (2)").await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 'x'\nwatermark_format = 'integer'\noverlap = 0\nupper = 'settled'";
    let (mut source, mut position) = (db.source(&place, object), Position::default());
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0, "a later row must not hide an earlier one");
    open.commit().await.unwrap();
    let rows = drain(&mut *source, &mut position).await.0;
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["1", "2"]);
    let faults = place.open("kind = 'sql'\nurl = 'sqlite:x'", object).err().unwrap();
    assert!(faults[0].to_string().contains("upper"), "{faults:?}");
}

#[cfg(feature = "odbc")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_odbc_source_is_told_without_its_password() {
    let place = Place::new().await;
    let read = async |url: &str, dialect: &str| {
        let source = format!("kind = 'sql'\nurl = '{url}'\ndialect = '{dialect}'");
        let mut source = place.open(&source, OBJECT).unwrap();
        source.read(&Position::default(), 1).await.unwrap_err()
    };
    for url in ["odbc:no-such-source", "odbc:Driver={No Such Driver};PWD=hush"] {
        let error = read(url, "oracle").await;
        assert!(matches!(&error, Error::Refused(fault) if fault.code == source::sql::ODBC_DRIVER), "{url}: {error:?}");
        assert!(!error.to_string().contains("hush"));
    }
    let gone = read("odbc:Driver={PostgreSQL Unicode};Server=127.0.0.1;Port=1;Database=x;UID=u;PWD=hush", "postgres").await;
    assert!(matches!(gone, Error::Unreachable(_)) && !gone.to_string().contains("hush"), "{gone:?}");
    assert!(place.open("kind = 'sql'\nurl = 'postgres://x'\ndialect = 'oracle'", OBJECT).is_err());
    assert!(place.open("kind = 'sql'\nurl = 'odbc:x'\ndialect = 'orcale'", OBJECT).is_err());
}

#[cfg(feature = "odbc")]
#[tokio::test(flavor = "multi_thread")]
async fn a_value_longer_than_a_row_may_be_refuses_its_row_alone() {
    for road in [Road::OdbcPostgres, Road::OdbcMariaDb] {
        let place = Place::new().await;
        let db = Db::open(&place, road).await;
        let text = if road == Road::OdbcMariaDb { "LONGTEXT" } else { "TEXT" };
        db.run(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, c {text}, v BIGINT)")).await;
        db.run("INSERT INTO t VALUES (1, repeat('张', 3000), 1), (2, repeat('x', 5000000), 2), (3, 'a', 3)").await;
        let object = "table = 't'\nkey = ['id']\nwatermark = 'v'\nwatermark_format = 'integer'";
        let (mut source, mut position) = (db.source(&place, object), Position::default());
        let (rows, faults) = drain(&mut *source, &mut position).await;
        assert_eq!(rows[0]["c"], "张".repeat(3000), "{road:?}");
        assert_eq!((rows.len(), faults.len()), (2, 1), "{road:?} {faults:?}");
        assert_eq!(faults[0].code, civilhub::adapter::decode::ROW_TOO_LONG);
    }
}

#[cfg(not(feature = "odbc"))]
#[tokio::test]
async fn a_program_without_odbc_says_what_it_lacks() {
    let place = Place::new().await;
    let mut reader = place.open("kind = 'sql'\nurl = 'odbc:dibao'\ndialect = 'oracle'", OBJECT).unwrap();
    let error = reader.read(&Position::default(), 1).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(fault) if fault.code == source::sql::ODBC_MISSING), "{error}");
    assert!(error.to_string().contains("--features odbc"), "{error}");
}
