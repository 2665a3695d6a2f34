//! The tables of one database system, written twice: a SQLite file the hub can read, and the SQL text a server of the
//! vintage would take.

use std::fmt::Write as _;
use std::path::Path;

use super::dump::{Dialect, Dump};
use super::sqlite::{Buffer, Cell, Database};
use crate::simulate::error::Error;

/// A table as the vintage declares it.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Name and type of every column; the first is the primary key.
    pub columns: &'static [(&'static str, &'static str)],
    /// Columns of further indexes, such as the watermark.
    pub indexes: &'static [&'static str],
}

/// The tables under way.
pub struct Tables {
    tables: &'static [Table],
    database: Database,
    buffers: Vec<Buffer>,
    dump: Dump,
}

impl Tables {
    /// Makes `<name>.sqlite` and `<name>.sql` in a folder.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub async fn create(folder: &Path, name: &str, dialect: Dialect, tables: &'static [Table]) -> Result<Self, Error> {
        let statements: Vec<String> = tables.iter().flat_map(sqlite_statements).collect();
        let database = Database::create(&folder.join(format!("{name}.sqlite")), &statements).await?;
        let dump = Dump::create(&folder.join(format!("{name}.sql")), dialect, tables)?;
        let buffers = tables.iter().map(|table| Buffer::new(insert(table))).collect();
        Ok(Self { tables, database, buffers, dump })
    }

    /// Adds a row to the table at a place. The empty text is no value where the dialect says so.
    ///
    /// # Errors
    /// When the text cannot be written.
    pub fn push(&mut self, table: usize, row: Vec<Cell>) -> Result<(), Error> {
        self.dump.row(&self.tables[table], &row)?;
        self.buffers[table].push(row);
        Ok(())
    }

    /// Writes the rows to the database when enough have gathered.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn settle(&mut self) -> Result<(), Error> {
        if self.buffers.iter().any(Buffer::full) { self.database.write(&mut self.buffers).await } else { Ok(()) }
    }

    /// Writes what is left and closes both files.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.database.write(&mut self.buffers).await?;
        self.dump.finish()?;
        self.database.close().await
    }
}

fn sqlite_statements(table: &Table) -> Vec<String> {
    let mut columns = String::new();
    for (place, (name, kind)) in table.columns.iter().enumerate() {
        let key = if place == 0 { " PRIMARY KEY" } else { "" };
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(columns, "{comma}{name} {}{key}", sqlite_type(kind));
    }
    let mut statements = vec![format!("CREATE TABLE {} ({columns})", table.name)];
    for (place, index) in table.indexes.iter().enumerate() {
        statements.push(format!("CREATE INDEX {0}_{place} ON {0} ({index})", table.name));
    }
    statements
}

/// Amounts and times are text, since SQLite would turn `1110.0000` into 1110; counters stay numbers, for they are compared.
fn sqlite_type(kind: &str) -> &'static str {
    let kind = kind.to_ascii_lowercase();
    match kind {
        _ if kind.contains("int") || kind == "rowversion" => "INTEGER",
        _ if kind == "float" => "REAL",
        _ => "TEXT",
    }
}

fn insert(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    format!("INSERT INTO {} ({}) ", table.name, names.join(", "))
}
