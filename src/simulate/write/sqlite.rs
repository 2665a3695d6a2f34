//! A SQLite file in place of a database server no test machine has: same columns, same bad habits.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};

use crate::simulate::error::Error;

/// A value as Oracle keeps it: the empty text is no value.
pub type Cell = Option<String>;

/// A cell of a text that is no value when empty.
pub fn cell(text: &str) -> Cell {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Yuan with two decimals of an amount in fen.
pub fn yuan(fen: u64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

/// Rows in one insert: below the limit of 32,766 parameters for tables of up to 60 columns.
const ROWS: usize = 500;

/// Rows of one table on their way.
#[derive(Debug)]
pub struct Buffer {
    insert: String,
    rows: Vec<Vec<Cell>>,
}

impl Buffer {
    /// `insert` is the statement up to `VALUES`.
    pub fn new(insert: impl Into<String>) -> Self {
        Self { insert: insert.into(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// True when the buffer should be written.
    pub fn full(&self) -> bool {
        self.rows.len() >= ROWS * 4
    }
}

/// The database file.
pub struct Database {
    path: PathBuf,
    connection: SqliteConnection,
}

impl Database {
    /// Makes the file and its tables. No journal and no sync: a half-written export is thrown away, not recovered.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub async fn create<S: AsRef<str>>(path: &Path, tables: &[S]) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off);
        let mut connection = options.connect().await.map_err(Error::database(path))?;
        for table in tables {
            // The text is made of constants of the simulated systems.
            sqlx::query(sqlx::AssertSqlSafe(table.as_ref())).execute(&mut connection).await.map_err(Error::database(path))?;
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Writes the buffers' rows in one transaction and empties them.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn write(&mut self, buffers: &mut [Buffer]) -> Result<(), Error> {
        let mut transaction = self.connection.begin().await.map_err(Error::database(&self.path))?;
        for buffer in buffers {
            for rows in buffer.rows.chunks(ROWS) {
                let mut query = QueryBuilder::<Sqlite>::new(buffer.insert.as_str());
                query.push_values(rows, |mut values, row| {
                    for cell in row {
                        values.push_bind(cell.clone());
                    }
                });
                query.build().execute(&mut *transaction).await.map_err(Error::database(&self.path))?;
            }
            buffer.rows.clear();
        }
        transaction.commit().await.map_err(Error::database(&self.path))
    }

    /// Closes the file so that others may open it.
    ///
    /// # Errors
    /// When the last pages cannot be written.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.close().await.map_err(Error::database(&self.path))
    }
}
