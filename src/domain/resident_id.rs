//! Resident identity numbers, GB 11643-1999: six digits division, eight birth date, three sequence, one check.
//!
//! Numbers of fifteen digits (issued until 1999) are upgraded by inserting `19` and appending the check character.
//! An upgraded number is weaker evidence than one that carried its own check character: a wrong digit goes unnoticed.

use std::fmt;

use time::{Date, Month};

use super::{Refusal, division};
use crate::error::Code;

/// A resident identity number breaks GB 11643.
pub const RESIDENT_ID: Code = Code::new(3101);

const EXPECTED: &str = "a resident identity number of 18 characters, or 15 digits (GB 11643)";
/// Weights of the first 17 digits, 2^(18-i) mod 11.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK: &[u8; 11] = b"10X98765432";
/// A stated birth date further than this from the number's own makes the number odd: more than a slip in the day or
/// the year, and more than the difference between lunar and solar dates.
const ODD_DAYS: i64 = 730;

/// How far a number may be trusted as evidence of who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Eighteen characters, division, date and check character good.
    Strong,
    /// Upgraded from fifteen digits: its check character proves nothing.
    Old,
    /// Formally good, but its birth date is far from the stated one.
    Odd,
    /// Not a number by the standard.
    Bad,
}

/// A valid number of 18 characters, upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResidentId {
    chars: [u8; 18],
    upgraded: bool,
}

impl ResidentId {
    /// Validates a number of 18 characters or upgrades one of 15 digits. Full-width characters, spaces and a
    /// lower-case `x` are put right first.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (chars, length) = compact(text)?;
        match length {
            18 => Self::of_18(chars),
            15 => Self::of_15(&chars),
            _ => Err(refuse("the identity number has a wrong length")),
        }
    }

    fn of_18(chars: [u8; 18]) -> Result<Self, Refusal> {
        if !chars[..17].iter().all(u8::is_ascii_digit) {
            return Err(refuse("the identity number has a character that is not a digit"));
        }
        let id = Self { chars, upgraded: false };
        if check_character(&chars) != chars[17] {
            // Spreadsheets keep fifteen significant digits: the last three turn into zeros and cannot be recovered.
            let lost = chars.ends_with(b"000");
            return Err(refuse(if lost {
                "the identity number lost its last three digits in a spreadsheet"
            } else {
                "the check character of the identity number is wrong"
            }));
        }
        id.check_parts()
    }

    fn of_15(digits: &[u8; 18]) -> Result<Self, Refusal> {
        if !digits[..15].iter().all(u8::is_ascii_digit) {
            return Err(refuse("the identity number has a character that is not a digit"));
        }
        let mut chars = [0; 18];
        chars[..6].copy_from_slice(&digits[..6]);
        chars[6..8].copy_from_slice(b"19");
        chars[8..17].copy_from_slice(&digits[6..15]);
        chars[17] = check_character(&chars);
        Self { chars, upgraded: true }.check_parts()
    }

    fn check_parts(self) -> Result<Self, Refusal> {
        if self.date().is_none() {
            return Err(refuse("the birth date of the identity number does not exist"));
        }
        if !division::is_issuing_place(&self.as_str()[..6]) {
            return Err(refuse("the division of the identity number never existed"));
        }
        Ok(self)
    }

    fn date(&self) -> Option<Date> {
        let year = i32::try_from(number(&self.chars[6..10])).ok().filter(|year| (1850..2100).contains(year))?;
        let month = Month::try_from(u8::try_from(number(&self.chars[10..12])).ok()?).ok()?;
        Date::from_calendar_date(year, month, u8::try_from(number(&self.chars[12..14])).ok()?).ok()
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits and `X` are ever stored.
        std::str::from_utf8(&self.chars).unwrap_or_default()
    }

    /// Digits 7 to 14.
    pub fn birth_date(&self) -> Date {
        self.date().unwrap_or(Date::MIN)
    }

    /// `1` male when digit 17 is odd, else `2` female (GB/T 2261.1).
    pub fn sex(&self) -> &'static str {
        if self.chars[16] % 2 == 1 { "1" } else { "2" }
    }

    /// It was written with 15 digits.
    pub fn upgraded(&self) -> bool {
        self.upgraded
    }

    /// Sequence 996 to 999 of an old number marked people over a hundred, so the century `19` may be wrong.
    pub fn needs_review(&self) -> bool {
        self.upgraded && number(&self.chars[14..17]) >= 996
    }

    /// The prefix belongs to a statistical zone that never issued numbers: demonstration data.
    pub fn is_demonstration(&self) -> bool {
        division::find(self.as_str().get(..6).unwrap_or_default()).is_some_and(|place| place.kind == "functional-zone")
    }
}

impl fmt::Debug for ResidentId {
    /// Masked: a number must not reach a log by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::text::mask(self.as_str()))
    }
}

/// Classifies what a source wrote, given the birth date it states elsewhere in the row, if any.
pub fn classify(text: &str, stated_birth: Option<Date>) -> Class {
    let Ok(id) = ResidentId::parse(text) else { return Class::Bad };
    let far = stated_birth.is_some_and(|stated| (stated - id.birth_date()).whole_days().abs() > ODD_DAYS);
    match (far, id.upgraded) {
        (true, _) => Class::Odd,
        (false, true) => Class::Old,
        (false, false) => Class::Strong,
    }
}

fn refuse(message: &'static str) -> Refusal {
    Refusal::new(RESIDENT_ID, message, EXPECTED)
}

/// The check character of the first 17 digits.
fn check_character(chars: &[u8; 18]) -> u8 {
    let sum: u32 = chars.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight).sum();
    CHECK[sum as usize % 11]
}

fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// Half width, upper case, no spaces. Longer input than 18 characters is refused without being kept.
fn compact(text: &str) -> Result<([u8; 18], usize), Refusal> {
    let mut chars = [0; 18];
    let mut length = 0;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let slot = chars.get_mut(length).ok_or_else(|| refuse("the identity number has a wrong length"))?;
        *slot = match super::text::half_width(c).to_ascii_uppercase() {
            c @ ('0'..='9' | 'X') => c as u8,
            _ => return Err(refuse("the identity number has a character that is not a digit")),
        };
        length += 1;
    }
    Ok((chars, length))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::domain::vectors;

    #[test]
    fn valid_vectors() {
        for id in vectors::texts("/resident_id/valid", "id") {
            assert_eq!(ResidentId::parse(&id).unwrap().as_str(), id);
            assert_eq!(classify(&id, None), Class::Strong);
        }
        for id in vectors::texts("/resident_id/accept_only_in_test_mode", "id") {
            assert!(ResidentId::parse(&id).unwrap().is_demonstration());
        }
        assert!(!ResidentId::parse("220105198003150042").unwrap().is_demonstration());
    }

    #[test]
    fn upgrade_and_normalise_vectors() {
        for pointer in ["/resident_id/upgrade_15_to_18", "/resident_id/normalise"] {
            let (from, to) = (vectors::texts(pointer, "in"), vectors::texts(pointer, "out"));
            for (from, to) in from.iter().zip(to) {
                assert_eq!(ResidentId::parse(from).unwrap().as_str(), to);
            }
        }
        assert_eq!(classify("110105491231002", None), Class::Old);
    }

    #[test]
    fn invalid_vectors_name_the_reason() {
        let words = [
            ("check_digit", "check"),
            ("date", "date"),
            ("division", "division"),
            ("excel", "spreadsheet"),
            ("length", "length"),
        ];
        for entry in vectors::all()["resident_id"]["invalid"].as_array().unwrap() {
            let (id, reason) = (entry["id"].as_str().unwrap(), entry["reason"].as_str().unwrap());
            // The date and division vectors carry arbitrary check digits: make them good, so that the reason shows.
            let mut id = id.to_owned();
            if reason == "date" || reason == "division" {
                let mut chars: [u8; 18] = id.as_bytes().try_into().unwrap();
                chars[17] = check_character(&chars);
                id = String::from_utf8(chars.to_vec()).unwrap();
            }
            let refusal = ResidentId::parse(&id).unwrap_err();
            let word = words.iter().find(|(start, _)| reason.starts_with(start)).unwrap().1;
            assert!(refusal.message.contains(word), "{reason}: {refusal}");
            assert!(!refusal.to_string().contains(&id[..8]));
            assert_eq!(classify(&id, None), Class::Bad);
        }
    }

    #[test]
    fn birth_date_sex_and_odd() {
        let id = ResidentId::parse("220105198003150042").unwrap();
        assert_eq!((id.birth_date(), id.sex()), (date!(1980 - 03 - 15), "2"));
        assert_eq!(classify("220105198003150042", Some(date!(1981 - 03 - 15))), Class::Strong);
        assert_eq!(classify("220105198003150042", Some(date!(1990 - 03 - 15))), Class::Odd);
    }

    #[test]
    fn centenarian_sequences_of_old_numbers_need_review() {
        assert!(ResidentId::parse("220105020315997").unwrap().needs_review());
        assert!(!ResidentId::parse("220105020315995").unwrap().needs_review());
    }

    #[test]
    fn hostile_text_is_refused_without_being_kept() {
        for text in ["", "x", "22010519800315004\u{0}", &"2".repeat(100_000), "𝟚𝟚0105198003150042", "-20105198003150042"] {
            assert!(ResidentId::parse(text).is_err());
        }
        assert_eq!(format!("{:?}", ResidentId::parse("220105198003150042").unwrap()), "220105********0042");
    }
}
