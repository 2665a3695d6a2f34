//! Loads as the command line shows and decides them.

use serde::Serialize;

use crate::{
    clock,
    store::{Error, Row, Store},
};

/// One full load.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub system: String,
    pub object: String,
    /// Digest of the file.
    pub id: String,
    pub file: String,
    pub state: String,
    /// Keys before it, and how many of them it did not have.
    pub known: i64,
    pub vanished: i64,
    /// Deletions made so far.
    pub deleted: i64,
    /// Rows nobody could read.
    pub unread: i64,
    /// The set share, in millionths.
    pub max_drop: i64,
    pub at: i64,
    pub note: String,
}

/// Loads by their time, the newest first; all or those in one state.
pub async fn list(store: &Store, state: Option<&str>, limit: i64) -> Result<Vec<Summary>, Error> {
    let sql = "SELECT system, object, id, file, state, known, vanished, deleted, unread, max_drop, at, note FROM full_load \
               WHERE state = COALESCE($1, state) ORDER BY at DESC, id LIMIT $2";
    let rows = store.read(sql, &[state.map(str::to_owned).into(), limit.into()]).await?;
    Ok(rows.iter().map(summary).collect())
}

fn summary(row: &Row) -> Summary {
    Summary {
        system: row.text(0),
        object: row.text(1),
        id: row.text(2),
        file: row.text(3),
        state: row.text(4),
        known: row.int(5),
        vanished: row.int(6),
        deleted: row.int(7),
        unread: row.int(8),
        max_drop: row.int(9),
        at: row.int(10),
        note: row.text(11),
    }
}

/// Lets a held load make its deletions: a running hub makes them at its next look. False if no such load is held.
pub async fn release(store: &Store, id: &str, reason: &str) -> Result<bool, Error> {
    decide(store, id, reason, "deleting").await
}

/// Gives a held load's deletions up: what vanished stays until a later full load decides. False if no such load is held.
pub async fn give_up(store: &Store, id: &str, reason: &str) -> Result<bool, Error> {
    decide(store, id, reason, "dropped").await
}

async fn decide(store: &Store, id: &str, reason: &str, state: &str) -> Result<bool, Error> {
    let sql = "UPDATE full_load SET state = $2, note = $3, at = $4 WHERE id = $1 AND state = 'held'";
    Ok(store.write(sql, &[id.into(), state.into(), reason.into(), clock::millis().into()]).await? > 0)
}

/// How many loads of a system are held.
pub async fn count(store: &Store, system: &str) -> Result<u64, Error> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM full_load WHERE system = $1 AND state = 'held'";
    let rows = store.read(sql, &[system.into()]).await?;
    Ok(rows.first().and_then(|row| u64::try_from(row.int(0)).ok()).unwrap_or_default())
}
