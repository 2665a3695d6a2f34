//! Mobile numbers of mainland China.

use super::{Refusal, text};
use crate::error::Code;

/// A mobile number has a wrong form.
pub const MOBILE: Code = Code::new(3105);

/// Eleven digits, the first 1, the second 3 to 9; a country code `+86` and separators are dropped.
pub fn mobile(value: &str) -> Result<String, Refusal> {
    let mut digits = text::compact_upper(value, 24);
    digits.retain(|c| !matches!(c, '-' | '(' | ')'));
    let number = digits.strip_prefix("+86").or_else(|| digits.strip_prefix("0086")).unwrap_or(&digits);
    let good = number.len() == 11
        && number.bytes().all(|c| c.is_ascii_digit())
        && number.starts_with('1')
        && number.as_bytes()[1] >= b'3';
    if good {
        Ok(number.to_owned())
    } else {
        Err(Refusal::new(MOBILE, "the mobile number has a wrong form", "11 digits beginning with 13 to 19"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for text in ["13844012345", "+86 138-4401-2345", "１３８４４０１２３４５", "008613844012345"] {
            assert_eq!(mobile(text).unwrap(), "13844012345");
        }
        for text in ["", "0431-88881234", "1384401234", "12044012345", "138440123456", "1384401234x"] {
            assert!(mobile(text).is_err(), "{text}");
        }
    }
}
