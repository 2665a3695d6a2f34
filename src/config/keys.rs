//! The hub's own secrets: the key of keyed hashes, the key of encryption at rest, the seed that signs the ledger.

use std::{fs, io::Write, path::Path, sync::Arc};

use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use rand::{RngCore, TryRngCore, rngs::OsRng};
use serde::Deserialize;

use crate::{
    domain::keyed_hash::KeyedHash,
    error::{Code, Fault},
};

/// The key file cannot be read, written or understood.
pub const BAD_KEYS: Code = Code::new(1002);

/// Secrets of one hub. Never printed: there is no `Debug`.
#[derive(Clone)]
pub struct Keys {
    /// HMAC-SHA256 key of look-up hashes and of subjects that are identity numbers.
    pub hmac: [u8; 32],
    /// AES-256-GCM key of identity numbers and names at rest.
    pub aes: [u8; 32],
    /// Signs the ends of ledger chains.
    pub ledger: Arc<SigningKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    hmac: String,
    aes: String,
    ledger: String,
}

impl Keys {
    /// Reads the key file; makes one with fresh random keys, readable by its owner only, where there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, Fault> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                fault(path, "the key file is not as expected").expected("hmac, aes and ledger, 64 hex digits each")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(fault(path, &error.to_string())),
        }
    }

    /// Reads the key file, for commands that only look: fresh keys beside an old store would make a second, wrong hub of it.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        match fs::read_to_string(path) {
            Ok(_) => Self::load_or_create(path),
            Err(error) => Err(fault(path, &format!("the key file cannot be read: {}", error.kind()))),
        }
    }

    /// Fixed keys for dry runs that leave nothing behind, such as `civilhub adapter run`.
    pub fn dry_run() -> Self {
        Self { hmac: [7; 32], aes: [7; 32], ledger: Arc::new(SigningKey::from_bytes(&[7; 32])) }
    }

    /// A key for another use, derived by HMAC-SHA256 from the hub's keyed-hash key and a label.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        // The hash has 64 hex digits, which always decode to 32 bytes.
        let _ = hex::decode_to_slice(KeyedHash::new(&self.hmac).hex(label), &mut key);
        key
    }

    /// AES-256-GCM with a random nonce in front, base64: personal data at rest.
    pub fn seal(&self, plain: &[u8]) -> String {
        let mut nonce = [0_u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = Aes256Gcm::new(&self.aes.into()).encrypt(&nonce.into(), plain).unwrap_or_default();
        STANDARD.encode([nonce.as_slice(), &sealed].concat())
    }

    /// The plain bytes of [`Self::seal`]; `None` if the text was changed or sealed with another key.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<12>()?;
        Aes256Gcm::new(&self.aes.into()).decrypt(&(*nonce).into(), sealed).ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let file: KeyFile = toml::from_str(text).ok()?;
        let bytes = |hex_digits: &str| -> Option<[u8; 32]> { hex::decode(hex_digits).ok()?.try_into().ok() };
        Some(Self {
            hmac: bytes(&file.hmac)?,
            aes: bytes(&file.aes)?,
            ledger: Arc::new(SigningKey::from_bytes(&bytes(&file.ledger)?)),
        })
    }

    fn create(path: &Path) -> Result<Self, Fault> {
        let mut bytes = [0_u8; 96];
        OsRng.try_fill_bytes(&mut bytes).map_err(|error| fault(path, &error.to_string()))?;
        let text = format!(
            "# Secrets of this hub. Keep a copy: without them identity numbers cannot be read again.\nhmac = \"{}\"\naes = \"{}\"\nledger = \"{}\"\n",
            hex::encode(&bytes[..32]),
            hex::encode(&bytes[32..64]),
            hex::encode(&bytes[64..])
        );
        write_private(path, &text).map_err(|error| fault(path, &error.to_string()))?;
        // Read back: another process may have made the file at the same moment, and then its keys are the right ones.
        let text = fs::read_to_string(path).map_err(|error| fault(path, &error.to_string()))?;
        Self::parse(&text).ok_or_else(|| fault(path, "the key file is not as expected"))
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Written under another name and linked into place: the file is never seen half-written, and never replaced.
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn fault(path: &Path, message: &str) -> Fault {
    Fault::new(BAD_KEYS, message).in_file(path.display().to_string()).hint("restore it from a copy, or give `keys.file`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/keys.toml");
        assert_eq!(Keys::load(&path).map(|_| ()).unwrap_err().code, BAD_KEYS);
        assert!(!path.exists(), "looking makes nothing");
        let first = Keys::load_or_create(&path).unwrap();
        let second = Keys::load_or_create(&path).unwrap();
        assert_eq!((first.hmac, first.aes, first.ledger.to_bytes()), (second.hmac, second.aes, second.ledger.to_bytes()));
        assert_ne!(first.hmac, first.aes);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no half-written file is left");
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.toml");
        for text in ["", "hmac = 1", "hmac = \"00\"\naes = \"00\"\nledger = \"00\"", "x = \"\"", "\u{feff}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(Keys::load_or_create(&path).map(|_| ()).unwrap_err().code, BAD_KEYS, "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_unchanged_only() {
        let keys = Keys::dry_run();
        let sealed = keys.seal("张伟".as_bytes());
        assert_eq!(keys.open(&sealed).as_deref(), Some("张伟".as_bytes()));
        assert_ne!(sealed, keys.seal("张伟".as_bytes()), "a fresh nonce every time");
        let other = Keys { aes: [8; 32], ..keys.clone() };
        assert_eq!(other.open(&sealed), None);
        let mut bytes = STANDARD.decode(&sealed).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        for text in [STANDARD.encode(bytes), String::new(), "###".to_owned(), STANDARD.encode([0; 12])] {
            assert_eq!(keys.open(&text), None, "{text}");
        }
    }
}
