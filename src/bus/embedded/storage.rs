//! The folder of the embedded bus: opening it, and reading messages from it.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::layout::{self, PARTITIONS_KEY, QUEUE_PREFIX, QueueRecord, Stored};
use crate::bus::Error;

/// Blocks of the log-structured store that are kept in memory. Consumers read each message once: a small cache serves.
const CACHE_BYTES: u64 = 16 << 20;
/// Messages that wait in memory before they go to a table; up to five times this may be alive while tables are written.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Journal kept for recovery.
const JOURNAL_BYTES: u64 = 256 << 20;

/// The open folder. Cloning shares it; the folder is released when the last clone is gone.
#[derive(Clone)]
pub(super) struct Storage {
    pub(super) database: Database,
    pub(super) messages: Keyspace,
}

impl Storage {
    /// Opens the folder, made if missing. Only one process may have it open.
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(|error| Error::Storage(format!("`{}`: {error}", dir.display())))?;
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(2)
            .open()
            .map_err(|error| Error::Storage(format!("`{}`: {}", dir.display(), explain(&error))))?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let messages = database.keyspace("bus", options).map_err(|error| failed(&error))?;
        Ok(Self { database, messages })
    }

    /// Names and records of all queues.
    pub(super) fn queues(&self) -> Result<Vec<(String, QueueRecord)>, Error> {
        let mut queues = Vec::new();
        for entry in self.messages.prefix(QUEUE_PREFIX) {
            let (key, value) = entry.into_inner().map_err(|error| failed(&error))?;
            let name = String::from_utf8_lossy(&key[QUEUE_PREFIX.len()..]).into_owned();
            let record = QueueRecord::decode(&value).ok_or_else(|| damaged(&name))?;
            queues.push((name, record));
        }
        Ok(queues)
    }

    /// Number of partitions declared so far.
    pub(super) fn partitions(&self) -> Result<u16, Error> {
        let value = self.messages.get(PARTITIONS_KEY).map_err(|error| failed(&error))?;
        let Some(value) = value else { return Ok(0) };
        let bytes = value.first_chunk::<2>().ok_or_else(|| damaged("partitions"))?;
        Ok(u16::from_be_bytes(*bytes))
    }

    /// One message; `None` when it is gone.
    pub(super) fn message(&self, queue: u32, sequence: u64) -> Result<Option<Stored>, Error> {
        let value = self.messages.get(layout::message_key(queue, sequence)).map_err(|error| failed(&error))?;
        value.map(|bytes| layout::decode_message(&bytes).ok_or_else(|| damaged("a message"))).transpose()
    }

    /// Messages from `from` (inclusive) to `to` (exclusive): at most `max`, and no more after `max_bytes` of bodies.
    pub(super) fn range(
        &self,
        queue: u32,
        from: u64,
        to: u64,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Stored)>, Error> {
        let mut found = Vec::new();
        let mut bytes = 0;
        if from >= to || max == 0 {
            return Ok(found);
        }
        for entry in self.messages.range(layout::message_key(queue, from)..layout::message_key(queue, to)) {
            let (key, value) = entry.into_inner().map_err(|error| failed(&error))?;
            let sequence = layout::sequence_of(&key).ok_or_else(|| damaged("a key"))?;
            bytes += value.len();
            found.push((sequence, layout::decode_message(&value).ok_or_else(|| damaged("a message"))?));
            if found.len() >= max || bytes >= max_bytes {
                break;
            }
        }
        Ok(found)
    }
}

/// An error of the store as one of the bus.
pub(super) fn failed(error: &fjall::Error) -> Error {
    Error::Storage(explain(error))
}

/// What went wrong in words an operator can use; none of them quotes stored data.
pub(super) fn explain(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Locked => "another process has it open".to_owned(),
        fjall::Error::Poisoned => "an earlier write failed; restart the process once the disk is well".to_owned(),
        fjall::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn damaged(what: &str) -> Error {
    Error::Storage(format!("the stored form of {what} is damaged"))
}
