//! A table in SQLite: read by our source, and by `sqlx` alone.

use std::{hint::black_box, path::Path};

use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{ConnectOptions, Row as _, sqlite::SqliteConnectOptions};
use time::{Duration, macros::datetime};

use super::{Counted, not_measured};
use crate::{
    adapter::{
        source::{Error, ObjectOptions, Position, Row, sql},
        spec::AdapterSpec,
    },
    clock,
    error::Fault,
    simulate::write::sqlite::{Buffer, Database},
};

/// Rows of one read, as the hub's adapters ask for.
const BATCH: usize = 512;

/// Makes the table with the rows of a sample over and over; keys and times of change are their own.
pub async fn create(path: &Path, table: &str, data: &[Value], [key, changed]: [&str; 2], rows: u64) -> Counted {
    let failed = |_| not_measured("the database could not be made");
    let first = data.first().and_then(Value::as_object).ok_or_else(|| not_measured("a sample has no rows"))?;
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let (names, types) = (columns.join(", "), columns.join(" TEXT, "));
    let statements = [
        format!("CREATE TABLE {table} ({types} TEXT, PRIMARY KEY ({key}))"),
        format!("CREATE INDEX changes ON {table} ({changed}, {key})"),
    ];
    let mut database = Database::create(path, &statements).await.map_err(failed)?;
    let mut buffers = [Buffer::new(format!("INSERT INTO {table} ({names}) "))];
    for (number, row) in (0..rows).zip(data.iter().cycle()) {
        let cell = |column: &&str| match *column {
            name if name == key => Some(format!("6f9619ff-8b86-4011-b42d-{number:012}")),
            name if name == changed => Some(moment(number)),
            name => row[name].as_str().map(str::to_owned),
        };
        buffers[0].push(columns.iter().map(cell).collect());
        if buffers[0].full() {
            database.write(&mut buffers).await.map_err(failed)?;
        }
    }
    database.write(&mut buffers).await.map_err(failed)?;
    database.close().await.map_err(failed)?;
    Ok(rows)
}

/// A second for each row, as PostgreSQL writes it.
fn moment(number: u64) -> String {
    let moment = datetime!(2016-01-01 00:00 +8) + Duration::seconds(i64::try_from(number).unwrap_or_default());
    clock::rfc3339(moment).replace('T', " ")
}

/// `sqlx` alone: the texts of every column of every row.
pub async fn bare(path: &Path, statement: &str) -> Counted {
    let failed = |_| not_measured("sqlx failed");
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.map_err(failed)?;
    let mut rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch(&mut connection);
    let mut count = 0;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let text = |at: usize| row.try_get::<Option<String>, _>(at);
        black_box((0..row.len()).map(text).collect::<Result<Vec<_>, _>>().map_err(failed)?);
        count += 1;
    }
    Ok(count)
}

/// Our source, batch after batch as the hub reads it.
pub async fn read(
    spec: &AdapterSpec,
    object: &ObjectOptions,
    path: &Path,
    each: &mut dyn FnMut(Row) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let table =
        toml::Table::from_iter([("kind".into(), "sql".into()), ("url".into(), format!("sqlite://{}", path.display()).into())]);
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the source was refused"));
    let mut sources = sql::open(&spec.slug, &table, std::slice::from_ref(object)).map_err(first)?;
    let (_, source) = sources.first_mut().ok_or_else(|| not_measured("the source was refused"))?;
    let mut position = Position::default();
    loop {
        let batch = source.read(&position, BATCH).await.map_err(|error| match error {
            Error::Unreachable(fault) | Error::Refused(fault) => fault,
        })?;
        batch.rows.into_iter().try_for_each(&mut *each)?;
        position = batch.next;
        if !batch.more {
            return Ok(());
        }
    }
}
