//! Looks at the queues once a second and notes how full they are, for the books and the status page; now and then makes
//! sure that they are all there.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Hub, roles::depths};
use crate::{clock, config::BusKind};

const EVERY: Duration = Duration::from_secs(1);
/// Looks between two declarations of the queues. The binding of one partition can vanish without a returned message that
/// would tell: its keys go to the other partitions.
const DECLARE_EVERY: u32 = 10;

pub(super) async fn run(hub: Arc<Hub>, cancel: CancellationToken) {
    let mut looks = 0;
    while !cancel.is_cancelled() {
        look(&hub).await;
        looks += 1;
        if looks % DECLARE_EVERY == 0
            && hub.config.bus.kind == BusKind::Rabbitmq
            && let Err(error) = hub.bus.declare(&hub.topology()).await
        {
            tracing::debug!(%error, "the queues could not be declared again");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

pub(super) async fn look(hub: &Hub) {
    let rows: Vec<Value> = depths(hub).await.into_iter().map(|(queue, messages)| json!([queue, messages])).collect();
    let sql = "INSERT INTO queue_depth (queue, messages, at) SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), $2 FROM {rows} WHERE true \
               ON CONFLICT (queue) DO UPDATE SET messages = excluded.messages, at = excluded.at";
    if let Err(error) = hub.store.write(sql, &[Value::Array(rows).to_string().into(), clock::millis().into()]).await {
        tracing::debug!(%error, "queue depths could not be noted");
    }
}
