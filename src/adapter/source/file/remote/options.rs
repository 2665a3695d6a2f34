//! The options of an SFTP server, checked without a network.

use std::sync::Arc;

use russh::keys::{HashAlg, PrivateKey, PublicKey, decode_secret_key, load_secret_key};
use serde::Deserialize;

use crate::{adapter::decode::options, error::Fault};

/// Largest file that is fetched when the adapter does not say.
const LIMIT: u64 = 4 << 30;

/// As written in `[source]`, with `settle` of the drop folder beside them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub settle: Option<String>,
    sftp: Option<String>,
    sftp_key: Option<String>,
    sftp_password: Option<String>,
    sftp_host_key: Option<String>,
    sftp_limit: Option<u64>,
    sftp_remove: Option<bool>,
}

/// Where files are fetched from, and how the hub gets in.
#[derive(Clone)]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub path: String,
    pub login: Login,
    pub pinned: Pinned,
    pub limit: u64,
    /// Files are taken away from the server once they are here.
    pub remove: bool,
}

#[derive(Clone)]
pub enum Login {
    Key(Arc<PrivateKey>),
    Password(Arc<str>),
}

/// The host key that the server must show.
#[derive(Clone)]
pub struct Pinned(String);

impl Pinned {
    /// `text` is a fingerprint `SHA256:…` or a line `ssh-ed25519 AAAA…`.
    fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(digest) = text.strip_prefix("SHA256:") {
            let good = digest.len() == 43 && digest.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/');
            return good.then(|| Self(text.to_owned()));
        }
        PublicKey::from_openssh(text).ok().map(|key| Self(fingerprint(&key)))
    }

    pub fn fits(&self, key: &PublicKey) -> bool {
        self.0 == fingerprint(key)
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl Options {
    /// A folder with nothing but its address, the file of the key, and the host key.
    pub fn of(address: &str, key: &str, host_key: &str) -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self { sftp: text(address), sftp_key: text(key), sftp_host_key: text(host_key), ..Self::default() }
    }

    /// The server, if the source has one.
    ///
    /// # Errors
    /// Every wrong or missing option.
    pub fn place(&self) -> Result<Option<Place>, Vec<Fault>> {
        let Some(text) = &self.sftp else {
            let lone = [&self.sftp_key, &self.sftp_password, &self.sftp_host_key].iter().any(|option| option.is_some());
            let alone = lone || self.sftp_limit.is_some() || self.sftp_remove.is_some();
            let fault = || options::bad("sftp", "is missing beside other `sftp_` options").expected(FORM);
            return if alone { Err(vec![fault()]) } else { Ok(None) };
        };
        let mut faults = Vec::new();
        let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "sftp" && url.password().is_none());
        let named = url.as_ref().filter(|url| !url.username().is_empty() && url.host_str().is_some());
        if named.is_none() {
            faults.push(options::bad("sftp", "is no address of an SFTP folder").expected(FORM));
        }
        let login = self.login().map_err(|fault| faults.push(fault)).ok();
        let pinned = self.sftp_host_key.as_deref().and_then(Pinned::new);
        if pinned.is_none() {
            let fault = options::bad("sftp_host_key", "names no host key; without it anybody could be the server");
            faults.push(fault.expected("`SHA256:…` as `ssh-keygen -lf` prints it, or `ssh-ed25519 AAAA…`"));
        }
        let (Some(url), Some(login), Some(pinned), true) = (named, login, pinned, faults.is_empty()) else { return Err(faults) };
        Ok(Some(Place {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port().unwrap_or(22),
            user: url.username().to_owned(),
            path: if url.path().is_empty() { ".".to_owned() } else { url.path().to_owned() },
            login,
            pinned,
            limit: self.sftp_limit.unwrap_or(LIMIT),
            remove: self.sftp_remove.unwrap_or(false),
        }))
    }

    fn login(&self) -> Result<Login, Fault> {
        let bad = || options::bad("sftp_key", "cannot be read").expected("the path of a private key, or its text");
        match (&self.sftp_key, &self.sftp_password) {
            (Some(key), None) if key.contains("PRIVATE KEY") => decode_secret_key(key, None).map_err(|_| bad()),
            (Some(path), None) => load_secret_key(path, None).map_err(|_| bad()),
            (None, Some(password)) => return Ok(Login::Password(password.as_str().into())),
            _ => Err(options::bad("sftp_key", "or `sftp_password` must be given, and not both")),
        }
        .map(|key| Login::Key(Arc::new(key)))
    }
}

const FORM: &str = "`sftp://user@host:22/folder`";
