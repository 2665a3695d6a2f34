//! The folders of banks that take files: on a disk, or on an SFTP server.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::io::AsyncReadExt;

use crate::{
    adapter::source::{
        self,
        file::remote::{Link, Options, Place},
    },
    envelope::Event,
    error::Fault,
    exchange::{
        Provider, Reply, UNAVAILABLE,
        files::{DropBox, MOST_BYTES, NO_BOX, line::Form},
    },
    govern::partner::QueryEndpoint,
    signature::algorithm::{self, Sign, Verify},
};

/// Names looked at in one listing.
const LISTED: usize = 10_000;

/// A bank that takes files.
pub(super) struct Files {
    form: Form,
    place: Where,
    key: Box<dyn Sign>,
    bank: Option<Box<dyn Verify>>,
}

enum Where {
    Disk(PathBuf),
    Server { place: Place, every: Duration, looked: Mutex<Option<Instant>> },
}

/// The folder of a partner file. `seed` is of the hub's key for this bank alone.
pub(super) fn open(endpoint: &QueryEndpoint, form: Form, seed: [u8; 32]) -> Result<Files, Vec<Fault>> {
    let bad = |text: &str, expected: &str| vec![Fault::new(NO_BOX, text).at_column("url").expected(expected)];
    let place = match endpoint.url.strip_prefix("file://") {
        Some(path) if Path::new(path).is_absolute() => Where::Disk(PathBuf::from(path)),
        Some(_) => return Err(bad("the folder of the bank is not named in full", "file:///folder")),
        None => {
            let Some((key, host_key)) = &endpoint.sftp else {
                return Err(bad("the folder of the bank has no key", "key_file, host_key"));
            };
            let options = Options::of(&endpoint.url, &key.display().to_string(), host_key);
            let place =
                options.place()?.ok_or_else(|| bad("the folder of the bank cannot be read", "sftp://user@host/folder"))?;
            Where::Server { place, every: endpoint.every, looked: Mutex::default() }
        }
    };
    let secret = format!("ed25519-secret:{}", STANDARD.encode(seed));
    let key = algorithm::secret(&secret.into()).map_err(|fault| vec![fault])?;
    let bank = endpoint.public_key.as_deref().map(algorithm::public).transpose().map_err(|fault| vec![fault])?;
    Ok(Files { form, place, key, bank })
}

fn disk(error: &std::io::Error) -> Fault {
    Fault::new(NO_BOX, format!("the folder of the bank failed: {}", error.kind()))
        .hint("check the folder and the hub's rights in it")
}

fn server(error: source::Error) -> Fault {
    match error {
        source::Error::Unreachable(fault) | source::Error::Refused(fault) => fault,
    }
}

/// Names of finished files only.
fn finished(name: &str) -> bool {
    !name.starts_with('.') && [".ACK", ".RSP", ".ERR"].iter().any(|ending| name.ends_with(ending))
}

#[async_trait]
impl Provider for Files {
    async fn ask(&self, _: &Event) -> Reply {
        Reply::Unavailable(Fault::new(UNAVAILABLE, "this bank is asked by files"))
    }

    fn folder(&self) -> Option<&dyn DropBox> {
        Some(self)
    }
}

#[async_trait]
impl DropBox for Files {
    fn form(&self) -> Form {
        self.form
    }

    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        match &self.place {
            Where::Disk(folder) => {
                let (folder, name, bytes) = (folder.join("out"), name.to_owned(), bytes.to_vec());
                let written = tokio::task::spawn_blocking(move || write(&folder, &name, &bytes)).await;
                written.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(|error| disk(&error))
            }
            Where::Server { place, .. } => {
                let link = Link::open(place).await.map_err(server)?;
                let done = link.write(&format!("{}/out", base(place)), name, bytes).await;
                link.close().await;
                done.map_err(server)
            }
        }
    }

    async fn list(&self) -> Result<Vec<String>, Fault> {
        match &self.place {
            Where::Disk(folder) => {
                let entries = match std::fs::read_dir(folder.join("in")) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                    other => other.map_err(|error| disk(&error))?,
                };
                let regular = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
                let names = regular.filter_map(|entry| entry.file_name().into_string().ok());
                Ok(names.filter(|name| finished(name)).take(LISTED).collect())
            }
            Where::Server { place, every, looked } => {
                {
                    let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
                    if looked.is_some_and(|looked| looked.elapsed() < *every) {
                        return Ok(Vec::new());
                    }
                    *looked = Some(Instant::now());
                }
                let link = Link::open(place).await.map_err(server)?;
                let listed = link.list(&format!("{}/in", base(place)), LISTED).await;
                link.close().await;
                Ok(listed.map_err(server)?.into_keys().filter(|name| finished(name)).collect())
            }
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        match &self.place {
            Where::Disk(folder) => {
                let path = folder.join("in").join(name);
                match tokio::fs::metadata(&path).await {
                    Ok(metadata) if metadata.len() <= MOST_BYTES => {
                        tokio::fs::read(&path).await.map(Some).map_err(|error| disk(&error))
                    }
                    _ => Ok(None),
                }
            }
            Where::Server { place, .. } => {
                let link = Link::open(place).await.map_err(server)?;
                let bytes = fetch(&link, &format!("{}/in/{name}", base(place))).await;
                link.close().await;
                bytes.map_err(server)
            }
        }
    }

    async fn remove(&self, name: &str) -> Result<(), Fault> {
        match &self.place {
            Where::Disk(folder) => match tokio::fs::remove_file(folder.join("in").join(name)).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(&error)),
                _ => Ok(()),
            },
            Where::Server { place, .. } => {
                let link = Link::open(place).await.map_err(server)?;
                let done = link.remove(&format!("{}/in/{name}", base(place))).await;
                link.close().await;
                done.map_err(server)
            }
        }
    }

    fn sign(&self, content: &[u8]) -> String {
        self.key.sign(content).map(|signature| STANDARD.encode(signature)).unwrap_or_default()
    }

    fn is_signed(&self, content: &[u8], signature: &str) -> bool {
        let Some(key) = &self.bank else { return true };
        STANDARD.decode(signature).is_ok_and(|signature| key.verify(content, &signature))
    }
}

fn base(place: &Place) -> &str {
    place.path.trim_end_matches('/')
}

async fn fetch(link: &Link, path: &str) -> Result<Option<Vec<u8>>, source::Error> {
    let Some(look) = link.look(path).await? else { return Ok(None) };
    if look.size > MOST_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut file = link.read(path).await?.take(MOST_BYTES);
    let read = tokio::time::timeout(Duration::from_secs(60), file.read_to_end(&mut bytes)).await;
    Ok(read.is_ok_and(|read| read.is_ok()).then_some(bytes))
}

/// Durably, whole or not at all.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let part = folder.join(format!(".{name}.part"));
    let mut file = std::fs::File::create(&part)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, folder.join(name))?;
    std::fs::File::open(folder)?.sync_all()
}

/// The form of files, by what a partner file or the list of banks says.
pub(super) fn form(format: &str) -> Form {
    if format == "fixed" || format == "sftp_fixed" { Form::Fixed } else { Form::Csv }
}
