//! Tables as the database describes them.

use super::{TABLE, dialect::Dialect, gbk};
use crate::adapter::{decode::options, source::Error};

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

/// Stands for a value that is not UTF-8, until its row is refused; Unicode keeps this code point out of all texts.
pub const NOT_UTF8: char = '\u{ffff}';
