//! Blocking keys: 64-bit hashes under which a record is found again. Only those who share one are compared.

use super::{
    record::Record,
    rules::{Field, bad},
    value::{Day, Kind, Value, hash, join, name::WILD},
};
use crate::error::Fault;

/// A part gives at most so many hashes.
const MOST_PER_PART: usize = 6;

/// What of a value goes into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    First(usize),
    Last(usize),
    /// Of a name: its syllables in any order. Of a text: its sound.
    Sound,
    /// Each syllable of a name gives a key of its own.
    Syllables,
    FirstSyllable,
    Year,
    MonthAndDay,
    /// The day, and what the lunar calendar calls it: one register's lunar day is found by another's solar one.
    Lunar,
    Place,
    Door,
}

/// One blocking key: parts of fields that must agree together.
#[derive(Debug, Clone)]
pub struct Key {
    parts: Vec<(usize, Part)>,
}

impl Key {
    /// Reads parts such as `name:sound`.
    ///
    /// # Errors
    /// An unknown field, or a part that its kind does not have.
    pub fn parse(texts: &[String], fields: &[Field]) -> Result<Self, Fault> {
        let parts: Vec<_> = texts.iter().map(|text| part(text, fields)).collect::<Result<_, _>>()?;
        if parts.is_empty() {
            return Err(bad("a blocking key has no parts"));
        }
        Ok(Self { parts })
    }

    /// Whether the key is made of that field too.
    pub fn uses(&self, field: usize) -> bool {
        self.parts.iter().any(|(used, _)| *used == field)
    }

    /// Appends the hashes of a record; none, when a part is missing.
    fn hashes(&self, number: usize, record: &Record, out: &mut Vec<u64>) {
        let start = out.len();
        out.push(hash(&number));
        let mut found = [0; MOST_PER_PART];
        for (field, part) in &self.parts {
            let value = record.values.get(*field).and_then(Option::as_ref);
            let count = value.map_or(0, |value| each(*part, value, &mut found));
            let (end, Some((first, more))) = (out.len(), found[..count].split_first()) else { return out.truncate(start) };
            for more in more {
                for place in start..end {
                    out.push(join(out[place], *more));
                }
            }
            for key in &mut out[start..end] {
                *key = join(*key, *first);
            }
        }
    }
}

/// All blocking keys of a record, in place of what `out` held.
pub fn keys(keys: &[Key], record: &Record, out: &mut Vec<u64>) {
    out.clear();
    for (number, key) in keys.iter().enumerate() {
        key.hashes(number, record, out);
    }
}

fn part(text: &str, fields: &[Field]) -> Result<(usize, Part), Fault> {
    let (name, word) = text.split_once(':').unwrap_or((text, "whole"));
    let field = fields.iter().position(|field| field.name == name).ok_or_else(|| bad(&format!("there is no field `{name}`")))?;
    let count = |digits: &str| digits.parse().ok().filter(|count| (1..=32).contains(count));
    let part = match word {
        "whole" => Some(Part::Whole),
        "sound" => Some(Part::Sound),
        "syllables" => Some(Part::Syllables),
        "first-syllable" => Some(Part::FirstSyllable),
        "year" => Some(Part::Year),
        "month-and-day" => Some(Part::MonthAndDay),
        "lunar" => Some(Part::Lunar),
        "place" => Some(Part::Place),
        "door" => Some(Part::Door),
        _ => match word.split_once('-') {
            Some(("first", digits)) => count(digits).map(Part::First),
            Some(("last", digits)) => count(digits).map(Part::Last),
            _ => None,
        },
    };
    let part = part.filter(|part| fits(*part, fields[field].kind));
    part.map(|part| (field, part)).ok_or_else(|| bad(&format!("a field of this kind has no part `{text}`")))
}

fn fits(part: Part, kind: Kind) -> bool {
    match part {
        Part::Whole => true,
        Part::First(_) | Part::Last(_) => matches!(kind, Kind::Number | Kind::Text | Kind::Code),
        Part::Sound => matches!(kind, Kind::Name | Kind::Text),
        Part::Syllables | Part::FirstSyllable => kind == Kind::Name,
        Part::Year | Part::MonthAndDay | Part::Lunar => kind == Kind::Date,
        Part::Place | Part::Door => kind == Kind::Address,
    }
}

/// Writes the hashes of a part of a value; answers how many.
fn each(part: Part, value: &Value, out: &mut [u64; MOST_PER_PART]) -> usize {
    let mut count = 0;
    let mut put = |hashed: u64| {
        if count < MOST_PER_PART && !out[..count].contains(&hashed) {
            out[count] = hashed;
            count += 1;
        }
    };
    match (part, value) {
        (Part::Syllables, Value::Name(name)) => {
            let known = name.sounds.iter().enumerate().filter(|(place, _)| name.chars.get(*place) != Some(&WILD));
            known.for_each(|(_, sound)| put(u64::from(*sound)));
        }
        (Part::Lunar, Value::Date(day)) if day.day > 0 => {
            [day.packed(), day.lunar()].into_iter().filter(|day| *day != 0).for_each(|day| put(u64::from(day)));
        }
        _ => of(part, value).into_iter().for_each(put),
    }
    count
}

fn of(part: Part, value: &Value) -> Option<u64> {
    let known = |hash: u64| (hash != 0).then_some(hash);
    match (part, value) {
        (Part::Whole, value) => Some(value.term()),
        (Part::Sound, Value::Name(name)) => known(name.sorted),
        (Part::Sound, Value::Text(text)) => Some(text.sound()),
        (Part::FirstSyllable, Value::Name(name)) => name.sounds.first().map(|sound| u64::from(*sound)),
        (Part::First(count), Value::Number(number)) => number.chars().get(..count).map(hash),
        (Part::Last(count), Value::Number(number)) => last(number.chars(), count).map(hash),
        (Part::First(count), Value::Text(text)) => text.plain.as_bytes().get(..count).map(hash),
        (Part::Last(count), Value::Text(text)) => last(text.plain.as_bytes(), count).map(hash),
        (Part::Year, Value::Date(day)) => Some(u64::from(day.year)),
        (Part::MonthAndDay, Value::Date(day)) => known(month_and_day(*day)),
        (Part::Place, Value::Address(address)) => known(address.place),
        (Part::Door, Value::Address(address)) => known(address.door),
        _ => None,
    }
}

/// 0 when only the year is known.
fn month_and_day(day: Day) -> u64 {
    if day.day == 0 { 0 } else { u64::from(day.month) * 100 + u64::from(day.day) }
}

fn last(bytes: &[u8], count: usize) -> Option<&[u8]> {
    bytes.get(bytes.len().checked_sub(count)?..)
}
