//! What is known of a person: every value that its records gave.

use super::{record::Record, value::Value};
use crate::identity::number::Class;

/// Values kept of one field; further ones say nothing new.
const MOST_VALUES: usize = 8;

/// The distinct values of a person, sorted by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    values: Vec<(u8, Value)>,
}

impl Profile {
    /// Takes over the values of a record; whether any was new.
    pub fn absorb(&mut self, record: &Record) -> bool {
        let mut changed = false;
        for (field, value) in record.values.iter().enumerate() {
            if let Some(value) = value {
                changed |= self.add(u8::try_from(field).unwrap_or(u8::MAX), value);
            }
        }
        changed
    }

    /// Takes over the values of another person.
    pub fn merge(&mut self, other: &Self) {
        for (field, value) in &other.values {
            self.add(*field, value);
        }
    }

    fn add(&mut self, field: u8, value: &Value) -> bool {
        let start = self.values.partition_point(|(known, _)| *known < field);
        let end = self.values.partition_point(|(known, _)| *known <= field);
        let known = self.values.get(start..end).unwrap_or_default();
        if known.len() >= MOST_VALUES || known.iter().any(|(_, known)| known == value) {
            return false;
        }
        self.values.reserve_exact(1);
        self.values.insert(end, (field, value.clone()));
        true
    }

    /// The values of one field.
    pub fn of(&self, field: usize) -> impl Iterator<Item = &Value> + Clone {
        let field = u8::try_from(field).unwrap_or(u8::MAX);
        let start = self.values.partition_point(|(known, _)| *known < field);
        self.values.get(start..).unwrap_or_default().iter().take_while(move |(known, _)| *known == field).map(|(_, value)| value)
    }

    /// Whether each value of the record is known.
    pub fn covers(&self, record: &Record) -> bool {
        let mut values = record.values.iter().enumerate();
        values.all(|(field, value)| value.as_ref().is_none_or(|value| self.of(field).any(|known| known == value)))
    }

    /// The strong numbers, as hashes.
    pub fn strong(&self, number: usize) -> impl Iterator<Item = u64> + '_ {
        self.of(number).filter_map(|value| match value {
            Value::Number(number) if number.class == Class::Strong => Some(value.term()),
            _ => None,
        })
    }

    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        let of = |value: &Value| match value {
            Value::Name(name) => 56 + name.chars.len() * 4 + name.sounds.len() * 2,
            Value::Number(number) => size_of_val(&**number),
            Value::Text(text) => 24 + text.plain.len(),
            _ => 0,
        };
        self.values.capacity() * size_of::<(u8, Value)>() + self.values.iter().map(|(_, value)| of(value)).sum::<usize>()
    }
}

/// Something with values by field: a record or a person.
pub trait Holds {
    fn each(&self, field: usize) -> impl Iterator<Item = &Value> + Clone;
}

impl Holds for Profile {
    fn each(&self, field: usize) -> impl Iterator<Item = &Value> + Clone {
        self.of(field)
    }
}

impl Holds for Record {
    fn each(&self, field: usize) -> impl Iterator<Item = &Value> + Clone {
        self.values.get(field).and_then(Option::as_ref).into_iter()
    }
}
