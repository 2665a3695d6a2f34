//! The statements of the SQL source: built from checked names and the catalogue, every value bound.

use super::{dialect::Dialect, table::Table};

/// A statement and its parameters in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub sql: String,
    pub args: Vec<Option<String>>,
}

/// Where the next page begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cursor {
    /// At the first row.
    #[default]
    Start,
    /// At this watermark, rows with it included.
    From(String),
    /// After this watermark and key.
    After(String, Vec<String>),
}

/// Builds statements; collects the parameters.
struct Builder {
    dialect: Dialect,
    numbered: bool,
    args: Vec<Option<String>>,
}

impl Builder {
    fn of(table: &Table) -> Self {
        Self { dialect: table.dialect, numbered: table.numbered, args: Vec::new() }
    }

    fn bind(&mut self, kind: &str, value: &str) -> String {
        self.args.push(Some(self.dialect.argument(kind, value)));
        let parameter = if self.numbered { format!("${}", self.args.len()) } else { "?".to_owned() };
        self.dialect.typed(&parameter, kind)
    }

    /// `a op x` where the column and its type come from the table.
    fn compare(&mut self, table: &Table, column: &str, op: &str, value: &str) -> String {
        let parameter = self.bind(table.kind(column), value);
        format!("{} {op} {parameter}", self.dialect.quote(column))
    }
}

/// One page of rows ordered by watermark and key.
pub fn page(table: &Table, watermark: &str, key: &[String], cursor: &Cursor, upper: Option<&str>, limit: usize) -> Query {
    let mut builder = Builder::of(table);
    let mut conditions = Vec::new();
    match cursor {
        Cursor::Start => {}
        Cursor::From(from) => conditions.push(builder.compare(table, watermark, ">=", from)),
        Cursor::After(mark, after) => {
            // The first condition is implied by the second: it is there for the index.
            conditions.push(builder.compare(table, watermark, ">=", mark));
            let columns: Vec<&str> = std::iter::once(watermark).chain(key.iter().map(String::as_str)).collect();
            let values: Vec<&str> = std::iter::once(mark.as_str()).chain(after.iter().map(String::as_str)).collect();
            conditions.push(later(&mut builder, table, &columns, &values));
        }
    }
    match upper {
        Some(upper) => conditions.push(builder.compare(table, watermark, "<=", upper)),
        None => conditions.push(format!("{} IS NOT NULL", table.dialect.quote(watermark))),
    }
    let order: Vec<String> =
        std::iter::once(watermark).chain(key.iter().map(String::as_str)).map(|c| table.dialect.quote(c)).collect();
    let name = table.dialect.quote(&table.name);
    let from = format!("{name} WHERE {} ORDER BY {}", conditions.join(" AND "), order.join(", "));
    Query { sql: table.dialect.limited(&table.select(), &from, limit), args: builder.args }
}

/// The greatest watermark there is.
pub fn greatest(table: &Table, watermark: &str) -> Query {
    let (dialect, mark) = (table.dialect, table.dialect.quote(watermark));
    let from = format!("{} WHERE {mark} IS NOT NULL ORDER BY {mark} DESC", dialect.quote(&table.name));
    Query { sql: dialect.limited(&dialect.as_text(watermark, table.kind(watermark)), &from, 1), args: Vec::new() }
}

/// `(a > x OR (a = x AND (b > y OR …)))`: row values compared column by column, which every database knows.
fn later(builder: &mut Builder, table: &Table, columns: &[&str], values: &[&str]) -> String {
    let greater = builder.compare(table, columns[0], ">", values[0]);
    if columns.len() == 1 || values.len() == 1 {
        return greater;
    }
    let equal = builder.compare(table, columns[0], "=", values[0]);
    let rest = later(builder, table, &columns[1..], &values[1..]);
    format!("({greater} OR ({equal} AND {rest}))")
}

/// How many rows no page ever shows: without a watermark, or with one beyond `upper`.
pub fn unreadable(table: &Table, watermark: &str, upper: Option<&str>) -> Query {
    let mut builder = Builder::of(table);
    let mut condition = format!("{} IS NULL", table.dialect.quote(watermark));
    if let Some(upper) = upper {
        condition = format!("{condition} OR {}", builder.compare(table, watermark, ">", upper));
    }
    let text = match table.dialect {
        Dialect::Sqlite | Dialect::Postgres | Dialect::Kingbase => "TEXT",
        Dialect::MySql => "CHAR",
        _ => "VARCHAR(20)",
    };
    let sql = format!("SELECT CAST(COUNT(*) AS {text}) FROM {} WHERE {condition}", table.dialect.quote(&table.name));
    Query { sql, args: builder.args }
}

/// The child rows of a whole page.
pub fn children(table: &Table, on: &str, parents: &[String], limit: usize) -> Query {
    let mut builder = Builder::of(table);
    let list: Vec<String> = parents.iter().map(|parent| builder.bind(table.kind(on), parent)).collect();
    let on = table.dialect.quote(on);
    let from = format!("{} WHERE {on} IN ({}) ORDER BY {on}", table.dialect.quote(&table.name), list.join(", "));
    Query { sql: table.dialect.limited(&table.select(), &from, limit), args: builder.args }
}

#[cfg(test)]
mod tests {
    use super::{super::table::Column, *};

    fn table(dialect: Dialect) -> Table {
        let columns = [("ID", "integer"), ("T", "timestamp without time zone")];
        let columns = columns.map(|(name, kind)| Column { name: name.to_owned(), kind: kind.to_owned(), gbk: false }).to_vec();
        Table { dialect, numbered: dialect != Dialect::MySql, name: "s.t".into(), columns }
    }

    #[test]
    fn a_page_continues_after_watermark_and_key() {
        let cursor = Cursor::After("2017-07-03 09:00:00".into(), vec!["7".into()]);
        let query = page(&table(Dialect::Postgres), "T", &["ID".into()], &cursor, None, 10);
        let stamp = |n| format!("CAST(${n} AS timestamp without time zone)");
        let condition = format!(
            "\"T\" >= {} AND (\"T\" > {} OR (\"T\" = {} AND \"ID\" > CAST($4 AS integer))) AND \"T\" IS NOT NULL",
            stamp(1),
            stamp(2),
            stamp(3)
        );
        assert!(query.sql.contains(&condition), "{}", query.sql);
        assert!(
            query.sql.ends_with("FROM \"s\".\"t\" WHERE ".to_owned().as_str())
                || query.sql.contains("ORDER BY \"T\", \"ID\" LIMIT 10")
        );
        assert_eq!(query.args.len(), 4);
    }

    #[test]
    fn values_are_bound_never_written() {
        let evil = "'; DROP TABLE t; --".to_owned();
        for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql, Dialect::Oracle, Dialect::Mssql, Dialect::Generic] {
            let table = table(dialect);
            let queries = [
                page(&table, "T", &["ID".into()], &Cursor::After(evil.clone(), vec![evil.clone()]), Some(&evil), 1),
                children(&table, "ID", std::slice::from_ref(&evil), 9),
                unreadable(&table, "T", Some(&evil)),
            ];
            assert!(queries.iter().all(|query| !query.sql.contains("DROP") && query.args.contains(&Some(evil.clone()))));
        }
    }
}
