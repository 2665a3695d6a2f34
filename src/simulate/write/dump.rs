//! SQL text in the dialect and character set of the server the system ran on.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use encoding_rs::GBK;

use super::sqlite::Cell;
use super::tables::Table;
use crate::simulate::error::Error;

/// The server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Oracle with ZHS16GBK.
    Oracle,
    /// SQL Server with a Chinese_PRC collation, saved in code page 936.
    Mssql,
    /// MySQL with UTF-8.
    Mysql,
    /// MySQL whose tables say latin1.
    MysqlLatin1,
    /// PostgreSQL with UTF-8.
    Postgres,
}

/// A script under way.
pub struct Dump {
    path: PathBuf,
    out: BufWriter<File>,
    dialect: Dialect,
}

impl Dump {
    /// Opens the script and declares the tables.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path, dialect: Dialect, tables: &[Table]) -> Result<Self, Error> {
        let out = BufWriter::new(File::create(path).map_err(Error::file(path))?);
        let mut this = Self { path: path.to_owned(), out, dialect };
        let head = match dialect {
            Dialect::Mysql => "SET NAMES utf8;\n",
            Dialect::MysqlLatin1 => "SET NAMES latin1;\n",
            Dialect::Postgres => "SET client_encoding = 'UTF8';\n",
            Dialect::Oracle | Dialect::Mssql => "",
        };
        this.write(head)?;
        for table in tables {
            let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            let key = table.columns.first().map_or("", |(name, _)| name);
            this.write(&format!("CREATE TABLE {} ({}, PRIMARY KEY ({key}));\n", table.name, columns.join(", ")))?;
        }
        Ok(this)
    }

    /// Adds a row. A row version is the server's to give and stays out.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn row(&mut self, table: &Table, row: &[Cell]) -> Result<(), Error> {
        let (mut names, mut values) = (String::new(), String::new());
        for ((name, kind), cell) in table.columns.iter().zip(row) {
            if *kind == "rowversion" {
                continue;
            }
            let comma = if names.is_empty() { "" } else { ", " };
            let _ = write!(names, "{comma}{name}");
            let _ = write!(values, "{comma}{}", self.value(kind, cell));
        }
        self.write(&format!("INSERT INTO {} ({names}) VALUES ({values});\n", table.name))
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::file(&self.path))
    }

    fn value(&self, kind: &str, cell: &Cell) -> String {
        let Some(text) = cell else { return "NULL".to_owned() };
        let quoted = text.replace('\'', "''");
        match self.dialect {
            Dialect::Oracle if kind == "DATE" => format!("TO_DATE('{quoted}', 'YYYY-MM-DD HH24:MI:SS')"),
            Dialect::Mssql if kind.starts_with("nvarchar") => format!("N'{quoted}'"),
            Dialect::Mysql | Dialect::MysqlLatin1 => format!("'{}'", quoted.replace('\\', "\\\\").replace('\n', "\\n")),
            _ => format!("'{quoted}'"),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        let written = match self.dialect {
            Dialect::Oracle | Dialect::Mssql => self.out.write_all(&GBK.encode(text).0),
            // The column's bytes, one for every character below U+0100.
            Dialect::MysqlLatin1 => {
                let bytes: Vec<u8> = text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect();
                self.out.write_all(&bytes)
            }
            Dialect::Mysql | Dialect::Postgres => self.out.write_all(text.as_bytes()),
        };
        written.map_err(Error::file(&self.path))
    }
}
