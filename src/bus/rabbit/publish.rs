//! Publishing with pipelined confirms: all messages of a batch leave before the first answer is waited for.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable},
};
use rustc_hash::FxHashSet;
use tokio::time::{Instant, timeout_at};

use super::topology::{Names, PARTITION_HEADER, PRIORITY_KEY};
use crate::{
    bus::{Confirm, Message, Route},
    envelope::event::MEDIA_TYPE,
};

/// AMQP's code for "survives a restart of the broker".
const PERSISTENT: u8 = 2;

type Leaving<'a> = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send + 'a>>;

/// Publishes in order and waits for all answers until `deadline`.
pub(super) async fn publish(channel: &Channel, names: &Names, batch: &[Message], deadline: Instant) -> Vec<Confirm> {
    let mut leaving: Vec<Leaving<'_>> = Vec::with_capacity(batch.len());
    for message in batch {
        let mut future: Leaving<'_> = Box::pin(send(channel, names, message));
        // The first poll hands the frames over: polling one after the other keeps the order of the batch.
        let first = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        leaving.push(match first {
            Poll::Ready(done) => Box::pin(std::future::ready(done)),
            Poll::Pending => future,
        });
    }
    let mut confirms = Vec::with_capacity(batch.len());
    let mut returned = FxHashSet::default();
    for future in leaving {
        let answer = timeout_at(deadline, async { future.await?.await }).await;
        confirms.push(answer.map_or(Confirm::TimedOut, |answer| read(answer, &mut returned)));
    }
    for (confirm, message) in confirms.iter_mut().zip(batch) {
        if returned.contains(message.id.as_str()) {
            *confirm = Confirm::Returned;
        }
    }
    confirms
}

async fn send(channel: &Channel, names: &Names, message: &Message) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id.as_str().into())
        .with_content_type(MEDIA_TYPE.into());
    let (exchange, key, properties) = match &message.route {
        // Past the hash ring, which would choose one of the partitions.
        Route::Records { .. } if message.route.is_priority() => (names.deliver(), PRIORITY_KEY, properties),
        Route::Records { topic, key } => {
            let mut headers = FieldTable::default();
            headers.insert(PARTITION_HEADER.into(), AMQPValue::LongString(key.as_str().into()));
            (names.records(), topic.as_str(), properties.with_headers(headers))
        }
        Route::Deliver(subscription) => (names.deliver(), subscription.as_str(), properties),
    };
    channel.basic_publish(exchange.into(), key.into(), options, &message.body, properties).await
}

/// What an answer says of its own message. A message that no queue took comes back with *some* ack: lapin hands the oldest
/// one back to whichever publisher is answered next. So it is known by its id, and the channel must serve one batch at a
/// time, or the id would turn up in another batch.
fn read(answer: lapin::Result<Confirmation>, returned: &mut FxHashSet<String>) -> Confirm {
    let (confirm, back) = match answer {
        Ok(Confirmation::Ack(back)) => (Confirm::Stored, back),
        Ok(Confirmation::Nack(back)) => (Confirm::Nacked, back),
        // The channel was not in confirm mode: nothing is known.
        Ok(Confirmation::NotRequested) | Err(_) => (Confirm::Closed, None),
    };
    let id = back.and_then(|back| back.properties.message_id().as_ref().map(ToString::to_string));
    returned.extend(id);
    confirm
}
