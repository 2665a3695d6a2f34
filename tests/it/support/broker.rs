//! RabbitMQ: the one of the suite, or a private one that a test may kill, freeze and starve.

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{script, signal};

/// A broker of one test. It ends with the test, and with the process if that is killed.
pub struct Broker {
    dir: TempDir,
    url: String,
}

impl Broker {
    /// Starts one; takes some five seconds.
    pub async fn private() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = std::process::id().to_string();
        let url = script("rabbit.sh", &["up", &Self::home(&dir), &owner]).await;
        Self { dir, url }
    }

    /// URL of the broker of the suite: `CIVILHUB_TEST_AMQP`, or one that this process starts for all its tests.
    pub async fn shared() -> String {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        match std::env::var("CIVILHUB_TEST_AMQP") {
            Ok(url) => url,
            Err(_) => SHARED.get_or_init(Self::private).await.url.clone(),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it without a chance to tidy up.
    pub async fn kill(&self) {
        signal("-KILL", &self.process().await).await;
    }

    /// Starts it again after a kill.
    pub async fn start(&self) {
        script("rabbit.sh", &["start", &Self::home(&self.dir)]).await;
    }

    /// Stops it in its tracks: sockets stay open, nothing answers.
    pub async fn freeze(&self) {
        signal("-STOP", &self.process().await).await;
    }

    pub async fn thaw(&self) {
        signal("-CONT", &self.process().await).await;
    }

    /// Raises or lifts the memory alarm.
    pub async fn alarm(&self, raised: bool) {
        let mark = if raised {
            ["set_vm_memory_high_watermark", "absolute", "1"]
        } else {
            ["set_vm_memory_high_watermark", "absolute", "1GiB"]
        };
        self.ctl(&mark).await;
    }

    /// Runs `rabbitmqctl`.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let home = Self::home(&self.dir);
        script("rabbit.sh", &[&["ctl", home.as_str()], arguments].concat()).await
    }

    async fn process(&self) -> String {
        script("rabbit.sh", &["pid", &Self::home(&self.dir)]).await
    }

    fn home(dir: &TempDir) -> String {
        dir.path().join("rabbit").display().to_string()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbit.sh");
        let _ = std::process::Command::new(script).args(["down", &Self::home(&self.dir)]).status();
    }
}
