//! [`Form`]: in what form a field is shown to a partner.

use std::fmt;

use serde_json::Value;
use time::{Date, macros::format_description};

use super::keys::PartnerKeys;
use crate::envelope::DeliveryId;

/// The form of a delivered field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As it is.
    Plain,
    /// Readable for recognition only: `张*`, `220171********0053`, the last four of an account.
    Masked,
    /// HMAC-SHA256 with the partner's own key, 64 hex digits; the same value gives the same hash in every field.
    Hashed,
    /// AES-256-GCM with the partner's data key, base64 of nonce, ciphertext and tag.
    Encrypted,
    /// An age band, a county, a month, a band of money.
    Coarse,
}

impl Form {
    /// Every form, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Masked, Self::Hashed, Self::Encrypted, Self::Coarse];

    /// As written in partner files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Masked => "masked",
            Self::Hashed => "hashed",
            Self::Encrypted => "encrypted",
            Self::Coarse => "coarse",
        }
    }

    /// The form of this name, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.as_str() == text)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the forms need to know beside the value.
pub(super) struct Context<'a> {
    pub keys: &'a PartnerKeys,
    pub delivery: &'a DeliveryId,
    pub today: Date,
}

/// What a field holds, judged once by its name; decides how it is masked and made coarse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Account,
    Phone,
    Number,
    BirthDate,
    Other,
}

impl Kind {
    /// From the last part of a dotted name.
    pub fn of(path: &str) -> Self {
        let field = path.rsplit('.').next().unwrap_or(path);
        let has = |parts: &[&str]| parts.iter().any(|part| field.contains(part));
        if has(&["account_no", "account_number", "card"]) {
            Self::Account
        } else if has(&["mobile", "phone", "telephone"]) {
            Self::Phone
        } else if has(&["birth_date", "birthday"]) {
            Self::BirthDate
        } else if field == "name" || field.ends_with("_name") {
            Self::Name
        } else if has(&["id_number", "number", "certificate"]) || field.ends_with("_no") {
            Self::Number
        } else {
            Self::Other
        }
    }
}

/// The scalar in the form, or `None` if it has no such form: it is then withheld.
pub(super) fn apply(form: Form, kind: Kind, path: &str, value: &Value, context: &Context<'_>) -> Option<Value> {
    match form {
        Form::Plain => Some(value.clone()),
        // Absence is no secret, and a hash of nothing would be a trap for joins.
        _ if value.is_null() => Some(Value::Null),
        Form::Masked => Some(value.as_str().map_or_else(|| hidden().into(), |text| mask(kind, text).into())),
        Form::Hashed => Some(context.keys.hash(&plain_text(value)).into()),
        Form::Encrypted => {
            let place = format!("{}/{path}", context.delivery);
            context.keys.encrypt(&place, &plain_text(value)).map(Value::String)
        }
        Form::Coarse => value.as_str().and_then(|text| coarse(kind, text, context.today)).map(Value::String),
    }
}

/// A text as it is, anything else as JSON.
fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Stars of a fixed number: the length of a text is a trait of it too.
fn hidden() -> String {
    "***".to_owned()
}

/// Masks by what the field holds. Never shows more than two thirds of the characters.
pub(super) fn mask(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Name => keep(text, 1, 0, text.chars().count().saturating_sub(1).clamp(1, 3)),
        Kind::Account => keep(text, 0, 4, 4),
        Kind::Phone => keep(text, 3, 4, text.chars().count().saturating_sub(7)),
        Kind::Number if text.chars().count() >= 15 => keep(text, 6, 4, text.chars().count() - 10),
        Kind::Number => keep(text, 0, 4, 4),
        Kind::BirthDate => hidden(),
        Kind::Other if is_resident_id(text) => keep(text, 6, 4, 8),
        Kind::Other => hidden(),
    }
}

/// The first and last characters around stars; stars alone if that would show more than two thirds.
fn keep(text: &str, head: usize, tail: usize, stars: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if (head + tail) * 3 > chars.len() * 2 {
        return hidden();
    }
    let stars = std::iter::repeat_n('*', stars);
    chars[..head].iter().copied().chain(stars).chain(chars[chars.len() - tail..].iter().copied()).collect()
}

/// GB 11643: seventeen digits and a digit or X.
fn is_resident_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 18 && bytes[..17].iter().all(u8::is_ascii_digit) && (bytes[17].is_ascii_digit() || bytes[17] | 32 == b'x')
}

fn coarse(kind: Kind, text: &str, today: Date) -> Option<String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() == 12 {
        return Some(format!("{}000000", &text[..6]));
    }
    if let Some(day) = text.get(..10).and_then(|day| Date::parse(day, format_description!("[year]-[month]-[day]")).ok()) {
        return Some(if kind == Kind::BirthDate { age_band(day, today) } else { text[..7].to_owned() });
    }
    money_band(text)
}

/// Ten years wide; all from ninety on together, because so few are left that a band would point at persons.
fn age_band(birth: Date, today: Date) -> String {
    let had_birthday = (today.month() as u8, today.day()) >= (birth.month() as u8, birth.day());
    let age = (today.year() - birth.year() - i32::from(!had_birthday)).max(0);
    let from = age / 10 * 10;
    if from >= 90 { "90+".to_owned() } else { format!("{from}-{}", from + 9) }
}

/// Bands `from-to` in yuan, the upper border outside: 0, 1, 2, 5 times a power of ten from 100 on.
fn money_band(text: &str) -> Option<String> {
    let (whole, cents) = text.split_once('.')?;
    let negative = whole.starts_with('-');
    let whole = whole.trim_start_matches('-');
    let shaped = cents.len() == 2 && cents.bytes().chain(whole.bytes()).all(|byte| byte.is_ascii_digit());
    let yuan: u64 = whole.parse().ok().filter(|_| shaped && whole.len() <= 10)?;
    if negative {
        return Some("<0".to_owned());
    }
    let mut from = 0;
    for to in borders() {
        if yuan < to {
            return Some(format!("{from}-{to}"));
        }
        from = to;
    }
    Some(format!("{from}+"))
}

fn borders() -> impl Iterator<Item = u64> {
    (2..8).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn masks_show_enough_to_recognise_and_no_more() {
        for (field, text, expected) in [
            ("payee_name", "张三", "张*"),
            ("name", "欧阳娜娜", "欧***"),
            ("name", "王", "***"),
            ("id_number", "220171197001010053", "220171********0053"),
            ("id_number", "220171700101005", "220171*****1005"),
            ("members.id_number", "22017119700101005X", "220171********005X"),
            ("account_no", "6217000010001234567", "****4567"),
            ("account_no", "1234", "***"),
            ("mobile", "13804310000", "138****0000"),
            ("case_no", "A1234567", "****4567"),
            ("address", "吉林省长春市朝阳区某路1号", "***"),
            ("note", "220171197001010053", "220171********0053"),
            ("birth_date", "1970-01-01", "***"),
        ] {
            assert_eq!(mask(Kind::of(field), text), expected, "{field} {text}");
        }
    }

    #[test]
    fn coarse_forms() {
        let today = date!(2017 - 07 - 03);
        for (field, text, expected) in [
            ("birth_date", "1970-01-01", Some("40-49")),
            ("birth_date", "1987-07-03", Some("30-39")),
            ("birth_date", "1987-07-04", Some("20-29")),
            ("birth_date", "1920-07-04", Some("90+")),
            ("birth_date", "2018-01-01", Some("0-9")),
            ("decision_date", "2017-07-03", Some("2017-07")),
            ("occurred_at", "2017-07-03T09:00:00+08:00", Some("2017-07")),
            ("division_code", "220102003001", Some("220102000000")),
            ("amount", "480.00", Some("200-500")),
            ("amount", "0.00", Some("0-100")),
            ("amount", "500.00", Some("500-1000")),
            ("amount", "-3.00", Some("<0")),
            ("amount", "9999999999.99", Some("50000000+")),
            ("amount", "480", None),
            ("name", "张三", None),
        ] {
            assert_eq!(coarse(Kind::of(field), text, today).as_deref(), expected, "{field} {text}");
        }
    }
}
