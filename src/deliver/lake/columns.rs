//! The columns of a dataset's table, made from its JSON Schema.
//!
//! | JSON Schema | column |
//! |---|---|
//! | string | string |
//! | string with the money pattern (two decimals) | decimal(12,2) |
//! | string, `format: date` | date |
//! | string, `format: date-time` | timestamp (UTC, microseconds) |
//! | integer | long |
//! | boolean | boolean |
//! | array, object, number, anything else | string holding the JSON text |
//!
//! A JSON `number` stays text because the hub has no binary floating point: what needs arithmetic is an
//! integer or money. All columns may be null: a field outside the agreement is absent. A field that collides with
//! an event column, or differs from an earlier field in case alone, gets the prefix `record_`.

use std::{collections::HashSet, sync::Arc};

use deltalake_core::{
    arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimeUnit},
    kernel::{DataType, PrimitiveType, StructField},
};
use serde_json::Value;

use super::{LakeSchema, error::SCHEMA};
use crate::error::Fault;

/// Name of the partition column: the day (China) on which the lake took the record.
pub const INGEST_DATE: &str = "ingest_date";
/// Digits and decimals of money: the canonical pattern has at most ten digits before the point.
pub const MONEY: (u8, u8) = (12, 2);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Long,
    Money,
    Date,
    Time,
    Bool,
    /// The JSON text of whatever the field holds.
    Json,
}

impl Kind {
    pub(super) fn arrow(self) -> ArrowType {
        match self {
            Self::Text | Self::Json => ArrowType::Utf8,
            Self::Long => ArrowType::Int64,
            Self::Money => ArrowType::Decimal128(MONEY.0, MONEY.1 as i8),
            Self::Date => ArrowType::Date32,
            Self::Time => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Bool => ArrowType::Boolean,
        }
    }

    fn delta(self) -> DataType {
        match self {
            Self::Text | Self::Json => DataType::STRING,
            Self::Long => DataType::LONG,
            // 12 and 2 are within what Delta allows; text is what a reader can still use if that ever changed.
            Self::Money => PrimitiveType::decimal(MONEY.0, MONEY.1).map_or(DataType::STRING, DataType::Primitive),
            Self::Date => DataType::DATE,
            Self::Time => DataType::TIMESTAMP,
            Self::Bool => DataType::BOOLEAN,
        }
    }

    /// What a value must look like, for the text of a fault.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Long => "a whole number of at most 64 bits",
            Self::Money => "an amount like \"480.00\" with at most ten digits before the point",
            Self::Date => "a date yyyy-mm-dd",
            Self::Time => "a time like 2017-07-03T09:00:00+08:00",
            Self::Bool => "true or false",
            Self::Json => "any JSON value",
        }
    }
}

/// The columns that every table has, before those of the record; `ingest_date` follows them.
pub(super) const EVENT_COLUMNS: [(&str, Kind); 10] = [
    ("event_id", Kind::Text),
    ("delivery_id", Kind::Text),
    ("system", Kind::Text),
    ("subject", Kind::Text),
    ("op", Kind::Text),
    ("occurred_at", Kind::Time),
    ("sequence", Kind::Long),
    ("division", Kind::Text),
    ("quality", Kind::Json),
    // Fields that the schema of this process does not know (a newer adapter's): kept, not lost.
    ("extra", Kind::Json),
];

/// One column of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Name in the table.
    pub name: String,
    /// Name in the canonical record.
    pub field: String,
    pub kind: Kind,
}

/// The columns of one dataset.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Ordered by field, as the maps of `serde_json` are: a record is read in one pass over both.
    pub(super) record: Vec<Column>,
}

impl Columns {
    /// Reads the properties of the schema.
    ///
    /// # Errors
    /// All faults ([`SCHEMA`]): not an object schema, a reference that leads nowhere, a name no table can have.
    pub fn of(schema: &LakeSchema) -> Result<Self, Vec<Fault>> {
        let root = schema.resolve(&schema.schema, &schema.schema).unwrap_or(&schema.schema);
        let Some(properties) = root.get("properties").and_then(Value::as_object) else {
            let fault = Fault::new(SCHEMA, format!("the schema of `{}` has no properties", schema.dataset));
            return Err(vec![fault.at_pointer("/properties").expected("an object schema with `properties`")]);
        };
        let mut faults = Vec::new();
        let mut record = Vec::with_capacity(properties.len());
        let mut taken: HashSet<String> = EVENT_COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
        taken.insert(INGEST_DATE.to_owned());
        for (field, property) in properties {
            let name = if taken.contains(&field.to_lowercase()) { format!("record_{field}") } else { field.clone() };
            let place = format!("/properties/{field}");
            if !taken.insert(name.to_lowercase()) || name.contains(|c: char| " ,;{}()\n\t=".contains(c)) {
                let fault = Fault::new(SCHEMA, format!("field `{field}` of `{}` cannot name a column", schema.dataset));
                faults.push(fault.at_pointer(place).expected("names that differ in more than case, without space , ; { } ( ) ="));
                continue;
            }
            match schema.kind(property) {
                Some(kind) => record.push(Column { name, field: field.clone(), kind }),
                None => {
                    let message = format!("the reference of field `{field}` of `{}` leads nowhere", schema.dataset);
                    faults
                        .push(Fault::new(SCHEMA, message).at_pointer(place).hint("give the shared definitions with the schema"));
                }
            }
        }
        if faults.is_empty() { Ok(Self { record }) } else { Err(faults) }
    }

    /// Name and kind of every column but the partition, in the order of the table.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Kind)> {
        EVENT_COLUMNS.into_iter().chain(self.record.iter().map(|column| (column.name.as_str(), column.kind)))
    }

    /// The fields of the Delta table, partition column included.
    pub(super) fn delta(&self) -> Vec<StructField> {
        let mut fields: Vec<_> = self.all().map(|(name, kind)| StructField::nullable(name, kind.delta())).collect();
        fields.insert(EVENT_COLUMNS.len(), StructField::nullable(INGEST_DATE, DataType::DATE));
        fields
    }

    /// The columns of a parquet file: the partition column lives in the log and the path.
    pub(super) fn arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.all().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect::<Vec<_>>()))
    }
}

impl LakeSchema {
    /// The kind of a property; `None` when a reference leads nowhere.
    fn kind(&self, property: &Value) -> Option<Kind> {
        let property = self.resolve(property, &self.schema)?;
        for choice in ["anyOf", "oneOf", "allOf"] {
            // `anyOf: [X, null]` is an optional X; `allOf: [X, constraints]` is an X.
            let parts = property.get(choice).and_then(Value::as_array);
            let typed = parts.into_iter().flatten().filter(|part| part.get("type").and_then(Value::as_str) != Some("null"));
            let kinds: Option<Vec<Kind>> = typed
                .filter(|part| part.get("type").is_some() || part.get("$ref").is_some())
                .map(|part| self.kind(part))
                .collect();
            match kinds?.as_slice() {
                [] => {}
                [first, rest @ ..] if choice == "allOf" || rest.iter().all(|kind| kind == first) => return Some(*first),
                _ => return Some(Kind::Json),
            }
        }
        Some(scalar_kind(property))
    }

    /// Follows `$ref`: `#/…` within the document, else by `$id` or file name in the shared definitions.
    fn resolve<'a>(&'a self, mut node: &'a Value, mut document: &'a Value) -> Option<&'a Value> {
        // A chain longer than this is a loop.
        for _ in 0..16 {
            let Some(reference) = node.get("$ref").and_then(Value::as_str) else { return Some(node) };
            let (target, pointer) = reference.split_once('#').unwrap_or((reference, ""));
            if !target.is_empty() {
                document = self.shared.iter().find(|(name, _)| name_matches(name, target)).map(|(_, document)| document)?;
            }
            node = document.pointer(pointer)?;
        }
        None
    }
}

/// `common/v1` is what `../common/v1.json` and `https://…/common/v1` mean.
fn name_matches(name: &str, target: &str) -> bool {
    let name = name.trim_end_matches(".json");
    let target = target.trim_start_matches("../").trim_start_matches("./").trim_end_matches(".json");
    name == target || name.strip_suffix(target).is_some_and(|rest| rest.ends_with('/'))
}

fn scalar_kind(property: &Value) -> Kind {
    let kind = match property.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        // ["string", "null"] is an optional string; a real mixture stays JSON.
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            match (kinds.next(), kinds.next()) {
                (Some(kind), None) => kind,
                _ => return Kind::Json,
            }
        }
        _ => "",
    };
    let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "integer" => Kind::Long,
        "boolean" => Kind::Bool,
        "string" if text("format") == "date" => Kind::Date,
        "string" if text("format") == "date-time" => Kind::Time,
        "string" if is_money(text("pattern")) => Kind::Money,
        "string" => Kind::Text,
        "" if property.get("enum").and_then(Value::as_array).is_some_and(|values| values.iter().all(Value::is_string)) => {
            Kind::Text
        }
        _ => Kind::Json,
    }
}

/// Whether a pattern is the one of money: up to ten digits, a point and exactly two decimals.
fn is_money(pattern: &str) -> bool {
    let pattern = pattern.replace("[0-9]", r"\d").replace("-?", "");
    pattern.starts_with(r"^\d{1,") && pattern.ends_with(r"\.\d{2}$") || pattern == r"^(0|[1-9]\d{0,9})\.\d{2}$"
}
