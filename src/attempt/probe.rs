//! The child process that tries suspects: what crashes it would have crashed the hub.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::timeout,
};

/// Longest time one record may take in the child; a record that hangs is a culprit too.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// How to start the child: this program with the hidden command `probe` and the same configuration.
#[derive(Debug, Clone)]
pub struct Child {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Longest time for one record; see [`TIME_LIMIT`].
    pub limit: Duration,
}

impl Child {
    /// Indexes of the bodies that kill the child. A child that cannot be started at all convicts nobody.
    pub async fn try_all(&self, bodies: &[&[u8]]) -> Vec<usize> {
        let mut fatal = Vec::new();
        let mut next = 0;
        while next < bodies.len() {
            match self.survived(&bodies[next..]).await {
                Some(survived) if next + survived < bodies.len() => {
                    fatal.push(next + survived);
                    next += survived + 1;
                }
                _ => break,
            }
        }
        fatal
    }

    /// How many bodies a fresh child came through before it died; `None` if it did not start.
    async fn survived(&self, bodies: &[&[u8]]) -> Option<usize> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
        let mut answers = BufReader::new(output).lines();
        // The child says `ready` when it has loaded its configuration: dying before that proves nothing.
        let first = timeout(TIME_LIMIT * 6, answers.next_line()).await.ok()?.ok()??;
        if first != "ready" {
            return None;
        }
        for (index, body) in bodies.iter().enumerate() {
            let line = [hex::encode(body).as_bytes(), b"\n"].concat();
            // A child that does not read on, or does not answer, is as good as dead.
            let exchange = async {
                input.write_all(&line).await?;
                input.flush().await?;
                answers.next_line().await
            };
            if !matches!(timeout(self.limit, exchange).await, Ok(Ok(Some(_)))) {
                return Some(index);
            }
        }
        Some(bodies.len())
    }
}
