//! Statements that are no query of rows: the catalogue of a database, and the settings of a session.

use super::dialect::Dialect;

/// Lists (column, type, table as it is really called), and what its parameters are.
pub struct Catalogue {
    pub sql: &'static str,
    /// Whether the name of the table is asked for once more, after table and schema.
    pub name_again: bool,
}

/// None for a database that only its driver knows.
pub fn columns(dialect: Dialect) -> Option<Catalogue> {
    let sql = match dialect {
        Dialect::Sqlite => {
            "SELECT p.name, p.type, m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p \
             WHERE m.type IN ('table', 'view') AND lower(m.name) = lower($1) AND $2 IS NULL ORDER BY p.cid"
        }
        Dialect::Postgres | Dialect::Kingbase => {
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(table_name AS TEXT) FROM information_schema.columns \
             WHERE lower(table_name) = lower($1) AND table_schema = COALESCE(CAST($2 AS TEXT), current_schema()) \
             ORDER BY table_name = $3 DESC, table_name, ordinal_position"
        }
        Dialect::MySql => {
            "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(table_name AS CHAR) FROM information_schema.columns \
             WHERE lower(table_name) = lower(?) AND table_schema = COALESCE(?, DATABASE()) ORDER BY table_name, ordinal_position"
        }
        Dialect::Oracle | Dialect::Dameng => {
            "SELECT column_name, data_type, table_name FROM all_tab_columns WHERE UPPER(table_name) = UPPER(?) \
             AND owner = COALESCE(UPPER(?), SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')) ORDER BY table_name, column_id"
        }
        Dialect::Mssql => {
            "SELECT column_name, data_type, table_name FROM information_schema.columns WHERE LOWER(table_name) = LOWER(?) \
             AND table_schema = COALESCE(?, SCHEMA_NAME()) ORDER BY table_name, ordinal_position"
        }
        Dialect::Generic => return None,
    };
    Some(Catalogue { sql, name_again: matches!(dialect, Dialect::Postgres | Dialect::Kingbase) })
}

/// Session settings: China's time for text of time stamps, read only, floats with all digits, the server's own time limit.
pub fn session(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &["PRAGMA query_only = ON", "PRAGMA busy_timeout = 10000"],
        Dialect::Postgres | Dialect::Kingbase => &[
            "SET TIME ZONE INTERVAL '+08:00' HOUR TO MINUTE",
            "SET default_transaction_read_only = on",
            "SET statement_timeout = 60000",
            "SET DateStyle = ISO",
            "SET extra_float_digits = 3",
        ],
        Dialect::MySql => &["SET time_zone = '+08:00'", "SET SESSION TRANSACTION READ ONLY"],
        Dialect::Oracle => &["ALTER SESSION SET TIME_ZONE = '+08:00'"],
        Dialect::Mssql => &["SET LOCK_TIMEOUT 60000"],
        Dialect::Dameng | Dialect::Generic => &[],
    }
}
