//! Bank line numbers (CNAPS) and card numbers.

use super::{Refusal, text};
use crate::error::Code;

/// A bank line number or card number has a wrong form or check digit.
pub const BANK_NUMBER: Code = Code::new(3103);

/// The twelve digits of a bank line number, the last verified by ISO 7064 MOD 11,10 over the first eleven.
pub fn cnaps(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "a bank line number of 12 digits (CNAPS, ISO 7064 MOD 11,10)";
    let digits = text::compact_upper(value, 12);
    if digits.len() != 12 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Refusal::new(BANK_NUMBER, "the bank line number has a wrong form", EXPECTED));
    }
    let mut product = 10;
    for digit in digits.bytes().take(11) {
        let sum = match (product + u32::from(digit - b'0')) % 10 {
            0 => 10,
            sum => sum,
        };
        product = 2 * sum % 11;
    }
    let check = (11 - product) % 10;
    if digits.as_bytes()[11] == b'0' + check as u8 {
        Ok(digits)
    } else {
        Err(Refusal::new(BANK_NUMBER, "the check digit of the bank line number is wrong", EXPECTED))
    }
}

/// The 16 to 19 digits of a bank card (Luhn, ISO/IEC 7812-1). Passbook accounts have no common check: not for them.
pub fn card(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "a bank card number of 16 to 19 digits (Luhn)";
    let digits = text::compact_upper(value, 19);
    if !(16..=19).contains(&digits.len()) || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Refusal::new(BANK_NUMBER, "the bank card number has a wrong form", EXPECTED));
    }
    let mut sum = 0;
    for (place, digit) in digits.bytes().rev().enumerate() {
        let doubled = u32::from(digit - b'0') << (place % 2);
        sum += doubled / 10 + doubled % 10;
    }
    if sum % 10 == 0 {
        Ok(digits)
    } else {
        Err(Refusal::new(BANK_NUMBER, "the check digit of the bank card number is wrong", EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vectors;

    #[test]
    fn vectors() {
        for number in vectors::texts("/cnaps/valid", "") {
            assert_eq!(cnaps(&number).unwrap(), number);
        }
        for number in vectors::texts("/cnaps/invalid", "") {
            assert!(cnaps(&number).is_err(), "{number}");
        }
        for number in vectors::texts("/bank_card_luhn/valid", "") {
            assert_eq!(card(&number).unwrap(), number);
        }
        for number in vectors::texts("/bank_card_luhn/invalid", "") {
            assert!(card(&number).is_err(), "{number}");
        }
    }

    #[test]
    fn spaces_and_full_width_are_put_right_and_rubbish_is_refused() {
        assert_eq!(card("6222 0202 2017 1234 564").unwrap(), "6222020220171234564");
        assert!(card("6222").is_err() && card("622202022017123456X").is_err() && cnaps("１０２").is_err());
    }
}
