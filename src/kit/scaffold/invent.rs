//! Invented rows in the form of real ones: no value of a person, and no free text, of the sample is kept.
//!
//! Identity numbers get the prefix of the functional zone 220171 and a right check digit; names, phones, cards, keys and dates are
//! replaced in their own form. Codes of known lists and divisions down to the county stay.

use serde_json::Value;
use time::{Date, Duration, macros::date};

use crate::{
    domain::{codes::CodeLists, division},
    kit::{
        flow::ANY,
        sniff::columns::{BIRTH, Column, NAME, SEX, Sort},
    },
};

const NAMES: [&str; 8] = ["李明", "王芳", "张伟", "刘洋", "陈静", "赵强", "孙丽", "周涛"];
/// Weights and check digits of GB 11643.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
/// Texts as short as this are codes or marks.
const SHORT: usize = 2;

/// Beginning of every invented phone number and card.
const PHONE: &str = "1390000";
const CARD: &str = "622202000000";

/// Whether a value is one that this module could have made.
pub(super) fn is_invented(value: &str) -> bool {
    ["220171", PHONE, CARD].iter().any(|start| value.starts_with(start)) || NAMES.contains(&value)
}

/// An invented person for a row.
pub(super) struct Person {
    place: usize,
    birth: Date,
    number: String,
}

impl Person {
    pub(super) fn new(place: usize) -> Self {
        let days = i64::try_from(place * 3_457 % 20_000).unwrap_or_default();
        let birth = date!(1940 - 01 - 05) + Duration::days(days);
        // The sequence is odd for men; every second one is.
        let head = format!("220171{:04}{:02}{:02}{:03}", birth.year(), u8::from(birth.month()), birth.day(), 101 + place % 800);
        let sum: u32 = head.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        let number = format!("{head}{}", CHECKS[(sum % 11) as usize]);
        Self { place, birth, number }
    }

    fn sex(&self) -> &'static str {
        if (101 + self.place % 800) % 2 == 1 { "1" } else { "2" }
    }
}

/// The row with every value replaced.
pub(super) fn row(real: &Value, columns: &[Column], person: &Person) -> Value {
    let mut invented = real.clone();
    for column in columns {
        replace(&mut invented, &column.path.parts, &mut |value| {
            let text = match &*value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return,
            };
            let new = text_of(text.trim(), column, person);
            *value = match value {
                Value::Number(_) => new.parse::<i64>().map_or_else(|_| Value::String(new.clone()), Value::from),
                _ => Value::String(new),
            };
        });
    }
    invented
}

/// Calls `change` for every value at a path.
pub(super) fn replace(value: &mut Value, parts: &[String], change: &mut dyn FnMut(&mut Value)) {
    match (parts.split_first(), value) {
        (None, value) => change(value),
        (Some((part, rest)), Value::Array(items)) if part == ANY => items.iter_mut().for_each(|item| replace(item, rest, change)),
        (Some((part, rest)), Value::Object(fields)) => {
            if let Some(inner) = fields.get_mut(part) {
                replace(inner, rest, change);
            }
        }
        _ => {}
    }
}

fn text_of(real: &str, column: &Column, person: &Person) -> String {
    if real.is_empty() {
        return String::new();
    }
    let name = NAMES[person.place % NAMES.len()];
    match &column.sort {
        Sort::Identity => person.number.clone(),
        Sort::Name => name.to_owned(),
        _ if column.hints(NAME) && !real.is_ascii() => name.to_owned(),
        Sort::Code("sex") => sex_like(real, column, person),
        Sort::Code(_) => real.to_owned(),
        _ if column.hints(SEX) => real.chars().take(1).collect(),
        Sort::Date | Sort::Time | Sort::Month if column.hints(BIRTH) => like_date(real, person.birth),
        Sort::Date | Sort::Time | Sort::Month => {
            like_date(real, date!(2017 - 06 - 01) + Duration::days((person.place % 28) as i64))
        }
        Sort::Division => county(real),
        Sort::Mobile => format!("{PHONE}{:04}", 1 + person.place),
        Sort::BankCard => card(person.place),
        Sort::Uscc => format!("{}{}", "9122010100000000", real.len() % 10),
        Sort::Money | Sort::Integer => digits_like(real, person.place),
        Sort::Key | Sort::Blank | Sort::Text => plain(real, person.place),
    }
}

/// The value for the person's sex as the column writes it.
fn sex_like(real: &str, column: &Column, person: &Person) -> String {
    let list = CodeLists::embedded().get("sex");
    let of = |value: &String| list.and_then(|list| list.find(value)).map(|entry| entry.code == person.sex());
    column.values.iter().find(|value| of(value) == Some(true)).cloned().unwrap_or_else(|| real.to_owned())
}

/// Down to the county, with as many digits.
fn county(real: &str) -> String {
    let six = real.get(..6).filter(|six| division::normalise(six).is_ok()).unwrap_or("220104");
    format!("{six}{}", "0".repeat(real.len().saturating_sub(6)))
}

/// The date in the form of another: group of digits by group of digits.
fn like_date(real: &str, day: Date) -> String {
    let whole = format!("{:04}{:02}{:02}093000000000", day.year(), u8::from(day.month()), day.day());
    let mut digits = whole.chars();
    let mut shown = String::new();
    let mut group = 0;
    let compact = real.bytes().all(|byte| byte.is_ascii_digit());
    for c in real.chars() {
        if !c.is_ascii_digit() {
            // A group written with one digit takes two places of the whole.
            if group == 1 {
                shown.push(digits.next().unwrap_or('0'));
            }
            group = 0;
            shown.push(c);
            continue;
        }
        group += 1;
        shown.push(digits.next().unwrap_or('0'));
    }
    if group == 1 && !compact {
        shown.push(digits.next().unwrap_or('0'));
    }
    shown
}

/// A number of the same form: a digit from one to nine, then zeros.
fn digits_like(real: &str, place: usize) -> String {
    let mut first = true;
    let digit = |c: char| match c {
        '0'..='9' if std::mem::take(&mut first) => char::from_digit((place % 8 + 1) as u32, 10).unwrap_or('1'),
        '1'..='9' => '0',
        other => other,
    };
    real.chars().map(digit).collect()
}

fn card(place: usize) -> String {
    let body = format!("{CARD}{:06}", place + 1);
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// A key or a text: its ASCII letters up to the first digit, then a number; marks of one or two characters stay.
fn plain(real: &str, place: usize) -> String {
    if real.is_ascii() && real.len() <= SHORT {
        return real.to_owned();
    }
    if !real.is_ascii() {
        return format!("样本{}", place + 1);
    }
    let head: String = real.chars().take_while(|c| c.is_ascii_uppercase() || *c == '-').take(6).collect();
    let width = real.len().saturating_sub(head.len()).clamp(1, 12);
    format!("{head}{:0width$}", place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{bank, resident_id::ResidentId},
        kit::sniff::columns,
    };

    #[test]
    fn numbers_are_valid_and_of_the_functional_zone() {
        for place in 0..200 {
            let person = Person::new(place);
            let number = ResidentId::parse(&person.number).unwrap();
            assert!(person.number.starts_with("220171") && number.sex() == person.sex());
            assert!(bank::card(&card(place)).is_ok());
        }
    }

    #[test]
    fn nothing_personal_is_kept() {
        let real = serde_json::json!({
            "BH": "RZ20170001", "XM": "欧阳建国", "SFZH": "220171196512230010", "DZ": "吉林省长春市朝阳区某某路8号", "RZSJ": "2016-1-9 8:05",
            "HKDM": "220104003001", "JE": "120.50", "DH": "13843112345", "XB": "男",
        });
        let rows = vec![real.clone(), real.clone()];
        let columns = columns::of(&rows);
        let invented = row(&real, &columns, &Person::new(0));
        for (name, value) in real.as_object().unwrap() {
            let kept = ["XB"].contains(&name.as_str());
            assert_eq!(invented[name] == *value, kept, "{name}: {}", invented[name]);
        }
        assert_eq!(invented["RZSJ"], "2017-06-01 09:30");
        assert_eq!(invented["HKDM"], "220104000000");
    }

    #[test]
    fn dates_keep_their_form() {
        let day = date!(2017 - 07 - 03);
        for (form, expected) in
            [("20010203", "20170703"), ("2001/2/3", "2017/07/03"), ("20010203040506", "20170703093000"), ("200102", "201707")]
        {
            assert_eq!(like_date(form, day), expected);
        }
    }
}
