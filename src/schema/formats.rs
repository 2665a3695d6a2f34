//! Formats of Chinese administrative numbers, as JSON Schema `format` checks.
//!
//! Each function answers whether the text has the form; none of them looks anything up. The names of the formats and
//! what a user is told to supply are in [`FORMATS`].

use time::{Date, Month};

/// A format: its name in schemas, what to tell the sender, and the check.
pub struct Format {
    pub name: &'static str,
    pub expected: &'static str,
    pub check: fn(&str) -> bool,
}

/// Every format of our own. `date` and `date-time` are asserted too, by the validator itself.
pub const FORMATS: [Format; 7] = [
    Format {
        name: "resident-id",
        expected: "an 18-character identity number with a real birth date and the check digit of GB 11643 (`X` in upper case)",
        check: resident_id,
    },
    Format {
        name: "uscc",
        expected: "an 18-character unified social credit code with the check character of GB 32100",
        check: uscc,
    },
    Format { name: "division", expected: "a 12-digit division code that starts with a province", check: division },
    Format { name: "cnaps", expected: "a 12-digit bank branch number with its check digit", check: cnaps },
    Format { name: "bank-card", expected: "16 to 19 digits with a Luhn check digit", check: bank_card },
    Format { name: "cn-mobile", expected: "an 11-digit mobile number that starts with 13 to 19", check: cn_mobile },
    Format { name: "money", expected: "yuan with two decimals as text, e.g. \"480.00\"", check: money },
];

/// What to tell the sender of a value that lacks the format.
pub fn expectation(format: &str) -> String {
    match format {
        "date" => "a calendar day as `yyyy-mm-dd`".to_owned(),
        "date-time" => "a moment as RFC 3339 with offset, e.g. `2017-07-03T09:00:00+08:00`".to_owned(),
        _ => {
            let known = FORMATS.iter().find(|known| known.name == format);
            known.map_or_else(|| format!("format `{format}`"), |known| known.expected.to_owned())
        }
    }
}

/// First two digits of a division code (GB/T 2260).
fn is_province(digits: &[u8]) -> bool {
    let number = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    matches!(number, 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81 | 82)
}

/// Residence permits of Taiwan residents carry 83, which is no division.
fn is_issuer(digits: &[u8]) -> bool {
    digits == b"83" || is_province(digits)
}

fn all_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

/// Resident identity number of GB 11643-1999: division, birth date, sequence, check digit by ISO 7064 MOD 11-2.
pub fn resident_id(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let bytes = text.as_bytes();
    if bytes.len() != 18 || !all_digits(&bytes[..17]) || !is_issuer(&bytes[..2]) || !is_real_date(&bytes[6..14]) {
        return false;
    }
    let sum: u32 = bytes.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    bytes[17] == b"10X98765432"[(sum % 11) as usize]
}

/// Eight digits `yyyymmdd` that name a day of the calendar from 1850 on.
fn is_real_date(digits: &[u8]) -> bool {
    let number =
        |range: std::ops::Range<usize>| digits[range].iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let month = u8::try_from(number(4..6)).ok().and_then(|month| Month::try_from(month).ok());
    let day = u8::try_from(number(6..8)).unwrap_or_default();
    let year = number(0..4);
    year >= 1850 && month.is_some_and(|month| Date::from_calendar_date(i32::from(year), month, day).is_ok())
}

/// Unified social credit code of GB 32100-2015: 31 characters (no I O S V Z), weights 3^(i-1) mod 31.
pub fn uscc(text: &str) -> bool {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    const WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
    let bytes = text.as_bytes();
    if bytes.len() != 18 || !all_digits(&bytes[2..8]) {
        return false;
    }
    let mut sum = 0;
    for (byte, weight) in bytes.iter().zip(WEIGHTS) {
        let Some(value) = ALPHABET.iter().position(|known| known == byte) else { return false };
        sum += value * weight;
    }
    bytes[17] == ALPHABET[(31 - sum % 31) % 31]
}

/// Twelve digits of the statistical division code, the first two a province. Whether it exists is not asked here.
pub fn division(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 12 && all_digits(bytes) && is_province(&bytes[..2])
}

/// Bank branch number of the national payment system: 12 digits, the last by ISO 7064 MOD 11,10.
pub fn cnaps(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 12 || !all_digits(bytes) {
        return false;
    }
    let mut product = 10;
    for digit in &bytes[..11] {
        let sum = (product + u32::from(digit - b'0')) % 10;
        product = if sum == 0 { 10 } else { sum } * 2 % 11;
    }
    u32::from(bytes[11] - b'0') == (11 - product) % 10
}

/// Payment card number of ISO/IEC 7812-1, annex B (Luhn), in the lengths that Chinese banks issue.
pub fn bank_card(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !(16..=19).contains(&bytes.len()) || !all_digits(bytes) {
        return false;
    }
    let mut sum = 0;
    for (place, byte) in bytes.iter().rev().enumerate() {
        let digit = u32::from(byte - b'0');
        sum += match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        };
    }
    sum.is_multiple_of(10)
}

/// Mobile number of the mainland: 11 digits, 13x to 19x.
pub fn cn_mobile(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 11 && all_digits(bytes) && bytes[0] == b'1' && bytes[1] >= b'3'
}

/// Yuan as canonical records carry it: up to ten digits and two decimals.
pub fn money(text: &str) -> bool {
    let Some((yuan, fen)) = text.strip_prefix('-').unwrap_or(text).split_once('.') else { return false };
    (1..=10).contains(&yuan.len()) && all_digits(yuan.as_bytes()) && fen.len() == 2 && all_digits(fen.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(format(text), "{text} is good");
        }
        for text in bad {
            assert!(!format(text), "{text} is bad");
        }
    }

    #[test]
    fn resident_ids() {
        check(
            resident_id,
            &["11010519491231002X", "220105198003150042", "222401195607021136", "220221201001012084", "220171197001010053"],
            &[
                "220105198003150041",
                "220105198002300040",
                "999999198003150040",
                "222401195607021000",
                "22010519800315004",
                "11010519491231002x",
                "１１０１０５",
                "",
            ],
        );
    }

    #[test]
    fn social_credit_codes() {
        check(
            uscc,
            &["91110000600037341L", "51220000500187342L", "53220000MJ0102348R", "132201055001873420"],
            &["512200005001873420", "I1220000500187342L", "51220000500187342"],
        );
    }

    #[test]
    fn divisions() {
        check(division, &["220105001001", "110000000000"], &["2201050010", "990105001001", "22010500100a", "000000000000"]);
    }

    #[test]
    fn bank_branches() {
        check(
            cnaps,
            &["102100099996", "103100000026", "313241066661", "402241000015"],
            &["102100099995", "402241000016", "4022410000"],
        );
    }

    #[test]
    fn bank_cards() {
        check(
            bank_card,
            &["6222020220171234564", "6225880220171236", "622908022017123454"],
            &["6222020220171234565", "18", "622588022017123 "],
        );
    }

    #[test]
    fn mobiles_and_money() {
        check(cn_mobile, &["13800000000", "19900000001"], &["12800000000", "1380000000", "138000000000", "0431-555555"]);
        check(
            money,
            &["480.00", "-1.05", "0.00", "9999999999.99"],
            &["480", "480.0", "1,480.00", "+1.00", ".50", "99999999999.00", "1.000"],
        );
    }

    #[test]
    fn every_format_says_what_it_wants() {
        for format in &FORMATS {
            assert_eq!(expectation(format.name), format.expected);
        }
        assert!(expectation("date").contains("yyyy-mm-dd"));
    }
}
