//! The second factor: codes by time (RFC 6238: HMAC-SHA-1, 30 seconds, six digits), as every authenticator has them.

use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha1::Sha1;

/// Seconds of a step.
const STEP: i64 = 30;
/// Bytes of a secret.
const LENGTH: usize = 20;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A fresh secret.
pub(super) fn secret() -> [u8; LENGTH] {
    let mut secret = [0; LENGTH];
    rand::rng().fill_bytes(&mut secret);
    secret
}

/// The step of a moment.
pub(super) fn step(millis: i64) -> i64 {
    millis / 1000 / STEP
}

/// The code of a step.
pub(super) fn code(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// The step whose code this is: the present one, the one before or the one after, but none that was used.
pub(super) fn accepted(secret: &[u8], given: &str, now: i64, used: i64) -> Option<i64> {
    use subtle::ConstantTimeEq;
    let fits = |step: &i64| bool::from(code(secret, *step).as_bytes().ct_eq(given.as_bytes()));
    [now - 1, now, now + 1].into_iter().filter(|step| *step > used).find(fits)
}

/// Base 32 without padding, as it is typed into an authenticator.
pub fn base32(bytes: &[u8]) -> String {
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((held >> bits) & 31) as usize]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((held << (5 - bits)) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn vectors_of_rfc_6238() {
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SECRET, step(seconds * 1000)), expected, "{seconds}");
        }
    }

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, text) in [("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")] {
            assert_eq!(base32(plain.as_bytes()), text);
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute_around() {
        let code_of = |step| code(SECRET, step);
        assert_eq!(accepted(SECRET, &code_of(100), 100, 0), Some(100));
        assert_eq!(accepted(SECRET, &code_of(100), 101, 0), Some(100));
        assert_eq!(accepted(SECRET, &code_of(101), 100, 0), Some(101));
        assert_eq!(accepted(SECRET, &code_of(100), 102, 0), None, "too old");
        assert_eq!(accepted(SECRET, &code_of(100), 100, 100), None, "used");
        assert_eq!(accepted(SECRET, "", 100, 0), None);
    }
}
