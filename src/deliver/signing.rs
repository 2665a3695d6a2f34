//! Signatures of webhooks after Standard Webhooks 1.0 (<https://github.com/standard-webhooks/standard-webhooks>).
//!
//! Three headers: `webhook-id` (the delivery id, the same on every retry), `webhook-timestamp` (seconds since 1970),
//! `webhook-signature`: one or more of `v1,<base64 of HMAC-SHA256>` and `v1a,<base64 of Ed25519>`, with a space between,
//! each over `<id>.<timestamp>.<body>`. While keys are changed the current and the next one both sign, and a receiver
//! accepts a message if one signature fits.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{
    error::{Code, Fault},
    govern::partner::Signing,
};

/// A signing key cannot be read.
pub const BAD_KEY: Code = Code::new(6022);

/// Header with the id of the message, the same on every try.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// Header with the moment of this try, seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Header with the signatures.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Seconds that the clocks of sender and receiver may differ (the standard's own implementations: five minutes).
pub const TOLERANCE: i64 = 300;

/// A key that signs.
#[derive(Clone)]
enum Key {
    Hmac(Hmac<Sha256>),
    Ed25519(Box<SigningKey>),
}

/// Signs with the current key, and with the next one while keys are changed.
#[derive(Clone)]
pub struct Signer {
    keys: Vec<Key>,
}

impl Signer {
    /// Reads keys as the standard writes them: `whsec_` and base64 of 24 to 64 bytes for HMAC, `whsk_` and base64 of
    /// the 32-byte seed (or of seed and public key) for Ed25519; the prefix may be left out.
    pub fn new(scheme: Signing, secrets: &[SecretString]) -> Result<Self, Fault> {
        let keys = secrets.iter().map(|secret| key(scheme, secret)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(Fault::new(BAD_KEY, "there is no signing key").hint("set `secret` of the partner"));
        }
        Ok(Self { keys })
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let content = content(id, timestamp, body);
        let signatures = self.keys.iter().map(|key| match key {
            Key::Hmac(mac) => {
                let mut mac = mac.clone();
                mac.update(&content);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            }
            Key::Ed25519(key) => format!("v1a,{}", STANDARD.encode(key.sign(&content).to_bytes())),
        });
        signatures.collect::<Vec<_>>().join(" ")
    }

    /// The three headers for one message.
    pub fn headers(&self, id: &str, timestamp: i64, body: &[u8]) -> HeaderMap {
        let signature = self.sign(id, timestamp, body);
        let mut headers = HeaderMap::new();
        for (name, value) in [(ID, id.to_owned()), (TIMESTAMP, timestamp.to_string()), (SIGNATURE, signature)] {
            // Hex, digits and base64 are always legal; an id of another kind goes out without its header and is refused.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// What a receiver needs to check our signatures: `whpk_` keys for Ed25519. HMAC secrets are not given out.
    pub fn public_keys(&self) -> Vec<String> {
        let keys = self.keys.iter().filter_map(|key| match key {
            Key::Hmac(_) => None,
            Key::Ed25519(key) => Some(format!("whpk_{}", STANDARD.encode(key.verifying_key().to_bytes()))),
        });
        keys.collect()
    }
}

fn key(scheme: Signing, secret: &SecretString) -> Result<Key, Fault> {
    let (prefix, form) = match scheme {
        Signing::Ed25519 => ("whsk_", "`whsk_` and base64 of 32 bytes"),
        Signing::HmacSha256 => ("whsec_", "`whsec_` and base64 of 24 to 64 bytes"),
    };
    let bad =
        || Fault::new(BAD_KEY, "the signing key cannot be read").expected(form).hint("docs/partners.md tells how to make one");
    let text = secret.expose_secret().trim();
    let bytes = STANDARD.decode(text.strip_prefix(prefix).unwrap_or(text)).map_err(|_| bad())?;
    match scheme {
        Signing::HmacSha256 if (24..=64).contains(&bytes.len()) => Hmac::new_from_slice(&bytes).map(Key::Hmac).map_err(|_| bad()),
        Signing::Ed25519 => {
            let seed: [u8; 32] = match bytes.len() {
                32 | 64 => bytes[..32].try_into().map_err(|_| bad())?,
                _ => return Err(bad()),
            };
            let key = SigningKey::from_bytes(&seed);
            // Seed and public key together must agree: a wrong pair would sign what nobody can check.
            if bytes.len() == 64 && key.verifying_key().as_bytes() != &bytes[32..] {
                return Err(bad());
            }
            Ok(Key::Ed25519(Box::new(key)))
        }
        Signing::HmacSha256 => Err(bad()),
    }
}

fn content(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body].concat()
}

/// Why a signed message is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A header is missing or not text, or the timestamp is no number.
    #[error("a webhook header is missing or cannot be read")]
    Header,
    /// Too old or too new: perhaps replayed.
    #[error("the timestamp is too far from the receiver's clock")]
    Clock,
    /// Signed by another key, or changed on the way.
    #[error("no signature fits")]
    Signature,
}

/// Checks signatures: for tests, for the sandbox, and for webhooks that come in.
#[derive(Default)]
pub struct Verifier {
    macs: Vec<Hmac<Sha256>>,
    keys: Vec<VerifyingKey>,
}

impl Verifier {
    /// Accepts `whsec_` secrets and `whpk_` public keys, several of each while keys are changed.
    pub fn new(keys: &[SecretString]) -> Result<Self, Fault> {
        let bad = || Fault::new(BAD_KEY, "the key cannot be read").expected("`whsec_` or `whpk_` and base64");
        let mut verifier = Self::default();
        for text in keys {
            let text = text.expose_secret().trim();
            if let Some(public) = text.strip_prefix("whpk_") {
                let bytes: [u8; 32] = STANDARD.decode(public).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)?;
                verifier.keys.push(VerifyingKey::from_bytes(&bytes).map_err(|_| bad())?);
            } else {
                match key(Signing::HmacSha256, &SecretString::from(text))? {
                    Key::Hmac(mac) => verifier.macs.push(mac),
                    Key::Ed25519(_) => return Err(bad()),
                }
            }
        }
        Ok(verifier)
    }

    /// Checks one message against the receiver's clock in seconds since 1970.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Error> {
        let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Error::Header);
        let (id, signatures) = (header(&ID)?, header(&SIGNATURE)?);
        let timestamp: i64 = header(&TIMESTAMP)?.parse().map_err(|_| Error::Header)?;
        if now.abs_diff(timestamp) > TOLERANCE.unsigned_abs() {
            return Err(Error::Clock);
        }
        let content = content(id, timestamp, body);
        // Sixteen are more than any rotation needs; a hostile header must not cost more.
        let fits = signatures.split(' ').take(16).any(|signature| self.fits(signature, &content));
        if fits { Ok(()) } else { Err(Error::Signature) }
    }

    fn fits(&self, signature: &str, content: &[u8]) -> bool {
        let Some((version, text)) = signature.split_once(',') else { return false };
        let Ok(bytes) = STANDARD.decode(text) else { return false };
        match version {
            "v1" => self.macs.iter().any(|mac| {
                let mut mac = mac.clone();
                mac.update(content);
                mac.verify_slice(&bytes).is_ok()
            }),
            "v1a" => Signature::from_slice(&bytes)
                .is_ok_and(|signature| self.keys.iter().any(|key| key.verify_strict(content, &signature).is_ok())),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn seed(byte: u8) -> SecretString {
        secret(&format!("whsk_{}", STANDARD.encode([byte; 32])))
    }

    /// The vector of the standard's own test suites.
    #[test]
    fn the_known_vector_fits() {
        let signer = Signer::new(Signing::HmacSha256, &[secret(SECRET)]).unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn both_keys_sign_while_keys_are_changed() {
        let signer = Signer::new(Signing::Ed25519, &[seed(1), seed(2)]).unwrap();
        let headers = signer.headers("d1", 1_000, b"{}");
        assert_eq!(headers[&SIGNATURE].to_str().unwrap().matches("v1a,").count(), 2);
        for public in signer.public_keys() {
            let verifier = Verifier::new(&[secret(&public)]).unwrap();
            assert_eq!(verifier.verify(&headers, b"{}", 1_000), Ok(()));
            assert_eq!(verifier.verify(&headers, b"{} ", 1_000), Err(Error::Signature));
            assert_eq!(verifier.verify(&headers, b"{}", 1_301), Err(Error::Clock));
            assert_eq!(verifier.verify(&headers, b"{}", 699), Err(Error::Clock));
        }
        let stranger = Signer::new(Signing::Ed25519, &[seed(3)]).unwrap().public_keys().remove(0);
        assert_eq!(Verifier::new(&[secret(&stranger)]).unwrap().verify(&headers, b"{}", 1_000), Err(Error::Signature));
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let verifier = Verifier::new(&[secret(SECRET)]).unwrap();
        let headers = Signer::new(Signing::HmacSha256, &[secret(SECRET)]).unwrap().headers("d1", 1_000, b"{}");
        assert_eq!(verifier.verify(&headers, b"{}", 1_000), Ok(()));
        for (name, value) in [(ID, "d2"), (TIMESTAMP, "1001"), (SIGNATURE, "v1,AAAA"), (SIGNATURE, "v1"), (SIGNATURE, "v2,AAAA")]
        {
            let mut changed = headers.clone();
            changed.insert(name.clone(), HeaderValue::from_static(value));
            assert_eq!(verifier.verify(&changed, b"{}", 1_000), Err(Error::Signature), "{name} {value}");
        }
        assert_eq!(verifier.verify(&HeaderMap::new(), b"{}", 1_000), Err(Error::Header));
    }

    #[test]
    fn bad_keys_are_named_without_their_text() {
        for (scheme, text) in
            [(Signing::HmacSha256, "whsec_c2hvcnQ="), (Signing::Ed25519, "whsk_c2hvcnQ="), (Signing::Ed25519, "whsk_not base64")]
        {
            let fault = Signer::new(scheme, &[secret(text)]).err().unwrap();
            assert_eq!(fault.code, BAD_KEY);
            assert!(!fault.to_string().contains("c2hv") && !fault.to_string().contains("not base64"));
        }
        let pair = [[1; 32], [9; 32]].concat();
        assert!(Signer::new(Signing::Ed25519, &[secret(&STANDARD.encode(pair))]).is_err());
        assert!(Signer::new(Signing::Ed25519, &[]).is_err());
    }
}
