//! What differs between databases: quoting, limits, and how a value becomes text without loss.
//!
//! Where it can, a database casts its columns to text itself: it knows its own types (decimals, zero dates, `infinity`).
//! No number passes through a binary float here, but those that are one at the source ([`Dialect::finish`]).

use serde::Deserialize;

/// The SQL that a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    Sqlite,
    Postgres,
    #[serde(alias = "mariadb")]
    MySql,
    Oracle,
    Mssql,
    Dameng,
    Kingbase,
    /// Standard SQL only; values become text in the driver.
    Generic,
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
        let (open, close) = match self {
            Self::MySql => ('`', '`'),
            Self::Mssql => ('[', ']'),
            _ => ('"', '"'),
        };
        name.split('.').map(|part| format!("{open}{part}{close}")).collect::<Vec<_>>().join(".")
    }

    /// A query that gives at most so many rows.
    pub fn limited(self, columns: &str, from: &str, limit: usize) -> String {
        match self {
            // ROWNUM is given before sorting: it counts outside. FETCH FIRST came with 12c.
            Self::Oracle => format!("SELECT * FROM (SELECT {columns} FROM {from}) WHERE ROWNUM <= {limit}"),
            Self::Mssql => format!("SELECT TOP ({limit}) {columns} FROM {from}"),
            Self::Generic => format!("SELECT {columns} FROM {from} FETCH FIRST {limit} ROWS ONLY"),
            _ => format!("SELECT {columns} FROM {from} LIMIT {limit}"),
        }
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
            Self::Postgres | Self::Kingbase if kind == "bytea" => format!("encode({name}, 'hex')"),
            // Text of type money depends on the locale.
            Self::Postgres | Self::Kingbase if kind == "money" => format!("CAST(CAST({name} AS NUMERIC) AS TEXT)"),
            Self::Postgres | Self::Kingbase => format!("CAST({name} AS TEXT)"),
            Self::MySql => mysql_text(&name, &kind),
            Self::Oracle | Self::Dameng => oracle_text(&name, &kind, self),
            Self::Mssql => mssql_text(&name, &kind),
            Self::Generic => name,
        }
    }

    /// The bytes of a text column that holds GBK, in a form that [`super::gbk::read`] takes: SQLite keeps bytes as they
    /// are; elsewhere the column is declared Latin-1 and each byte is one character.
    pub fn as_gbk(self, column: &str, kind: &str) -> String {
        match self {
            Self::Sqlite => format!("lower(hex(CAST({} AS BLOB)))", self.quote(column)),
            _ => self.as_text(column, kind),
        }
    }

    /// What the database could not say in SQL: a binary float of four bytes is written with the fewest digits that mean it.
    pub fn finish(self, kind: &str, text: String) -> String {
        let kind = kind.to_ascii_lowercase();
        match self {
            Self::MySql if kind == "float" => text.parse::<f64>().map_or(text, |number| (number as f32).to_string()),
            Self::Mssql if kind == "real" => text.parse::<f32>().map_or(text, |number| number.to_string()),
            Self::Mssql if kind == "float" => text.parse::<f64>().map_or(text, |number| number.to_string()),
            // Oracle writes 0.5 as `.5`.
            Self::Oracle if is_number(&kind) && text.starts_with('.') => format!("0{text}"),
            Self::Oracle if is_number(&kind) && text.starts_with("-.") => format!("-0{}", &text[1..]),
            _ => text,
        }
    }

    /// Whether an empty text and NULL are the same to the database.
    pub fn empty_is_null(self) -> bool {
        self == Self::Oracle
    }

    /// A text parameter as a value of the column's type, so that comparing uses the column's order and index.
    pub fn typed(self, parameter: &str, kind: &str) -> String {
        let kind = kind.to_ascii_lowercase();
        let cast = |to: &str| format!("CAST({parameter} AS {to})");
        match self {
            // The affinity of the column converts the parameter.
            Self::Sqlite => parameter.to_owned(),
            Self::Generic => match kind.as_str() {
                _ if kind.contains("int") || kind.contains("serial") => cast("DECIMAL(38, 0)"),
                _ if kind.starts_with("numeric") || kind.starts_with("decimal") => cast("DECIMAL(38, 10)"),
                _ if kind.starts_with("timestamp") => cast("TIMESTAMP"),
                "date" => cast("DATE"),
                _ => parameter.to_owned(),
            },
            Self::Postgres | Self::Kingbase if kind == "character" => cast("bpchar"),
            Self::Postgres | Self::Kingbase => cast(&kind),
            Self::MySql if kind.ends_with("int") => cast("DECIMAL(65, 0)"),
            Self::MySql if kind == "decimal" => cast("DECIMAL(65, 30)"),
            Self::MySql if kind == "datetime" || kind == "timestamp" => cast("DATETIME(6)"),
            Self::MySql => parameter.to_owned(),
            Self::Oracle | Self::Dameng => oracle_value(parameter, &kind, self),
            Self::Mssql => mssql_value(parameter, &kind),
        }
    }

    /// The text of a parameter as [`Dialect::typed`] expects it.
    pub fn argument(self, kind: &str, value: &str) -> String {
        let version = self == Self::Mssql && matches!(kind.to_ascii_lowercase().as_str(), "timestamp" | "rowversion");
        let number = || u64::from_str_radix(value.trim_start_matches("0x"), 16).ok();
        match version.then(number).flatten() {
            Some(number) => number.to_string(),
            None => value.to_owned(),
        }
    }

    /// The newest value of a counter below which nothing can appear any more, as decimal text.
    pub fn settled(self) -> Option<&'static str> {
        match self {
            Self::Postgres | Self::Kingbase => Some("SELECT CAST(txid_snapshot_xmin(txid_current_snapshot()) - 1 AS TEXT)"),
            Self::Mssql => Some("SELECT CONVERT(VARCHAR(20), CONVERT(BIGINT, MIN_ACTIVE_ROWVERSION()) - 1)"),
            _ => None,
        }
    }
}

fn is_number(kind: &str) -> bool {
    matches!(kind, "number" | "float" | "binary_float" | "binary_double")
}

fn mysql_text(name: &str, kind: &str) -> String {
    if kind.contains("blob") || kind.contains("binary") {
        return format!("LOWER(HEX({name}))");
    }
    match kind {
        "bit" => format!("CAST({name} + 0 AS CHAR)"),
        // A cast of four-byte floats gives six digits.
        "float" => format!("CAST({name} + 0e0 AS CHAR)"),
        _ => format!("CAST({name} AS CHAR)"),
    }
}

fn oracle_text(name: &str, kind: &str, dialect: Dialect) -> String {
    match kind {
        "date" => format!("TO_CHAR({name}, 'YYYY-MM-DD HH24:MI:SS')"),
        _ if kind.contains("with time zone") => format!("TO_CHAR({name}, 'YYYY-MM-DD HH24:MI:SS.FF6TZH:TZM')"),
        _ if kind.starts_with("timestamp") || kind == "datetime" => format!("TO_CHAR({name}, 'YYYY-MM-DD HH24:MI:SS.FF6')"),
        _ if is_number(kind) && dialect == Dialect::Oracle => {
            format!("TO_CHAR({name}, 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''')")
        }
        "raw" => format!("LOWER(RAWTOHEX({name}))"),
        _ => name.to_owned(),
    }
}

fn oracle_value(parameter: &str, kind: &str, dialect: Dialect) -> String {
    match kind {
        "date" => format!("TO_DATE({parameter}, 'YYYY-MM-DD HH24:MI:SS')"),
        _ if kind.contains("with time zone") => format!("TO_TIMESTAMP_TZ({parameter}, 'YYYY-MM-DD HH24:MI:SS.FFTZH:TZM')"),
        _ if kind.starts_with("timestamp") || kind == "datetime" => {
            format!("TO_TIMESTAMP({parameter}, 'YYYY-MM-DD HH24:MI:SS.FF')")
        }
        _ if is_number(kind) && dialect == Dialect::Oracle => format!("TO_NUMBER({parameter})"),
        _ => parameter.to_owned(),
    }
}

fn mssql_text(name: &str, kind: &str) -> String {
    match kind {
        "date" | "datetime" | "smalldatetime" | "datetime2" | "datetimeoffset" => format!("CONVERT(VARCHAR(40), {name}, 121)"),
        "money" | "smallmoney" => format!("CONVERT(VARCHAR(40), {name}, 2)"),
        // Sixteen and eight digits.
        "float" => format!("CONVERT(VARCHAR(40), {name}, 2)"),
        "real" => format!("CONVERT(VARCHAR(40), {name}, 1)"),
        // Row versions and other bytes become hexadecimal in the driver, as ODBC says.
        _ => name.to_owned(),
    }
}

fn mssql_value(parameter: &str, kind: &str) -> String {
    match kind {
        "date" | "datetime" => format!("CONVERT({kind}, {parameter}, 121)"),
        "smalldatetime" => format!("CONVERT(DATETIME, {parameter}, 121)"),
        "datetime2" => format!("CONVERT(DATETIME2(7), {parameter}, 121)"),
        "datetimeoffset" => format!("CONVERT(DATETIMEOFFSET(7), {parameter}, 121)"),
        "tinyint" | "smallint" | "int" | "bigint" => format!("CONVERT(BIGINT, {parameter})"),
        "decimal" | "numeric" | "money" | "smallmoney" => format!("CONVERT(DECIMAL(38, 10), {parameter})"),
        "timestamp" | "rowversion" => format!("CONVERT(BINARY(8), CONVERT(BIGINT, {parameter}))"),
        // A parameter is national text, which would keep the index of a plain column from being used.
        "char" | "varchar" => format!("CONVERT(VARCHAR(4000), {parameter})"),
        _ => parameter.to_owned(),
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
        for name in ["", "a b", "a\"b", "a;b", "1a", "a.b.c", "a--", "a'", "a`", "x)", ".a", "a.", "a]", "a[b"] {
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
        assert_eq!(Dialect::Oracle.as_text("D", "DATE"), "TO_CHAR(\"D\", 'YYYY-MM-DD HH24:MI:SS')");
        assert_eq!(Dialect::Mssql.as_text("M", "money"), "CONVERT(VARCHAR(40), [M], 2)");
    }

    #[test]
    fn floats_and_oracle_numbers_keep_their_digits() {
        assert_eq!(Dialect::MySql.finish("float", "123456.78125".into()), "123456.78");
        assert_eq!(Dialect::MySql.finish("float", "0.10000000149011612".into()), "0.1");
        assert_eq!(Dialect::Mssql.finish("float", "4.801000000000000e+002".into()), "480.1");
        assert_eq!(Dialect::Oracle.finish("NUMBER", "-.5".into()), "-0.5");
        assert_eq!(Dialect::Oracle.finish("VARCHAR2", ".5".into()), ".5");
    }

    #[test]
    fn each_dialect_limits_and_compares_in_its_own_way() {
        assert_eq!(Dialect::Mssql.limited("a", "t ORDER BY a", 5), "SELECT TOP (5) a FROM t ORDER BY a");
        assert_eq!(
            Dialect::Oracle.limited("a", "t ORDER BY a", 5),
            "SELECT * FROM (SELECT a FROM t ORDER BY a) WHERE ROWNUM <= 5"
        );
        assert!(Dialect::Generic.limited("a", "t", 5).ends_with("FETCH FIRST 5 ROWS ONLY"));
        assert_eq!(Dialect::Mssql.typed("?", "timestamp"), "CONVERT(BINARY(8), CONVERT(BIGINT, ?))");
        assert_eq!(Dialect::Mssql.argument("timestamp", "0x00000000000007D1"), "2001");
        assert_eq!(Dialect::Mssql.argument("datetime", "2017"), "2017");
    }
}
