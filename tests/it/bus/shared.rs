//! What both backends promise.

use civilhub::bus::{Bus, Confirm, Depth, Message, Queue, Route, Settle, Topology};
use civilhub::envelope::SubscriptionId;

use super::{Fixture, PARTITIONS, SHORT, WAIT, deliveries, ids, lake_queue, publish_all, receive, records, settle_as};
use crate::support::eventually;

macro_rules! on_both {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let fixture = super::Fixture::embedded().await;
                super::$name(&*fixture.bus).await;
                fixture.finish().await;
            })*
        }
        mod rabbit {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let fixture = super::Fixture::rabbit().await;
                super::$name(&*fixture.bus).await;
                fixture.finish().await;
            })*
        }
    };
}

on_both! {
    a_confirmed_message_arrives_with_its_id
    a_message_without_a_queue_is_returned
    a_requeued_message_comes_first_and_is_flagged
    prefetch_limits_what_is_out
    a_dropped_consumer_gives_back_what_it_held
    a_partition_keeps_its_order_when_its_consumer_dies
    keys_spread_over_the_partitions_and_stay
    a_dead_letter_leaves_its_queue
    acks_with_holes_leave_the_rest
    five_thousand_flow_through_a_pipeline
    a_subscription_can_be_added_later
}

async fn depth_becomes(bus: &dyn Bus, queue: &Queue, expected: Depth) {
    eventually(WAIT, &format!("{expected:?} in {}", queue.name()), async || bus.depth(queue).await.unwrap() == expected).await;
}

async fn a_confirmed_message_arrives_with_its_id(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..3)).await;
    depth_becomes(bus, &lake_queue(), Depth { ready: 3, unsettled: 0 }).await;
    let mut consumer = bus.consume(&lake_queue(), 10).await.unwrap();
    let received = receive(&mut *consumer, 3).await;
    assert_eq!(ids(&received), ["0", "1", "2"]);
    assert!(received.iter().all(|message| message.body.len() == 1_024 && !message.redelivered));
    depth_becomes(bus, &lake_queue(), Depth { ready: 0, unsettled: 3 }).await;
    consumer.settle(&settle_as(&received, Settle::Ack)).await.unwrap();
    // Twice is once.
    consumer.settle(&settle_as(&received, Settle::Ack)).await.unwrap();
    assert!(consumer.next(10, SHORT).await.unwrap().is_empty());
    depth_becomes(bus, &lake_queue(), Depth::default()).await;
}

async fn a_message_without_a_queue_is_returned(bus: &dyn Bus) {
    let nobody = SubscriptionId::from("nobody");
    let mut batch = deliveries(0..2);
    // An id of its own: what comes back is known by its id.
    batch.insert(1, Message { route: Route::Deliver(nobody.clone()), id: "nobody".to_owned(), ..batch[0].clone() });
    assert_eq!(bus.publish(batch).await, [Confirm::Stored, Confirm::Returned, Confirm::Stored]);
    assert_eq!(bus.depth(&Queue::Deliver(nobody.clone())).await.unwrap(), Depth::default());
    let refused = bus.consume(&Queue::Deliver(nobody), 10).await.err().unwrap();
    assert_eq!(refused.fault().code, civilhub::bus::REFUSED, "{refused}");
    assert!(bus.publish(Vec::new()).await.is_empty());
}

async fn a_requeued_message_comes_first_and_is_flagged(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..10)).await;
    let mut consumer = bus.consume(&lake_queue(), 8).await.unwrap();
    let received = receive(&mut *consumer, 4).await;
    // Out of order on purpose: each goes back to its own place.
    let verdicts = [
        (received[2].tag, Settle::Requeue),
        (received[0].tag, Settle::Ack),
        (received[1].tag, Settle::Requeue),
        (received[3].tag, Settle::Ack),
    ];
    consumer.settle(&verdicts).await.unwrap();
    let again = receive(&mut *consumer, 8).await;
    assert_eq!(ids(&again), ["1", "2", "4", "5", "6", "7", "8", "9"]);
    let flags: Vec<bool> = again.iter().map(|message| message.redelivered).collect();
    assert_eq!(flags, [true, true, false, false, false, false, false, false]);
}

async fn prefetch_limits_what_is_out(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..10)).await;
    let mut consumer = bus.consume(&lake_queue(), 3).await.unwrap();
    let received = receive(&mut *consumer, 3).await;
    assert_eq!(ids(&received), ["0", "1", "2"]);
    assert!(consumer.next(10, SHORT).await.unwrap().is_empty());
    consumer.settle(&settle_as(&received[..2], Settle::Ack)).await.unwrap();
    assert_eq!(ids(&receive(&mut *consumer, 2).await), ["3", "4"]);
    assert!(consumer.next(10, SHORT).await.unwrap().is_empty());
}

async fn a_dropped_consumer_gives_back_what_it_held(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..6)).await;
    let mut first = bus.consume(&lake_queue(), 4).await.unwrap();
    let received = receive(&mut *first, 4).await;
    first.settle(&settle_as(&received[..1], Settle::Ack)).await.unwrap();
    drop(first);
    // The broker hears of the end a moment later: a consumer that came before would get younger messages first.
    depth_becomes(bus, &lake_queue(), Depth { ready: 5, unsettled: 0 }).await;
    let mut second = bus.consume(&lake_queue(), 10).await.unwrap();
    let again = receive(&mut *second, 5).await;
    assert_eq!(ids(&again), ["1", "2", "3", "4", "5"]);
    // What a backend had sent ahead may be flagged as well; what it never sent is not.
    assert!(again[..3].iter().all(|message| message.redelivered) && !again[4].redelivered);
}

async fn a_partition_keeps_its_order_when_its_consumer_dies(bus: &dyn Bus) {
    publish_all(bus, records("case:1", 0..20)).await;
    let mut consumers = Vec::new();
    for partition in 0..PARTITIONS {
        consumers.push(bus.consume(&Queue::Records(partition), 5).await.unwrap());
    }
    let mut found = None;
    for (partition, consumer) in consumers.iter_mut().enumerate() {
        let received = consumer.next(5, SHORT).await.unwrap();
        if !received.is_empty() {
            assert_eq!(ids(&received), ["case:1:0", "case:1:1", "case:1:2", "case:1:3", "case:1:4"]);
            found = Some((partition, received));
        }
    }
    let (partition, received) = found.expect("one partition has the key");
    let mut first = consumers.swap_remove(partition);
    let mut second = bus.consume(&Queue::Records(u16::try_from(partition).unwrap()), 50).await.unwrap();
    assert!(second.next(5, SHORT).await.unwrap().is_empty(), "the first is active");

    first.settle(&settle_as(&received[..2], Settle::Ack)).await.unwrap();
    drop(first);
    let again = receive(&mut *second, 18).await;
    let expected: Vec<String> = (2..20).map(|number| format!("case:1:{number}")).collect();
    assert_eq!(ids(&again), expected);
    assert!(again[..3].iter().all(|message| message.redelivered) && !again[17].redelivered);
}

async fn keys_spread_over_the_partitions_and_stay(bus: &dyn Bus) {
    for round in 0..2 {
        for key in 0..40 {
            publish_all(bus, records(&format!("case:{key}"), round..round + 1)).await;
        }
    }
    let (mut total, mut used) = (0, 0);
    for partition in 0..PARTITIONS {
        let mut consumer = bus.consume(&Queue::Records(partition), 100).await.unwrap();
        let mut received = Vec::new();
        while let more = consumer.next(100, SHORT).await.unwrap()
            && !more.is_empty()
        {
            received.extend(more);
        }
        let rounds = |round: &str| {
            let mut keys: Vec<&str> = received.iter().filter_map(|message| message.id.strip_suffix(round)).collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(rounds(":0"), rounds(":1"), "a key has one partition");
        total += received.len();
        used += usize::from(!received.is_empty());
    }
    assert_eq!(total, 80);
    assert!(used >= 3, "only {used} partitions of {PARTITIONS} are used");
}

async fn a_dead_letter_leaves_its_queue(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..3)).await;
    let mut consumer = bus.consume(&lake_queue(), 10).await.unwrap();
    let received = receive(&mut *consumer, 3).await;
    let verdicts = [(received[0].tag, Settle::Ack), (received[1].tag, Settle::Dead), (received[2].tag, Settle::Ack)];
    consumer.settle(&verdicts).await.unwrap();
    depth_becomes(bus, &Queue::Dead, Depth { ready: 1, unsettled: 0 }).await;
    depth_becomes(bus, &lake_queue(), Depth::default()).await;
    let mut graveyard = bus.consume(&Queue::Dead, 10).await.unwrap();
    let dead = receive(&mut *graveyard, 1).await;
    assert_eq!(ids(&dead), ["1"]);
    assert_eq!(dead[0].body, received[1].body);
}

async fn acks_with_holes_leave_the_rest(bus: &dyn Bus) {
    publish_all(bus, deliveries(0..100)).await;
    let mut consumer = bus.consume(&lake_queue(), 100).await.unwrap();
    let received = receive(&mut *consumer, 100).await;
    let odd: Vec<_> = received.iter().skip(1).step_by(2).cloned().collect();
    consumer.settle(&settle_as(&odd, Settle::Ack)).await.unwrap();
    drop(consumer);
    depth_becomes(bus, &lake_queue(), Depth { ready: 50, unsettled: 0 }).await;
    let mut consumer = bus.consume(&lake_queue(), 100).await.unwrap();
    let again = receive(&mut *consumer, 50).await;
    let expected: Vec<String> = (0..100).step_by(2).map(|number| number.to_string()).collect();
    assert_eq!(ids(&again), expected);
}

async fn five_thousand_flow_through_a_pipeline(bus: &dyn Bus) {
    let mut consumer = bus.consume(&lake_queue(), 1_000).await.unwrap();
    let publishing = async {
        for start in (0..5_000).step_by(500) {
            publish_all(bus, deliveries(start..start + 500)).await;
        }
    };
    let consuming = async {
        let mut next = 0;
        while next < 5_000 {
            let received = consumer.next(512, WAIT).await.unwrap();
            assert!(!received.is_empty(), "stopped at {next}");
            for message in &received {
                assert_eq!(message.id, next.to_string());
                next += 1;
            }
            consumer.settle(&settle_as(&received, Settle::Ack)).await.unwrap();
        }
    };
    tokio::join!(publishing, consuming);
    depth_becomes(bus, &lake_queue(), Depth::default()).await;
}

async fn a_subscription_can_be_added_later(bus: &dyn Bus) {
    let bank = SubscriptionId::from("bank");
    let message = Message { route: Route::Deliver(bank.clone()), ..deliveries(0..1).remove(0) };
    assert_eq!(bus.publish(vec![message.clone()]).await, [Confirm::Returned]);
    bus.declare(&Topology { partitions: 0, subscriptions: vec![bank.clone()] }).await.unwrap();
    assert_eq!(bus.publish(vec![message]).await, [Confirm::Stored]);
    // The partitions that were there stay.
    publish_all(bus, records("case:1", 0..1)).await;
    depth_becomes(bus, &Queue::Deliver(bank), Depth { ready: 1, unsettled: 0 }).await;
}
