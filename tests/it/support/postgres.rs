//! PostgreSQL: the one of the suite, or a private one that a test may kill.

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{script, signal, unique};

/// A server of one test. It ends with the test, and with the process if that is killed.
pub struct Postgres {
    dir: TempDir,
    url: String,
}

impl Postgres {
    /// Starts one, with an empty database `hub`; takes some five seconds.
    pub async fn private() -> Self {
        let dir = tempfile::tempdir().unwrap();
        allow_others(&dir);
        let owner = std::process::id().to_string();
        let url = script("postgres.sh", &["up", &Self::home(&dir), &owner]).await;
        Self { dir, url }
    }

    /// URL of a new database on the server of the suite: `CIVILHUB_TEST_PG`, or one that this process starts for all its tests.
    pub async fn database() -> String {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        let url = match std::env::var("CIVILHUB_TEST_PG") {
            Ok(url) => url,
            Err(_) => SHARED.get_or_init(Self::private).await.url.clone(),
        };
        let name = unique("hub");
        script("postgres.sh", &["database", &url, &name]).await
    }

    /// A standby, for which this server waits at every commit from now on.
    pub async fn standby(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        allow_others(&dir);
        let url =
            script("postgres.sh", &["standby", &Self::home(&dir), &Self::home(&self.dir), &std::process::id().to_string()]).await;
        Self { dir, url }
    }

    /// Makes the standby the primary.
    pub async fn promote(&self) {
        script("postgres.sh", &["promote", &Self::home(&self.dir)]).await;
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it without a chance to tidy up.
    pub async fn kill(&self) {
        script("postgres.sh", &["kill", &Self::home(&self.dir)]).await;
    }

    /// Starts it again after a kill.
    pub async fn start(&self) {
        script("postgres.sh", &["start", &Self::home(&self.dir)]).await;
    }

    /// Stops the server process in its tracks: new connections hang. Sessions that are open go on.
    pub async fn freeze(&self) {
        signal("-STOP", &script("postgres.sh", &["pid", &Self::home(&self.dir)]).await).await;
    }

    pub async fn thaw(&self) {
        signal("-CONT", &script("postgres.sh", &["pid", &Self::home(&self.dir)]).await).await;
    }

    fn home(dir: &TempDir) -> String {
        dir.path().join("postgres").display().to_string()
    }
}

/// The server may run as another user than the test: it must be able to enter the folder.
fn allow_others(dir: &TempDir) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh");
        let _ = std::process::Command::new(script).args(["remove", &Self::home(&self.dir)]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_starts_again() {
    let server = Postgres::private().await;
    server.kill().await;
    server.start().await;
    script("postgres.sh", &["database", server.url(), "again"]).await;
}
