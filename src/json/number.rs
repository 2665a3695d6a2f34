//! Numbers of strict JSON: only those that come out of the hub as they went in.

use serde_json::{Number, Value};

/// Length of the number at the start of `bytes` by the grammar of RFC 8259; 0 when there is none.
pub(super) fn length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return 0;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return 0;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = if at + 1 + sign <= bytes.len() { digits(at + 1 + sign) } else { 0 };
        if exponent == 0 {
            return 0;
        }
        at += 1 + sign + exponent;
    }
    at
}

/// The number as `i64` or `f64`, if that keeps its value exactly: an integer must fit 64 bits, and the shortest decimal
/// text of the `f64` must be the same number that was read.
pub(super) fn exact(text: &str) -> Option<Value> {
    if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return text.parse::<i64>().ok().map(Value::from);
    }
    let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
    // `{:e}` prints the shortest decimal that reads back as the same `f64`.
    let same = normal(text)? == normal(&format!("{float:e}"))?;
    if same { Number::from_f64(float).map(Value::Number) } else { None }
}

/// Significant digits without outer zeros, and the power of ten of the last digit.
fn normal(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: String = format!("{}{fraction}", whole.trim_start_matches('-'));
    let mut power = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?;
    let kept = digits.trim_end_matches('0').len();
    power += i64::try_from(digits.len() - kept).ok()?;
    digits.truncate(kept);
    let digits = digits.trim_start_matches('0').to_owned();
    if digits.is_empty() { Some((digits, 0)) } else { Some((digits, power)) }
}
