//! The store: SQLite for one process, PostgreSQL for a province, one SQL text for both.
//!
//! Statements use `$1` parameters and only TEXT and BIGINT columns, which both backends agree on. Work is done in
//! batches: a batch travels as one JSON array in one parameter and is unfolded by the database, so a statement is one
//! round trip whatever its size. Write `FROM {rows}` for the unfolded parameter `$1` and `value ->> 'field'` for its
//! fields (always text in PostgreSQL: wrap numbers as `CAST(value ->> 'n' AS BIGINT)`).
//!
//! PostgreSQL cannot keep the character U+0000, and refuses a whole batch for one of them. Sources and the router refuse
//! such texts by name; one that comes in by another way is kept as U+FFFD, on both backends, so that it stops nobody.

use std::{
    borrow::Cow,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    AnyPool, AssertSqlSafe, Row as _,
    any::{AnyConnectOptions, AnyPoolOptions, AnyRow},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

pub mod health;
mod primary;

use crate::{
    error::{Code, Fault},
    servers,
    telemetry::record,
};

/// The store could not be reached or did not answer in time.
pub const UNREACHABLE: Code = Code::new(8001);
/// A statement failed: the schema is older than the program, the disk is full, or the data are damaged.
pub const FAILED: Code = Code::new(8002);

/// Longest wait for a connection or for one statement.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How often, and after which pause, a migration that another process disturbed is tried.
const MIGRATION_TRIES: u32 = 20;
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);

/// The tables, step by step.
static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{UNREACHABLE}: the store is not reachable: {0}")]
    Unreachable(String),
    #[error("{FAILED}: a statement failed: {0}")]
    Failed(String),
    #[error("{FAILED}: the migration failed: {0}")]
    Migration(String),
}

impl Error {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable(_) => Fault::new(UNREACHABLE, self.to_string()).hint("check `store.url` and that the server runs"),
            _ => Fault::new(FAILED, self.to_string()).hint("run `civilhub migrate`; check disk space"),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable(error.to_string()),
            // The detail of a database error may quote row values: only its code and constraint leave this module.
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let text = format!("code {code}, constraint {}", database.constraint().unwrap_or("none"));
                if is_away(&code) { Self::Unreachable(text) } else { Self::Failed(text) }
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// SQLite's 14 (the file cannot be opened), and the SQLSTATE classes of PostgreSQL that speak of the connection, not of the statement: no connection (08), who are you (28),
/// no such database (3D), no resources (53: too many connections, no memory), the server is stopping or starting (57P), and a
/// server that has become a standby (25006).
fn is_away(code: &str) -> bool {
    code == "14"
        || code.len() == 5 && ["08", "28", "3D", "57P", "53300", "53200", "25006"].iter().any(|class| code.starts_with(class))
}

/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 16;

/// Connections that read from SQLite side by side; writing is done on one of its own.
const READERS: u32 = 3;

/// A pool on an SQLite file, each connection with a page cache of so many MiB.
async fn sqlite(options: &AnyConnectOptions, connections: u32, cache_mib: u32) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TIME_LIMIT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let setup = format!(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 20000; \
                     PRAGMA cache_size = -{}; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 8000",
                    cache_mib * 1024
                );
                sqlx::raw_sql(AssertSqlSafe(setup)).execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(options.clone())
        .await
}

/// Which database is behind the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub enum Arg {
    Text(String),
    Int(i64),
    Null,
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<&serde_json::Value> for Arg {
    fn from(value: &serde_json::Value) -> Self {
        Self::Text(value.to_string())
    }
}
impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::Null, Self::Text)
    }
}

/// One row of an answer.
pub struct Row(AnyRow);

impl Row {
    /// Text of a column; empty when NULL.
    pub fn text(&self, column: usize) -> String {
        self.optional_text(column).unwrap_or_default()
    }

    pub fn optional_text(&self, column: usize) -> Option<String> {
        self.0.try_get::<Option<String>, _>(column).ok().flatten()
    }

    /// Number of a BIGINT column; 0 when NULL.
    pub fn int(&self, column: usize) -> i64 {
        self.0.try_get::<Option<i64>, _>(column).ok().flatten().unwrap_or_default()
    }
}

/// A handle to the database; clones share the pool.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    /// Where transactions take their connection. With SQLite it is one and always the same: a connection drops its whole
    /// page cache when it sees that another one has written.
    writers: AnyPool,
    backend: Backend,
    writer: Arc<Turns>,
    hurried: bool,
}

/// SQLite has one writer: queue for it here, not in busy loops.
#[derive(Default)]
struct Turns {
    writer: Arc<Mutex<()>>,
    /// Hurried ones that wait.
    hurried: AtomicUsize,
}

impl Turns {
    /// A hurried one waits for the transaction that runs; others let it pass and queue again.
    async fn take(&self, hurried: bool) -> OwnedMutexGuard<()> {
        if hurried {
            let _waiting = Waiting::on(&self.hurried);
            return Arc::clone(&self.writer).lock_owned().await;
        }
        loop {
            let turn = Arc::clone(&self.writer).lock_owned().await;
            if self.hurried.load(Ordering::Acquire) == 0 {
                return turn;
            }
            drop(turn);
            tokio::task::yield_now().await;
        }
    }
}

/// Counted while it lives: a caller that gives up waiting is not waited for.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn on(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Store {
    /// Opens `sqlite:///path/hub.db` (made if missing) or `postgres://user@host/db`; does not migrate. A database with
    /// standbys is written `postgres://user@host1,host2/db`: the one that takes writes is found and followed.
    pub async fn open(url: &str) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let backend = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => Backend::Sqlite,
            Some("postgres" | "postgresql") => Backend::Postgres,
            _ => return Err(Error::Unreachable("the URL begins with neither `sqlite:` nor `postgres:`".to_owned())),
        };
        if let servers @ [_, _, ..] = servers::each(url).as_slice()
            && backend == Backend::Postgres
        {
            let pool = primary::pool(servers, CONNECTIONS).await?;
            return Ok(Self { writers: pool.clone(), pool, backend, writer: Arc::default(), hurried: false });
        }
        let url = if backend == Backend::Sqlite && !url.contains('?') { format!("{url}?mode=rwc") } else { url.to_owned() };
        let options = AnyConnectOptions::from_str(&url).map_err(|error| Error::Unreachable(error.to_string()))?;
        let (pool, writers) = match backend {
            Backend::Sqlite => (sqlite(&options, READERS, 16).await?, sqlite(&options, 1, 64).await?),
            Backend::Postgres => {
                let pool =
                    AnyPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(TIME_LIMIT).connect_with(options).await?;
                (pool.clone(), pool)
            }
        };
        Ok(Self { pool, writers, backend, writer: Arc::default(), hurried: false })
    }

    /// Brings the tables to the state this program needs; safe to repeat, and from several processes at once.
    pub async fn migrate(&self) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            match MIGRATOR.run(&self.pool).await {
                Ok(()) => return Ok(()),
                // SQLite has no lock for migrations: of two at once one fails at a step, which is rolled back, and finds it
                // done when it looks again.
                Err(_) if self.backend == Backend::Sqlite && tries < MIGRATION_TRIES => tokio::time::sleep(MIGRATION_PAUSE).await,
                Err(error) => return Err(Error::Migration(error.to_string())),
            }
            tries += 1;
        }
    }

    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The same store for few and small transactions that somebody waits for: on SQLite, where all transactions queue, they
    /// go before those of bulk loads.
    pub fn hurried(&self) -> Self {
        Self { hurried: true, ..self.clone() }
    }

    /// Reads outside a transaction.
    pub async fn read(&self, sql: &str, args: &[Arg]) -> Result<Vec<Row>, Error> {
        let query = bind(self, sql, args);
        let rows = limited(query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Row).collect())
    }

    /// Whether a write would be kept now. To ask something is not enough: a standby answers too, and so does a primary that
    /// waits in vain for its standby at every commit.
    pub async fn takes_writes(&self) -> Result<(), Error> {
        if self.backend == Backend::Sqlite {
            return self.read("SELECT 1", &[]).await.map(drop);
        }
        let mut tx = self.begin().await?;
        // A few bytes in the log of the server, and in no table.
        tx.read("SELECT CAST(pg_logical_emit_message(true, 'civilhub', 'ready') AS TEXT)", &[]).await?;
        tx.commit().await
    }

    /// Starts a write transaction. Dropping it without [`Tx::commit`] rolls back.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let began = Instant::now();
        let guard = match self.backend {
            Backend::Sqlite => Some(self.writer.take(self.hurried).await),
            Backend::Postgres => None,
        };
        let inner = match self.backend {
            Backend::Sqlite => limited(self.writers.begin_with("BEGIN IMMEDIATE")).await?,
            Backend::Postgres => limited(self.writers.begin()).await?,
        };
        Ok(Tx { inner, store: self.clone(), began, _writer: guard })
    }

    /// One write statement in a transaction of its own; returns the number of rows it touched.
    pub async fn write(&self, sql: &str, args: &[Arg]) -> Result<u64, Error> {
        let mut tx = self.begin().await?;
        let touched = tx.execute(sql, args).await?;
        tx.commit().await?;
        Ok(touched)
    }

    pub async fn close(&self) {
        self.pool.close().await;
        self.writers.close().await;
    }

    fn unfold(&self, sql: &str) -> String {
        sql.replace(
            "{rows}",
            match self.backend {
                Backend::Sqlite => "json_each($1)",
                Backend::Postgres => "jsonb_array_elements(CAST($1 AS jsonb)) AS t(value)",
            },
        )
    }
}

/// A write transaction.
pub struct Tx {
    inner: sqlx::Transaction<'static, sqlx::Any>,
    store: Store,
    began: Instant,
    _writer: Option<OwnedMutexGuard<()>>,
}

impl Tx {
    /// Returns the number of rows touched.
    pub async fn execute(&mut self, sql: &str, args: &[Arg]) -> Result<u64, Error> {
        let query = bind(&self.store, sql, args);
        Ok(limited(query.execute(&mut *self.inner)).await?.rows_affected())
    }

    /// Reads inside the transaction; also for `… RETURNING`.
    pub async fn read(&mut self, sql: &str, args: &[Arg]) -> Result<Vec<Row>, Error> {
        let query = bind(&self.store, sql, args);
        let rows = limited(query.fetch_all(&mut *self.inner)).await?;
        Ok(rows.into_iter().map(Row).collect())
    }

    pub async fn commit(self) -> Result<(), Error> {
        let committed = limited(self.inner.commit()).await;
        record::transaction(self.began);
        committed
    }

    pub fn backend(&self) -> Backend {
        self.store.backend
    }
}

fn bind(store: &Store, sql: &str, args: &[Arg]) -> sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments> {
    let unfolded = sql.contains("{rows}");
    args.iter().enumerate().fold(sqlx::query(AssertSqlSafe(store.unfold(sql))), |query, (index, arg)| match arg {
        Arg::Text(text) if unfolded && index == 0 => query.bind(escaped_without_nul(text).into_owned()),
        Arg::Text(text) => query.bind(without_nul(text).into_owned()),
        Arg::Int(number) => query.bind(*number),
        Arg::Null => query.bind(None::<String>),
    })
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same inside a JSON text, where the character is written as an escape.
fn escaped_without_nul(json: &str) -> Cow<'_, str> {
    const ESCAPE: &str = "\\u0000";
    if !json.contains(ESCAPE) {
        return Cow::Borrowed(json);
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(ESCAPE) {
        // After an odd number of backslashes this one is a character of the text, and `u0000` follows it as plain letters.
        let before = rest[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        clean.push_str(&rest[..at]);
        clean.push_str(if before % 2 == 0 { "\u{fffd}" } else { ESCAPE });
        rest = &rest[at + ESCAPE.len()..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(TIME_LIMIT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Unreachable(format!("no answer within {} s", TIME_LIMIT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_becomes_the_replacement_character() {
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
        for text in ["\0", "a\0", "\\u0000", "\\\0", "\\\\u0000\0", "plain", "\"\0\""] {
            let json = serde_json::json!([text]).to_string();
            let clean: Vec<String> = serde_json::from_str(&escaped_without_nul(&json)).unwrap();
            assert_eq!(clean, [text.replace('\0', "\u{fffd}")], "{json}");
        }
    }

    #[test]
    fn codes_of_the_connection_mean_unreachable() {
        for code in ["14", "08006", "28P01", "3D000", "57P01", "53300", "25006"] {
            assert!(is_away(code), "{code}");
        }
        // SQLite has numbers; 53 alone would also be a full disk, which no retry mends.
        for code in ["23505", "22P05", "53100", "5", "787", ""] {
            assert!(!is_away(code), "{code}");
        }
    }
}
