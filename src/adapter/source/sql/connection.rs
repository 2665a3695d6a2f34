//! The connection that reads: natively, or through ODBC.

use std::time::Duration;

use super::{
    TABLE, catalogue,
    dialect::{Dialect, valid_type},
    native::Native,
    odbc::Odbc,
    query::Query,
    table::{Answer, Column, Table},
};
use crate::{
    adapter::{
        decode::options,
        source::{Error, UNREACHABLE},
    },
    error::Fault,
};

/// Longest wait for a connection, and for one statement.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(15);
pub const STATEMENT_LIMIT: Duration = Duration::from_secs(60);

/// What URLs there are.
const KNOWN: &str = "a URL beginning with `sqlite:`, `postgres:`, `mysql:`, `mariadb:` or `odbc:`";

/// Connects at the first query, so that options can be checked outside a runtime; clones share it.
#[derive(Clone)]
pub struct Connection {
    road: Road,
    pub dialect: Dialect,
}

#[derive(Clone)]
enum Road {
    Native(Native),
    Odbc(Odbc),
}

impl Connection {
    /// Connects to nothing yet. `dialect` says what SQL is spoken behind ODBC.
    pub fn new(url: &str, dialect: Option<Dialect>) -> Result<Self, Fault> {
        if let Some(text) = url.strip_prefix("odbc:") {
            let dialect = dialect.unwrap_or(Dialect::Generic);
            if dialect == Dialect::Sqlite {
                return Err(options::bad("dialect", "SQLite is read without ODBC").expected("a URL beginning with `sqlite:`"));
            }
            return Ok(Self { road: Road::Odbc(Odbc::new(text, dialect)?), dialect });
        }
        if dialect.is_some() {
            return Err(options::bad("dialect", "follows from the URL").hint("leave it out; it belongs to `odbc:` URLs"));
        }
        let dialect = Dialect::of(url).ok_or_else(|| options::bad("url", "unknown kind of database").expected(KNOWN))?;
        // The text of a parse error may quote the URL with its password.
        let native = Native::new(url, dialect).ok_or_else(|| options::bad("url", "cannot be read").expected(KNOWN))?;
        Ok(Self { road: Road::Native(native), dialect })
    }

    /// Runs a query whose columns are all text. Stops early, with `complete` false, when the answer grows beyond 16 MiB.
    pub async fn fetch(&self, query: Query, columns: usize) -> Result<Answer, Error> {
        match &self.road {
            Road::Native(native) => native.fetch(query, columns).await,
            Road::Odbc(odbc) => odbc.fetch(query, columns).await,
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
        let catalogue = match (catalogue::columns(self.dialect), &self.road) {
            (Some(catalogue), _) => catalogue,
            (None, Road::Odbc(odbc)) => return odbc.columns(table, schema).await,
            (None, Road::Native(_)) => return Ok(Vec::new()),
        };
        let mut args = vec![Some(table.to_owned()), schema.map(str::to_owned)];
        args.extend(catalogue.name_again.then(|| Some(table.to_owned())));
        let sql = if self.numbered() { catalogue.sql.to_owned() } else { unnumbered(catalogue.sql) };
        Ok(self.fetch(Query { sql, args }, 3).await?.rows)
    }

    fn numbered(&self) -> bool {
        matches!((&self.road, self.dialect), (Road::Native(_), Dialect::Sqlite | Dialect::Postgres))
    }
}

/// Parameters as ODBC writes them; in the catalogue's statements each number stands once, in order.
fn unnumbered(sql: &str) -> String {
    ["$1", "$2", "$3"].iter().fold(sql.to_owned(), |sql, number| sql.replace(number, "?"))
}

/// The fault of a database that may answer later.
pub fn unreachable(message: String) -> Error {
    Error::Unreachable(Fault::new(UNREACHABLE, message).hint("check `url`, the network and that the database runs"))
}
