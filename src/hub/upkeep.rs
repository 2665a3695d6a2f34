//! Upkeep: merging small files of the lake, forgetting acknowledged mailbox rows.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    deliver::{lake::LakeTarget, mailbox::Mailboxes},
    store::Store,
};

const EVERY: Duration = Duration::from_secs(60);
/// Acknowledged mailbox rows are kept so long, that a repeat of their delivery is recognised.
const KEEP_MILLIS: i64 = 30 * 24 * 3600 * 1000;

pub(super) async fn run(lakes: Vec<Arc<LakeTarget>>, store: Store, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        for lake in &lakes {
            merge(lake, &cancel).await;
        }
        while !cancel.is_cancelled()
            && Mailboxes::new(store.clone()).prune(clock::millis() - KEEP_MILLIS).await.is_ok_and(|forgotten| forgotten > 0)
        {
        }
    }
}

/// One merge after another while there is something to merge.
async fn merge(lake: &LakeTarget, cancel: &CancellationToken) {
    while !cancel.is_cancelled() {
        match lake.maintain().await {
            Ok(upkeep) if upkeep.compacted.is_some() => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the upkeep of the lake is tried again in a minute");
                return;
            }
        }
    }
}
