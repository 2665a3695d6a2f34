//! A look at a database from outside: can it be reached, does it let us in, how far are its tables, what time is it there.
//! Nothing is changed, and no tables are needed.

use std::{collections::BTreeMap, path::Path, str::FromStr, time::Duration};

use sqlx::{AnyConnection, Connection, Row as _, any::AnyConnectOptions, migrate::MigrationType};

use super::MIGRATOR;
use crate::servers;

/// Why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the URL cannot be read")]
    Url,
    #[error("there is no database file")]
    NoFile,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it does not let the user in: wrong user or password")]
    Credentials,
    #[error("the server has no database of that name")]
    NoDatabase,
    /// With the database's code.
    #[error("it refuses (code {0})")]
    Refused(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else { return Self::Unreachable };
        let code = database.code().unwrap_or_default();
        match code.get(..2) {
            Some("28") => Self::Credentials,
            // MariaDB's unknown database is 42000, with its own number in the message only.
            Some("3D") => Self::NoDatabase,
            Some("08" | "57" | "53") => Self::Unreachable,
            _ => Self::Refused(code.into_owned()),
        }
    }
}

/// Where one step of the tables is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Applied,
    Pending,
    /// Begun and not ended.
    Broken,
    /// The database's differs from the program's.
    Changed,
    /// The database has it and this program does not.
    Newer,
}

/// One step of the tables.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Step {
    pub version: i64,
    pub description: String,
    pub state: State,
    /// Of a step that is not done yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// What a look has seen.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The database's clock, milliseconds since 1970; a file has none of its own.
    pub clock: Option<i64>,
    pub steps: Vec<Step>,
}

/// A connection, opened and proven; of several servers to the one that takes writes, else to one that answers.
///
/// # Errors
/// Why there is none: what the last server said.
pub async fn connect(url: &str, limit: Duration) -> Result<AnyConnection, Trouble> {
    let mut found = Err(Trouble::Url);
    for server in servers::each(url) {
        match dial(&server, limit).await {
            Ok(mut connection) => {
                let writes = !server.starts_with("postgres") || is_primary(&mut connection, limit).await;
                found = Ok(connection);
                if writes {
                    break;
                }
            }
            Err(trouble) if found.is_err() => found = Err(trouble),
            Err(_) => {}
        }
    }
    found
}

async fn is_primary(connection: &mut AnyConnection, limit: Duration) -> bool {
    let asked = sqlx::query("SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END").fetch_one(connection);
    let answer = tokio::time::timeout(limit, asked).await;
    matches!(answer, Ok(Ok(row)) if row.try_get::<i32, _>(0).is_ok_and(|writes| writes == 1))
}

async fn dial(url: &str, limit: Duration) -> Result<AnyConnection, Trouble> {
    sqlx::any::install_default_drivers();
    let mut url = url.to_owned();
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.trim_start_matches("//");
        if !Path::new(path.split('?').next().unwrap_or_default()).is_file() {
            return Err(Trouble::NoFile);
        }
        if !path.contains('?') {
            url.push_str("?mode=rw");
        }
    }
    let options = AnyConnectOptions::from_str(&url).map_err(|_| Trouble::Url)?;
    match tokio::time::timeout(limit, AnyConnection::connect_with(&options)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Trouble::Unreachable),
    }
}

/// Looks at the store.
///
/// # Errors
/// Why it cannot be used.
pub async fn look(url: &str, limit: Duration) -> Result<Look, Trouble> {
    let postgres = url.starts_with("postgres");
    let mut connection = connect(url, limit).await?;
    let seen = async {
        let clock = if postgres { clock(&mut connection).await? } else { None };
        let applied = applied(&mut connection, postgres).await?;
        Ok(Look { clock, steps: compare(applied) })
    };
    let seen = tokio::time::timeout(limit, seen).await.unwrap_or(Err(Trouble::Unreachable));
    let _ = tokio::time::timeout(limit, connection.close()).await;
    seen
}

/// The steps of a store that does not exist yet.
pub fn fresh() -> Vec<Step> {
    compare(BTreeMap::new())
}

async fn clock(connection: &mut AnyConnection) -> Result<Option<i64>, Trouble> {
    let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0).ok())
}

/// What the database has: version to description, success and checksum.
type Applied = BTreeMap<i64, (String, bool, String)>;

async fn applied(connection: &mut AnyConnection, postgres: bool) -> Result<Applied, Trouble> {
    let (exists, checksum) = if postgres {
        (
            "SELECT CAST(COUNT(*) AS BIGINT) FROM information_schema.tables WHERE table_name = '_sqlx_migrations' AND table_schema = current_schema()",
            "encode(checksum, 'hex')",
        )
    } else {
        ("SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'", "lower(hex(checksum))")
    };
    let count: i64 = sqlx::query(exists).fetch_one(&mut *connection).await?.try_get(0).unwrap_or_default();
    if count == 0 {
        return Ok(Applied::new());
    }
    let sql = format!(
        "SELECT version, description, CAST(CASE WHEN success THEN 1 ELSE 0 END AS BIGINT), {checksum} FROM _sqlx_migrations"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await?;
    let row = |row: &sqlx::any::AnyRow| {
        let text = |column: usize| row.try_get::<String, _>(column).unwrap_or_default();
        (row.try_get(0).unwrap_or_default(), (text(1), row.try_get::<i64, _>(2).is_ok_and(|good| good == 1), text(3)))
    };
    Ok(rows.iter().map(row).collect())
}

fn compare(mut applied: Applied) -> Vec<Step> {
    let mut steps = Vec::new();
    let own = MIGRATOR.iter().filter(|step| matches!(step.migration_type, MigrationType::Simple | MigrationType::ReversibleUp));
    for step in own {
        let state = match applied.remove(&step.version) {
            None => State::Pending,
            Some((_, false, _)) => State::Broken,
            Some((_, _, checksum)) if checksum != hex::encode(&*step.checksum) => State::Changed,
            Some(_) => State::Applied,
        };
        let sql = (state == State::Pending).then(|| step.sql.as_str().to_owned());
        steps.push(Step { version: step.version, description: step.description.to_string(), state, sql });
    }
    let newer =
        applied.into_iter().map(|(version, (description, ..))| Step { version, description, state: State::Newer, sql: None });
    steps.extend(newer);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_looked_at_and_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("hub.db").display());
        let limit = Duration::from_secs(5);
        assert_eq!(look(&url, limit).await.map(|_| ()).unwrap_err(), Trouble::NoFile);
        let store = super::super::Store::open(&url).await.unwrap();
        let states = async || look(&url, limit).await.unwrap().steps.iter().map(|step| step.state).collect::<Vec<_>>();
        assert!(states().await.iter().all(|state| *state == State::Pending));
        store.migrate().await.unwrap();
        assert!(states().await.iter().all(|state| *state == State::Applied));
        store.write("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1", &[]).await.unwrap();
        store.write("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 2", &[]).await.unwrap();
        let states = states().await;
        assert_eq!((states[0], states[1], states.last()), (State::Changed, State::Pending, Some(&State::Newer)));
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_said_to_be() {
        let found = connect("postgres://u@127.0.0.1:9/db", Duration::from_secs(5)).await;
        assert_eq!(found.map(|_| ()).unwrap_err(), Trouble::Unreachable);
        assert_eq!(connect("postgres://[", Duration::from_secs(5)).await.map(|_| ()).unwrap_err(), Trouble::Url);
    }
}
