//! A private SSH server with the files of one test.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::script;

pub struct Sshd {
    dir: TempDir,
    address: String,
}

impl Sshd {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = std::process::id().to_string();
        let address = script("sshd.sh", &["up", &Self::home(&dir), &owner]).await;
        std::fs::create_dir(dir.path().join("files")).unwrap();
        Self { dir, address }
    }

    fn home(dir: &TempDir) -> String {
        dir.path().join("sshd").display().to_string()
    }

    fn key(&self, name: &str) -> String {
        self.dir.path().join("sshd").join(name).display().to_string()
    }

    /// The folder whose files the server gives out.
    pub fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    /// Lines of `[source]` for that folder.
    pub fn source(&self) -> String {
        let host = std::fs::read_to_string(self.key("host.pub")).unwrap();
        self.source_with(host.trim(), &self.files())
    }

    pub fn source_with(&self, host_key: &str, folder: &Path) -> String {
        let (address, key) = (&self.address, self.key("client"));
        format!("sftp = '{address}{}'\nsftp_key = '{key}'\nsftp_host_key = '{host_key}'", folder.display())
    }

    /// A key that nobody expects.
    pub fn other_key(&self) -> String {
        std::fs::read_to_string(self.key("client.pub")).unwrap().trim().to_owned()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sshd.sh");
        let _ = std::process::Command::new(script).args(["remove", &Self::home(&self.dir)]).status();
    }
}
