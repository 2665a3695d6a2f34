//! A TOML document with the places of its keys: collects every fault instead of stopping at the first.

use toml::de::{DeTable, DeValue};

use super::{SPEC_SYNTAX, SPEC_UNKNOWN_KEY, SPEC_VALUE};
use crate::{
    adapter::map::diagnose::nearest,
    error::{Code, Fault},
};

/// A table of the document.
pub(super) type Table<'t> = DeTable<'t>;

/// Reads one document and remembers what is wrong with it.
pub(super) struct Reader<'t> {
    file: String,
    text: &'t str,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        Self { file: file.to_owned(), text, faults: vec![] }
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    pub(super) fn add(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// The document; every fault of its syntax is kept.
    pub(super) fn root(&mut self) -> Option<Table<'t>> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.fault(at, SPEC_SYNTAX, error.message().replace('\n', "; "), None);
        }
        errors.is_empty().then(|| root.into_inner())
    }

    /// A fault at the key of a table, or at the table's first key where that is missing.
    pub(super) fn fault_at(&mut self, table: &Table<'_>, key: &str, code: Code, message: String, expected: &str) {
        self.fault(place(table, key), code, message, Some(expected));
    }

    fn fault(&mut self, byte: usize, code: Code, message: String, expected: Option<&str>) {
        let line = self.text.get(..byte).unwrap_or_default().matches('\n').count() as u64 + 1;
        let fault = Fault::new(code, message).in_file(self.file.as_str()).at_row(line);
        self.faults.push(match expected {
            Some(expected) => fault.expected(expected),
            None => fault,
        });
    }

    /// Refuses keys that are not known, with the nearest known one.
    pub(super) fn refuse_unknown(&mut self, table: &Table<'_>, known: &[&str]) {
        for name in table.keys().filter(|name| !known.contains(&name.get_ref().as_ref())) {
            let message = format!("the key `{}` is unknown", name.get_ref());
            self.fault(name.span().start, SPEC_UNKNOWN_KEY, message, Some(&meant(name.get_ref(), known)));
        }
    }

    pub(super) fn table<'d>(&mut self, table: &Table<'d>, key: &str) -> Option<Table<'d>> {
        if !table.contains_key(key) {
            self.fault_at(table, key, SPEC_VALUE, format!("the table `[{key}]` is missing"), &format!("`[{key}]`"));
        }
        self.optional_table(table, key)
    }

    pub(super) fn optional_table<'d>(&mut self, table: &Table<'d>, key: &str) -> Option<Table<'d>> {
        match table.get(key)?.get_ref() {
            DeValue::Table(inner) => Some(inner.clone()),
            other => {
                self.wrong(table, key, other, "a table");
                None
            }
        }
    }

    /// The tables of `[[key]]`; there must be one at least.
    pub(super) fn tables<'d>(&mut self, table: &Table<'d>, key: &str) -> Vec<Table<'d>> {
        let items: Vec<_> = match table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::Array(items)) => items.iter().filter_map(|item| item.get_ref().as_table().cloned()).collect(),
            _ => vec![],
        };
        if items.is_empty() {
            self.fault_at(table, key, SPEC_VALUE, format!("there is no `[[{key}]]`"), "one table at least");
        }
        items
    }

    /// A text that must be there and not be empty.
    pub(super) fn text(&mut self, table: &Table<'_>, key: &str) -> Option<String> {
        if !table.contains_key(key) {
            self.fault_at(table, key, SPEC_VALUE, format!("the key `{key}` is missing"), &format!("`{key} = \"...\"`"));
        }
        self.optional_text(table, key)
    }

    pub(super) fn optional_text(&mut self, table: &Table<'_>, key: &str) -> Option<String> {
        match table.get(key)?.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Some(text.to_string()),
            other => {
                self.wrong(table, key, other, "a text that is not empty");
                None
            }
        }
    }

    /// A list of texts that must be there and not be empty.
    pub(super) fn list(&mut self, table: &Table<'_>, key: &str) -> Option<Vec<String>> {
        const EXPECTED: &str = "a list of texts, such as [\"a\", \"b\"]";
        let Some(value) = table.get(key) else {
            self.fault_at(table, key, SPEC_VALUE, format!("the key `{key}` is missing"), EXPECTED);
            return None;
        };
        let texts = match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            }
            _ => None,
        };
        if texts.as_ref().is_none_or(Vec::is_empty) {
            self.fault_at(table, key, SPEC_VALUE, format!("`{key}` has a wrong value"), EXPECTED);
            return None;
        }
        texts
    }

    /// A table of nothing but texts (or integers, as texts); empty when missing.
    pub(super) fn texts_of<'d>(&mut self, table: &Table<'d>, key: &str) -> Vec<(String, String)> {
        let Some(inner) = self.optional_table(table, key) else { return vec![] };
        let mut pairs = Vec::with_capacity(inner.len());
        for (name, value) in &inner {
            match value.get_ref() {
                DeValue::String(text) => pairs.push((name.get_ref().to_string(), text.to_string())),
                DeValue::Integer(number) => pairs.push((name.get_ref().to_string(), number.to_string())),
                other => self.wrong(&inner, name.get_ref(), other, "a text"),
            }
        }
        pairs
    }

    fn wrong(&mut self, table: &Table<'_>, key: &str, value: &DeValue<'_>, expected: &str) {
        let message = format!("`{key}` has a wrong value, of type {}", value.type_str());
        self.fault_at(table, key, SPEC_VALUE, message, expected);
    }
}

/// `did you mean` for names: the nearest, or all.
pub(super) fn meant(name: &str, known: &[&str]) -> String {
    nearest(name, known).map_or_else(|| format!("one of {}", known.join(", ")), |near| format!("`{near}`"))
}

/// Byte of a key, or of the first key of the table.
fn place(table: &Table<'_>, key: &str) -> usize {
    let at = table.iter().find(|(name, _)| name.get_ref() == key).map(|(name, _)| name.span().start);
    at.or_else(|| table.keys().map(|name| name.span().start).min()).unwrap_or(0)
}

/// The table without places.
pub(super) fn raw(table: &Table<'_>) -> toml::Table {
    table.iter().map(|(name, value)| (name.get_ref().to_string(), raw_value(value.get_ref()))).collect()
}

fn raw_value(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Float)
        }
        DeValue::Boolean(value) => toml::Value::Boolean(*value),
        DeValue::Datetime(moment) => toml::Value::Datetime(*moment),
        DeValue::Array(items) => toml::Value::Array(items.iter().map(|item| raw_value(item.get_ref())).collect()),
        DeValue::Table(inner) => toml::Value::Table(raw(inner)),
    }
}
