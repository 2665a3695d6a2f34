//! Reads a partner file key by key and notes every fault with its line, instead of stopping at the first.

use std::{cell::RefCell, ops::Range, time::Duration};

use time::{Date, macros::format_description};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::error::{Code, Fault};

/// A key that the format does not have.
pub const UNKNOWN_KEY: Code = Code::new(5102);
/// A key that must be there is not.
pub const MISSING: Code = Code::new(5103);
/// A value has the wrong type, form or range.
pub const INVALID: Code = Code::new(5104);

/// The faults of one file.
pub(in crate::govern) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, faults: RefCell::default() }
    }

    /// A fault of this file at a byte range, ready to be completed and given to [`Report::push`].
    pub fn at(&self, code: Code, span: &Range<usize>, message: impl Into<String>) -> Fault {
        let before = self.text.get(..span.start).unwrap_or_default();
        Fault::new(code, message).in_file(self.file).at_row(before.matches('\n').count() as u64 + 1)
    }

    pub fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}

/// One table of the file.
pub(in crate::govern) struct Section<'a> {
    pub report: &'a Report<'a>,
    table: &'a DeTable<'a>,
    name: String,
    span: Range<usize>,
}

impl<'a> Section<'a> {
    /// `known` are all keys the table may have; others are reported here.
    pub fn new(report: &'a Report<'a>, table: &'a DeTable<'a>, name: &str, span: Range<usize>, known: &[&str]) -> Self {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let fault = report.at(UNKNOWN_KEY, &key.span(), format!("unknown key `{}` in {name}", key.get_ref()));
            report.push(nearest(fault, key.get_ref(), known));
        }
        Self { report, table, name: name.to_owned(), span }
    }

    pub fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// The keys and values as written, for tables whose keys are data.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Range<usize>, &'a Spanned<DeValue<'a>>)> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// Reports a fault at the value of `key`, or at the table where it is missing.
    pub fn wrong(&self, code: Code, key: &str, message: impl Into<String>, expected: &str) {
        let span = self.get(key).map_or_else(|| self.span.clone(), Spanned::span);
        self.report.push(self.report.at(code, &span, message).at_column(key).expected(expected));
    }

    fn invalid(&self, key: &str, expected: &str) {
        self.wrong(INVALID, key, format!("`{key}` of {} cannot be used", self.name), expected);
    }

    /// Text that must be there and not be blank.
    pub fn text(&self, key: &str) -> Option<String> {
        if self.get(key).is_none() {
            self.wrong(MISSING, key, format!("`{key}` of {} is missing", self.name), "a text");
        }
        self.optional_text(key)
    }

    pub fn optional_text(&self, key: &str) -> Option<String> {
        let text = self.get(key)?.get_ref().as_str().map(str::trim).filter(|text| !text.is_empty());
        if text.is_none() {
            self.invalid(key, "a text that is not blank");
        }
        text.map(str::to_owned)
    }

    /// A whole number within the range, `default` where it is not given.
    pub fn number(&self, key: &str, range: std::ops::RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.get(key) else { return default };
        let number = value.get_ref().as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            self.invalid(key, &format!("a whole number from {} to {}", range.start(), range.end()));
            default
        })
    }

    pub fn flag(&self, key: &str) -> bool {
        let Some(value) = self.get(key) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.invalid(key, "true or false");
            false
        })
    }

    /// A list of texts; empty where it is not given.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.invalid(key, "a list of texts");
            return Vec::new();
        };
        let texts: Vec<String> = list.iter().filter_map(|item| item.get_ref().as_str()).map(str::to_owned).collect();
        if texts.len() != list.iter().count() {
            self.invalid(key, "a list of texts");
        }
        texts
    }

    /// A day, as text or as a TOML date.
    pub fn date(&self, key: &str) -> Option<Date> {
        let Some(value) = self.get(key) else {
            self.wrong(MISSING, key, format!("`{key}` of {} is missing", self.name), "a day like 2017-07-01");
            return None;
        };
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Datetime(moment) => moment.to_string(),
            _ => String::new(),
        };
        let day = Date::parse(&text, format_description!("[year]-[month]-[day]")).ok();
        if day.is_none() {
            self.invalid(key, "a day like 2017-07-01");
        }
        day
    }

    /// A time such as `500ms`, `10s`, `2m`, `1h`, between 1 ms and `most`.
    pub fn duration(&self, key: &str, default: Duration, most: Duration) -> Duration {
        let Some(value) = self.get(key) else { return default };
        let duration = value.get_ref().as_str().and_then(parse_duration);
        duration.filter(|duration| !duration.is_zero() && *duration <= most).unwrap_or_else(|| {
            self.invalid(key, &format!("a time like 500ms, 10s or 2m, at most {} s", most.as_secs()));
            default
        })
    }

    /// The table under `key`.
    pub fn section(&self, key: &str, known: &[&str]) -> Option<Section<'a>> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.invalid(key, "a table");
            return None;
        };
        Some(Section::new(self.report, table, &format!("[{key}]"), value.span(), known))
    }

    /// A table whose keys are data, not settings.
    pub fn open_section(&self, key: &str) -> Option<Section<'a>> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.invalid(key, "a table");
            return None;
        };
        Some(Section { report: self.report, table, name: format!("[{key}]"), span: value.span() })
    }

    /// The tables under `[[key]]`.
    pub fn sections(&self, key: &str, known: &[&str]) -> Vec<Section<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.invalid(key, "a list of tables");
            return Vec::new();
        };
        let tables = list.iter().filter_map(|item| item.get_ref().as_table().map(|table| (table, item.span())));
        tables.map(|(table, span)| Section::new(self.report, table, &format!("[[{key}]]"), span, known)).collect()
    }
}

/// Adds the nearest known name, or all of them when nothing is near.
pub(in crate::govern) fn nearest(fault: Fault, name: &str, known: &[&str]) -> Fault {
    let best = known.iter().map(|other| (strsim::jaro_winkler(name, other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, other)) if likeness > 0.75 => fault.hint(format!("did you mean `{other}`?")),
        _ if known.len() <= 30 => fault.expected(format!("one of {}", known.join(", "))),
        _ => fault,
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().ok()?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}
