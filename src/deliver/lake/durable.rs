//! Flushing local files: the object store over a local folder writes without `fsync`, and a record may leave the
//! bus only when a power cut cannot take it back. On a real object store there is nothing to do.

use std::{fs::File, io, path::PathBuf};

use deltalake_core::logstore::object_store::path::Path;
use url::Url;

/// Where a table is on the local disk; `None` for an object store.
#[derive(Debug, Clone)]
pub(super) struct Durable(Option<PathBuf>);

impl Durable {
    pub(super) fn of(table: &Url) -> Self {
        Self(if table.scheme() == "file" { table.to_file_path().ok() } else { None })
    }

    /// Flushes a file and the folders above it up to the table.
    pub(super) async fn flush(&self, path: &Path) -> io::Result<()> {
        let Some(root) = self.0.clone() else { return Ok(()) };
        let path = path.clone();
        let work = move || {
            let file = root.join(path.as_ref());
            File::open(&file)?.sync_all()?;
            for folder in file.ancestors().skip(1).take_while(|folder| folder.starts_with(&root)) {
                File::open(folder)?.sync_all()?;
            }
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}
