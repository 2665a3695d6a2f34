//! Deliveries to arrow columns, in one pass and without copying a record.
//!
//! A row is read whole before any of its cells is appended: a row with a value that does not fit is refused and
//! leaves no trace in the columns.

use std::sync::Arc;

use deltalake_core::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    error::ArrowError,
};
use serde_json::{Map, Value};
use time::{Date, Month, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    columns::{Columns, EVENT_COLUMNS, Kind, MONEY},
    error::MISFIT,
};
use crate::{deliver::Delivery, error::Fault};

/// Julian day of 1970-01-01.
const EPOCH: i32 = 2_440_588;

/// One value on its way into a column.
enum Cell<'a> {
    Null,
    Text(&'a str),
    Json(String),
    Long(i64),
    Money(i128),
    Date(i32),
    Time(i64),
    Bool(bool),
}

/// The growing columns of one file.
pub(super) struct Rows<'c> {
    columns: &'c Columns,
    builders: Vec<Builder>,
    rows: usize,
}

impl<'c> Rows<'c> {
    pub(super) fn new(columns: &'c Columns, capacity: usize) -> Self {
        let builders = columns.all().map(|(_, kind)| Builder::new(kind, capacity)).collect();
        Self { columns, builders, rows: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Appends one delivery.
    ///
    /// # Errors
    /// [`MISFIT`], naming the first field that does not fit and listing the others; nothing is appended then.
    pub(super) fn push(&mut self, delivery: &Delivery) -> Result<(), Box<Fault>> {
        let mut misfits = Misfits::default();
        let mut cells = Vec::with_capacity(self.builders.len());
        event_cells(delivery, &mut cells, &mut misfits);
        let extra = record_cells(self.columns, &delivery.event.data.record, &mut cells, &mut misfits);
        // `extra` is the last event column; what it holds is known only after the record was read.
        if let (Some(extra), Some(cell)) = (extra, cells.get_mut(EVENT_COLUMNS.len() - 1)) {
            *cell = Cell::Json(extra);
        }
        if let Some(fault) = misfits.into_fault() {
            return Err(Box::new(fault));
        }
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            builder.append(cell);
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let arrays = self.builders.iter_mut().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(self.columns.arrow(), arrays)
    }
}

/// The fields of one row that do not fit.
#[derive(Default)]
struct Misfits(Vec<(String, Kind)>);

impl Misfits {
    fn take<'a>(&mut self, pointer: impl FnOnce() -> String, kind: Kind, value: &'a Value) -> Cell<'a> {
        read(kind, value).unwrap_or_else(|| {
            self.0.push((pointer(), kind));
            Cell::Null
        })
    }

    fn into_fault(self) -> Option<Fault> {
        let (pointer, kind) = self.0.first()?;
        let mut message = "the value does not fit its column in the lake".to_owned();
        if self.0.len() > 1 {
            let others: Vec<_> = self.0[1..].iter().map(|(pointer, kind)| format!("`{pointer}` ({})", kind.expected())).collect();
            message = format!("{message}; nor do {}", others.join(", "));
        }
        let hint = "correct the record at its source, or deliver the field to the lake in plain form or not at all";
        Some(Fault::new(MISFIT, message).at_pointer(pointer).expected(kind.expected()).hint(hint))
    }
}

/// The cells of [`EVENT_COLUMNS`], in their order.
fn event_cells<'a>(delivery: &'a Delivery, cells: &mut Vec<Cell<'a>>, misfits: &mut Misfits) {
    let event = &delivery.event;
    // `merged` and `split` of a person's key are no operation on a record, and yet what happened to the row.
    let op = event.kind.rsplit_once('.').map_or("", |(_, op)| op);
    let occurred_at = micros(&event.time).map_or_else(
        || {
            misfits.0.push(("/time".to_owned(), Kind::Time));
            Cell::Null
        },
        Cell::Time,
    );
    let quality = &event.data.quality;
    cells.extend([
        Cell::Text(event.id.as_str()),
        Cell::Text(delivery.id.as_str()),
        Cell::Text(event.source.strip_prefix("/systems/").unwrap_or(&event.source)),
        Cell::Text(&event.subject),
        Cell::Text(op),
        occurred_at,
        Cell::Long(event.sequence),
        Cell::Text(&event.division),
        if quality.is_empty() { Cell::Null } else { serde_json::to_string(quality).map_or(Cell::Null, Cell::Json) },
        Cell::Null,
    ]);
}

/// The cells of the record's columns; the answer is the JSON text of the fields that have none.
fn record_cells<'a>(columns: &Columns, record: &'a Value, cells: &mut Vec<Cell<'a>>, misfits: &mut Misfits) -> Option<String> {
    let Some(record) = record.as_object() else {
        // A record that is no object (a delete may carry none) has no fields; anything else is kept as it is.
        cells.extend(columns.record.iter().map(|_| Cell::Null));
        return (!record.is_null()).then(|| record.to_string());
    };
    let mut extra = Map::new();
    let mut fields = record.iter().peekable();
    for column in &columns.record {
        // Both sides are ordered by name: whatever comes before this column has no column.
        while let Some((name, value)) = fields.next_if(|(name, _)| **name < column.field) {
            keep(&mut extra, name, value);
        }
        match fields.next_if(|(name, _)| **name == column.field) {
            Some((name, value)) => cells.push(misfits.take(|| format!("/data/record/{name}"), column.kind, value)),
            None => cells.push(Cell::Null),
        }
    }
    fields.for_each(|(name, value)| keep(&mut extra, name, value));
    (!extra.is_empty()).then(|| Value::Object(extra).to_string())
}

fn keep(extra: &mut Map<String, Value>, name: &str, value: &Value) {
    if !value.is_null() {
        extra.insert(name.to_owned(), value.clone());
    }
}

/// `None` when the value does not fit.
fn read(kind: Kind, value: &Value) -> Option<Cell<'_>> {
    match (kind, value) {
        (_, Value::Null) => Some(Cell::Null),
        (Kind::Text, Value::String(text)) => Some(Cell::Text(text)),
        (Kind::Long, Value::Number(number)) => number.as_i64().map(Cell::Long),
        (Kind::Money, Value::String(text)) => cents(text).map(Cell::Money),
        (Kind::Date, Value::String(text)) => days(text).map(Cell::Date),
        (Kind::Time, Value::String(text)) => micros(text).map(Cell::Time),
        (Kind::Bool, Value::Bool(flag)) => Some(Cell::Bool(*flag)),
        (Kind::Json, value) => Some(Cell::Json(value.to_string())),
        _ => None,
    }
}

/// `-?d{1,10}.dd` as a whole number of cents.
fn cents(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.')?;
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() > usize::from(MONEY.0 - MONEY.1) || fraction.len() != 2 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    Some(sign * (whole.parse::<i128>().ok()? * 100 + fraction.parse::<i128>().ok()?))
}

/// `yyyy-mm-dd` as days since 1970.
fn days(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-';
    let digits = bytes.iter().enumerate().all(|(at, byte)| matches!(at, 4 | 7) || byte.is_ascii_digit());
    if !shaped || !digits {
        return None;
    }
    let month = Month::try_from(text[5..7].parse::<u8>().ok()?).ok()?;
    let date = Date::from_calendar_date(text[..4].parse().ok()?, month, text[8..].parse().ok()?).ok()?;
    Some(date.to_julian_day() - EPOCH)
}

/// RFC 3339 as microseconds since 1970.
fn micros(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).ok()
}

enum Builder {
    Text(StringBuilder),
    Long(Int64Builder),
    Money(Decimal128Builder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder),
    Bool(BooleanBuilder),
}

impl Builder {
    fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Text | Kind::Json => Self::Text(StringBuilder::with_capacity(capacity, capacity * 16)),
            Kind::Long => Self::Long(Int64Builder::with_capacity(capacity)),
            Kind::Money => Self::Money(Decimal128Builder::with_capacity(capacity)),
            Kind::Date => Self::Date(Date32Builder::with_capacity(capacity)),
            Kind::Time => Self::Time(TimestampMicrosecondBuilder::with_capacity(capacity)),
            Kind::Bool => Self::Bool(BooleanBuilder::with_capacity(capacity)),
        }
    }

    fn append(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Self::Text(builder), Cell::Json(text)) => builder.append_value(text),
            (Self::Long(builder), Cell::Long(number)) => builder.append_value(number),
            (Self::Money(builder), Cell::Money(cents)) => builder.append_value(cents),
            (Self::Date(builder), Cell::Date(days)) => builder.append_value(days),
            (Self::Time(builder), Cell::Time(micros)) => builder.append_value(micros),
            (Self::Bool(builder), Cell::Bool(flag)) => builder.append_value(flag),
            // Only `read` makes cells, by the kind of the column: what is left is null.
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Long(builder), _) => builder.append_null(),
            (Self::Money(builder), _) => builder.append_null(),
            (Self::Date(builder), _) => builder.append_null(),
            (Self::Time(builder), _) => builder.append_null(),
            (Self::Bool(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Long(builder) => Arc::new(builder.finish()),
            Self::Money(builder) => Arc::new(builder.finish().with_precision_and_scale(MONEY.0, MONEY.1 as i8)?),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Self::Bool(builder) => Arc::new(builder.finish()),
        })
    }
}
