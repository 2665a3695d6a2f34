//! Child tables, nested into their parents' rows: one query per child and page.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Error, TOO_MANY_CHILDREN, check_name, connection::Connection, object, options, query, table::Table, text};
use crate::error::Fault;

/// Child rows of one page that are held in memory.
const LIMIT: usize = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: String,
    table: String,
    on: String,
    parent: Option<String>,
    columns: Option<Vec<String>>,
    gbk_in_latin1: Option<Vec<String>>,
}

/// One child table. Options: `name` of the array in the parent, `table`, `on` (its column that holds the parent's key),
/// `parent` (the parent's column, by default the one called like `on`, else the first of its key), `columns`, `gbk_in_latin1`.
pub struct Child {
    name: String,
    table_name: String,
    on: String,
    parent: Option<String>,
    columns: Vec<String>,
    gbk: Vec<String>,
    table: Option<Table>,
}

impl Child {
    pub fn new(given: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(given)?;
        let columns = given.columns.unwrap_or_default();
        let gbk = given.gbk_in_latin1.unwrap_or_default();
        let names = columns.iter().chain([&given.on]).chain(&given.parent).chain(&gbk);
        let mut faults: Vec<Fault> = names.filter_map(|name| check_name("column", name, false)).collect();
        faults.extend(check_name("table", &given.table, true));
        faults.extend(super::check_gbk(&gbk, [&given.on]));
        let child =
            Self { name: given.name, table_name: given.table, on: given.on, parent: given.parent, columns, gbk, table: None };
        if faults.is_empty() { Ok(child) } else { Err(faults) }
    }

    /// Looks the child table up; returns the column of the parent that the children point to.
    pub async fn look_up(&mut self, connection: &Connection, parent: &Table, key: &[String]) -> Result<String, Error> {
        let table = connection.table(&self.table_name).await?;
        self.table = Some(table.reduce(&self.columns, std::slice::from_ref(&self.on))?.with_gbk(&self.gbk)?);
        let same = Some(self.on.clone()).filter(|on| parent.has(on));
        let column = self.parent.clone().or(same).or_else(|| key.first().cloned()).unwrap_or_else(|| self.on.clone());
        self.parent = Some(column.clone());
        Ok(column)
    }

    /// Puts the children of all `rows` into them, as an array ordered by content, so that equal content stays equal.
    pub async fn nest(&self, connection: &Connection, rows: &mut [Map<String, Value>]) -> Result<(), Error> {
        let (Some(table), Some(parent)) = (&self.table, &self.parent) else { return Ok(()) };
        let parents: BTreeSet<String> = rows.iter().map(|row| text(row, parent)).filter(|value| !value.is_empty()).collect();
        let mut families: HashMap<String, Vec<Value>> = HashMap::new();
        if !parents.is_empty() {
            let parents: Vec<String> = parents.into_iter().collect();
            let query = query::children(table, &self.on, &parents, LIMIT + 1);
            let found = connection.fetch(query, table.columns.len()).await?;
            if found.rows.len() > LIMIT || !found.complete {
                let fault = Fault::new(TOO_MANY_CHILDREN, format!("one page of rows has more than {LIMIT} child rows"));
                return Err(Error::Refused(
                    fault.in_file(self.table_name.clone()).hint("make the child table an object of its own"),
                ));
            }
            for row in found.rows {
                let row = object(table, row);
                families.entry(text(&row, &self.on)).or_default().push(Value::Object(row));
            }
        }
        for row in rows {
            let mut family = families.get(&text(row, parent)).cloned().unwrap_or_default();
            family.sort_by_cached_key(Value::to_string);
            row.insert(self.name.clone(), Value::Array(family));
        }
        Ok(())
    }
}
