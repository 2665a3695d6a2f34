//! Servers and faults for the tests.
#![allow(dead_code, reason = "every test file uses its part")]

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::process::Command;

pub mod broker;
pub mod cluster;
pub mod collector;
pub mod hub;
pub mod mariadb;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod sshd;

/// A name that no other test uses, on this broker or database.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{what}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Shows the program's log on standard error when `RUST_LOG` is set; for a look at a failing test.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Runs one of `scripts/` and returns what it printed; fails the test when the script fails.
pub async fn script(name: &str, arguments: &[&str]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let running = Command::new(&path).args(arguments).kill_on_drop(true).output();
    // Installing packages is the slowest thing a script may do.
    let output = tokio::time::timeout(Duration::from_secs(300), running).await;
    let output = output.unwrap_or_else(|_| panic!("{name} {arguments:?} takes too long")).unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Sends a signal to one process.
pub async fn signal(signal: &str, process: &str) {
    let status = Command::new("kill").args([signal, process]).status().await.unwrap();
    assert!(status.success(), "kill {signal} {process}");
}

/// Waits until `condition` holds; fails the test after `limit`.
pub async fn eventually(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = std::time::Instant::now();
    while !condition().await {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
