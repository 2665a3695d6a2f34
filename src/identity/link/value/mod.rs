//! Field values in standard form, made once and compared many times.

pub mod address;
mod characters;
pub mod date;
mod lunar;
pub mod name;
pub mod number;
pub mod phone;
pub mod text;

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

pub use self::{address::Address, date::Day, name::Name, number::Number, phone::Phone, text::Text};

/// How the values of a field are read and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A personal name in Chinese characters or pinyin.
    Name,
    /// A resident identity number.
    Number,
    /// A day, or a year alone.
    Date,
    /// An address in Chinese.
    Address,
    /// A telephone number.
    Phone,
    /// Words in an alphabet.
    Text,
    /// Digits and letters in which each one counts.
    Code,
    /// One of few values.
    Category,
}

/// One value in standard form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Name(Box<Name>),
    Number(Box<Number>),
    Date(Day),
    Address(Address),
    Phone(Phone),
    Text(Box<Text>),
    Category(u64),
}

impl Value {
    /// Reads what a source wrote. Nothing, when it says nothing.
    pub fn read(kind: Kind, text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match kind {
            Kind::Name => Name::read(text).map(|name| Self::Name(Box::new(name))),
            Kind::Number => Number::read(text).map(|number| Self::Number(Box::new(number))),
            Kind::Date => Day::read(text).map(Self::Date),
            Kind::Address => Address::read(text).map(Self::Address),
            Kind::Phone => Phone::read(text).map(Self::Phone),
            Kind::Text | Kind::Code => Text::read(text).map(|text| Self::Text(Box::new(text))),
            Kind::Category => category(text),
        }
    }

    /// A hash that is equal for equal values: the term whose frequency is counted.
    pub fn term(&self) -> u64 {
        match self {
            Self::Name(name) => name.term,
            Self::Number(number) => hash(number.chars()),
            Self::Date(day) => u64::from(day.packed()),
            Self::Address(address) => address.full,
            Self::Phone(phone) => phone.0,
            Self::Text(text) => text.term,
            Self::Category(term) => *term,
        }
    }
}

/// Words for the sexes are one whatever the source; anything else is itself.
fn category(text: &str) -> Option<Value> {
    let folded = match text {
        "男" | "男性" | "M" | "m" | "male" | "1" => "1",
        "女" | "女性" | "F" | "f" | "female" | "2" => "2",
        "未知" | "未说明" | "0" | "9" => return None,
        other => other,
    };
    Some(Value::Category(hash(folded.to_lowercase().as_bytes())))
}

/// One 64-bit hash for all that is only compared for equality. Not secret and not stable across versions.
pub fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    spread(hasher.finish())
}

/// Two hashes as one; the order matters.
pub fn join(one: u64, other: u64) -> u64 {
    spread(one.rotate_left(23) ^ other.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The finisher of SplitMix64: every bit of the input moves every bit of the output.
fn spread(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Full width to half width; the rest as it is.
pub(super) fn half_width(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}
