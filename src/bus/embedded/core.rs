//! What publishers and consumers share: the way to the writer thread and to the disk, each with a time limit.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    registry::Registry,
    storage::Storage,
    writer::{Reply, Request},
};
use crate::bus::Error;

/// Longest wait for the disk. A disk that does not answer must not hold a caller for ever.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Bodies that wait for the writer, in KiB: publishers beyond it wait their turn.
const WAITING_KIB: u32 = 32 << 10;

/// Shared by the bus and its consumers.
pub(super) struct Core {
    pub(super) registry: Arc<Registry>,
    requests: mpsc::Sender<Request>,
    storage: Mutex<Option<Storage>>,
    room: Arc<Semaphore>,
    consumers: AtomicU64,
}

impl Core {
    pub(super) fn new(registry: Arc<Registry>, requests: mpsc::Sender<Request>, storage: Storage) -> Self {
        let room = Arc::new(Semaphore::new(WAITING_KIB as usize));
        Self { registry, requests, storage: Mutex::new(Some(storage)), room, consumers: AtomicU64::new(0) }
    }

    pub(super) fn next_consumer(&self) -> u64 {
        self.consumers.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks the writer and waits for the commit.
    pub(super) async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<(), Error> {
        self.registry.check()?;
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| Error::Storage("the writer has ended".to_owned()))?;
        match timeout(TIME_LIMIT, answer).await {
            Ok(Ok(done)) => done.map_err(Error::Storage),
            Ok(Err(_)) => Err(Error::Storage("the writer has ended".to_owned())),
            Err(_) => Err(Error::Storage(format!("the disk did not answer within {} s", TIME_LIMIT.as_secs()))),
        }
    }

    /// Waits for room in memory for a batch of this many bytes.
    pub(super) async fn admit(&self, bytes: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
        // A batch larger than all the room takes the whole of it, and so goes alone.
        let kib = u32::try_from(bytes / 1_024 + 1).unwrap_or(WAITING_KIB).min(WAITING_KIB);
        timeout(TIME_LIMIT, Arc::clone(&self.room).acquire_many_owned(kib)).await.ok()?.ok()
    }

    /// Reads from disk on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Storage) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let storage = storage.ok_or_else(|| Error::Storage("it is closed".to_owned()))?;
        match timeout(TIME_LIMIT, tokio::task::spawn_blocking(move || work(&storage))).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::Storage("a read ended early".to_owned())),
            Err(_) => Err(Error::Storage(format!("the disk did not answer within {} s", TIME_LIMIT.as_secs()))),
        }
    }

    /// Lets go of the folder on this side; the answer tells when the writer has let go too.
    pub(super) fn shut(&self) -> oneshot::Receiver<Result<(), String>> {
        drop(self.storage.lock().unwrap_or_else(PoisonError::into_inner).take());
        let (reply, answer) = oneshot::channel();
        // A writer that is gone has closed already.
        let _ = self.requests.send(Request::Close { reply });
        answer
    }
}
