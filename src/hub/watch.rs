//! Looks at the queues once a second and notes how full they are and how old, for the books, the status page and the
//! metrics; now and then makes sure that they are all there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use time::Date;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Hub, roles::depths};
use crate::{
    clock,
    config::BusKind,
    envelope::SubscriptionId,
    store::{Error, Row},
    telemetry::{
        age::{Ages, Look},
        record,
        stage::Stage,
    },
};

const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the bus: a bus that does not answer must not stop the watch.
const LIMIT: Duration = Duration::from_secs(2);
/// Dead letters are counted once in so many looks: it is a count over all that are open.
const DEAD_EVERY: u32 = 15;
/// Looks between two declarations of the queues. The binding of one partition can vanish without a returned message that
/// would tell: its keys go to the other partitions.
const DECLARE_EVERY: u32 = 10;

pub(super) async fn run(hub: Arc<Hub>, cancel: CancellationToken) {
    let (mut ages, mut looks, mut warned) = (Ages::default(), 0u32, None);
    while !cancel.is_cancelled() {
        look(&hub, &mut ages).await;
        if looks.is_multiple_of(DEAD_EVERY) {
            count_dead_letters(&hub).await;
            agreements(&hub, &mut warned);
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(DECLARE_EVERY)
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

pub(super) async fn look(hub: &Hub, ages: &mut Ages) {
    // First what has left, then what is inside: what leaves between the two is missed once and not counted twice.
    let departures = hub.departures.take();
    let depths = timeout(LIMIT, depths(hub)).await.unwrap_or_default();
    record::dependency("bus", depths.len() == hub.queues().len());
    let noted = note(hub, &depths, &departures, ages).await;
    record::dependency("store", noted.is_ok());
    match noted {
        Ok(rows) => rows.iter().for_each(|row| show(row, &depths, ages)),
        Err(error) => {
            tracing::debug!(%error, "queue depths could not be noted");
            departures.iter().for_each(|(queue, messages)| hub.departures.add(queue, *messages));
        }
    }
}

/// Writes what was seen; the answer has, for each queue, what all processes together know of it.
async fn note(
    hub: &Hub,
    depths: &BTreeMap<String, u64>,
    departures: &BTreeMap<String, u64>,
    ages: &Ages,
) -> Result<Vec<Row>, Error> {
    let now = clock::millis();
    let row = |(queue, messages): (&String, &u64)| {
        let oldest = if *messages == 0 { Some(now) } else { ages.oldest_at(queue) };
        json!([queue, messages, departures.get(queue).copied().unwrap_or_default(), oldest])
    };
    let rows: Vec<Value> = depths.iter().map(row).collect();
    let sql = "INSERT INTO queue_depth (queue, messages, at, settled, oldest_at) \
               SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), $2, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT) FROM {rows} WHERE true \
               ON CONFLICT (queue) DO UPDATE SET messages = excluded.messages, at = excluded.at, settled = queue_depth.settled + excluded.settled, \
               oldest_at = COALESCE(excluded.oldest_at, queue_depth.oldest_at) RETURNING queue, settled, oldest_at";
    let mut tx = hub.store.begin().await?;
    let noted = tx.read(sql, &[Value::Array(rows).to_string().into(), now.into()]).await?;
    tx.commit().await?;
    Ok(noted)
}

fn show(row: &Row, depths: &BTreeMap<String, u64>, ages: &mut Ages) {
    let (queue, settled, oldest_at) = (row.text(0), row.int(1), row.int(2));
    let Some(depth) = depths.get(&queue).copied() else { return };
    let look = Look { now: clock::millis(), depth, settled, oldest_at: (oldest_at > 0).then_some(oldest_at) };
    record::queue(&queue, depth, ages.look(&queue, look));
}

/// Shows how long the agreements hold, and warns once a day of those that end within thirty days.
fn agreements(hub: &Hub, warned: &mut Option<Date>) {
    let today = clock::today();
    let fresh = warned.replace(today) != Some(today);
    for partner in hub.agreements.partners() {
        let subscription = SubscriptionId::from(partner.slug.as_str());
        let days = partner.agreements.iter().map(|agreement| agreement.days_left(today)).filter(|days| *days >= 0).min();
        record::agreement_days(&subscription, days.unwrap_or(-1));
        // One line a partner is enough: the list tells the rest.
        if fresh && partner.agreements.iter().any(|agreement| agreement.warning(today).is_some()) {
            tracing::warn!(%subscription, "an agreement runs out soon: `civilhub partner list` tells which and when");
        }
    }
}

async fn count_dead_letters(hub: &Hub) {
    let sql = "SELECT stage, state, COUNT(*) FROM dead WHERE state IN ('parked', 'rejected') GROUP BY stage, state";
    let Ok(rows) = hub.store.read(sql, &[]).await else { return };
    let mut counts = BTreeMap::new();
    for row in &rows {
        if let Some(stage) = Stage::parse(&row.text(0)) {
            let state = if row.text(1) == "parked" { "parked" } else { "rejected" };
            counts.insert((stage, state), u64::try_from(row.int(2)).unwrap_or_default());
        }
    }
    record::dead_letters_open(&counts);
}
