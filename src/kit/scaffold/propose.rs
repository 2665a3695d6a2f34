//! Which dataset fits the columns of a sample, and which column fits which field.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::text,
    kit::sniff::columns::{ADDRESS, BIRTH, Column, NATION, PHONE, Sort},
    schema::{DatasetSchema, Field, Kind, PersonSlot, SchemaRegistry},
};

/// Least score of a pair that is proposed at all.
const MIN_SCORE: i32 = 4;
/// What a demanded field without a column costs a dataset.
const MISSING: i32 = 6;

/// A column for a field, and how sure it is.
#[derive(Debug, Clone)]
pub struct Pair {
    pub pointer: String,
    /// Place among the columns.
    pub column: usize,
    pub score: i32,
}

impl Pair {
    /// For a comment.
    pub fn confidence(&self, share: usize) -> &'static str {
        match self.score {
            8.. if share >= 95 => "certain",
            6.. => "likely",
            _ => "a guess",
        }
    }
}

/// The dataset with the best pairs.
pub fn dataset<'a>(registry: &'a SchemaRegistry, columns: &[Column]) -> Option<&'a DatasetSchema> {
    registry.iter().max_by_key(|schema| worth(schema, columns))
}

fn worth(schema: &DatasetSchema, columns: &[Column]) -> i32 {
    let pairs = pairs(schema, columns);
    let found: i32 = pairs.values().map(|pair| pair.score).sum();
    let lacking = top(schema).filter(|field| field.required && !pairs.contains_key(&field.pointer) && !is_derived(schema, field));
    found - MISSING * i32::try_from(lacking.count()).unwrap_or(i32::MAX / 8)
}

/// Fields of the record itself that an adapter writes.
pub fn top(schema: &DatasetSchema) -> impl Iterator<Item = &Field> {
    schema.fields.iter().filter(|field| field.pointer.matches('/').count() == 1 && field.filled_by.is_none())
}

/// The person that the record itself is about, or names first.
pub fn person(schema: &DatasetSchema) -> Option<&PersonSlot> {
    schema.persons.iter().find(|slot| slot.object.is_empty())
}

/// Fields that follow from an identity number or from the adapter.
fn is_derived(schema: &DatasetSchema, field: &Field) -> bool {
    let of_person = person(schema).is_some_and(|slot| {
        let of = &slot.fields;
        [&of.birth_date, &of.sex, &of.reference].into_iter().flatten().any(|name| name == field.name())
    });
    of_person || field.name() == "id_type"
}

/// The best column for every field, none used twice.
pub fn pairs(schema: &DatasetSchema, columns: &[Column]) -> BTreeMap<String, Pair> {
    let mut all: Vec<Pair> = Vec::new();
    for field in top(schema) {
        for (place, column) in columns.iter().enumerate().filter(|(_, column)| column.path.to_string().find("[]").is_none()) {
            let score = score(schema, field, column);
            all.push(Pair { pointer: field.pointer.clone(), column: place, score });
        }
    }
    all.retain(|pair| pair.score >= MIN_SCORE);
    all.sort_by_key(|pair| -pair.score);
    let (mut used, mut found) = (BTreeSet::new(), BTreeMap::new());
    for pair in all {
        if !used.contains(&pair.column) && !found.contains_key(&pair.pointer) {
            used.insert(pair.column);
            found.insert(pair.pointer.clone(), pair);
        }
    }
    found
}

fn score(schema: &DatasetSchema, field: &Field, column: &Column) -> i32 {
    let name = field.name();
    let is = |of: &Option<String>| of.as_deref() == Some(name);
    let slot = person(schema).map(|slot| &slot.fields);
    let by_person = slot.map_or(0, |of| match &column.sort {
        Sort::Identity if is(&of.number) => 12,
        Sort::Name if is(&of.name) => 10,
        Sort::Date | Sort::Time if is(&of.birth_date) && column.hints(BIRTH) => 10,
        Sort::Code("sex") if is(&of.sex) => 10,
        Sort::Mobile if is(&of.phone) => 10,
        _ => 0,
    });
    if by_person > 0 {
        return by_person;
    }
    let spoken = spoken(field, column);
    let form = match (&field.kind, &column.sort) {
        (Kind::Code(list), Sort::Code(found)) if list == found => 8,
        (Kind::Code(_), Sort::Integer | Sort::Text | Sort::Key) => 0,
        (Kind::Money, Sort::Money) => 4,
        (Kind::Money, Sort::Integer) | (Kind::Integer, Sort::Integer) => 1,
        (Kind::Date, Sort::Date | Sort::Time) | (Kind::DateTime, Sort::Time | Sort::Date) => 2,
        (Kind::String, Sort::Division) if name.ends_with("division") || name.ends_with("division_code") => 6,
        (Kind::String, Sort::Mobile) if name.contains("mobile") || name.contains("phone") => 7,
        (Kind::String, Sort::Key) if name.ends_with("_no") && field.required => 5,
        (Kind::String, Sort::Text) if column.hints(ADDRESS) && name.contains("address") => 8,
        (Kind::String, Sort::Text | Sort::Key | Sort::Name | Sort::BankCard | Sort::Month | Sort::Uscc) => 0,
        _ => return 0,
    };
    let nation = i32::from(column.hints(NATION) && name == "ethnicity" || column.hints(PHONE) && name == "mobile");
    form + spoken + nation * 2
}

/// How much the two names say the same.
fn spoken(field: &Field, column: &Column) -> i32 {
    let column = column.path.last();
    if column.chars().any(text::is_ideograph) {
        return match () {
            () if column == field.name_zh => 6,
            () if !field.name_zh.is_empty() && (column.contains(&field.name_zh) || field.name_zh.contains(column)) => 4,
            () => 0,
        };
    }
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let alike = strsim::jaro_winkler(&plain(column), &plain(field.name()));
    if alike > 0.97 {
        6
    } else if alike > 0.88 {
        4
    } else {
        0
    }
}
