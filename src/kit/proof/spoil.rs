//! Ways to spoil the value of a field, each only where the good value is of its kind.

use serde_json::Value;

use crate::domain::{date, division, resident_id::ResidentId};

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spoil {
    CheckDigit,
    Date,
    Division,
    Code,
    Key,
    Number,
}

impl Spoil {
    /// For a sentence.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::CheckDigit => "an identity number with a wrong check digit",
            Self::Date => "a date that does not exist",
            Self::Division => "a division that does not exist",
            Self::Code => "a code that is in no list",
            Self::Key => "a missing key",
            Self::Number => "a text where a number should be",
        }
    }

    /// The spoiled value; none if the good one is not of this kind.
    pub(super) fn apply(self, good: &Value) -> Option<Value> {
        let text = match good {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if text.is_empty() {
            return None;
        }
        let spoiled = match self {
            Self::CheckDigit => check_digit(&text)?,
            Self::Date => impossible(&text)?,
            Self::Division => nowhere(&text)?,
            Self::Code => "#?#".to_owned(),
            Self::Key => return Some(Value::Null),
            Self::Number => number(&text).then(|| "abc".to_owned())?,
        };
        Some(Value::String(spoiled))
    }
}

fn check_digit(text: &str) -> Option<String> {
    let number = ResidentId::parse(text).ok()?;
    if number.upgraded() {
        // Fifteen digits have no check digit: the thirteenth month is wrong in them too.
        return Some(format!("{}13{}", &text[..8], &text[10..]));
    }
    let number = number.as_str();
    let last = match number.chars().last()? {
        'X' => '0',
        digit => char::from_digit((digit.to_digit(10)? + 1) % 10, 10)?,
    };
    Some(format!("{}{last}", &number[..17]))
}

/// The thirtieth of February, written as the good date is.
fn impossible(text: &str) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if !(6..=17).contains(&digits) || date::cn_time(text).is_err() && date::cn_date(text).is_err() {
        return None;
    }
    let compact = text.bytes().all(|byte| byte.is_ascii_digit());
    Some(match (compact, digits) {
        (true, 14) => "20170230090000".to_owned(),
        (true, _) => "20170230".to_owned(),
        (false, 9..) => "2017-02-30 09:00:00".to_owned(),
        (false, _) => "2017-02-30".to_owned(),
    })
}

fn nowhere(text: &str) -> Option<String> {
    division::normalise(text).ok()?;
    let six = ["229998", "999999"].into_iter().find(|six| division::normalise(six).is_err())?;
    Some(format!("{six}{}", "0".repeat(text.len().saturating_sub(6))))
}

fn number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || b".,-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_spoiled_in_their_own_form() {
        let cases = [
            (Spoil::CheckDigit, json!("220171197001010053"), json!("220171197001010054")),
            (Spoil::Date, json!("20170703"), json!("20170230")),
            (Spoil::Date, json!("2017-07-03 09:00:00"), json!("2017-02-30 09:00:00")),
            (Spoil::Division, json!("220105"), json!("229998")),
            (Spoil::Number, json!("12.50"), json!("abc")),
            (Spoil::Number, json!(3), json!("abc")),
            (Spoil::Key, json!("K1"), Value::Null),
        ];
        for (spoil, good, expected) in cases {
            assert_eq!(spoil.apply(&good), Some(expected), "{spoil:?}");
        }
        for (spoil, other) in [(Spoil::CheckDigit, "张三"), (Spoil::Date, "220105"), (Spoil::Division, "x"), (Spoil::Key, " ")]
        {
            assert_eq!(spoil.apply(&json!(other)), None, "{spoil:?}");
        }
    }
}
