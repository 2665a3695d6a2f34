//! Identity numbers: what one proves.
//!
//! The rules are those of `domain::resident_id`; here a number that breaks them is kept, because a slip of one digit
//! is still evidence.

use time::{Date, Month};

use super::half_width;
use crate::identity::number::Class;

/// Weights of GB 11643-1999, 2^(18-i) mod 11.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Longest text that can be a number with a slip.
const LONGEST: usize = 20;
/// Shorter is none.
const SHORTEST: usize = 8;
/// Stands for a digit that the source hides.
pub const HIDDEN: u8 = b'*';

/// A number in standard form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    chars: [u8; LONGEST],
    length: u8,
    pub class: Class,
    /// The day inside the number, even if its check digit is wrong: most slips are elsewhere.
    pub birth: Option<Date>,
}

impl Number {
    /// Reads digits, `X` and hidden digits; fifteen digits are upgraded.
    pub fn read(text: &str) -> Option<Self> {
        let mut chars = [0; LONGEST];
        let mut length = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let c = half_width(c).to_ascii_uppercase();
            *chars.get_mut(length)? = match c {
                '0'..='9' | 'X' => c as u8,
                '*' | '?' => HIDDEN,
                _ => return None,
            };
            length += 1;
        }
        let placeholder = chars[1..length.max(1)].iter().all(|digit| *digit == chars[0]);
        if length < SHORTEST || placeholder {
            return None;
        }
        Some(if length == 15 { Self::of_15(chars) } else { Self::of_any(chars, length) })
    }

    fn of_any(chars: [u8; LONGEST], length: usize) -> Self {
        let digits = length == 18 && chars[..17].iter().all(u8::is_ascii_digit);
        let birth = if digits { date(&chars) } else { None };
        let class = if birth.is_some() && check(&chars) == chars[17] { Class::Strong } else { Class::Bad };
        Self { chars, length: u8::try_from(length).unwrap_or(0), class, birth }
    }

    fn of_15(old: [u8; LONGEST]) -> Self {
        let mut chars = [0; LONGEST];
        chars[..6].copy_from_slice(&old[..6]);
        chars[6..8].copy_from_slice(b"19");
        chars[8..17].copy_from_slice(&old[6..15]);
        let birth = if chars[..17].iter().all(u8::is_ascii_digit) { date(&chars) } else { None };
        if birth.is_none() {
            return Self { chars: old, length: 15, class: Class::Bad, birth: None };
        }
        chars[17] = check(&chars);
        // Sequences 996 to 999 marked people born in the 19th century (GB 11643-1989): the century cannot be told.
        let class = if matches!(&chars[14..17], b"996" | b"997" | b"998" | b"999") { Class::Odd } else { Class::Old };
        Self { chars, length: 18, class, birth }
    }

    /// The characters, upper case.
    pub fn chars(&self) -> &[u8] {
        self.chars.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// `1` for men, `2` for women, if the number is good.
    pub fn sex(&self) -> Option<&'static str> {
        (self.class != Class::Bad).then(|| if self.chars[16] % 2 == 1 { "1" } else { "2" })
    }

    /// Marks the number as odd when its birth date is far from the stated one.
    pub fn compare_birth(&mut self, stated: Date) {
        let far = self.birth.is_some_and(|born| (born - stated).whole_days().abs() > super::date::FAR_DAYS);
        if far && self.class != Class::Bad {
            self.class = Class::Odd;
        }
    }
}

fn check(chars: &[u8; LONGEST]) -> u8 {
    let sum: u32 = chars.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight).sum();
    b"10X98765432"[sum as usize % 11]
}

fn date(chars: &[u8; LONGEST]) -> Option<Date> {
    let number = |digits: &[u8]| digits.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    let month = Month::try_from(u8::try_from(number(&chars[10..12])).ok()?).ok()?;
    let year = i32::from(number(&chars[6..10]));
    let day = u8::try_from(number(&chars[12..14])).ok()?;
    (1850..2100).contains(&year).then(|| Date::from_calendar_date(year, month, day).ok())?
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[track_caller]
    fn check_class(text: &str, class: Class) {
        assert_eq!(Number::read(text).unwrap().class, class, "{text}");
    }

    #[test]
    fn classes() {
        check_class(" １１０１０５１９４９１２３１００２ｘ ", Class::Strong);
        check_class("110105491231002", Class::Old);
        check_class("220105000101997", Class::Odd);
        check_class("220105198003150041", Class::Bad);
        check_class("22010519800315004", Class::Bad);
        check_class("220105********0042", Class::Bad);
        assert!(Number::read("000000000000000000").is_none());
        assert!(Number::read("军字第1号").is_none() && Number::read("无").is_none());
    }

    #[test]
    fn a_far_birth_date_makes_it_odd() {
        let mut number = Number::read("110105491231002").unwrap();
        assert_eq!(number.chars(), b"11010519491231002X");
        number.compare_birth(date!(1950 - 02 - 10));
        assert_eq!(number.class, Class::Old);
        number.compare_birth(date!(1960 - 02 - 10));
        assert_eq!(number.class, Class::Odd);
    }
}
