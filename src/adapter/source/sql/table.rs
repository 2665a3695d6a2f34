//! Tables as the database describes them, and the connection that reads them.

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
    TABLE, catalogue,
    dialect::{Dialect, valid_type},
    gbk,
    query::Query,
};
use crate::{
    adapter::{
        decode::options,
        source::{BATCH_BYTES, Error, REFUSED, UNREACHABLE},
    },
    error::Fault,
};

/// Longest wait for a connection, and for one statement.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// One column to read.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: String,
    /// Declared Latin-1, holds GBK.
    pub gbk: bool,
}

/// One table with the columns to read.
#[derive(Debug, Clone)]
pub struct Table {
    pub dialect: Dialect,
    /// Parameters are written `$1`, not `?`.
    pub numbered: bool,
    /// As the database calls it, with its schema if the adapter names one.
    pub name: String,
    pub columns: Vec<Column>,
}

impl Table {
    pub fn kind(&self, column: &str) -> &str {
        self.columns.iter().find(|known| known.name == column).map_or("", |known| &known.kind)
    }

    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known.name == column)
    }

    /// Reduces the table to the wanted columns, all if none are named; wanted and needed ones must be there.
    pub fn reduce(mut self, wanted: &[String], needed: &[String]) -> Result<Self, Error> {
        if let Some(missing) = wanted.iter().chain(needed).find(|name| !self.has(name)) {
            let known: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            let fault = options::unknown(TABLE, "column", missing, &known).in_file(self.name.clone()).at_column(missing.clone());
            return Err(Error::Refused(fault));
        }
        if !wanted.is_empty() {
            self.columns.retain(|column| wanted.contains(&column.name) || needed.contains(&column.name));
        }
        Ok(self)
    }

    /// Notes which columns hold GBK; they must be there.
    pub fn with_gbk(mut self, gbk: &[String]) -> Result<Self, Error> {
        self = self.reduce(&[], gbk)?;
        for column in &mut self.columns {
            column.gbk = gbk.contains(&column.name);
        }
        Ok(self)
    }

    pub fn select(&self) -> String {
        let text = |column: &Column| match column.gbk {
            true => self.dialect.as_gbk(&column.name, &column.kind),
            false => self.dialect.as_text(&column.name, &column.kind),
        };
        self.columns.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    /// A value as the mapping program sees it.
    pub fn value(&self, column: &Column, text: Option<String>) -> Option<String> {
        let text = text?;
        if column.gbk {
            return Some(gbk::read(self.dialect, &text));
        }
        let text = self.dialect.finish(&column.kind, text);
        (!(text.is_empty() && self.dialect.empty_is_null())).then_some(text)
    }
}

/// Rows of text, column by column.
pub struct Answer {
    pub rows: Vec<Vec<Option<String>>>,
    pub complete: bool,
}

/// A pool made at the first query, so that options can be checked outside a runtime; clones share it.
#[derive(Clone)]
pub struct Connection {
    pool: Arc<OnceLock<AnyPool>>,
    options: AnyConnectOptions,
    pub dialect: Dialect,
}

impl Connection {
    /// Connects to nothing yet.
    pub fn new(url: &str) -> Result<Self, Fault> {
        sqlx::any::install_default_drivers();
        let known = "a URL beginning with `sqlite:`, `postgres:`, `mysql:` or `mariadb:`";
        let dialect = Dialect::of(url).ok_or_else(|| options::bad("url", "unknown kind of database").expected(known))?;
        let url = if dialect == Dialect::Sqlite && !url.contains('?') { format!("{url}?mode=ro") } else { url.to_owned() };
        // The text of a parse error may quote the URL with its password.
        let options = AnyConnectOptions::from_str(&url).map_err(|_| options::bad("url", "cannot be read").expected(known))?;
        Ok(Self { pool: Arc::default(), options, dialect })
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

    /// Looks a table up in the catalogue, with all its columns; its name may differ in case.
    pub async fn table(&self, name: &str) -> Result<Table, Error> {
        let (schema, bare) = name.split_once('.').map_or((None, name), |(schema, bare)| (Some(schema.to_owned()), bare));
        // SQLite knows no schema: a leading owner name of the legacy system is left out.
        let schema = schema.filter(|_| self.dialect != Dialect::Sqlite);
        let found = self.columns(bare, schema.as_deref()).await?;
        let real = found.first().and_then(|row| row[2].clone()).ok_or_else(|| {
            let fault =
                Fault::new(TABLE, format!("there is no table `{name}`")).hint("check `table`, and that the account may read it");
            Error::Refused(fault)
        })?;
        let mut columns = Vec::new();
        for row in found.into_iter().filter(|row| row[2].as_deref() == Some(&real)) {
            if let [Some(column), kind, _] = <[_; 3]>::try_from(row).unwrap_or_default() {
                let kind = kind.filter(|kind| valid_type(kind)).unwrap_or_else(|| "text".to_owned());
                columns.push(Column { name: column, kind, gbk: false });
            }
        }
        let name = schema.map_or_else(|| real.clone(), |schema| format!("{schema}.{real}"));
        Ok(Table { dialect: self.dialect, numbered: self.numbered(), name, columns })
    }

    async fn columns(&self, table: &str, schema: Option<&str>) -> Result<Vec<Vec<Option<String>>>, Error> {
        let Some(catalogue) = catalogue::columns(self.dialect) else { return Ok(Vec::new()) };
        let mut args = vec![Some(table.to_owned()), schema.map(str::to_owned)];
        args.extend(catalogue.name_again.then(|| Some(table.to_owned())));
        Ok(self.fetch(Query { sql: catalogue.sql.to_owned(), args }, 3).await?.rows)
    }

    fn numbered(&self) -> bool {
        self.dialect != Dialect::MySql
    }
}

fn text(row: &AnyRow, column: usize) -> Result<Option<String>, Error> {
    row.try_get::<Option<String>, _>(column).or_else(|_| {
        // SQLite is asked for bytes, and MariaDB gives some text columns a binary type.
        let bytes = row.try_get::<Option<Vec<u8>>, _>(column).map_err(|error| classify(&error))?;
        Ok(bytes.map(|bytes| String::from_utf8(bytes).unwrap_or_else(|_| NOT_UTF8.to_string())))
    })
}

/// Stands for a value that is not UTF-8, until its row is refused; Unicode keeps this code point out of all texts.
pub const NOT_UTF8: char = '\u{ffff}';

fn unreachable(message: String) -> Error {
    Error::Unreachable(Fault::new(UNREACHABLE, message).hint("check `url`, the network and that the database runs"))
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
