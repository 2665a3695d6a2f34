//! HMAC-SHA256 (RFC 2104) over `<timestamp>.<body>`, as the common webhook schemes do it.

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{SIGNATURE, SKEW};
use crate::{clock, error::Fault};

/// How deliveries of one system are signed.
pub struct Signature {
    /// The current secret and, during a change, the next.
    pub secrets: Vec<String>,
    pub header: String,
    pub timestamp_header: String,
    /// Largest distance of the timestamp from the hub's clock, milliseconds.
    pub skew: i64,
}

impl Signature {
    /// Checks time and signature. The faults do not tell a sender without the secret more than that it is wrong.
    pub fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Fault> {
        let timestamp = header(headers, &self.timestamp_header).ok_or_else(|| {
            Fault::new(SKEW, format!("the header `{}` is missing", self.timestamp_header)).expected("seconds since 1970")
        })?;
        let sent = header(headers, &self.header).and_then(decode).ok_or_else(|| {
            let expected = "HMAC-SHA256 over `<timestamp>.<body>`, hexadecimal or base64";
            Fault::new(SIGNATURE, format!("the header `{}` is missing or unreadable", self.header)).expected(expected)
        })?;
        let mut good = subtle::Choice::from(0);
        for secret in &self.secrets {
            good |= sign(secret, timestamp, body).ct_eq(&sent);
        }
        if !bool::from(good) {
            return Err(
                Fault::new(SIGNATURE, "the signature is wrong").hint("sign the exact bytes of the body with the agreed secret")
            );
        }
        let distance = millis(timestamp).map(|sent| (clock::millis() - sent).abs());
        if distance.is_none_or(|distance| distance > self.skew) {
            let fault = Fault::new(SKEW, "the timestamp is unreadable or too far from the hub's clock");
            let expected = format!("seconds since 1970, at most {} s off", self.skew / 1000);
            return Err(fault.expected(expected).hint("synchronise the clock by NTP and sign every try anew"));
        }
        Ok(())
    }
}

/// The text of a header.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn sign(secret: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// 32 bytes from hexadecimal or base64, with or without `sha256=` in front.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("sha256=").unwrap_or(text);
    let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok())?;
    (bytes.len() == 32).then_some(bytes)
}

/// Seconds or, with thirteen digits, milliseconds since 1970.
fn millis(timestamp: &str) -> Option<i64> {
    let number: i64 = timestamp.parse().ok().filter(|number| *number >= 0)?;
    if timestamp.len() >= 13 { Some(number) } else { number.checked_mul(1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let secrets = vec!["old-secret-old-secret".to_owned(), "new-secret-new-secret".to_owned()];
        Signature { secrets, header: "x-signature".into(), timestamp_header: "x-timestamp".into(), skew: 300_000 }
    }

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-timestamp", timestamp.parse().unwrap());
        headers.insert("x-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn both_secrets_and_both_encodings_are_good() {
        let now = clock::now().unix_timestamp().to_string();
        for secret in ["old-secret-old-secret", "new-secret-new-secret"] {
            let bytes = sign(secret, &now, b"{}");
            for text in [hex::encode(&bytes), format!("sha256={}", hex::encode(&bytes)), STANDARD.encode(&bytes)] {
                assert_eq!(signature().check(&headers(&now, &text), b"{}"), Ok(()));
            }
        }
    }

    #[test]
    fn the_signature_covers_time_and_body() {
        let now = clock::now().unix_timestamp();
        let check = |timestamp: &str, signed: &str, body: &[u8]| {
            let text = hex::encode(sign("old-secret-old-secret", signed, b"{}"));
            signature().check(&headers(timestamp, &text), body).map_err(|fault| fault.code)
        };
        let (at, other) = (now.to_string(), (now + 1).to_string());
        assert_eq!(check(&at, &at, b"{} "), Err(SIGNATURE));
        assert_eq!(check(&other, &at, b"{}"), Err(SIGNATURE));
        let old = (now - 400).to_string();
        assert_eq!(check(&old, &old, b"{}"), Err(SKEW));
        let future = (now + 400).to_string();
        assert_eq!(check(&future, &future, b"{}"), Err(SKEW));
        let millis = (now * 1000).to_string();
        assert_eq!(check(&millis, &millis, b"{}"), Ok(()));
        assert_eq!(signature().check(&headers(&at, "zz"), b"{}").unwrap_err().code, SIGNATURE);
        assert_eq!(signature().check(&HeaderMap::new(), b"{}").unwrap_err().code, SKEW);
    }
}
