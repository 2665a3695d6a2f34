//! The address of the HTTP interface: free, or held by a process of the hub that is ready.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Category::Http, Check, Finding};
use crate::{api::LISTEN, config::Config, error::Code};

/// A process of the hub says that it is not ready.
pub const NOT_READY: Code = Code::new(8294);

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config, pre: bool) -> Check {
    let listen = config.http.listen.clone();
    Check::new(Http, "the HTTP interface", 15, async move { look(&listen, pre).await })
}

async fn look(listen: &str, pre: bool) -> Finding {
    let hint = "choose another `http.listen`, or stop what listens there";
    match TcpListener::bind(listen).await {
        Ok(_) => Finding::ok(Http, format!("`{listen}` is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && !pre => match ready(listen).await {
            Some(true) => Finding::ok(Http, format!("a process of the hub on `{listen}` is ready")),
            Some(false) => {
                let message = format!("a process of the hub on `{listen}` is not ready");
                Finding::fail(
                    Http,
                    NOT_READY,
                    message,
                    format!("`curl http://{listen}/readyz` says what it waits for: store or bus"),
                )
            }
            None => Finding::fail(Http, LISTEN, format!("another program listens on `{listen}`"), hint),
        },
        Err(error) => Finding::fail(Http, LISTEN, format!("cannot listen on `{listen}`: {}", error.kind()), hint),
    }
}

/// Whether the hub there is ready; `None` if it is none.
async fn ready(listen: &str) -> Option<bool> {
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let asked = async {
        let mut stream = TcpStream::connect(listen).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(16 << 10).read_to_end(&mut answer).await.ok()?;
        String::from_utf8(answer).ok()
    };
    let answer = timeout(LIMIT, asked).await.ok()??;
    let ours = answer.contains("store:") && answer.contains("bus:");
    ours.then(|| answer.starts_with("HTTP/1.1 200"))
}

/// Whether a hub answers there.
pub(super) async fn answers(listen: &str) -> bool {
    ready(listen).await.is_some()
}
