//! Upkeep: merging small files of the lake, forgetting acknowledged mailbox rows.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    deliver::{lake::LakeTarget, mailbox},
    store::Store,
};

const EVERY: Duration = Duration::from_secs(60);
/// Acknowledged mailbox rows are kept so long, that a repeat of their delivery is recognised.
const KEEP_MILLIS: i64 = 30 * 24 * 3600 * 1000;
/// A stored answer of the partner API is good so long.
const ANSWERS_MILLIS: i64 = 2 * 24 * 3600 * 1000;
/// What was delivered can be sent again so long.
const COPIES_MILLIS: i64 = 7 * 24 * 3600 * 1000;

pub(super) async fn run(lakes: Vec<Arc<LakeTarget>>, store: Store, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        for lake in &lakes {
            merge(lake, &cancel).await;
        }
        forget(&store).await;
        while !cancel.is_cancelled()
            && mailbox::prune(&store, clock::millis() - KEEP_MILLIS).await.is_ok_and(|forgotten| forgotten > 0)
        {}
    }
}

/// Nonces whose signatures are long over, stored answers of requests, copies of deliveries.
async fn forget(store: &Store) {
    let now = clock::millis();
    for (sql, before) in [
        ("DELETE FROM api_nonce WHERE expires_at < $1", now),
        ("DELETE FROM api_answer WHERE at < $1", now - ANSWERS_MILLIS),
        ("DELETE FROM partner_sent WHERE at < $1", now - COPIES_MILLIS),
        ("DELETE FROM partner_resend WHERE at < $1", now - COPIES_MILLIS),
    ] {
        if let Err(error) = store.write(sql, &[before.into()]).await {
            tracing::debug!(%error, "old rows of the partner API are forgotten a minute later");
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
