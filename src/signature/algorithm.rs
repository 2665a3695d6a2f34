//! The algorithms behind one trait, and how keys are written.
//!
//! A public key is `ed25519:`, `ecdsa-p256-sha256:` or `sm2-sm3:` and base64: of the 32 bytes of Ed25519, of the uncompressed
//! point (65 bytes) of the others. A secret key has the same name with `-secret` and 32 bytes. PEM files with a public key
//! (SubjectPublicKeyInfo), as OpenSSL writes them, are read too.

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use rand::{TryRngCore, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Code, Fault};

/// A key of a partner cannot be read.
pub const BAD_KEY: Code = Code::new(6603);

/// The identity that SM2 mixes into its hash where both sides agree on nothing else (GB/T 35276).
pub const SM2_IDENTITY: &str = "1234567812345678";

/// A public key of one algorithm.
pub trait Verify: Send + Sync {
    /// The algorithm as `alg` of a signature names it.
    fn algorithm(&self) -> Algorithm;
    /// Whether the signature is one of this key over the message. Signatures are public: only their comparison inside the
    /// group is secret-free work, done by the libraries without branches on the key.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
    /// The key as it is written.
    fn write(&self) -> String;
}

/// A secret key of one algorithm.
pub trait Sign: Send + Sync {
    fn algorithm(&self) -> Algorithm;
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;
    fn public(&self) -> Box<dyn Verify>;
}

/// An algorithm that partners may sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Ed25519,
    EcdsaP256,
    Sm2,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::EcdsaP256, Self::Sm2];

    /// As in `alg` and before the colon of a key. The first two are of the registry of RFC 9421; SM2 is ours.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256-sha256",
            Self::Sm2 => "sm2-sm3",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

struct Ed25519Key(ed25519_dalek::VerifyingKey);
struct P256Key(p256::ecdsa::VerifyingKey);
struct Sm2Key(sm2::dsa::VerifyingKey);

impl Verify for Ed25519Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    /// Strict: refuses small-order keys and signatures that are not canonical.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }

    fn write(&self) -> String {
        written(Algorithm::Ed25519, self.0.as_bytes())
    }
}

impl Verify for P256Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EcdsaP256
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }

    fn write(&self) -> String {
        written(Algorithm::EcdsaP256, self.0.to_sec1_point(false).as_bytes())
    }
}

impl Verify for Sm2Key {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sm2
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        sm2::dsa::Signature::from_slice(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }

    fn write(&self) -> String {
        written(Algorithm::Sm2, &self.0.to_sec1_bytes())
    }
}

struct Ed25519Secret(ed25519_dalek::SigningKey);
struct P256Secret(p256::ecdsa::SigningKey);
struct Sm2Secret(sm2::dsa::SigningKey);

impl Sign for Ed25519Secret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }

    fn public(&self) -> Box<dyn Verify> {
        Box::new(Ed25519Key(self.0.verifying_key()))
    }
}

impl Sign for P256Secret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EcdsaP256
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let signature: p256::ecdsa::Signature = self.0.try_sign(message).map_err(|_| bad())?;
        Ok(signature.to_bytes().to_vec())
    }

    fn public(&self) -> Box<dyn Verify> {
        Box::new(P256Key(*self.0.verifying_key()))
    }
}

impl Sign for Sm2Secret {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sm2
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let signature: sm2::dsa::Signature = self.0.try_sign(message).map_err(|_| bad())?;
        Ok(signature.to_bytes().to_vec())
    }

    fn public(&self) -> Box<dyn Verify> {
        Box::new(Sm2Key(self.0.verifying_key().clone()))
    }
}

fn written(algorithm: Algorithm, bytes: &[u8]) -> String {
    format!("{}:{}", algorithm.as_str(), STANDARD.encode(bytes))
}

fn bad() -> Fault {
    Fault::new(BAD_KEY, "the key cannot be read")
        .expected("`ed25519:`, `ecdsa-p256-sha256:` or `sm2-sm3:` and base64, or a PEM file with a public key")
        .hint("`civilhub partner keygen` makes a pair")
}

/// Reads a public key.
pub fn public(text: &str) -> Result<Box<dyn Verify>, Fault> {
    let text = text.trim();
    if text.starts_with("-----BEGIN PUBLIC KEY-----") {
        return from_pem(text).ok_or_else(bad);
    }
    let (name, encoded) = text.split_once(':').ok_or_else(bad)?;
    let algorithm = Algorithm::parse(name).ok_or_else(bad)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| bad())?;
    public_of(algorithm, &bytes).ok_or_else(bad)
}

fn public_of(algorithm: Algorithm, bytes: &[u8]) -> Option<Box<dyn Verify>> {
    Some(match algorithm {
        Algorithm::Ed25519 => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
            // A key of small order accepts signatures that nobody made.
            if key.is_weak() {
                return None;
            }
            Box::new(Ed25519Key(key))
        }
        Algorithm::EcdsaP256 => Box::new(P256Key(p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok()?)),
        Algorithm::Sm2 => Box::new(Sm2Key(sm2::dsa::VerifyingKey::from_sec1_bytes(SM2_IDENTITY, bytes).ok()?)),
    })
}

/// The heads of SubjectPublicKeyInfo of the three algorithms in DER: what follows is the key itself.
const HEADS: [(Algorithm, &str); 3] = [
    (Algorithm::Ed25519, "302a300506032b6570032100"),
    (Algorithm::EcdsaP256, "3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    (Algorithm::Sm2, "3059301306072a8648ce3d020106082a811ccf5501822d034200"),
];

fn from_pem(text: &str) -> Option<Box<dyn Verify>> {
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = STANDARD.decode(body).ok()?;
    HEADS.iter().find_map(|(algorithm, head)| {
        let key = der.strip_prefix(hex::decode(head).ok()?.as_slice())?;
        public_of(*algorithm, key)
    })
}

/// Reads a secret key.
pub fn secret(text: &SecretString) -> Result<Box<dyn Sign>, Fault> {
    let (name, encoded) = text.expose_secret().trim().split_once("-secret:").ok_or_else(bad)?;
    let algorithm = Algorithm::parse(name).ok_or_else(bad)?;
    let bytes: [u8; 32] = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(bad)?;
    secret_of(algorithm, &bytes).ok_or_else(bad)
}

fn secret_of(algorithm: Algorithm, bytes: &[u8; 32]) -> Option<Box<dyn Sign>> {
    Some(match algorithm {
        Algorithm::Ed25519 => Box::new(Ed25519Secret(ed25519_dalek::SigningKey::from_bytes(bytes))),
        Algorithm::EcdsaP256 => Box::new(P256Secret(p256::ecdsa::SigningKey::from_slice(bytes).ok()?)),
        Algorithm::Sm2 => Box::new(Sm2Secret(sm2::dsa::SigningKey::from_slice(SM2_IDENTITY, bytes).ok()?)),
    })
}

/// A new pair: the text of the secret key and the public key.
pub fn generate(algorithm: Algorithm) -> Result<(SecretString, Box<dyn Verify>), Fault> {
    // A random text is beyond the order of a curve with a chance of 2^-32 at most.
    for _ in 0..8 {
        let mut bytes = [0; 32];
        OsRng.try_fill_bytes(&mut bytes).map_err(|_| Fault::new(BAD_KEY, "the machine gives no random numbers"))?;
        if let Some(key) = secret_of(algorithm, &bytes) {
            let text = format!("{}-secret:{}", algorithm.as_str(), STANDARD.encode(bytes));
            return Ok((SecretString::from(text), key.public()));
        }
    }
    Err(bad())
}
