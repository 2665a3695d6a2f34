//! Evidence, reviews, merges and splits over a real store.

use std::{collections::BTreeMap, sync::Arc};

use civilhub::{
    bus::{Bus, Queue, Settle, Topology, embedded::EmbeddedBus},
    config::keys::Keys,
    desk::{Desk, notify},
    envelope::{PersonKey, SubscriptionId},
    identity::{Evidence, Family, PersonIndex, PersonQuery, Resolution, household, review::Answer},
    ledger::{Entry, Kind, chain::Chain},
    store::Store,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

use super::{Database, count, one, rules};

const HOME: &str = "长春市双阳区鹿乡镇信家村3组250号";
const AWAY: &str = "白城市洮北区和平路123号";
const NUMBERS: [&str; 3] = ["220171197001010053", "220171201001010108", "220171201001010124"];

/// Name, number, birth date, sex, address, phone.
fn said(system: &str, reference: &str, [name, number, birth, sex, address, phone]: [&str; 6]) -> PersonQuery {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PersonQuery {
        system: system.into(),
        reference: reference.to_owned(),
        name: filled(name),
        number: filled(number),
        birth_date: filled(birth),
        sex: filled(sex),
        address: filled(address),
        phone: filled(phone),
        event: format!("{:0>32}", hex::encode(reference)).as_str().into(),
    }
}

impl Database {
    async fn desk(&self) -> Desk {
        Desk { store: self.open().await, index: self.index().await, key: Keys::dry_run().ledger }
    }
}

fn key_of(answer: &Resolution) -> PersonKey {
    answer.key.clone()
}

/// What must hold whatever happened.
async fn invariants(store: &Store) {
    let none = [
        ("person_redirect r JOIN person_redirect s ON s.old_key = r.new_key", "a redirect leads to a redirect"),
        ("person_redirect r JOIN person p ON p.person_key = r.new_key AND p.state <> 'active'", "a redirect leads to nobody"),
        ("person_redirect r JOIN person p ON p.person_key = r.old_key AND p.state = 'active'", "a retired key is active"),
        ("source_record s JOIN person p ON p.person_key = s.person_key AND p.state <> 'active'", "a record of a retired person"),
        (
            "person_identifier i JOIN person p ON p.person_key = i.person_key AND p.state <> 'active'",
            "a number of a retired person",
        ),
        (
            "(SELECT number_hash FROM person_identifier WHERE active = 1 GROUP BY number_hash HAVING COUNT(*) > 1) AS twice",
            "two holders",
        ),
        ("(SELECT reference_id FROM source_record GROUP BY reference_id HAVING COUNT(*) > 1) AS twice", "two active links"),
        ("person WHERE turn > (SELECT turn FROM identity_turn WHERE name = 'index')", "a turn that nobody took"),
    ];
    for (what, why) in none {
        assert_eq!(count(store, what).await, 0, "{why}");
    }
}

async fn with_two_strong_numbers(store: &Store) -> i64 {
    let sql = "(SELECT person_key FROM person_identifier WHERE active = 1 AND class = 'strong' GROUP BY person_key HAVING COUNT(*) > 1) AS two";
    count(store, sql).await
}

/// Record to person.
async fn partition(store: &Store) -> BTreeMap<String, String> {
    let rows = store.read("SELECT reference_id, person_key FROM source_record", &[]).await.unwrap();
    rows.iter().map(|row| (row.text(0), row.text(1))).collect()
}

pub(super) async fn evidence_links_asks_or_parts(database: &Database) {
    let index = database.index().await;
    let first = one(&index, said("a", "1", ["张国强", NUMBERS[0], "1970-01-01", "1", HOME, "14005802577"])).await;
    // Another index: everything must come from the store.
    let index = database.index().await;
    let wild = one(&index, said("b", "1", ["张?强", "", "1970-01-01", "1", HOME, ""])).await;
    assert_eq!(wild.key, first.key);
    assert!(matches!(&wild.evidence, Evidence::Match { tenths, model } if *tenths >= 180 && !model.is_empty()), "{wild:?}");
    let lunar = one(&index, said("c", "1", ["張國強", "", "1969-11-24", "", HOME, "+86 140-0580-2577"])).await;
    assert_eq!(lunar.key, first.key);
    let slip = one(&index, said("d", "1", ["张国强", "220171197001010052", "1970-01-01", "", "", ""])).await;
    assert_eq!((key_of(&slip), rules(&slip)), (key_of(&first), vec!["number-bad"]));
    let namesake = one(&index, said("e", "1", ["张国强", "", "1970-01-01", "1", AWAY, "14009299299"])).await;
    assert_ne!(namesake.key, first.key);
    assert_eq!(rules(&namesake), ["uncertain-match"]);
    let again = one(&database.index().await, said("e", "1", ["张国强", "", "1970-01-01", "1", AWAY, "14009299299"])).await;
    assert_eq!((again.key.clone(), rules(&again)), (namesake.key.clone(), vec!["uncertain-match"]), "the doubt is remembered");
    let stranger = one(&index, said("f", "1", ["李秀英", "", "1971-05-06", "2", HOME, "14005802577"])).await;
    assert!(stranger.created && stranger.remarks.is_empty(), "a household is no evidence");
    let reviews = index.reviews(Some("open"), None, 10).await.unwrap();
    assert_eq!((reviews.len(), reviews[0].reason.as_str()), (1, "uncertain-match"));
    assert!(reviews[0].bits > 10.0 && reviews[0].fields.as_array().unwrap().iter().any(|field| field["field"] == "name"));
    invariants(&database.open().await).await;
}

pub(super) async fn twins_stay_two(database: &Database) {
    let index = database.index().await;
    let twin =
        |reference: &str, name: &str, number: &str| said("a", reference, [name, number, "2010-01-01", "2", HOME, "14005802577"]);
    let batch =
        [twin("1", "刘梓敏", NUMBERS[1]), twin("2", "刘欣敏", NUMBERS[2]), twin("3", "刘欣敏", ""), twin("4", "刘梓敏", "")];
    let answers = index.resolve(&batch).await.unwrap();
    assert_ne!(answers[0].key, answers[1].key);
    assert_eq!((&answers[2].key, &answers[3].key), (&answers[1].key, &answers[0].key));
    assert_eq!(with_two_strong_numbers(&database.open().await).await, 0);
}

/// The same new citizens, without numbers, in two routers at the same moment.
pub(super) async fn two_routers_make_a_new_citizen_once(database: &Database) {
    let routers = [Arc::new(database.index().await), Arc::new(database.index().await)];
    routers[0].check_keys().await.unwrap();
    let names = ["张国强", "刘梓敏", "王建华", "李秀英", "赵小梅", "孙德胜", "周玉兰", "吴志远"];
    for round in 0..12 {
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let tasks: Vec<_> = routers
            .iter()
            .enumerate()
            .map(|(router, index)| {
                let (index, barrier) = (Arc::clone(index), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let of = |(place, name): (usize, &&str)| {
                        let birth = format!("19{}-{:02}-{:02}", 50 + round, place + 1, round + 1);
                        let phone = format!("1400580{round:02}{place:02}");
                        said(&format!("s{router}"), &format!("{round}-{place}"), [name, "", &birth, "1", HOME, &phone])
                    };
                    let batch: Vec<_> = names.iter().enumerate().map(of).collect();
                    barrier.wait().await;
                    index.resolve(&batch).await.unwrap()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        for (one, other) in answers[0].iter().zip(&answers[1]) {
            assert_eq!(one.key, other.key);
            assert!(one.created != other.created, "one of them made it");
        }
    }
    let store = database.open().await;
    assert_eq!(count(&store, "person").await, 96);
    invariants(&store).await;
}

async fn two_who_may_be_one(desk: &Desk) -> (PersonKey, PersonKey, String) {
    let first = one(&desk.index, said("a", "1", ["王芳", NUMBERS[0], "1970-01-01", "2", HOME, "14005802577"])).await.key;
    let second = one(&desk.index, said("b", "1", ["王芳", "", "1970-01-01", "2", AWAY, "14009299299"])).await.key;
    let reviews = desk.index.reviews(Some("open"), None, 10).await.unwrap();
    assert_eq!(reviews.len(), 1);
    (first, second, reviews[0].id.clone())
}

pub(super) async fn an_accepted_review_joins(database: &Database) {
    let desk = database.desk().await;
    let (first, second, id) = two_who_may_be_one(&desk).await;
    let sides = desk.index.review(&id).await.unwrap();
    assert_eq!((sides.person.len(), sides.other.len()), (1, 1));
    desk.answer(&id, Answer::Later, "papers are asked for").await.unwrap();
    assert!(desk.answer(&id, Answer::Accept, " ").await.is_err(), "a decision needs a reason");
    desk.answer(&id, Answer::Accept, "seen both papers").await.unwrap();
    assert_eq!(desk.index.current(&second).await.unwrap(), first);
    let fault = desk.answer(&id, Answer::Reject, "changed my mind").await.unwrap_err();
    assert_eq!(fault.code.to_string(), "CH-5009");
    assert_eq!(count(&desk.store, "ledger WHERE kind = 'decided'").await, 2);
    assert_eq!(count(&desk.store, "identity_event WHERE kind = 'person.merged'").await, 1);
    invariants(&desk.store).await;
}

pub(super) async fn who_is_told_apart_stays_apart(database: &Database) {
    let desk = database.desk().await;
    let (first, second, id) = two_who_may_be_one(&desk).await;
    desk.answer(&id, Answer::Reject, "two cards were shown").await.unwrap();
    // From now on everything speaks for one: the second moves in, and even gains the telephone number.
    let moved = said("c", "1", ["王芳", "", "1970-01-01", "2", AWAY, "14009299299"]);
    assert_eq!(one(&desk.index, moved).await.key, second);
    let both = said("c", "1", ["王芳", "", "1970-01-01", "2", HOME, "14005802577"]);
    assert_eq!(one(&desk.index, both).await.key, second);
    assert_ne!(desk.index.current(&second).await.unwrap(), first);
    let fault = desk.merge(&first, &second, "by mistake", false).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "CH-5005");
    assert_eq!(count(&desk.store, "cannot_link WHERE lifted_at = 0").await, 1);
    desk.merge(&second, &first, "the registrar confirmed", true).await.unwrap();
    assert_eq!(desk.index.current(&second).await.unwrap(), first);
    assert_eq!(count(&desk.store, "cannot_link WHERE lifted_at = 0").await, 0);
    assert_eq!(count(&desk.store, "cannot_link").await, 1, "the decision is kept all the same");
}

pub(super) async fn golden_records_follow_their_records(database: &Database) {
    let desk = database.desk().await;
    let first = one(&desk.index, said("tekun", "1", ["王?", NUMBERS[0], "1970-01-01", "2", HOME, ""])).await.key;
    let other = one(&desk.index, said("marriage", "1", ["王芳", NUMBERS[0], "1970-01-01", "2", "", "14005802577"])).await.key;
    assert_eq!(first, other);
    let view = desk.citizen(&first, true).await.unwrap();
    assert_eq!((&view.golden["name"]["value"], &view.golden["name"]["system"]), (&json!("王芳"), &json!("marriage")));
    assert_eq!(view.records.len(), 2);
    let masked = serde_json::to_string(&desk.citizen(&first, false).await.unwrap()).unwrap();
    for secret in ["王芳", NUMBERS[0], "14005802577", HOME] {
        assert!(!masked.contains(secret), "{masked}");
    }
    let part = desk.split(&first, &["marriage/1".to_owned()], "another person's paper").await.unwrap();
    let (left, gone) = (desk.citizen(&first, true).await.unwrap(), desk.citizen(&part.split_key, true).await.unwrap());
    assert_eq!((&left.golden["name"]["value"], left.golden.get("phone")), (&json!("王?"), None));
    assert_eq!((&gone.golden["name"]["value"], gone.numbers.len()), (&json!("王芳"), 0), "the number stays with the first");
    assert_eq!(gone.records[0].remarks, ["number-held-by-other-name"]);
    // A record changes its word: both are on file.
    one(&desk.index, said("tekun", "1", ["王?", NUMBERS[0], "1970-01-01", "2", AWAY, ""])).await;
    let view = desk.citizen(&first, true).await.unwrap();
    let words: Vec<&str> = view.records[0].history.iter().map(|word| word.says["address"].as_str()).collect();
    assert_eq!(words, [HOME, AWAY]);
    invariants(&desk.store).await;
}

/// Some persons known by name only, three of them with numbers.
async fn strangers(desk: &Desk) -> Vec<PersonKey> {
    let names = ["张一", "王二", "李三", "赵四", "钱五", "孙六"];
    let of = |(place, name): (usize, &&str)| {
        let number = NUMBERS.get(place).copied().unwrap_or_default();
        ["a", "b"].map(|system| {
            said(system, &format!("{place}"), [name, number, &format!("19{}-03-04", 60 + place), "", "", "1400580010"])
        })
    };
    let mut batch: Vec<PersonQuery> = names.iter().enumerate().flat_map(of).collect();
    for query in &mut batch {
        query.phone = None;
        if query.number.is_some() {
            query.birth_date = None;
        }
    }
    desk.index.resolve(&batch).await.unwrap().iter().map(key_of).collect()
}

/// Merges in any order, undone in the other: the same components under the same keys.
async fn merge_then_split(desk: &Desk, pairs: &[(usize, usize)]) {
    let keys = strangers(desk).await;
    let mut before = vec![partition(&desk.store).await];
    let mut undo: Vec<(PersonKey, Vec<String>)> = Vec::new();
    for (one, other) in pairs {
        let (one, other) = (&keys[one % keys.len()], &keys[other % keys.len()]);
        let (one, other) = (desk.index.current(one).await.unwrap(), desk.index.current(other).await.unwrap());
        let Ok(merged) = desk.merge(&one, &other, "trial", true).await else { continue };
        let records = before.last().unwrap().iter().filter(|(_, key)| *key == merged.retired_key.as_str());
        undo.push((merged.person_key, records.map(|(record, _)| record.clone()).collect()));
        before.push(partition(&desk.store).await);
        invariants(&desk.store).await;
    }
    before.pop();
    while let Some((key, records)) = undo.pop() {
        desk.split(&key, &records, "trial is over").await.unwrap();
        assert_eq!(partition(&desk.store).await, before.pop().unwrap());
        invariants(&desk.store).await;
    }
    assert_eq!(with_two_strong_numbers(&desk.store).await, 0);
    assert_eq!(count(&desk.store, "person_redirect").await, 0);
}

#[test]
fn merge_then_split_gives_the_same_components() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pairs = prop::collection::vec((0_usize..12, 0_usize..12), 1..7);
    let run = |cases: u32, server: Option<String>| {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let ran = runner.run(&pairs, |pairs| {
            runtime.block_on(async {
                let database = match &server {
                    Some(server) => Database::postgres(server).await,
                    None => Database::sqlite(),
                };
                merge_then_split(&database.desk().await, &pairs).await;
            });
            Ok(())
        });
        ran.unwrap();
    };
    run(16, None);
    if let Ok(server) = std::env::var("CIVILHUB_TEST_PG") {
        run(4, Some(server));
    }
}

type Mention = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, usize);

/// Mentions of a few persons, in which much agrees by chance.
fn mentions(most: usize) -> impl Strategy<Value = Vec<Mention>> {
    let pick = |texts: &'static [&'static str]| prop::sample::select(texts.to_vec());
    let fields = (
        pick(&["张国强", "张国樯", "张强", "刘梓敏", "刘欣敏", "王芳", "", "Zhang Qiang", "王?"]),
        pick(&[NUMBERS[0], NUMBERS[1], NUMBERS[2], "220171700101005", "220171197001010052", ""]),
        pick(&["1970-01-01", "2010-01-01", "1969-11-24", ""]),
        pick(&["1", "2", ""]),
        pick(&[HOME, AWAY, ""]),
        pick(&["14005802577", "14009299299", ""]),
        0_usize..12,
    );
    prop::collection::vec(fields, 1..most)
}

fn query_of((name, number, birth, sex, address, phone, reference): &Mention) -> PersonQuery {
    said("a", &reference.to_string(), [name, number, birth, sex, address, phone])
}

#[test]
fn whatever_comes_numbers_and_links_are_single() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&mentions(40), |queries| {
        let queries: Vec<PersonQuery> = queries.iter().map(query_of).collect();
        runtime.block_on(async {
            let database = Database::sqlite();
            let (index, store) = (database.index().await, database.open().await);
            for batch in queries.chunks(7) {
                let answers = index.resolve(batch).await.unwrap();
                assert_eq!(answers.len(), batch.len());
                for answer in answers {
                    let key = index.current(&answer.key).await.unwrap();
                    assert_eq!(count(&store, &format!("person WHERE person_key = '{key}' AND state = 'active'")).await, 1);
                }
            }
            invariants(&store).await;
            assert_eq!(with_two_strong_numbers(&store).await, 0);
        });
        Ok(())
    });
    ran.unwrap();
}

/// One router for everything, or three by turns, of which one starts anew for each batch: what they decide is the same.
///
/// Each record speaks once: of a record that changed its word a router remembers until its next start under which keys the
/// old word stood. It compares in another order then, and greedy merging is not free of order.
#[test]
fn routers_that_take_turns_decide_as_one() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let run = |cases: u32, server: Option<String>| {
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let ran = runner.run(&mentions(60), |mentions| {
            let once = mentions.iter().enumerate().map(|(place, &(a, b, c, d, e, f, _))| query_of(&(a, b, c, d, e, f, place)));
            let queries: Vec<PersonQuery> = once.collect();
            runtime.block_on(async {
                let database = async || match &server {
                    Some(server) => Database::postgres(server).await,
                    None => Database::sqlite(),
                };
                let (alone, together) = (database().await, database().await);
                let (one, routers) = (alone.index().await, [together.index().await, together.index().await]);
                for (turn, batch) in queries.chunks(5).enumerate() {
                    one.resolve(batch).await.unwrap();
                    match routers.get(turn % 3) {
                        Some(router) => router.resolve(batch).await.unwrap(),
                        None => together.index().await.resolve(batch).await.unwrap(),
                    };
                }
                assert_eq!(partition(&alone.open().await).await, partition(&together.open().await).await);
            });
            Ok(())
        });
        ran.unwrap();
    };
    run(16, None);
    if let Ok(server) = std::env::var("CIVILHUB_TEST_PG") {
        run(4, Some(server));
    }
}

/// What a human decides reaches a router that had everybody in memory.
pub(super) async fn routers_hear_what_humans_decide(database: &Database) {
    let (router, desk) = (database.index().await, database.desk().await);
    let first = one(&router, said("a", "1", ["王芳", NUMBERS[0], "1970-01-01", "2", HOME, "14005802577"])).await.key;
    let second = one(&router, said("b", "1", ["李秀英", "", "1971-05-06", "2", AWAY, "14009299299"])).await.key;
    let seen = |reference: &str| said("c", reference, ["李秀英", "", "1971-05-06", "2", AWAY, "14009299299"]);
    assert_eq!(one(&router, seen("1")).await.key, second);
    desk.merge(&first, &second, "one person", false).await.unwrap();
    assert_eq!(one(&router, seen("2")).await.key, first, "the retired person's keys lead to the survivor");
    let moved = ["b/1", "c/1", "c/2"].map(str::to_owned);
    let part = desk.split(&first, &moved, "two persons").await.unwrap();
    assert_eq!(part.person_key, first, "the larger part keeps the key");
    assert_eq!(one(&router, seen("3")).await.key, first);
    let number = one(&router, said("d", "1", ["王芳", NUMBERS[0], "", "", "", ""])).await;
    assert_eq!(number.key, part.split_key, "the number went with its record");
    invariants(&desk.store).await;
}

/// A record of the person went to the bank, and it says so; then the key is merged, and split again.
pub(super) async fn receivers_of_an_old_key_are_told(database: &Database) {
    let desk = database.desk().await;
    let first = one(&desk.index, said("a", "1", ["王芳", NUMBERS[0], "1970-01-01", "2", HOME, ""])).await.key;
    let second = one(&desk.index, said("b", "1", ["李秀英", "", "1971-05-06", "2", AWAY, ""])).await.key;
    let event = format!("{:0>32}", hex::encode("1"));
    sent(&desk, &event, &second).await;

    let keys = Keys::dry_run();
    let bank = SubscriptionId::new("bank");
    let folder = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(folder.path()).unwrap();
    bus.declare(&Topology { partitions: 1, subscriptions: vec![bank.clone(), "other".into()] }).await.unwrap();
    let tell = async || notify::tell(bus.as_ref(), &desk.store, &keys, &[bank.clone(), "other".into()]).await.unwrap();
    desk.merge(&first, &second, "one person", false).await.unwrap();
    assert!(notify::pending(&desk.store).await.unwrap());
    assert_eq!((tell().await, tell().await), (1, 0));
    let part = desk.split(&first, &["b/1".to_owned()], "two persons").await.unwrap();
    assert_eq!((part.split_key.clone(), part.revived), (second.clone(), true));
    assert_eq!(tell().await, 1, "the bank was told that it holds the first key");

    let mut consumer = bus.consume(&Queue::Deliver(bank), 10).await.unwrap();
    let received = consumer.next(10, std::time::Duration::from_secs(2)).await.unwrap();
    let events: Vec<serde_json::Value> =
        received.iter().map(|received| serde_json::from_slice(&received.body).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["type"], &events[0]["subject"]), (&json!("person.merged"), &json!(second)));
    assert_eq!(events[0]["data"]["record"], json!({"person_key": first, "retired_key": second}));
    assert_eq!((&events[1]["type"], &events[1]["purpose"]), (&json!("person.split"), &json!("payment")));
    assert_eq!(events[1]["data"]["record"]["split_key"], json!(second));
    consumer.settle(&received.iter().map(|received| (received.tag, Settle::Ack)).collect::<Vec<_>>()).await.unwrap();

    let view = desk.citizen(&second, false).await.unwrap();
    assert_eq!((view.deliveries.len(), view.deliveries[0].receiver.as_str()), (1, "bank"));
    assert!(view.agreements.iter().any(|agreement| agreement.agreement == "A-1" && agreement.purpose == "payment"));
    let books = civilhub::ledger::books::books(&desk.store, None, 0).await.unwrap();
    let line = books.iter().find(|line| line.system == "person-index").unwrap();
    assert_eq!((line.received, line.in_flight, line.gap), (2, 2, 0));
}

/// What router and lane write when a record goes to the bank.
async fn sent(desk: &Desk, event: &str, person: &PersonKey) {
    let entry = |kind, body| Entry {
        kind,
        event_id: event.to_owned(),
        system: "b".to_owned(),
        bookdate: "2017-07-03".to_owned(),
        dataset: "assistance-payment".to_owned(),
        body,
    };
    let received = entry(Kind::Received, json!({"to": [["bank", "A-1", "payment"]], "persons": [person]}));
    let delivered = entry(Kind::Delivered, json!({"subscription": "bank", "delivery": "d1", "purpose": "payment"}));
    let mut chain = Chain::open(&desk.store, "test", Arc::clone(&desk.key)).await.unwrap();
    let mut tx = desk.store.begin().await.unwrap();
    chain.append(&mut tx, &[received, delivered]).await.unwrap();
    let sql = "INSERT INTO person_event (person_key, event_id) VALUES ($1, $2)";
    tx.execute(sql, &[person.as_str().into(), event.into()]).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) async fn families_that_share_half_are_one_household(database: &Database) {
    let index = database.index().await;
    let family = |system: &str, reference: &str, members: &[&str]| Family {
        system: system.into(),
        reference: reference.to_owned(),
        division: "220171000000".to_owned(),
        head: members[0].into(),
        members: members.iter().map(|member| ((*member).into(), "01".to_owned())).collect(),
        event: "e".into(),
    };
    let first = index.households(&[family("a", "1", &["p1", "p2", "p3"])]).await.unwrap();
    let batch = [family("b", "9", &["p2", "p3", "p4", "p5"]), family("c", "7", &["p5", "p6"]), family("d", "1", &["p8"])];
    let more = index.households(&batch).await.unwrap();
    assert_eq!(more[0], first[0], "two of four");
    assert!(more[1] != first[0] && more[2] != first[0] && more[1] != more[2]);
    // The family shrinks, and stays itself.
    assert_eq!(index.households(&[family("a", "1", &["p1"])]).await.unwrap(), first);
    let store = database.open().await;
    let home = household::one(&store, &first[0]).await.unwrap().unwrap();
    let mut members: Vec<&str> = home.members.iter().map(|member| member.person_key.as_str()).collect();
    members.sort_unstable();
    assert_eq!((members, home.head.as_str()), (vec!["p1", "p2", "p3", "p4", "p5"], "p1"));
    assert_eq!(household::of_person(&store, &"p5".into()).await.unwrap().len(), 2);
    assert!(index.households(&[]).await.unwrap().is_empty());
}
