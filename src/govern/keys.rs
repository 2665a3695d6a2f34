//! Keys of the agreements: one master key, from it one hash key and one data key per partner.
//!
//! Derivation: `HMAC-SHA256(master, "civilhub/" use "/" slug)`, a one-step KDF in the sense of NIST SP 800-108 with
//! a label and a context. Partners therefore cannot join their hashes with each other.

use std::{env, fmt};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Key, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;

use crate::error::{Code, Fault};

/// The master key of the agreements is missing or not 32 bytes.
pub const MASTER_KEY: Code = Code::new(5112);

/// Length of the nonce of AES-GCM (NIST SP 800-38D, 96 bits).
const NONCE: usize = 12;

type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The master key, and where `${NAME}` in partner files is looked up.
pub struct GovernKeys {
    master: SecretBox<[u8; 32]>,
    lookup: Lookup,
}

impl fmt::Debug for GovernKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GovernKeys")
    }
}

impl GovernKeys {
    /// Keys from 32 bytes of good randomness; `${NAME}` is read from the environment.
    pub fn new(master: [u8; 32]) -> Self {
        Self { master: SecretBox::new(Box::new(master)), lookup: Box::new(|name| env::var(name).ok()) }
    }

    /// The master key as 64 hex digits or as base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok());
        let master = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        master.map(Self::new).ok_or_else(|| {
            Fault::new(MASTER_KEY, "the master key of the agreements cannot be used")
                .expected("32 bytes as 64 hex digits or base64")
                .hint("make one with `openssl rand -hex 32`")
        })
    }

    /// Reads `${NAME}` from somewhere else than the environment.
    pub fn with_lookup(mut self, lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.lookup = Box::new(lookup);
        self
    }

    /// The key with which `encrypted` fields of this partner are opened; to be handed to the partner, base64.
    pub fn data_key(&self, partner: &str) -> SecretString {
        SecretString::from(STANDARD.encode(self.derive("data", partner)))
    }

    /// The value of an environment variable named in a partner file.
    pub(super) fn variable(&self, name: &str) -> Option<SecretString> {
        (self.lookup)(name).filter(|text| !text.trim().is_empty()).map(SecretString::from)
    }

    pub(super) fn partner(&self, slug: &str) -> PartnerKeys {
        PartnerKeys {
            hash: mac(&self.derive("hash", slug)),
            nonce: mac(&self.derive("nonce", slug)),
            cipher: Aes256Gcm::new(&self.derive("data", slug).into()),
        }
    }

    fn derive(&self, purpose: &str, partner: &str) -> [u8; 32] {
        let mut mac = mac(self.master.expose_secret());
        mac.update(b"civilhub/");
        mac.update(purpose.as_bytes());
        mac.update(b"/");
        mac.update(partner.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// Pads the key to the block of SHA-256 as HMAC itself does (RFC 2104, section 2), which leaves no failing case.
fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(key);
    Hmac::new(&block)
}

/// Keyed primitives of one partner, set up once.
#[derive(Clone)]
pub(super) struct PartnerKeys {
    hash: Hmac<Sha256>,
    nonce: Hmac<Sha256>,
    cipher: Aes256Gcm,
}

impl fmt::Debug for PartnerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartnerKeys")
    }
}

impl PartnerKeys {
    /// HMAC-SHA256 as 64 hex digits. Equal texts give equal hashes in every field, so the partner can join on them.
    pub fn hash(&self, text: &str) -> String {
        let mut mac = self.hash.clone();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// AES-256-GCM, base64 of nonce, ciphertext and tag; `place` (delivery and field) is authenticated with it.
    ///
    /// The nonce is a MAC of place and text instead of a random number: a delivery that is sent again has the same
    /// bytes, and a nonce never meets a second text. `None` only if the text is beyond the cipher's 64 GiB.
    pub fn encrypt(&self, place: &str, text: &str) -> Option<String> {
        let mut mac = self.nonce.clone();
        mac.update(&(place.len() as u64).to_be_bytes());
        mac.update(place.as_bytes());
        mac.update(text.as_bytes());
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&mac.finalize().into_bytes()[..NONCE]);
        let sealed = self.cipher.encrypt(&nonce.into(), Payload { msg: text.as_bytes(), aad: place.as_bytes() }).ok()?;
        Some(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }
}

/// Opens an `encrypted` field as a partner does: `key` is [`GovernKeys::data_key`], `place` is
/// `<delivery id>/<field>`. `None` if anything does not fit.
pub fn decrypt(key: &SecretString, place: &str, sealed: &str) -> Option<String> {
    let key: [u8; 32] = STANDARD.decode(key.expose_secret()).ok()?.try_into().ok()?;
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let nonce: [u8; NONCE] = nonce.try_into().ok()?;
    let payload = Payload { msg: sealed, aad: place.as_bytes() };
    let text = Aes256Gcm::new(&key.into()).decrypt(&nonce.into(), payload).ok()?;
    String::from_utf8(text).ok()
}
