//! The two secrets of the index: one to look numbers up, one to store them.

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{
    error::{Code, Fault},
    store,
};

/// An identity key is not 64 hex digits.
pub const BAD_KEY: Code = Code::new(5001);
/// A stored value cannot be opened with the keys in use: they are not those the index was made with.
pub const WRONG_KEY: Code = Code::new(5002);

const NONCE: usize = 12;

/// HMAC-SHA-256 for look-up, AES-256-GCM for storage.
///
/// A plain hash of an identity number is no secret: there are few enough numbers to try all. With the HMAC key held
/// outside the database, a stolen database tells nothing.
#[derive(Clone)]
pub struct IdentityKeys {
    hmac: Hmac<Sha256>,
    aes: Aes256Gcm,
}

impl IdentityKeys {
    /// Keys as raw bytes; both must be random and kept for the life of the index.
    pub fn new(hmac: [u8; 32], aes: [u8; 32]) -> Self {
        Self { hmac: Hmac::new(&block(hmac)), aes: Aes256Gcm::new(&aes.into()) }
    }

    /// Keys as configured, 64 hex digits each.
    ///
    /// # Errors
    /// Either is something else; the text is not repeated.
    pub fn from_hex(hmac: &SecretString, aes: &SecretString) -> Result<Self, Fault> {
        let key = |name: &str, text: &SecretString| {
            let mut key = [0; 32];
            let decoded = hex::decode_to_slice(text.expose_secret(), &mut key);
            decoded.map(|()| key).map_err(|_| Fault::new(BAD_KEY, format!("`{name}` is not a key")).expected("64 hex digits"))
        };
        Ok(Self::new(key("hmac", hmac)?, key("aes", aes)?))
    }

    /// Keyed hash of an identity number in standard form, 64 hex digits: joins without the number.
    pub fn number_hash(&self, number: &str) -> String {
        hex::encode(self.hash(b"number", &[number]))
    }

    /// Keyed hash that stands for (system, reference).
    pub(super) fn reference_id(&self, system: &str, reference: &str) -> String {
        hex::encode(self.hash(b"reference", &[system, reference]))
    }

    /// Keyed hash over a purpose and parts; each part is preceded by its length so that parts cannot run together.
    pub(super) fn hash(&self, purpose: &[u8], parts: &[&str]) -> [u8; 32] {
        let mut mac = self.hmac.clone();
        mac.update(purpose);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Encrypts under a fresh random nonce; `purpose` is authenticated, so that a number cannot pass for a profile.
    pub(super) fn seal(&self, purpose: &str, plain: &str) -> Result<String, store::Error> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain.as_bytes(), aad: purpose.as_bytes() };
        let sealed = self.aes.encrypt(&nonce.into(), payload).map_err(|_| wrong_key("encrypted"))?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what [`Self::seal`] made.
    pub(super) fn open(&self, purpose: &str, sealed: &str) -> Result<String, store::Error> {
        let bytes = STANDARD.decode(sealed).map_err(|_| wrong_key("decoded"))?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(|| wrong_key("decoded"))?;
        let payload = Payload { msg: sealed, aad: purpose.as_bytes() };
        let plain = self.aes.decrypt(&(*nonce).into(), payload).map_err(|_| wrong_key("decrypted"))?;
        String::from_utf8(plain).map_err(|_| wrong_key("decoded"))
    }
}

/// HMAC pads a key to the block of its hash with zeros (RFC 2104, section 2).
fn block(key: [u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..key.len()].copy_from_slice(&key);
    block
}

fn wrong_key(what: &str) -> store::Error {
    store::Error::Failed(format!("{WRONG_KEY}: a value of the person index cannot be {what}; check the identity keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_and_opens_for_one_purpose() {
        let keys = IdentityKeys::new([1; 32], [2; 32]);
        let sealed = keys.seal("number", "220171197001010053").unwrap();
        assert_eq!(keys.open("number", &sealed).unwrap(), "220171197001010053");
        assert_ne!(sealed, keys.seal("number", "220171197001010053").unwrap());
        assert!(keys.open("profile", &sealed).is_err());
        assert!(IdentityKeys::new([1; 32], [3; 32]).open("number", &sealed).is_err());
        assert!(keys.open("number", "AAAA").is_err());
    }

    #[test]
    fn hash_is_hmac_sha256_of_the_key() {
        // Independent computation by the padded-key definition of RFC 2104.
        let mut reference = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
        reference.update(b"number");
        reference.update(&18_u64.to_be_bytes());
        reference.update(b"220171197001010053");
        let keys = IdentityKeys::new([1; 32], [2; 32]);
        assert_eq!(keys.number_hash("220171197001010053"), hex::encode(reference.finalize().into_bytes()));
        assert_ne!(keys.reference_id("a", "bc"), keys.reference_id("ab", "c"));
    }

    #[test]
    fn keys_are_64_hex_digits() {
        let good = SecretString::from("ab".repeat(32));
        assert!(IdentityKeys::from_hex(&good, &good).is_ok());
        let fault = IdentityKeys::from_hex(&good, &SecretString::from("secret")).err().unwrap();
        assert_eq!(fault.code, BAD_KEY);
        assert!(!fault.to_string().contains("secret"));
    }
}
