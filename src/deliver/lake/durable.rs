//! Flushing local files: the object store over a local folder writes without `fsync`, and a record may leave the
//! bus only when a power cut cannot take it back. On a real object store there is nothing to do.

use std::{
    collections::HashSet,
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use deltalake_core::logstore::object_store::path::Path;
use url::Url;

/// Where a table is on the local disk; nothing for an object store.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    root: Option<PathBuf>,
    /// Folders whose own entry in the folder above is flushed already: once is enough.
    entered: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Durable {
    pub(super) fn of(table: &Url) -> Self {
        let root = if table.scheme() == "file" { table.to_file_path().ok() } else { None };
        Self { root, entered: Arc::default() }
    }

    /// Flushes a new file and its entry in its folder; for a new folder also the folders above, up to the lake's root.
    pub(super) async fn flush(&self, path: &Path) -> io::Result<()> {
        let Some(root) = self.root.clone() else { return Ok(()) };
        let (path, entered) = (path.clone(), Arc::clone(&self.entered));
        let work = move || {
            let file = root.join(path.as_ref());
            File::open(&file)?.sync_all()?;
            let Some(folder) = file.parent() else { return Ok(()) };
            File::open(folder)?.sync_all()?;
            if entered.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
                return Ok(());
            }
            let above = root.parent().unwrap_or(&root);
            for folder in folder.ancestors().skip(1).take_while(|folder| folder.starts_with(above)) {
                File::open(folder)?.sync_all()?;
            }
            entered.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}
