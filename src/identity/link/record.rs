//! A record as it came, and in standard form.

use super::{
    rules::Rules,
    value::{Day, Kind, Value},
};
use crate::identity::number::Class;

/// What a source says of one person: texts in the order of the rules' fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Raw {
    pub id: String,
    pub system: String,
    pub texts: Vec<Option<String>>,
}

/// A record in standard form.
#[derive(Debug, Clone)]
pub struct Record {
    /// One value or none for each field of the rules.
    pub values: Vec<Option<Value>>,
}

impl Record {
    /// Standardises; a good number gives birth date and sex where the source does not.
    pub fn of(rules: &Rules, texts: &[Option<String>]) -> Self {
        Self::read(rules, texts, true)
    }

    /// Standardises, and takes nothing from the number.
    pub fn as_stated(rules: &Rules, texts: &[Option<String>]) -> Self {
        Self::read(rules, texts, false)
    }

    fn read(rules: &Rules, texts: &[Option<String>], derives: bool) -> Self {
        let read = |(place, field): (usize, &super::rules::Field)| {
            let text = texts.get(place)?.as_deref()?;
            Value::read(field.kind, text)
        };
        let mut record = Self { values: rules.fields.iter().enumerate().map(read).collect() };
        for (place, field) in rules.fields.iter().enumerate() {
            if let Some(number) = field.from_number {
                record.derive(place, number, field.kind, derives);
            }
        }
        record
    }

    fn derive(&mut self, place: usize, number: usize, kind: Kind, derives: bool) {
        let stated = match &self.values[place] {
            Some(Value::Date(day)) => day.date(),
            _ => None,
        };
        let Some(Value::Number(number)) = &mut self.values[number] else { return };
        if let Some(stated) = stated {
            number.compare_birth(stated);
        }
        let derived = match kind {
            Kind::Date => number.birth.map(|birth| Value::Date(Day::of(birth))),
            Kind::Category => number.sex().and_then(|sex| Value::read(Kind::Category, sex)),
            _ => None,
        };
        if derives && self.values[place].is_none() {
            self.values[place] = derived;
        }
    }

    /// The number as a hash, if it is strong.
    pub fn strong(&self, number: Option<usize>) -> Option<u64> {
        match self.values.get(number?)?.as_ref()? {
            value @ Value::Number(number) if number.class == Class::Strong => Some(value.term()),
            _ => None,
        }
    }

    /// How many fields say something.
    pub fn filled(&self) -> usize {
        self.values.iter().flatten().count()
    }
}
