//! How alike two values are: one level of a short list, best first.

mod name;
mod number;
mod simple;
mod text;

pub use name::NAME;
pub use number::NUMBER;
pub use simple::{ADDRESS, CATEGORY, DATE, PHONE};
pub use text::{CODE, TEXT};

use super::value::{Kind, Value};

/// Index of a level in the list of its kind.
pub type Level = u8;
/// Levels that a kind may have at most.
pub const MOST_LEVELS: usize = 12;

/// Names of the levels of a kind, best first. The first is equality, the last says that nothing is alike.
pub fn levels(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Name => &NAME,
        Kind::Number => &NUMBER,
        Kind::Date => &DATE,
        Kind::Address => &ADDRESS,
        Kind::Phone => &PHONE,
        Kind::Text => &TEXT,
        Kind::Code => &CODE,
        Kind::Category => &CATEGORY,
    }
}

/// The level of two values of one kind; nothing when they cannot be compared.
pub fn compare(kind: Kind, one: &Value, other: &Value) -> Option<Level> {
    match (one, other) {
        (Value::Name(one), Value::Name(other)) => name::compare(one, other),
        (Value::Number(one), Value::Number(other)) => number::compare(one, other),
        (Value::Date(one), Value::Date(other)) => Some(simple::dates(*one, *other)),
        (Value::Address(one), Value::Address(other)) => simple::addresses(one, other),
        (Value::Phone(one), Value::Phone(other)) => Some(simple::phones(*one, *other)),
        (Value::Text(one), Value::Text(other)) if kind == Kind::Code => Some(text::codes(one, other)),
        (Value::Text(one), Value::Text(other)) => Some(text::texts(one, other)),
        (Value::Category(one), Value::Category(other)) => Some(Level::from(one != other)),
        _ => None,
    }
}

/// Whether two texts are near enough to count as swapped between two fields.
pub fn is_near(one: &Value, other: &Value) -> bool {
    matches!((one, other), (Value::Text(one), Value::Text(other)) if text::texts(one, other) <= text::CLOSE)
}

/// The level of a text that stands in the other field.
pub const SWAPPED: Level = text::SWAPPED;
