//! Money in yuan with two decimals, as text. Never a floating-point number.

use rust_decimal::Decimal;

use super::{Refusal, text};
use crate::error::Code;

/// An amount of money has a wrong form, more than two decimals, or too many digits.
pub const MONEY: Code = Code::new(3106);

/// Ten digits before the point: the widest amount of a canonical record.
const LIMIT: Decimal = Decimal::from_parts(1_410_065_408, 2, 0, false, 0);
/// Longest text that can be an amount; anything longer is refused unread.
const LONGEST: usize = 40;

/// Whole fen (hundredths of a yuan) as yuan: `48000` is `480.00`.
pub fn fen(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "a whole number of fen, such as 48000";
    let digits = text::compact_upper(value, LONGEST);
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Refusal::new(MONEY, "the amount is not a whole number of fen", EXPECTED));
    }
    let fen: i64 = digits.parse().map_err(|_| Refusal::new(MONEY, "the amount has too many digits", EXPECTED))?;
    render(Decimal::new(fen, 2), EXPECTED)
}

/// Decimal yuan: `480`, `1,480.5`, `￥480.00`, `480元`. Decimals beyond the second must be zeros.
pub fn yuan(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "an amount in yuan with at most two decimals, such as 480.00";
    let mut digits = text::compact_upper(value, LONGEST);
    digits.retain(|c| !matches!(c, ',' | '¥' | '￥' | '元'));
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    let form = unsigned.starts_with(|c: char| c.is_ascii_digit()) && unsigned.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let amount: Decimal = Some(&digits)
        .filter(|_| form)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Refusal::new(MONEY, "the amount is not a decimal number", EXPECTED))?;
    if amount.normalize().scale() > 2 {
        return Err(Refusal::new(MONEY, "the amount has more than two decimals", EXPECTED));
    }
    render(amount, EXPECTED)
}

fn render(amount: Decimal, expected: &'static str) -> Result<String, Refusal> {
    if amount.abs() >= LIMIT {
        return Err(Refusal::new(MONEY, "the amount has too many digits", expected));
    }
    // A reversal of nothing is nothing: `-0.00` would not match the schema of money in all readers.
    let amount = if amount.is_zero() { Decimal::ZERO } else { amount };
    Ok(format!("{amount:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fen_to_yuan() {
        for (from, to) in [
            ("48000", "480.00"),
            ("0000000005", "0.05"),
            ("-150", "-1.50"),
            (" 7 ", "0.07"),
            ("-0", "0.00"),
            ("999999999999", "9999999999.99"),
        ] {
            assert_eq!(fen(from).unwrap(), to);
        }
        for bad in ["", "1.5", "4a", "-", "--1", "1000000000000", &"9".repeat(10_000)] {
            assert!(fen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn yuan_forms() {
        for (from, to) in [
            ("480", "480.00"),
            ("480.5", "480.50"),
            ("1,480.5000", "1480.50"),
            ("￥480.00", "480.00"),
            ("４８０元", "480.00"),
            ("-0.005000e", ""),
            ("-12.30", "-12.30"),
        ] {
            if to.is_empty() {
                assert!(yuan(from).is_err());
            } else {
                assert_eq!(yuan(from).unwrap(), to);
            }
        }
        for bad in ["", "0.001", "1e3", "NaN", ".5", "12.3.4", "12345678901", "0x10", &"1".repeat(1_000_000)] {
            assert!(yuan(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_limit_is_ten_digits() {
        assert_eq!(LIMIT.to_string(), "10000000000");
    }
}
