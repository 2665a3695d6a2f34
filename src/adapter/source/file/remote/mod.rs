//! Files of an SFTP server, fetched into the drop folder; from there they go the way of all files.
//!
//! The same rules as in the folder hold before a file is fetched: regular files only, none that is hidden or named as
//! unfinished, and none whose size or time changes between two looks. A file is written under a hidden name, compared with
//! what the server said, made durable, and only then gets its name. What was fetched is remembered by name, size and time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::folder;
use crate::{
    adapter::source::Error,
    clock,
    envelope::System,
    error::{Code, Fault},
    store::Store,
};

mod link;
mod options;

pub use link::Link;
pub use options::{Options, Place};

/// The SFTP server cannot be reached, or failed.
pub const SFTP_UNREACHABLE: Code = Code::new(3520);
/// The host key of the SFTP server is not the one of the adapter.
pub const SFTP_HOST_KEY: Code = Code::new(3521);
/// The SFTP server does not let the hub in, or the folder is not there.
pub const SFTP_REFUSED: Code = Code::new(3522);
/// A file of the SFTP server is larger than may be fetched.
pub const SFTP_TOO_LARGE: Code = Code::new(3523);

/// Names looked at in one listing.
const LISTED: usize = 50_000;
/// Longest name that still fits the folder with something around it.
const LONGEST_NAME: usize = 240;
/// Longest wait for one answer of the server.
pub(super) const STEP: Duration = Duration::from_secs(60);

/// Size and time of a remote file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub size: u64,
    /// Seconds since 1970.
    pub modified: u32,
}

/// The server's folder, for the files of one object.
#[derive(Clone)]
pub struct Remote {
    pub place: Place,
    pub store: Store,
    pub system: System,
    /// The drop folder of the system.
    pub inbox: PathBuf,
    pub globs: Vec<String>,
    pub settle: Duration,
}

impl Remote {
    /// Fetches what is there and new; the number of files. A file that is too large keeps no other from coming.
    pub async fn fetch(&self) -> Result<usize, Error> {
        let link = Link::open(&self.place).await?;
        let fetched = self.fetch_over(&link).await;
        link.close().await;
        fetched
    }

    async fn fetch_over(&self, link: &Link) -> Result<usize, Error> {
        let first = self.wanted(link).await?;
        if first.is_empty() {
            return Ok(0);
        }
        tokio::time::sleep(self.settle).await;
        let mut settled = self.wanted(link).await?;
        settled.retain(|name, look| first.get(name) == Some(look));
        let (mut fetched, mut too_large) = (0, 0_usize);
        for (name, look) in settled {
            if look.size > self.place.limit {
                too_large += 1;
            } else if self.one(link, &name, look).await? {
                fetched += 1;
            }
        }
        if fetched == 0 && too_large > 0 {
            let fault = Fault::new(SFTP_TOO_LARGE, format!("{too_large} files of the SFTP server are too large"));
            let limit = format!("at most {} bytes, see `sftp_limit`", self.place.limit);
            return Err(Error::Refused(fault.expected(limit).hint("raise the limit, or have the sender split the file")));
        }
        Ok(fetched)
    }

    /// Files of this object that were not fetched before.
    async fn wanted(&self, link: &Link) -> Result<BTreeMap<String, Look>, Error> {
        let mut found = link.list(&self.place.path, LISTED).await?;
        found.retain(|name, _| {
            let plain = folder::finished(name) && name.len() <= LONGEST_NAME && !name.contains(['/', '\0']);
            plain && self.globs.iter().any(|glob| folder::matches(glob, name))
        });
        let sql = "SELECT file, size, modified FROM sftp_seen WHERE system = $2 AND file IN (SELECT value ->> 0 FROM {rows})";
        let names: Vec<_> = found.keys().map(|name| serde_json::json!([name])).collect();
        let args = [serde_json::Value::Array(names).to_string().into(), self.system.as_str().into()];
        for row in self.store.read(sql, &args).await.map_err(|error| super::unreachable(&error))? {
            let look = Look {
                size: u64::try_from(row.int(1)).unwrap_or_default(),
                modified: u32::try_from(row.int(2)).unwrap_or_default(),
            };
            if found.get(&row.text(0)) == Some(&look) {
                found.remove(&row.text(0));
            }
        }
        // One of this name still waits to be read.
        found.retain(|name, _| std::fs::symlink_metadata(self.inbox.join(name)).is_err());
        Ok(found)
    }

    /// Fetches one file; false when it changed meanwhile.
    async fn one(&self, link: &Link, name: &str, look: Look) -> Result<bool, Error> {
        let path = format!("{}/{name}", self.place.path.trim_end_matches('/'));
        let part = self.inbox.join(format!(".{name}.sftp"));
        let copied = self.copy(link, &path, &part, look).await;
        let digest = match copied {
            Ok(Some(digest)) if link.look(&path).await? == Some(look) => digest,
            other => {
                let _ = std::fs::remove_file(&part);
                return other.map(|_| false);
            }
        };
        put(&part, &self.inbox.join(name)).map_err(|error| super::disk(&error))?;
        self.note(name, look, &digest).await?;
        tracing::info!(system = %self.system, digest = &digest[..16], bytes = look.size, "file fetched");
        if self.place.remove {
            link.remove(&path).await?;
        }
        Ok(true)
    }

    /// The digest of what was copied; none when it is not as long as it should be.
    async fn copy(&self, link: &Link, path: &str, part: &Path, look: Look) -> Result<Option<String>, Error> {
        let disk = |error: std::io::Error| super::disk(&error);
        std::fs::create_dir_all(&self.inbox).map_err(disk)?;
        // A link put here by somebody else is not followed.
        let _ = std::fs::remove_file(part);
        let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(part).await.map_err(disk)?;
        // One byte more than there should be shows that the file has grown.
        let mut source = link.read(path).await?.take(look.size + 1);
        let (mut hash, mut length, mut buffer) = (Sha256::new(), 0_u64, vec![0; 64 * 1024]);
        loop {
            let read = link::limited(source.read(&mut buffer)).await?.map_err(|error| link::broken(&error.kind().to_string()))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            length += read as u64;
            file.write_all(&buffer[..read]).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)?;
        file.sync_all().await.map_err(disk)?;
        Ok((length == look.size).then(|| hex::encode(hash.finalize())))
    }

    async fn note(&self, name: &str, look: Look, digest: &str) -> Result<(), Error> {
        let sql = "INSERT INTO sftp_seen (system, file, size, modified, digest, at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let args = [
            self.system.as_str().into(),
            name.into(),
            i64::try_from(look.size).unwrap_or(i64::MAX).into(),
            i64::from(look.modified).into(),
            digest.into(),
            clock::millis().into(),
        ];
        self.store.write(sql, &args).await.map(drop).map_err(|error| super::unreachable(&error))
    }
}

/// Gives a file its name, durably.
fn put(part: &Path, name: &Path) -> std::io::Result<()> {
    std::fs::rename(part, name)?;
    match name.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
