//! Databases whose protocols the hub speaks itself.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::TryStreamExt;
use sqlx::{
    AnyPool, AssertSqlSafe, Row as _,
    any::{AnyConnectOptions, AnyPoolOptions, AnyRow},
};

use super::{
    catalogue,
    connection::{CONNECT_LIMIT, STATEMENT_LIMIT, unreachable},
    dialect::Dialect,
    query::Query,
    table::{Answer, NOT_UTF8},
};
use crate::{
    adapter::source::{BATCH_BYTES, Error, REFUSED},
    error::Fault,
};

/// A pool made at the first query, so that options can be checked outside a runtime; clones share it.
#[derive(Clone)]
pub struct Native {
    pool: Arc<OnceLock<AnyPool>>,
    options: AnyConnectOptions,
    dialect: Dialect,
}

impl Native {
    /// None when the URL cannot be read.
    pub fn new(url: &str, dialect: Dialect) -> Option<Self> {
        sqlx::any::install_default_drivers();
        let url = if dialect == Dialect::Sqlite && !url.contains('?') { format!("{url}?mode=ro") } else { url.to_owned() };
        let options = AnyConnectOptions::from_str(&url).ok()?;
        Some(Self { pool: Arc::default(), options, dialect })
    }

    fn pool(&self) -> &AnyPool {
        let dialect = self.dialect;
        self.pool.get_or_init(|| {
            AnyPoolOptions::new()
                .max_connections(2)
                .acquire_timeout(CONNECT_LIMIT)
                .idle_timeout(Duration::from_secs(60))
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        sqlx::raw_sql(AssertSqlSafe(catalogue::session(dialect).join("; "))).execute(connection).await.map(drop)
                    })
                })
                .connect_lazy_with(self.options.clone())
        })
    }

    /// Runs a query whose columns are all text. Stops early, with `complete` false, when the answer grows beyond 16 MiB.
    pub async fn fetch(&self, query: Query, columns: usize) -> Result<Answer, Error> {
        let statement = query.args.into_iter().fold(sqlx::query(AssertSqlSafe(query.sql)), |statement, arg| statement.bind(arg));
        let work = async {
            let mut answer = Answer { rows: Vec::new(), complete: true };
            let mut bytes = 0;
            let mut stream = statement.fetch(self.pool());
            while let Some(row) = stream.try_next().await.map_err(|error| classify(&error))? {
                let row = (0..columns).map(|column| text(&row, column)).collect::<Result<Vec<_>, _>>()?;
                bytes += row.iter().flatten().map(String::len).sum::<usize>();
                answer.rows.push(row);
                if bytes > BATCH_BYTES {
                    answer.complete = false;
                    break;
                }
            }
            Ok(answer)
        };
        match tokio::time::timeout(STATEMENT_LIMIT, work).await {
            Ok(done) => done,
            Err(_) => Err(unreachable(format!("the database did not answer within {} s", STATEMENT_LIMIT.as_secs()))),
        }
    }
}

fn text(row: &AnyRow, column: usize) -> Result<Option<String>, Error> {
    row.try_get::<Option<String>, _>(column).or_else(|_| {
        // SQLite is asked for bytes, and MariaDB gives some text columns a binary type.
        let bytes = row.try_get::<Option<Vec<u8>>, _>(column).map_err(|error| classify(&error))?;
        Ok(bytes.map(|bytes| String::from_utf8(bytes).unwrap_or_else(|_| NOT_UTF8.to_string())))
    })
}

/// Errors of names, rights and syntax stay until someone mends them; all others may pass. Texts of the database may quote
/// values: only its code leaves this module.
fn classify(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            let lasting = ["28", "42", "3D", "3F"].iter().any(|class| code.len() == 5 && code.starts_with(class))
                || code == "1"
                || code == "26";
            if lasting {
                let fault = Fault::new(REFUSED, format!("the database refused the statement, code {code}"));
                return Error::Refused(fault.hint("check the account's rights, `table` and `columns`"));
            }
            unreachable(format!("the database failed, code {code}"))
        }
        sqlx::Error::PoolTimedOut => unreachable(format!("no connection within {} s", CONNECT_LIMIT.as_secs())),
        sqlx::Error::Io(error) => unreachable(format!("the connection failed: {}", error.kind())),
        sqlx::Error::Tls(_) => unreachable("the TLS connection failed".to_owned()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            Error::Refused(Fault::new(REFUSED, "a value of the database is not text").hint("leave the column out by `columns`"))
        }
        _ => unreachable("the database client failed".to_owned()),
    }
}
