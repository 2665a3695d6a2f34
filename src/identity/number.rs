//! Identity numbers as evidence: how much one proves.

use time::{Date, Month, format_description::FormatItem, macros::format_description};

use crate::schema::formats::resident_id;

/// How far a stated birth date may be from the number's. Village registers often give the lunar day, which is up to
/// seven weeks behind; beyond that the number is probably somebody else's.
const FAR_DAYS: i64 = 60;
const ISO: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// What a number proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 18 digits, real date, good check digit.
    Strong,
    /// 15 digits, upgraded: the computed check digit proves nothing, but the number itself is as unique.
    Old,
    /// Well formed, but its birth date is far from the stated one, or it belongs to somebody born before 1900.
    Odd,
    /// Not an identity number.
    Bad,
}

impl Class {
    /// Whether the number may find a person, and be kept as theirs.
    pub fn is_evidence(self) -> bool {
        matches!(self, Self::Strong | Self::Old)
    }

    /// The name kept in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Old => "old",
            Self::Odd => "odd",
            Self::Bad => "bad",
        }
    }
}

/// Standard form (18 characters, capital X) and class of a number as a source wrote it. Half and full width, spaces and
/// the 15-digit form are understood.
pub fn classify(text: &str, stated_birth: Option<&str>) -> (String, Class) {
    let mut number: String = text.chars().filter(|c| !c.is_whitespace()).map(plain).collect();
    let is_old = number.len() == 15 && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_old {
        // Sequences 996 to 999 marked people born in the 19th century (GB 11643-1989): the century cannot be told.
        let is_ancient = matches!(&number[12..], "996" | "997" | "998" | "999");
        number = upgrade(&number);
        if is_ancient {
            return (number, Class::Odd);
        }
    }
    let class = match (resident_id(&number), is_old) {
        (false, _) => Class::Bad,
        (true, _) if is_far(&number, stated_birth) => Class::Odd,
        (true, true) => Class::Old,
        (true, false) => Class::Strong,
    };
    (number, class)
}

fn plain(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        'x' | 'ｘ' | 'Ｘ' => 'X',
        _ => c,
    }
}

/// Fifteen digits to eighteen: `19` before the year, the check digit of GB 11643 after the sequence.
fn upgrade(digits: &str) -> String {
    let body = format!("{}19{}", &digits[..6], &digits[6..]);
    let candidates = "0123456789X".chars().map(|check| format!("{body}{check}"));
    // Exactly one of eleven check characters is right, unless the date is not real: then none is, and any will do.
    candidates.into_iter().find(|candidate| resident_id(candidate)).unwrap_or(body)
}

fn is_far(number: &str, stated: Option<&str>) -> bool {
    let (Some(born), Some(stated)) = (birth_date(number), stated.and_then(|text| Date::parse(text, ISO).ok())) else {
        return false;
    };
    (born - stated).whole_days().abs() > FAR_DAYS
}

/// The birth date inside an 18-character number.
fn birth_date(number: &str) -> Option<Date> {
    let part = |range: std::ops::Range<usize>| number.get(range).and_then(|digits| digits.parse::<u16>().ok());
    let month = Month::try_from(u8::try_from(part(10..12)?).ok()?).ok()?;
    Date::from_calendar_date(i32::from(part(6..10)?), month, u8::try_from(part(12..14)?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, birth: Option<&str>, number: &str, class: Class) {
        assert_eq!(classify(text, birth), (number.to_owned(), class));
    }

    #[test]
    fn numbers_of_every_class() {
        check(" １１０１０５１９４９１２３１００２ｘ ", None, "11010519491231002X", Class::Strong);
        check("220105800315004", None, "220105198003150042", Class::Old);
        check("110105491231002", Some("1949-12-31"), "11010519491231002X", Class::Old);
        check("220171197001010053", Some("1970-02-20"), "220171197001010053", Class::Strong);
        check("220171197001010053", Some("1971-01-01"), "220171197001010053", Class::Odd);
        check("220171197001010053", Some("unknown"), "220171197001010053", Class::Strong);
        check("220105198003150041", None, "220105198003150041", Class::Bad);
        check("220105800230004", None, "22010519800230004", Class::Bad);
        check("220105000101997", None, "220105190001019976", Class::Odd);
        check("军字第1号", None, "军字第1号", Class::Bad);
    }
}
