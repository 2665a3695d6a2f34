//! Keyed hashes of personal values: joins without the number. Without the key nobody can try all numbers.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 under one secret key. Clones share nothing but the key's state.
#[derive(Clone)]
pub struct KeyedHash {
    ready: Hmac<Sha256>,
    key: Box<[u8]>,
}

impl KeyedHash {
    /// A keyed hash; any length of key is allowed, 32 random bytes are right.
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length, the error cannot happen; an all-zero state would still be keyed alike.
        let ready = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { ready, key: key.into() }
    }

    /// 64 hex digits.
    pub fn hex(&self, text: &str) -> String {
        let mut mac = self.ready.clone();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The key as hex, for the sealed box in which mapping programs carry it.
    pub(crate) fn key_hex(&self) -> String {
        hex::encode(&self.key)
    }
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_of_rfc_4231() {
        let hash = KeyedHash::new(&[0x0b; 20]).hex("Hi There");
        assert_eq!(hash, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn the_key_matters_and_is_not_shown() {
        assert_ne!(KeyedHash::new(b"a").hex("x"), KeyedHash::new(b"b").hex("x"));
        assert!(!format!("{:?}", KeyedHash::new(b"abc")).contains("97"));
    }
}
