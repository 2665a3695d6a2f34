//! One address in front of several servers, as a service of a cluster has it: connections go to the first server that answers,
//! and those to a server that answers no more are cut.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How a server is asked whether it is there: what is said to it; it must answer something.
pub const AMQP: &[u8] = b"AMQP\x00\x00\x09\x01";
const EVERY: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens on a free port of the loopback.
pub struct Switch {
    address: SocketAddr,
    chosen: Arc<watch::Sender<Option<SocketAddr>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Switch {
    /// Asks the servers again and again, and goes on with the one in use as long as it answers.
    pub async fn watching(servers: Vec<SocketAddr>, question: &'static [u8]) -> Self {
        let mut switch = Self::to(servers[0]).await;
        let chosen = Arc::clone(&switch.chosen);
        switch.tasks.push(tokio::spawn(async move {
            loop {
                let now = *chosen.borrow();
                let first = now.into_iter().chain(servers.iter().copied());
                let mut found = None;
                for server in first {
                    if answers(server, question).await {
                        found = Some(server);
                        break;
                    }
                }
                if found != now {
                    chosen.send_replace(found);
                }
                sleep(EVERY).await;
            }
        }));
        switch
    }

    /// Leads to this server until it is turned.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chosen = Arc::new(watch::channel(Some(server)).0);
        let tasks = vec![tokio::spawn(accept(listener, Arc::clone(&chosen)))];
        Self { address, chosen, tasks }
    }

    /// From now on to another server; connections to the old one are cut.
    pub fn turn(&self, server: SocketAddr) {
        self.chosen.send_replace(Some(server));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it leads to.
    pub fn server(&self) -> Option<SocketAddr> {
        *self.chosen.borrow()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answers(server: SocketAddr, question: &[u8]) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(server).await.ok()?;
        socket.write_all(question).await.ok()?;
        socket.read_u8().await.ok()
    };
    matches!(timeout(PATIENCE, ask).await, Ok(Some(_)))
}

async fn accept(listener: TcpListener, chosen: Arc<watch::Sender<Option<SocketAddr>>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut turned = chosen.subscribe();
        tokio::spawn(async move {
            let Some(address) = *turned.borrow_and_update() else { return };
            let Ok(mut server) = TcpStream::connect(address).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = turned.changed() => {}
            }
        });
    }
}
