//! What differs between databases: quoting, parameters, and how a value becomes text without loss.
//!
//! Every column is cast to text by the database itself: it knows its own types (decimals, zero dates, `infinity`), and no
//! number passes through a binary float here.

/// A database spoken natively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

impl Dialect {
    /// By the scheme of its URL.
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            _ => None,
        }
    }

    /// Quotes an identifier that has passed [`valid_identifier`]; a schema before a dot is quoted by itself.
    pub fn quote(self, name: &str) -> String {
        let mark = if self == Self::MySql { '`' } else { '"' };
        name.split('.').map(|part| format!("{mark}{part}{mark}")).collect::<Vec<_>>().join(".")
    }

    /// The parameter number `n`, counted from 1.
    pub fn parameter(self, n: usize) -> String {
        if self == Self::MySql { "?".to_owned() } else { format!("${n}") }
    }

    /// A column as text.
    pub fn as_text(self, column: &str, kind: &str) -> String {
        let name = self.quote(column);
        let kind = kind.to_ascii_lowercase();
        match self {
            // As bytes: SQLite keeps texts that are no UTF-8, and one of them must not stop the rows beside it.
            Self::Sqlite => {
                format!("CAST(CASE typeof({name}) WHEN 'blob' THEN lower(hex({name})) ELSE CAST({name} AS TEXT) END AS BLOB)")
            }
            Self::Postgres if kind == "bytea" => format!("encode({name}, 'hex')"),
            // Text of type money depends on the locale.
            Self::Postgres if kind == "money" => format!("CAST(CAST({name} AS NUMERIC) AS TEXT)"),
            Self::Postgres => format!("CAST({name} AS TEXT)"),
            Self::MySql if kind.contains("blob") || kind.contains("binary") => format!("LOWER(HEX({name}))"),
            Self::MySql if kind == "bit" => format!("CAST({name} + 0 AS CHAR)"),
            Self::MySql => format!("CAST({name} AS CHAR)"),
        }
    }

    /// A text parameter as a value of the column's type, so that comparing uses the column's order and index.
    pub fn typed(self, parameter: &str, kind: &str) -> String {
        let kind = kind.to_ascii_lowercase();
        match self {
            // The affinity of the column converts the parameter.
            Self::Sqlite => parameter.to_owned(),
            Self::Postgres if kind == "character" => format!("CAST({parameter} AS bpchar)"),
            Self::Postgres => format!("CAST({parameter} AS {kind})"),
            Self::MySql if kind.ends_with("int") => format!("CAST({parameter} AS DECIMAL(65, 0))"),
            Self::MySql if kind == "decimal" => format!("CAST({parameter} AS DECIMAL(65, 30))"),
            Self::MySql if kind == "datetime" || kind == "timestamp" => format!("CAST({parameter} AS DATETIME(6))"),
            Self::MySql => parameter.to_owned(),
        }
    }

    /// Lists (column, type, table as it is really called); parameters: table, schema or NULL.
    pub fn columns_sql(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT p.name, p.type, m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p \
                 WHERE m.type IN ('table', 'view') AND lower(m.name) = lower($1) AND $2 IS NULL ORDER BY p.cid"
            }
            Self::Postgres => {
                "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(table_name AS TEXT) FROM information_schema.columns \
                 WHERE lower(table_name) = lower($1) AND table_schema = COALESCE(CAST($2 AS TEXT), current_schema()) \
                 ORDER BY table_name = $1 DESC, table_name, ordinal_position"
            }
            Self::MySql => {
                "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(table_name AS CHAR) FROM information_schema.columns \
                 WHERE lower(table_name) = lower(?) AND table_schema = COALESCE(?, DATABASE()) ORDER BY table_name, ordinal_position"
            }
        }
    }

    /// Session settings: China's time for text of time stamps, read only, and the server's own time limit.
    pub fn session(self) -> &'static str {
        match self {
            Self::Sqlite => "PRAGMA query_only = ON; PRAGMA busy_timeout = 10000",
            Self::Postgres => {
                "SET TIME ZONE INTERVAL '+08:00' HOUR TO MINUTE; SET default_transaction_read_only = on; SET statement_timeout = 60000; \
                 SET DateStyle = ISO"
            }
            Self::MySql => "SET time_zone = '+08:00'; SET SESSION TRANSACTION READ ONLY",
        }
    }
}

/// A type name taken from the catalogue and put into a statement: letters, digits, spaces, brackets of arrays.
pub fn valid_type(kind: &str) -> bool {
    kind.len() <= 64 && kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '(' | ')' | ','))
}

/// Table and column names: letters (Chinese ones too), digits, `_`, `$`, `#`; not a digit in front; at most one schema.
pub fn valid_identifier(name: &str, schema: bool) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let part = |part: &&str| {
        let first = part.chars().next();
        let good = part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '#'));
        good && part.len() <= 128 && first.is_some_and(|c| !c.is_numeric())
    };
    parts.len() <= 1 + usize::from(schema) && parts.iter().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_that_could_be_sql_are_refused() {
        for name in ["DB_FAMILY", "dbo.T_FAMILY", "家庭", "A$B#1", "_x"] {
            assert!(valid_identifier(name, true), "{name}");
        }
        for name in ["", "a b", "a\"b", "a;b", "1a", "a.b.c", "a--", "a'", "a`", "x)", ".a", "a."] {
            assert!(!valid_identifier(name, true), "{name}");
        }
        assert!(!valid_identifier("a.b", false));
    }

    #[test]
    fn values_become_text_in_the_database() {
        assert_eq!(Dialect::Postgres.as_text("m", "money"), "CAST(CAST(\"m\" AS NUMERIC) AS TEXT)");
        assert_eq!(Dialect::MySql.as_text("b", "BLOB"), "LOWER(HEX(`b`))");
        assert_eq!(Dialect::MySql.typed("?", "bigint"), "CAST(? AS DECIMAL(65, 0))");
        assert_eq!(Dialect::of("mariadb://x"), Some(Dialect::MySql));
        assert_eq!(Dialect::of("oracle://x"), None);
    }
}
