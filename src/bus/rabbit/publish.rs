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
use tokio::time::{Instant, timeout_at};

use super::topology::{Names, PARTITION_HEADER};
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
    for future in leaving {
        let answer = timeout_at(deadline, async { future.await?.await }).await;
        confirms.push(answer.map_or(Confirm::TimedOut, read));
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
        Route::Records { topic, key } => {
            let mut headers = FieldTable::default();
            headers.insert(PARTITION_HEADER.into(), AMQPValue::LongString(key.as_str().into()));
            (names.records(), topic.as_str(), properties.with_headers(headers))
        }
        Route::Deliver(subscription) => (names.deliver(), subscription.as_str(), properties),
    };
    channel.basic_publish(exchange.into(), key.into(), options, &message.body, properties).await
}

/// An ack that carries the message back is not success: no queue took it.
fn read(answer: lapin::Result<Confirmation>) -> Confirm {
    match answer {
        Ok(Confirmation::Ack(None)) => Confirm::Stored,
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Confirm::Returned,
        Ok(Confirmation::Nack(None)) => Confirm::Nacked,
        // The channel was not in confirm mode: nothing is known.
        Ok(Confirmation::NotRequested) | Err(_) => Confirm::Closed,
    }
}
