//! A supervised connection: dialled again, with growing pauses, for as long as the bus is open.
//!
//! lapin's own recovery stays off: it retries inside calls that we could not give a time limit. Here a lost connection
//! is lost for everybody who used it; they get a fresh one from [`Link::live`] and start over.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, Event,
    options::ConfirmSelectOptions,
    tcp::{AMQPUriTcpExt, OwnedTLSConfig},
    uri::{AMQPScheme, AMQPUri},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, MutexGuard, Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::topology::Names;
use crate::{
    bus::{Error, Topology},
    servers,
};

/// First pause before dialling again; doubles up to [`LONGEST_PAUSE`], each with up to half of it added at random.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the state of a quiet connection is looked at.
const GLANCE: Duration = Duration::from_secs(1);

/// What every use of the broker needs to know.
#[derive(Clone)]
pub(super) struct Dial {
    /// The nodes of the broker, at least one.
    pub(super) nodes: Vec<AMQPUri>,
    pub(super) name: String,
    pub(super) connect_limit: Duration,
    /// Limit of one request that the broker answers at once.
    pub(super) call_limit: Duration,
}

/// A connection that is believed to work.
pub(super) struct Live {
    connection: Connection,
    /// Which of the nodes it leads to.
    node: usize,
    /// The broker has too little memory or disk and takes no messages.
    pub(super) blocked: watch::Receiver<bool>,
    /// Rung by who has reason to think that the connection hangs.
    suspect: Notify,
    call_limit: Duration,
    /// Channels with confirms, each for one batch at a time; made when first used and replaced when in doubt. As many as
    /// there are partitions by default: a batch rarely waits for another.
    publishing: [Mutex<Option<Channel>>; 8],
}

impl Live {
    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let opened = limited(self.call_limit, self.connection.create_channel()).await;
        if let Err(Error::Unreachable(_)) = &opened {
            self.suspect.notify_one();
        }
        opened
    }

    /// Whether the broker takes no messages for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Says goodbye to the broker.
    pub(super) async fn close(&self) {
        let _ = timeout(self.call_limit, self.connection.close(200, "bye".into())).await;
    }

    /// A channel that publishes, for one batch: it is free again when the answer is dropped.
    pub(super) async fn publishing(&self, turn: usize) -> Result<Publishing<'_>, Error> {
        let free = self.publishing.iter().find_map(|slot| slot.try_lock().ok());
        let mut slot = match free {
            Some(slot) => slot,
            None => self.publishing[turn % self.publishing.len()].lock().await,
        };
        if !slot.as_ref().is_some_and(|channel| channel.status().connected()) {
            let channel = self.channel().await?;
            limited(self.call_limit, channel.confirm_select(ConfirmSelectOptions::default())).await?;
            *slot = Some(channel);
        }
        Ok(Publishing(slot))
    }
}

/// A publishing channel in use.
pub(super) struct Publishing<'a>(MutexGuard<'a, Option<Channel>>);

impl Publishing<'_> {
    pub(super) fn channel(&self) -> Option<&Channel> {
        self.0.as_ref()
    }

    /// Forgets a channel whose answers did not come; dropping the last handle closes it.
    pub(super) fn forget(mut self) {
        *self.0 = None;
    }
}

/// The way to a [`Live`] connection.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Receiver<State>,
}

/// The connection, or why there is none.
#[derive(Clone)]
enum State {
    Live(Arc<Live>),
    Down(String),
    /// The broker said no: retried all the same, because permissions can be granted.
    Refused(String),
}

impl Link {
    /// Starts dialling. `restore` is declared on every new connection.
    pub(super) fn start(
        dial: Dial,
        restore: Option<Restore>,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (publish, state) = watch::channel(State::Down("not connected yet".to_owned()));
        (Self { state }, supervise(dial, restore, stop, publish))
    }

    /// The connection, waiting for it until `deadline`.
    pub(super) async fn live(&self, deadline: Instant) -> Result<Arc<Live>, Error> {
        let mut state = self.state.clone();
        let wait = state.wait_for(|state| matches!(state, State::Live(_)));
        let found = tokio::time::timeout_at(deadline, wait).await.ok().and_then(Result::ok).map(|state| state.clone());
        match found.unwrap_or_else(|| self.state.borrow().clone()) {
            State::Live(live) => Ok(live),
            State::Down(reason) => Err(Error::Unreachable(reason)),
            State::Refused(reason) => Err(Error::Refused(reason)),
        }
    }
}

/// The topology to declare again on every new connection.
#[derive(Clone)]
pub(super) struct Restore {
    pub(super) names: Names,
    pub(super) topology: Arc<std::sync::Mutex<Topology>>,
}

impl Restore {
    pub(super) async fn declare(&self, live: &Live) -> Result<(), Error> {
        let topology = self.topology.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let channel = live.channel().await?;
        self.names.declare(&channel, &topology, live.call_limit).await
    }
}

async fn supervise(dial: Dial, restore: Option<Restore>, stop: CancellationToken, state: watch::Sender<State>) {
    let mut pause = FIRST_PAUSE;
    // With several nodes a greeting tells quickly which of them is there.
    let mut failed = dial.nodes.len() > 1;
    let mut from = 0;
    while !stop.is_cancelled() {
        match connect(&dial, from, failed).await {
            Ok((live, blocked)) => {
                let live = Arc::new(live);
                if let Some(restore) = &restore
                    && let Err(error) = restore.declare(&live).await
                {
                    tracing::warn!(%error, "the queues could not be declared again");
                }
                (pause, failed) = (FIRST_PAUSE, true);
                tracing::info!(connection = dial.name, place = live.node + 1, "connected to the broker");
                // A node that was lost is asked last.
                from = live.node + 1;
                state.send_replace(State::Live(Arc::clone(&live)));
                let reason = watch_over(&live, &blocked, &stop).await;
                state.send_replace(State::Down(reason));
                retire(live, &stop, dial.call_limit).await;
            }
            Err(error) => {
                failed = true;
                tracing::warn!(connection = dial.name, %error, "the broker is not reachable");
                state.send_replace(match error {
                    Error::Refused(reason) => State::Refused(reason),
                    Error::Unreachable(reason) | Error::Storage(reason) => State::Down(reason),
                });
            }
        }
        let jitter = pause.mul_f64(rand::random::<f64>() / 2.0);
        let _ = timeout(pause + jitter, stop.cancelled()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Returns when the connection is of no use any more, with the reason.
async fn watch_over(live: &Live, blocked: &watch::Sender<bool>, stop: &CancellationToken) -> String {
    let mut events = pin!(live.connection.events_listener());
    loop {
        let status = live.connection.status();
        blocked.send_if_modified(|known| std::mem::replace(known, status.blocked()) != status.blocked());
        if !status.connected() {
            return "the connection was lost".to_owned();
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => tracing::warn!(reason, "the broker takes no messages for now"),
                Some(Event::ConnectionUnblocked) => tracing::info!("the broker takes messages again"),
                Some(_) => {}
                None => sleep(GLANCE).await,
            },
            () = sleep(GLANCE) => {}
            () = live.suspect.notified() => return "the broker does not answer".to_owned(),
            () = stop.cancelled() => return "the bus is closed".to_owned(),
        }
    }
}

/// Closes a connection in order, or keeps one that hangs until its missing heartbeats have ended it: closing it first
/// would stop the heartbeat check, and its consumers would never learn.
async fn retire(live: Arc<Live>, stop: &CancellationToken, limit: Duration) {
    if stop.is_cancelled() {
        let _ = timeout(limit, live.connection.close(200, "bye".into())).await;
    } else if live.connection.status().connected() {
        tokio::spawn(async move {
            for _ in 0..120 {
                sleep(GLANCE).await;
                if !live.connection.status().connected() {
                    return;
                }
            }
        });
    }
}

/// The nodes of an address, each with the rest of it; the first that cannot be read is the error.
pub(super) fn nodes(url: &str) -> Result<Vec<AMQPUri>, String> {
    servers::each(url).iter().map(|url| url.parse()).collect()
}

/// Dials one node after the other, from `from` on, until one lets us in. When none does, a refusal says more than silence.
pub(super) async fn connect(dial: &Dial, from: usize, greet_first: bool) -> Result<(Live, watch::Sender<bool>), Error> {
    let mut reason = Error::Unreachable("no node".to_owned());
    for turn in 0..dial.nodes.len() {
        match connect_to(dial, (from + turn) % dial.nodes.len(), greet_first).await {
            Ok(done) => return Ok(done),
            Err(error) if matches!(reason, Error::Refused(_)) => drop(error),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// After a failure a cheap greeting comes first: a stopped broker would hold a thread of lapin for as long as it is stopped.
async fn connect_to(dial: &Dial, node: usize, greet_first: bool) -> Result<(Live, watch::Sender<bool>), Error> {
    let uri = &dial.nodes[node];
    if greet_first && uri.scheme == AMQPScheme::AMQP {
        // The nodes share the time: one that is silent must not keep us from the next.
        let share = dial.connect_limit / u32::try_from(dial.nodes.len()).unwrap_or(u32::MAX);
        greet(uri, share).await.map_err(|error| Error::Unreachable(error.to_string()))?;
    }
    let properties = ConnectionProperties::default().with_connection_name(dial.name.as_str().into());
    let runtime = lapin::runtime::default_runtime().map_err(|error| explain(&error))?;
    let limit = dial.connect_limit;
    let dialled = Connection::connector(
        uri.clone(),
        runtime,
        async move |uri, runtime| {
            let config = OwnedTLSConfig::default();
            let stream = uri.connect_with_config_async(config.as_ref(), &runtime);
            timeout(limit, stream).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        },
        properties,
    );
    // The handshake gets a little longer than the dialling inside it.
    let connection = limited(limit + limit / 2, dialled).await?;
    let (changed, blocked) = watch::channel(false);
    Ok((
        Live { connection, node, blocked, suspect: Notify::new(), call_limit: dial.call_limit, publishing: Default::default() },
        changed,
    ))
}

/// Sends the protocol header and waits for the first byte of the answer.
async fn greet(uri: &AMQPUri, limit: Duration) -> std::io::Result<()> {
    let greeting = async {
        let mut socket = tokio::net::TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await?;
        socket.write_all(b"AMQP\x00\x00\x09\x01").await?;
        socket.read_u8().await
    };
    timeout(limit, greeting).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map(drop)
}

/// Runs one request with a time limit.
pub(super) async fn limited<T>(limit: Duration, request: impl Future<Output = lapin::Result<T>>) -> Result<T, Error> {
    match timeout(limit, request).await {
        Ok(done) => done.map_err(|error| explain(&error)),
        Err(_) => Err(Error::Unreachable(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// A refusal is what trying again does not help: a missing queue, other properties, no permission.
pub(super) fn explain(error: &lapin::Error) -> Error {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
    let lapin::ErrorKind::ProtocolError(protocol) = error.kind() else {
        return Error::Unreachable(error.to_string());
    };
    match protocol.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::NOTFOUND | AMQPSoftError::PRECONDITIONFAILED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED | AMQPHardError::INVALIDPATH) => {
            Error::Refused(protocol.get_message().to_string())
        }
        _ => Error::Unreachable(protocol.get_message().to_string()),
    }
}
