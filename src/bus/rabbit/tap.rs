//! Looking at messages beside their queue: a copy of what comes in from now on.
//!
//! What waits in a queue cannot be looked at without harm: a quorum queue with a single active consumer refuses `basic.get`, and
//! taking and giving back would count as a delivery and change the order. So a queue of our own is bound beside the real one.
//! It belongs to this connection, holds at most [`MOST`] messages and drops the oldest beyond that, so it can never hold up
//! a publisher. For a partition it is bound to the exchange of all records: one more queue on the hash ring would move keys.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::{Instant, timeout_at};

use super::{
    link::{Dial, connect, limited, nodes},
    topology::{Names, PRIORITY_KEY},
};
use crate::bus::{Error, PRIORITY, Queue};

/// Messages that the copy holds before it drops the oldest.
const MOST: i32 = 1000;
/// Longest wait for an answer of the broker.
const LIMIT: Duration = Duration::from_secs(10);

/// Shows what comes into a queue until so many messages or so much time have passed; the number shown.
///
/// # Errors
/// The broker is away, refuses, or has no such queue.
pub async fn tap(
    url: &str,
    prefix: &str,
    queue: &Queue,
    most: usize,
    time: Duration,
    mut show: impl FnMut(&str, Bytes),
) -> Result<usize, Error> {
    let nodes = nodes(url).map_err(|_| Error::Refused("the URL of the bus cannot be read".to_owned()))?;
    let dial = Dial { nodes, name: "civilhub tap".to_owned(), connect_limit: LIMIT, call_limit: LIMIT };
    let (live, _blocked) = connect(&dial, 0, true).await?;
    let names = Names::new(prefix);
    let channel = live.channel().await?;
    // Without the real queue the copy would be the only taker, and a publisher would believe its message kept.
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    limited(LIMIT, channel.queue_declare(names.queue(queue).as_str().into(), passive, FieldTable::default())).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(MOST));
    let copy = limited(LIMIT, channel.queue_declare("".into(), own, arguments)).await?;
    let (exchange, key) = source(&names, queue);
    let bind = channel.queue_bind(
        copy.name().clone(),
        exchange.as_str().into(),
        key.as_str().into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    limited(LIMIT, bind).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        limited(LIMIT, channel.basic_consume(copy.name().clone(), "tap".into(), options, FieldTable::default())).await?;
    let (deadline, mut shown) = (Instant::now() + time, 0);
    while shown < most {
        let Ok(Some(delivery)) = timeout_at(deadline, consumer.next()).await else { break };
        let delivery = delivery.map_err(|error| Error::Unreachable(error.to_string()))?;
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        show(&id, Bytes::from(delivery.data));
        shown += 1;
    }
    live.close().await;
    Ok(shown)
}

/// The exchange a queue is fed from, and its routing key.
fn source(names: &Names, queue: &Queue) -> (String, String) {
    match queue {
        Queue::Records(PRIORITY) => (names.deliver(), PRIORITY_KEY.to_owned()),
        Queue::Records(_) => (names.records(), "#".to_owned()),
        Queue::Deliver(subscription) => (names.deliver(), subscription.to_string()),
        Queue::Dead => (names.queue(&Queue::Dead), String::new()),
    }
}
