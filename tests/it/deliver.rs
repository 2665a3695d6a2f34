//! Delivery against a receiver that misbehaves, and the mailbox on both stores.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/receiver.rs"]
mod receiver;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use civilhub::{
    config::keys::Keys,
    deliver::{
        Delivery, Outcome, Target, guard, lane,
        lane::{
            Lane,
            circuit::{Pauses, State},
        },
        mailbox::{self, Acknowledged, Mailbox, Mailboxes, routes},
        signing::{Signer, Verifier},
        webhook::{self, Webhook, answer},
    },
    envelope::{
        ContentHash, Data, DeliveryId, Event, EventId, Occurrence, PartitionKey, SubscriptionId, System, event::SpecVersion,
    },
    error::Code,
    govern::partner::{Signing, Webhook as Settings},
    store::{Backend, Store},
};
use receiver::{Mood, Receiver};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const SEED: &str = "whsk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn boxes(store: &Store) -> Mailboxes {
    Mailboxes::new(store.clone(), Keys::dry_run())
}

fn delivery(number: usize, key: &str) -> Delivery {
    let record = json!({ "payment_no": format!("P{number:04}"), "amount": "480.00" });
    let content = ContentHash::of(&record);
    let event_id = EventId::derive(&System::from("urban-dibao"), "pay", &number.to_string(), &content, number as i64);
    let subscription = SubscriptionId::from("bank-jlbank");
    let occurrence = Occurrence::derive(&event_id, "file#1");
    let id = DeliveryId::derive(&occurrence, &subscription);
    let event = Event {
        specversion: SpecVersion::V1,
        occurrence,
        id: event_id,
        source: "/systems/urban-dibao".to_owned(),
        kind: "assistance-payment.upsert".to_owned(),
        subject: format!("P{number:04}"),
        time: "2017-07-03T09:00:00+08:00".to_owned(),
        dataschema: "assistance-payment/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: "220102003001".to_owned(),
        sequence: number as i64,
        partitionkey: PartitionKey::from(key),
        contenthash: content,
        bookdate: "2017-07-03".to_owned(),
        purpose: Some("payroll".to_owned()),
        authorization: None,
        traceparent: None,
        deliveryid: Some(id.clone()),
        subscription: Some(subscription),
        data: Data { record, quality: Vec::new() },
    };
    Delivery { id, event }
}

/// `count` deliveries over `keys` partition keys, in turn.
fn deliveries(count: usize, keys: usize) -> Vec<Delivery> {
    (0..count).map(|number| delivery(number, &format!("k{}", number % keys))).collect()
}

fn secrets() -> Vec<SecretString> {
    vec![SecretString::from(SEED)]
}

fn verifier() -> Verifier {
    let signer = Signer::new(Signing::Ed25519, &secrets()).unwrap();
    Verifier::new(&signer.public_keys().into_iter().map(SecretString::from).collect::<Vec<_>>()).unwrap()
}

fn settings(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        signing: Signing::Ed25519,
        secrets: secrets(),
        timeout: Duration::from_secs(1),
        in_flight: 8,
        batch: 1,
        ca_file: None,
    }
}

async fn partner(mood: Mood) -> (Receiver, Webhook) {
    let receiver = Receiver::start(mood, verifier()).await;
    let target = Webhook::new(&settings(&receiver.url)).unwrap();
    (receiver, target)
}

fn code(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Delivered { .. } => None,
        Outcome::Refused(fault) | Outcome::Unavailable { fault, .. } => Some(fault.code),
    }
}

fn delivered(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Delivered { .. })).count()
}

#[tokio::test]
async fn deliveries_are_signed_and_in_order_within_a_key() {
    let (receiver, target) = partner(Mood::Slow(Duration::from_millis(5))).await;
    let batch = deliveries(60, 10);
    let outcomes = target.deliver(&batch).await;
    assert_eq!(delivered(&outcomes), 60);
    assert_eq!(receiver.bad_signatures(), 0);
    let effects = receiver.effects();
    assert_eq!(effects.len(), 60);
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for effect in &effects {
        assert_eq!(effect.content_type, "application/cloudevents+json");
        assert_eq!(effect.body["deliveryid"], Value::from(effect.id.as_str()));
        let (key, sequence) = (effect.body["partitionkey"].as_str().unwrap(), effect.body["sequence"].as_i64().unwrap());
        assert!(last.insert(key.to_owned(), sequence).is_none_or(|before| before < sequence), "{key} out of order");
    }
    assert!((2..=8).contains(&receiver.most_running()), "keys side by side, {} at once", receiver.most_running());
}

#[tokio::test]
async fn a_wrong_key_is_the_endpoints_trouble_and_parks_nothing() {
    let (receiver, _) = partner(Mood::Ok).await;
    let mut settings = settings(&receiver.url);
    settings.secrets = vec![SecretString::from("whsk_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=")];
    let outcomes = Webhook::new(&settings).unwrap().deliver(&deliveries(5, 1)).await;
    assert!(outcomes.iter().all(|outcome| code(outcome) == Some(answer::ENDPOINT)));
    assert_eq!((receiver.bad_signatures(), receiver.effects().len()), (1, 0));
}

#[tokio::test]
async fn while_keys_change_both_old_and_new_receivers_are_content() {
    let receiver = Receiver::start(Mood::Ok, verifier()).await;
    let mut settings = settings(&receiver.url);
    settings.secrets.insert(0, SecretString::from("whsk_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="));
    assert_eq!(delivered(&Webhook::new(&settings).unwrap().deliver(&deliveries(3, 1)).await), 3);
}

#[tokio::test]
async fn a_refused_delivery_holds_its_own_key_only() {
    let (receiver, target) = partner(Mood::Refuse(vec!["P0002".to_owned()])).await;
    let outcomes = target.deliver(&deliveries(12, 4)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        let expected = match number {
            2 => Some(answer::REFUSED),
            6 | 10 => Some(webhook::KEY_HELD),
            _ => None,
        };
        assert_eq!(code(outcome), expected, "delivery {number}");
        assert!(!matches!(outcome, Outcome::Unavailable { .. }));
    }
    assert_eq!((receiver.effects().len(), receiver.calls()), (9, 10));
}

#[tokio::test]
async fn what_concerns_the_receiver_stops_the_batch_at_once() {
    for (mood, expected) in [
        (Mood::Busy(7), answer::BUSY),
        (Mood::Status(503), answer::BUSY),
        (Mood::Status(500), answer::SERVER_ERROR),
        (Mood::Status(408), answer::SERVER_ERROR),
        (Mood::Status(410), answer::GONE),
        (Mood::Redirect("http://169.254.169.254/".to_owned()), answer::REDIRECTED),
        (Mood::Hang, guard::TIMED_OUT),
        (Mood::Trickle, guard::TIMED_OUT),
        (Mood::CloseMidAnswer, guard::BROKEN_ANSWER),
    ] {
        let (receiver, target) = partner(mood.clone()).await;
        let start = Instant::now();
        let outcomes = target.deliver(&deliveries(100, 1)).await;
        assert!(start.elapsed() < Duration::from_secs(4), "{mood:?} took {:?}", start.elapsed());
        assert!(outcomes.iter().all(|outcome| code(outcome) == Some(expected)), "{mood:?}: {:?}", outcomes[0]);
        assert_eq!(receiver.calls(), 1, "{mood:?}: nothing is sent after the first failure");
        let Outcome::Unavailable { retry_after, .. } = &outcomes[99] else { panic!("{mood:?}") };
        assert_eq!(*retry_after, matches!(mood, Mood::Busy(_)).then(|| Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let outcomes = Webhook::new(&settings(&url)).unwrap().deliver(&deliveries(3, 3)).await;
    assert!(outcomes.iter().all(|outcome| code(outcome) == Some(guard::NO_CONNECTION)), "{outcomes:?}");
}

#[tokio::test]
async fn a_huge_answer_is_not_read() {
    let (receiver, target) = partner(Mood::Huge(4 << 30)).await;
    let start = Instant::now();
    assert_eq!(delivered(&target.deliver(&deliveries(2, 1)).await), 2);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(receiver.effects().len(), 2);
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_has_one_effect() {
    let (receiver, target) = partner(Mood::First(1, Box::new(Mood::CloseMidAnswer))).await;
    let batch = deliveries(1, 1);
    assert_eq!(code(&target.deliver(&batch).await[0]), Some(guard::BROKEN_ANSWER));
    assert_eq!(delivered(&target.deliver(&batch).await), 1);
    assert_eq!(receiver.effects().len(), 1);
    assert_eq!(receiver.requests().values().copied().collect::<Vec<_>>(), [2], "the same id both times");
}

#[tokio::test]
async fn events_may_travel_together_and_a_bad_one_is_taken_out() {
    let receiver = Receiver::start(Mood::Refuse(vec!["P0003".to_owned()]), verifier()).await;
    let target = Webhook::new(&Settings { batch: 5, ..settings(&receiver.url) }).unwrap();
    let outcomes = target.deliver(&deliveries(12, 4)).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        let expected = match number {
            3 => Some(answer::REFUSED),
            7 | 11 => Some(webhook::KEY_HELD),
            _ => None,
        };
        assert_eq!(code(outcome), expected, "delivery {number}");
    }
    let effects = receiver.effects();
    assert!(effects.iter().all(|effect| effect.content_type == "application/cloudevents-batch+json"));
    let numbers: Vec<i64> = effects
        .iter()
        .flat_map(|effect| effect.body.as_array().unwrap())
        .map(|event| event["sequence"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 4, 5, 6, 8, 9, 10], "in order, each once");
}

fn lane_settings() -> lane::Settings {
    let pauses = Pauses { first: Duration::from_millis(200), most: Duration::from_secs(2) };
    lane::Settings { pauses, ..lane::Settings::default() }
}

#[tokio::test]
async fn the_circuit_opens_probes_with_one_and_closes() {
    let (receiver, target) = partner(Mood::Status(500)).await;
    let lane = Lane::new("bank-jlbank".into(), Box::new(target), lane_settings());
    let batch = deliveries(20, 20);
    assert_eq!(lane.state(), State::Closed);
    let outcomes = lane.deliver(&batch).await;
    let Outcome::Unavailable { retry_after: Some(pause), .. } = &outcomes[19] else { panic!("{outcomes:?}") };
    assert!(*pause >= Duration::from_millis(100) && *pause <= Duration::from_millis(200));
    assert!(matches!(lane.state(), State::Open { .. }));
    let calls = receiver.calls();
    assert_eq!(code(&lane.deliver(&batch).await[0]), Some(lane::OPEN));
    assert_eq!(receiver.calls(), calls, "open: nothing is sent");
    tokio::time::sleep(*pause).await;
    assert_eq!(code(&lane.deliver(&batch).await[0]), Some(answer::SERVER_ERROR));
    assert_eq!(receiver.calls(), calls + 1, "half-open: one probe");
    receiver.set(Mood::Ok);
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(delivered(&lane.deliver(&batch).await), 20);
    assert_eq!(lane.state(), State::Closed);
}

#[tokio::test]
async fn the_lane_keeps_to_the_rate_and_holds_keys_across_chunks() {
    let (receiver, target) = partner(Mood::Refuse(vec!["P0000".to_owned()])).await;
    let rate_per_second = NonZeroU32::new(10);
    let lane = Lane::new("bank-jlbank".into(), Box::new(target), lane::Settings { rate_per_second, ..lane_settings() });
    let start = Instant::now();
    let outcomes = lane.deliver(&deliveries(30, 5)).await;
    assert_eq!(delivered(&outcomes), 24);
    for number in [5, 10, 15, 20, 25] {
        assert_eq!(code(&outcomes[number]), Some(webhook::KEY_HELD), "delivery {number}");
    }
    assert_eq!(receiver.calls(), 25);
    assert!(start.elapsed() > Duration::from_millis(1_200), "25 requests at 10 per second: {:?}", start.elapsed());
    let waits = lane::Settings { rate_per_second: NonZeroU32::new(1), rate_wait: Duration::from_millis(10), ..lane_settings() };
    let (_, target) = partner(Mood::Ok).await;
    let outcomes = Lane::new("x".into(), Box::new(target), waits).deliver(&deliveries(3, 3)).await;
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [None, Some(lane::RATE_LIMITED), Some(lane::RATE_LIMITED)]);
}

#[tokio::test]
async fn a_slow_partner_does_not_slow_another() {
    let (_, slow) = partner(Mood::Hang).await;
    let (receiver, quick) = partner(Mood::Ok).await;
    let slow = Lane::new("slow".into(), Box::new(slow), lane_settings());
    let quick = Lane::new("quick".into(), Box::new(quick), lane_settings());
    let batch = deliveries(100, 100);
    let hanging = batch.clone();
    let hanging = tokio::spawn(async move { slow.deliver(&hanging).await });
    let start = Instant::now();
    assert_eq!(delivered(&quick.deliver(&batch).await), 100);
    let elapsed = start.elapsed();
    assert!(!hanging.is_finished(), "the slow one is still waiting after {elapsed:?}");
    assert_eq!(receiver.effects().len(), 100);
    assert!(hanging.await.unwrap().iter().all(|outcome| matches!(outcome, Outcome::Unavailable { .. })));
}

#[test]
fn a_webhook_with_several_faults_tells_them_all() {
    let mut settings = settings("https://user@127.1/");
    settings.secrets = vec![SecretString::from("nonsense!")];
    settings.ca_file = Some("/nonexistent".into());
    let faults = Webhook::new(&settings).err().unwrap();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|fault| !fault.to_string().contains("nonsense!")));
}

/// The stores to test on: SQLite always, PostgreSQL where `CIVILHUB_TEST_PG` names one.
async fn stores() -> Vec<(Store, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Store::open(&format!("sqlite://{}", dir.path().join("hub.db").display())).await.unwrap();
    let mut stores = vec![(sqlite, Some(dir))];
    if let Ok(url) = std::env::var("CIVILHUB_TEST_PG") {
        stores.push((Store::open(&url).await.unwrap(), None));
    }
    for (store, _) in &stores {
        store.migrate().await.unwrap();
    }
    stores
}

/// A partner that no earlier run on the same server knows, and deliveries of its own.
fn fresh(count: usize) -> (String, Vec<Delivery>) {
    let partner = format!("p{:016x}", rand::random::<u64>());
    let mut batch = deliveries(count, 7);
    for delivery in &mut batch {
        delivery.id = DeliveryId::derive(&delivery.event.occurrence, &partner.as_str().into());
        delivery.event.deliveryid = Some(delivery.id.clone());
    }
    (partner, batch)
}

#[tokio::test]
async fn a_mailbox_gives_each_delivery_one_cursor() {
    for (store, _dir) in stores().await {
        let (partner, batch) = fresh(10);
        let target = Mailbox::new(boxes(&store), partner.as_str(), 1_000);
        assert_eq!(target.deliver(&batch[..6]).await[5], Outcome::Delivered { receipt: "cursor 6".to_owned() });
        // The second try of some, twice in one batch, together with new ones.
        let mut again = batch[3..].to_vec();
        again.push(batch[9].clone());
        let cursors: Vec<Outcome> = target.deliver(&again).await;
        let expected = [4, 5, 6, 7, 8, 9, 10, 10].map(|cursor| Outcome::Delivered { receipt: format!("cursor {cursor}") });
        assert_eq!(cursors, expected);
        let boxes = boxes(&store);
        let page = boxes.read(&partner, 0, 4).await.unwrap();
        assert!(page.more);
        assert_eq!(page.letters.iter().map(|letter| letter.cursor).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(page.letters[0].body.as_bytes(), batch[0].event.to_bytes());
        let rest = boxes.read(&partner, 4, 100).await.unwrap();
        assert_eq!((rest.letters.len(), rest.more), (6, false));
    }
}

#[tokio::test]
async fn an_acknowledged_delivery_does_not_come_back() {
    for (store, _dir) in stores().await {
        let (partner, batch) = fresh(5);
        let boxes = boxes(&store);
        boxes.append(&partner, &batch, 1_000).await.unwrap().unwrap();
        assert_eq!(boxes.acknowledge(&partner, 9).await.unwrap(), Acknowledged::Beyond(5));
        assert_eq!(boxes.acknowledge(&partner, 3).await.unwrap(), Acknowledged::UpTo(3));
        assert_eq!(boxes.acknowledge(&partner, 2).await.unwrap(), Acknowledged::UpTo(3));
        assert_eq!(boxes.waiting(&partner).await.unwrap(), 2);
        assert_eq!(boxes.append(&partner, &batch, 1_000).await.unwrap().unwrap(), [1, 2, 3, 4, 5]);
        let left = boxes.read(&partner, 0, 100).await.unwrap().letters;
        assert_eq!(left.iter().map(|letter| letter.cursor).collect::<Vec<_>>(), [4, 5]);
        let bodies =
            store.read("SELECT body FROM mailbox WHERE partner = $1 AND cursor = 1", &[partner.as_str().into()]).await.unwrap();
        assert_eq!(bodies[0].text(0), "", "what is acknowledged is not kept");
        let sealed =
            store.read("SELECT body FROM mailbox WHERE partner = $1 AND cursor = 5", &[partner.as_str().into()]).await.unwrap();
        assert!(!sealed[0].text(0).contains("payment_no") && sealed[0].text(0).len() > 100, "what waits is sealed");
        let count = async || {
            let sql = "SELECT COUNT(*) FROM mailbox WHERE partner = $1";
            store.read(sql, &[partner.as_str().into()]).await.unwrap()[0].int(0)
        };
        if store.backend() == Backend::Postgres {
            continue; // other tests share this server, and pruning is for all partners
        }
        mailbox::prune(&store, 0).await.unwrap();
        assert_eq!(count().await, 5, "ids are kept while a repeat may come");
        mailbox::prune(&store, i64::MAX).await.unwrap();
        assert_eq!(count().await, 2, "what is not acknowledged is never pruned");
    }
}

#[tokio::test]
async fn a_full_mailbox_takes_nothing_and_loses_nothing() {
    for (store, _dir) in stores().await {
        let (partner, batch) = fresh(8);
        let target = Mailbox::new(boxes(&store), partner.as_str(), 5);
        assert_eq!(delivered(&target.deliver(&batch[..5]).await), 5);
        let outcomes = target.deliver(&batch[4..]).await;
        assert!(outcomes.iter().all(|outcome| code(outcome) == Some(mailbox::FULL)), "{outcomes:?}");
        let boxes = boxes(&store);
        boxes.acknowledge(&partner, 5).await.unwrap();
        assert_eq!(delivered(&target.deliver(&batch[4..]).await), 4);
        assert_eq!(boxes.read(&partner, 0, 100).await.unwrap().letters.len(), 3);
    }
}

#[tokio::test]
async fn two_writers_leave_no_gap() {
    for (store, _dir) in stores().await {
        let (partner, batch) = fresh(200);
        let partner: Arc<str> = partner.into();
        let mut writers = Vec::new();
        for writer in 0..4 {
            let (boxes, partner) = (boxes(&store), Arc::clone(&partner));
            // Overlapping ranges: half of what a writer brings is brought by another one as well.
            let mine: Vec<Delivery> = batch.iter().skip(writer * 40).take(80).cloned().collect();
            writers.push(tokio::spawn(async move {
                for chunk in mine.chunks(10) {
                    boxes.append(&partner, chunk, 1_000).await.unwrap().unwrap();
                }
            }));
        }
        // A reader that follows meanwhile must never step over a cursor.
        let boxes = boxes(&store);
        let mut after = 0;
        let start = Instant::now();
        while after < 200 {
            assert!(start.elapsed() < Duration::from_secs(30), "{:?}: stuck after cursor {after}", store.backend());
            for letter in boxes.read(&partner, after, 50).await.unwrap().letters {
                assert_eq!(letter.cursor, after + 1, "{:?}", store.backend());
                after = letter.cursor;
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(boxes.read(&partner, 200, 1).await.unwrap().letters.len(), 0);
    }
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    for (store, _dir) in stores().await {
        if store.backend() == Backend::Postgres {
            continue; // the same statement; 12 MB once are enough
        }
        let (partner, mut batch) = fresh(12);
        for delivery in &mut batch {
            delivery.event.data.record = json!({ "note": "x".repeat(1 << 20) });
        }
        let boxes = boxes(&store);
        boxes.append(&partner, &batch, 1_000).await.unwrap().unwrap();
        let page = boxes.read(&partner, 0, 500).await.unwrap();
        assert_eq!((page.letters.len(), page.more), (3, true));
    }
}

async fn api(store: &Store, partner: &str) -> String {
    let mut tokens = routes::Tokens::default();
    tokens.insert(partner, "old-token");
    // SHA-256 of `next-token`.
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"next-token"));
    tokens.insert(partner, &format!("sha256:{hash}"));
    let app: Router = routes::routes(boxes(store), tokens, Arc::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/mailbox", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn a_partner_fetches_and_acknowledges_over_http() {
    for (store, _dir) in stores().await {
        let (partner, batch) = fresh(5);
        boxes(&store).append(&partner, &batch, 100).await.unwrap();
        let url = api(&store, &partner).await;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        let get = async |path: &str, token: &str| {
            let answer = http.get(format!("{url}/{path}")).bearer_auth(token).send().await.unwrap();
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            (answer.status().as_u16(), kind, answer.json::<Value>().await.unwrap())
        };
        let (status, _, page) = get(&format!("{partner}/events?limit=3"), "old-token").await;
        assert_eq!((status, &page["next"], &page["more"]), (200, &json!(3), &json!(true)));
        assert_eq!(page["events"][0]["event"]["deliveryid"], json!(batch[0].id.as_str()));
        let (_, _, page) = get(&format!("{partner}/events?after=3"), "next-token").await;
        assert_eq!((page["events"].as_array().unwrap().len(), &page["next"], &page["more"]), (2, &json!(5), &json!(false)));
        let ack = async |body: &str| {
            let request = http.post(format!("{url}/{partner}/ack")).bearer_auth("old-token").body(body.to_owned());
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(ack(r#"{"cursor": 3}"#).await, (200, r#"{"acknowledged":3}"#.to_owned()));
        assert_eq!(get(&format!("{partner}/events"), "old-token").await.2["events"][0]["cursor"], json!(4));
        for (body, status, code) in [
            (r#"{"cursor": 99}"#, 409, "CH-6043"),
            (r#"{"cursor": "3"}"#, 400, "CH-6042"),
            (r#"{"cursor": 3, "x": 1}"#, 400, "CH-6042"),
            ("", 400, "CH-6042"),
        ] {
            let (got, text) = ack(body).await;
            assert!(got == status && text.contains(code), "{body}: {got} {text}");
        }
        let (status, text) = ack(&"x".repeat(10_000)).await;
        assert!(status == 413 && text.contains("CH-6042"), "{status} {text}");
        for (path, token, status, code) in [
            (format!("{partner}/events"), "wrong", 401, "CH-6041"),
            (format!("{partner}/events"), "", 401, "CH-6041"),
            ("nobody/events".to_owned(), "old-token", 401, "CH-6041"),
            (format!("{partner}/events?after=-1"), "old-token", 400, "CH-6042"),
            (format!("{partner}/events?limit=0"), "old-token", 400, "CH-6042"),
            (format!("{partner}/events?form=3"), "old-token", 400, "CH-6042"),
        ] {
            let (got, kind, problem) = get(&path, token).await;
            assert_eq!((got, kind.as_str(), &problem["code"]), (status, "application/problem+json", &json!(code)), "{path}");
        }
    }
}
