//! A mock that listens until it is dropped.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::error::Fault;
use crate::simulate::Error;
use crate::simulate::error::LISTEN_FAILED;

/// Readers get this long to finish when the mock stops.
const GRACE: Duration = Duration::from_secs(5);

/// A running mock. Dropping it stops it too.
#[derive(Debug)]
pub struct Mock {
    /// The bound address; the port is real even where 0 was asked for.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Mock {
    /// Answers with a router on an address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(router: Router, listen: SocketAddr) -> Result<Self, Error> {
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, &error))?;
        let address = listener.local_addr().map_err(|error| cannot_listen(listen, &error))?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned());
            if let Err(error) = server.await {
                tracing::warn!(%error, "mock ended");
            }
        });
        Ok(Self { address, stop, task })
    }

    /// Stops accepting, lets open requests finish for a few seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> Error {
    let fault = Fault::new(LISTEN_FAILED, format!("cannot listen on `{listen}`: {error}"));
    Error::refused(fault.hint("choose another port, or 0 for any free one"))
}
