//! The declared queues, and whether the bus still works.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{layout, queue::Queue};
use crate::bus::{Error, Route};

/// Shared by publishers, consumers and the writer.
#[derive(Default)]
pub(super) struct Registry {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    queues: HashMap<String, Arc<Queue>>,
    partitions: u16,
    /// Why nothing works any more.
    failure: Option<String>,
}

impl Registry {
    pub(super) fn queue(&self, name: &str) -> Option<Arc<Queue>> {
        self.read(|inner| inner.queues.get(name).cloned())
    }

    pub(super) fn all(&self) -> Vec<Arc<Queue>> {
        self.read(|inner| inner.queues.values().cloned().collect())
    }

    /// Where a message goes; `None` when no queue is declared for it.
    pub(super) fn route(&self, route: &Route) -> Option<Arc<Queue>> {
        match route {
            Route::Records { .. } if route.is_priority() => self.queue("records.priority"),
            Route::Records { key, .. } => {
                let partition = layout::partition_of(key.as_str(), self.partitions())?;
                self.queue(&format!("records.{partition}"))
            }
            Route::Deliver(subscription) => self.queue(&format!("deliver.{subscription}")),
        }
    }

    pub(super) fn add(&self, name: String, queue: Arc<Queue>) {
        self.write(|inner| inner.queues.insert(name, queue));
    }

    pub(super) fn partitions(&self) -> u16 {
        self.read(|inner| inner.partitions)
    }

    pub(super) fn set_partitions(&self, partitions: u16) {
        self.write(|inner| inner.partitions = partitions);
    }

    /// The bus stops working; everybody who waits is told. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        self.write(|inner| inner.failure.get_or_insert_with(|| reason.to_owned()).len());
        self.all().iter().for_each(|queue| queue.bell.notify_waiters());
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.read(|inner| inner.failure.clone()).map_or(Ok(()), |reason| Err(Error::Storage(reason)))
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}
