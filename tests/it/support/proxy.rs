//! A TCP proxy that misbehaves on demand, between a client and a real server.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::{broadcast, watch},
    task::JoinHandle,
    time::sleep,
};

/// What happens to bytes on their way, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every piece of data waits this long.
    Latency(Duration),
    /// So many bytes a second.
    Trickle(usize),
    /// Connections stay open and nothing gets through, until the fault is lifted.
    Blackhole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Reset,
    HalfClose,
}

/// Listens on a free port of the loopback.
pub struct Proxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    cut: broadcast::Sender<Cut>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Forwards to `server`, `host:port`.
    pub async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, _) = watch::channel(Fault::None);
        let (cut, _) = broadcast::channel(4);
        let task = tokio::spawn(accept(listener, server.to_owned(), fault.clone(), cut.clone()));
        Self { address, fault, cut, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Resets every open connection; new ones are accepted.
    pub fn reset(&self) {
        let _ = self.cut.send(Cut::Reset);
    }

    /// Ends the server's direction of every open connection; the client's stays open.
    pub fn half_close(&self) {
        let _ = self.cut.send(Cut::HalfClose);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset();
    }
}

async fn accept(listener: TcpListener, server: String, fault: watch::Sender<Fault>, cut: broadcast::Sender<Cut>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, server.clone(), fault.subscribe(), cut.subscribe()));
    }
}

async fn serve(client: TcpStream, server: String, fault: watch::Receiver<Fault>, mut cut: broadcast::Receiver<Cut>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // A close with a zero linger time sends a reset.
    client.set_zero_linger().unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = tokio::spawn(pump(from_client, to_server, fault.clone()));
    let down = tokio::spawn(pump(from_server, to_client, fault));
    let (stop_up, stop_down) = (up.abort_handle(), down.abort_handle());
    let cutting = async {
        while let Ok(cut) = cut.recv().await {
            if cut == Cut::Reset {
                return;
            }
            // Dropping the writing half ends this direction only.
            stop_down.abort();
        }
    };
    tokio::select! {
        () = cutting => {}
        _ = up => {}
    }
    stop_up.abort();
    stop_down.abort();
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut fault: watch::Receiver<Fault>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let now = *fault.borrow_and_update();
            let piece = match now {
                Fault::None => rest.len(),
                Fault::Latency(wait) => {
                    sleep(wait).await;
                    rest.len()
                }
                Fault::Trickle(bytes) => {
                    sleep(Duration::from_millis(100)).await;
                    (bytes / 10).clamp(1, rest.len())
                }
                Fault::Blackhole => {
                    if fault.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let (send, later) = rest.split_at(piece);
            if to.write_all(send).await.is_err() {
                return;
            }
            rest = later;
        }
    }
}

#[tokio::test]
async fn the_proxy_misbehaves_as_told() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = echo.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = socket.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    let proxy = Proxy::start(&address).await;
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let mut byte = [0];
    client.write_all(b"a").await.unwrap();
    client.read_exact(&mut byte).await.unwrap();

    proxy.set(Fault::Blackhole);
    client.write_all(b"b").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), client.read_exact(&mut byte)).await.is_err());
    proxy.set(Fault::None);
    client.read_exact(&mut byte).await.unwrap();

    proxy.reset();
    assert_eq!(client.read(&mut byte).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
