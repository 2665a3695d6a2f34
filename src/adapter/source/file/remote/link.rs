//! One SFTP session. Every call has a time limit; texts of the server do not leave this module.

use std::{collections::BTreeMap, sync::Arc};

use russh::{
    Disconnect,
    client::{self, AuthResult, Handle},
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use russh_sftp::{
    client::{SftpSession, fs::File},
    protocol::StatusCode,
};

use tokio::io::AsyncWriteExt;

use super::{
    Look, SFTP_HOST_KEY, SFTP_REFUSED, SFTP_UNREACHABLE, STEP,
    options::{Login, Pinned, Place},
};
use crate::{adapter::source::Error, error::Fault};

/// A session; dropping it breaks the connection off.
pub struct Link {
    handle: Handle<Gate>,
    sftp: SftpSession,
}

/// Looks at the server's key before anything else is said.
struct Gate {
    pinned: Pinned,
}

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("another host key")]
    HostKey,
    #[error("{0}")]
    Ssh(#[from] russh::Error),
}

impl client::Handler for Gate {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        if self.pinned.fits(&shown.public_key()) { Ok(true) } else { Err(Failure::HostKey) }
    }
}

impl Link {
    pub async fn open(place: &Place) -> Result<Self, Error> {
        let config = client::Config { inactivity_timeout: Some(STEP), ..client::Config::default() };
        let gate = Gate { pinned: place.pinned.clone() };
        let connecting = client::connect(Arc::new(config), (place.host.as_str(), place.port), gate);
        let mut handle = limited(connecting).await?.map_err(|failure| match failure {
            Failure::HostKey => {
                let fault = Fault::new(SFTP_HOST_KEY, "the SFTP server shows another host key than the adapter says");
                Error::Refused(fault.hint("ask the server's owner on another way; put the new fingerprint into `sftp_host_key`"))
            }
            Failure::Ssh(russh::Error::IO(error)) => broken(&error.kind().to_string()),
            Failure::Ssh(_) => broken("the handshake failed"),
        })?;
        if !limited(log_in(&mut handle, place)).await?.map_err(|_| broken("the login failed"))? {
            let fault = Fault::new(SFTP_REFUSED, "the SFTP server does not let the hub in");
            return Err(Error::Refused(fault.hint("check the user in `sftp`, and `sftp_key` or `sftp_password`")));
        }
        let session = async {
            let channel = handle.channel_open_session().await.map_err(|_| broken("no channel"))?;
            channel.request_subsystem(true, "sftp").await.map_err(|_| broken("no SFTP subsystem"))?;
            SftpSession::new(channel.into_stream()).await.map_err(|error| classify(&error))
        };
        let sftp = limited(session).await??;
        sftp.set_timeout(STEP.as_secs());
        Ok(Self { handle, sftp })
    }

    /// Regular files directly in a folder.
    pub async fn list(&self, path: &str, most: usize) -> Result<BTreeMap<String, Look>, Error> {
        let entries = limited(self.sftp.read_dir(path)).await?.map_err(|error| classify(&error))?;
        let look = |entry: russh_sftp::client::fs::DirEntry| {
            // What the listing says of a link is said of the link itself.
            let metadata = entry.metadata();
            let look = Look { size: metadata.size?, modified: metadata.mtime? };
            metadata.file_type().is_file().then(|| (entry.file_name(), look))
        };
        Ok(entries.take(most).filter_map(look).collect())
    }

    /// One file now; none if it is gone or no regular file.
    pub async fn look(&self, path: &str) -> Result<Option<Look>, Error> {
        match limited(self.sftp.symlink_metadata(path)).await? {
            Ok(metadata) if metadata.file_type().is_file() => {
                Ok(metadata.size.zip(metadata.mtime).map(|(size, modified)| Look { size, modified }))
            }
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(classify(&error)),
        }
    }

    pub async fn read(&self, path: &str) -> Result<File, Error> {
        limited(self.sftp.open(path)).await?.map_err(|error| classify(&error))
    }

    /// Writes a whole file: under another name first, then in place of one of this name.
    pub async fn write(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let part = format!("{folder}/.{name}.part");
        let written = async {
            let mut file = self.sftp.create(part.as_str()).await.map_err(|error| classify(&error))?;
            file.write_all(bytes).await.map_err(|error| broken(&error.kind().to_string()))?;
            file.shutdown().await.map_err(|error| broken(&error.kind().to_string()))
        };
        limited(written).await??;
        let path = format!("{folder}/{name}");
        // A rename of SFTP does not replace.
        self.remove(&path).await?;
        limited(self.sftp.rename(part, path)).await?.map_err(|error| classify(&error))
    }

    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        match limited(self.sftp.remove_file(path)).await? {
            Err(error) if !is_missing(&error) => Err(classify(&error)),
            _ => Ok(()),
        }
    }

    pub async fn close(self) {
        let _ = limited(self.sftp.close()).await;
        let _ = limited(self.handle.disconnect(Disconnect::ByApplication, "", "")).await;
    }
}

async fn log_in(handle: &mut Handle<Gate>, place: &Place) -> Result<bool, russh::Error> {
    let result = match &place.login {
        Login::Password(password) => handle.authenticate_password(&place.user, password.as_ref()).await?,
        Login::Key(key) => {
            let hash = handle.best_supported_rsa_hash().await?.flatten();
            handle.authenticate_publickey(&place.user, PrivateKeyWithHashAlg::new(Arc::clone(key), hash)).await?
        }
    };
    Ok(matches!(result, AuthResult::Success))
}

/// Waits no longer than one step may take.
pub async fn limited<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(STEP, work).await.map_err(|_| broken(&format!("no answer within {} s", STEP.as_secs())))
}

/// The fault of a server that may answer later.
pub fn broken(what: &str) -> Error {
    let fault = Fault::new(SFTP_UNREACHABLE, format!("the SFTP server failed: {what}"));
    Error::Unreachable(fault.hint("check `sftp`, the network and that the server runs"))
}

fn is_missing(error: &russh_sftp::client::error::Error) -> bool {
    matches!(error, russh_sftp::client::error::Error::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

fn classify(error: &russh_sftp::client::error::Error) -> Error {
    let refused = |what: &str| {
        let fault = Fault::new(SFTP_REFUSED, format!("the SFTP server refused: {what}"));
        Error::Refused(fault.hint("check the folder in `sftp` and the account's rights"))
    };
    match error {
        russh_sftp::client::error::Error::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => refused("no such file or folder"),
            StatusCode::PermissionDenied => refused("permission denied"),
            _ => broken("an operation failed"),
        },
        _ => broken("the session broke off"),
    }
}
