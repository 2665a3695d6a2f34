use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::{
    compare::{Field, Said, Verdict, judge},
    drive::{Look, look},
    list, open,
    versions::{self, To},
    *,
};
use crate::{
    bus::{self, Bus, Confirm, Consumer, Depth, Message, Queue, Topology},
    clock,
    config::keys::Keys,
    domain::workday,
    envelope::{DeliveryId, Event, Occurrence, SubscriptionId, event::stand_in},
    govern::{Agreements, keys::GovernKeys},
    router::object_of,
    store::Store,
};

struct World {
    _dir: tempfile::TempDir,
    books: Books,
    agreements: Agreements,
}

const FORMS: [(&str, &str); 5] = [("p", "plain"), ("m", "masked"), ("h", "hashed"), ("c", "coarse"), ("e", "encrypted")];

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/hub.db", dir.path().display())).await.unwrap();
        store.migrate().await.unwrap();
        let keys = Keys::dry_run();
        for (slug, form) in FORMS {
            let text = format!(
                "slug = \"{slug}\"\nname = \"x\"\n[transport]\nkind = \"mailbox\"\n[[agreement]]\nid = \"a\"\ndataset = \"person\"\n\
                 purpose = \"test\"\nlegal_basis = \"x\"\nvalid_from = \"2017-07-01\"\nvalid_to = \"2099-12-31\"\ndivisions = [\"22\"]\n\
                 [agreement.fields]\nname = \"{form}\"\n"
            );
            std::fs::write(dir.path().join(format!("{slug}.toml")), text).unwrap();
        }
        let agreements = Agreements::load(dir.path(), &GovernKeys::new(keys.derive("govern"))).unwrap();
        Self { books: Books { store, keys }, agreements, _dir: dir }
    }

    /// A word that was passed on to some, and of which some have a copy, with what stands in it.
    async fn word(&self, event: &str, sequence: i64, to: &[&str], copies: &[(&str, &str)]) {
        let store = &self.books.store;
        let object = object_of("/systems/tekun", "person/v1", "k1");
        let sql = "INSERT INTO object_past (object_id, event_id, sequence) SELECT object_id, event_id, sequence FROM fence WHERE object_id = $1";
        store.write(sql, &[object.as_str().into()]).await.unwrap();
        store.write("DELETE FROM fence", &[]).await.unwrap();
        let sql = "INSERT INTO fence (object_id, sequence, said, event_id) VALUES ($1, $2, 'upsert:x', $3)";
        store.write(sql, &[object.as_str().into(), sequence.into(), event.into()]).await.unwrap();
        let to: Vec<_> = to.iter().map(|slug| json!([slug, "a", "test"])).collect();
        let body = json!({ "occurrence": format!("o-{event}"), "to": to, "persons": ["key-1"] });
        let sql = "INSERT INTO ledger (chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash) \
                   VALUES ('r', $1, $1, 'received', $2, 'tekun', '', 'person', $3, '')";
        store.write(sql, &[sequence.into(), event.into(), body.to_string().into()]).await.unwrap();
        for (slug, name) in copies {
            let mut copy = stand_in(b"");
            (copy.id, copy.sequence, copy.source) = (event.into(), sequence, "/systems/tekun".to_owned());
            (copy.kind, copy.dataschema, copy.subject) = ("person.upsert".to_owned(), "person/v1".to_owned(), "k1".to_owned());
            copy.subscription = Some((*slug).into());
            copy.data.record = json!({ "name": name });
            self.deliver(event, slug, &copy).await;
        }
    }

    async fn deliver(&self, event: &str, slug: &str, copy: &Event) {
        let id = delivery(event, slug);
        let sql = "INSERT INTO partner_sent (delivery_id, partner, dataset, at, body) VALUES ($1, $2, 'person', 1, $3)";
        let body = self.books.keys.seal(&copy.to_bytes());
        self.books.store.write(sql, &[id.as_str().into(), slug.into(), body.into()]).await.unwrap();
        let sql = "INSERT INTO receipt (delivery_id, subscription, at, receipt) VALUES ($1, $2, 1, 'r')";
        self.books.store.write(sql, &[id.into(), slug.into()]).await.unwrap();
    }

    async fn open(&self, slug: &str) -> String {
        let what = What::Delivery(delivery("e1", slug));
        let claim = Claim { pointer: "/name".to_owned(), problem: "x".to_owned(), proposed: None };
        let who = Who::Partner(slug.to_owned());
        open::open(&self.books, &self.agreements, &who, &what, &claim, 10).await.unwrap().id
    }

    async fn verdict(&self, id: &str) -> &'static str {
        let dispute = list::find(&self.books.store, id).await.unwrap();
        match look(&self.books, &self.agreements, &dispute).await.unwrap() {
            Look::Nothing(_) => "nothing",
            Look::Changed(_) => "changed",
            Look::Unchanged(_) => "unchanged",
            Look::Unknown(_) => "unknown",
            Look::Pending => "pending",
        }
    }
}

fn delivery(event: &str, slug: &str) -> String {
    let occurrence = Occurrence::from(format!("o-{event}"));
    DeliveryId::derive(&occurrence, &SubscriptionId::from(slug)).as_str().to_owned()
}

#[test]
fn pointers_as_agreements_write_fields() {
    for (pointer, field) in [("/amount", "amount"), ("/members/0/name", "members.name"), ("/a~1b/c", "a/b.c")] {
        assert_eq!(dotted(pointer), field);
    }
}

#[tokio::test]
async fn what_a_newer_word_says_in_each_form() {
    // Who disputes, what it had and has now, and what that proves.
    for (slug, before, now, expected) in [
        ("p", "张伟", "张玮", "changed"),
        ("p", "张伟", "张伟", "unchanged"),
        ("m", "张*", "李*", "changed"),
        ("m", "张*", "张*", "unknown"),
        ("h", "ab", "cd", "changed"),
        ("h", "ab", "ab", "unchanged"),
        ("c", "60-69", "70-79", "unknown"),
        ("e", "AAAA", "BBBB", "unknown"),
    ] {
        let world = World::new().await;
        world.word("e1", 1, &[slug], &[(slug, before)]).await;
        let id = world.open(slug).await;
        assert_eq!(world.verdict(&id).await, "nothing");
        world.word("e2", 2, &[slug], &[(slug, now)]).await;
        assert_eq!(world.verdict(&id).await, expected, "{slug} {before} {now}");
    }
}

#[tokio::test]
async fn a_plain_copy_of_anybody_tells_and_one_on_its_way_is_waited_for() {
    let world = World::new().await;
    world.word("e1", 1, &["m", "p"], &[("m", "张*"), ("p", "张伟")]).await;
    let id = world.open("m").await;
    world.word("e2", 2, &["m", "p"], &[("m", "张*")]).await;
    assert_eq!(world.verdict(&id).await, "pending");
    let mut copy = stand_in(b"");
    copy.data.record = json!({ "name": "张玮" });
    world.deliver("e2", "p", &copy).await;
    assert_eq!(world.verdict(&id).await, "changed");
}

#[tokio::test]
async fn words_are_in_order_and_a_repetition_that_went_to_nobody_is_none() {
    let world = World::new().await;
    world.word("e1", 1, &["p"], &[("p", "张伟")]).await;
    world.word("e2", 2, &["p", "m"], &[]).await;
    world.word("e3", 3, &[], &[]).await;
    let object = object_of("/systems/tekun", "person/v1", "k1");
    let words = versions::of(&world.books.store, &object, None).await.unwrap();
    assert_eq!(words.iter().map(|word| word.event_id.as_str()).collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!(words[1].to("m").map(To::delivery), Some(delivery("e2", "m")));
    assert_eq!(words[0].persons, ["key-1"]);
}

#[tokio::test]
async fn a_copy_that_is_gone_is_told_apart_and_the_event_can_be_named() {
    let world = World::new().await;
    world.word("e1", 1, &["p"], &[("p", "张伟")]).await;
    world.books.store.write("DELETE FROM partner_sent", &[]).await.unwrap();
    let claim = Claim { pointer: "/name".to_owned(), problem: "x".to_owned(), proposed: None };
    let ask = async |who: &str, what: What, claim: &Claim| {
        open::open(&world.books, &world.agreements, &Who::Partner(who.to_owned()), &what, claim, 10).await
    };
    let gone = What::Delivery(delivery("e1", "p"));
    assert_eq!(ask("p", gone.clone(), &claim).await.unwrap_err().code, NO_COPY);
    assert_eq!(ask("m", gone, &claim).await.unwrap_err().code, NOT_RECEIVED, "somebody else's");
    let named = What::Record {
        source: "/systems/tekun".to_owned(),
        dataschema: "person/v1".to_owned(),
        subject: "k1".to_owned(),
        event: Some("e1".to_owned()),
    };
    let other = Claim { pointer: "/phone".to_owned(), ..claim.clone() };
    assert_eq!(ask("p", named.clone(), &other).await.unwrap_err().code, NO_FIELD);
    assert!(ask("p", named, &claim).await.unwrap().fresh);
}

#[tokio::test]
async fn the_value_is_kept_as_a_hash_of_this_dispute_only() {
    let world = World::new().await;
    world.word("e1", 1, &["p", "h"], &[("p", "张伟"), ("h", "张伟")]).await;
    let (one, other) = (world.open("p").await, world.open("h").await);
    let (one, other) =
        (list::find(&world.books.store, &one).await.unwrap(), list::find(&world.books.store, &other).await.unwrap());
    assert!(one.said.plain.is_some() && one.said.plain != other.said.plain);
    let empty = Said::default();
    let object = object_of("/systems/tekun", "person/v1", "k1");
    let words = versions::of(&world.books.store, &object, None).await.unwrap();
    let field = Field { dispute: &one.id, pointer: "/name" };
    let verdict = judge(&world.books, &world.agreements, &field, &empty, &words[0]).await.unwrap();
    assert_eq!(verdict, Verdict::Unknown, "nothing to compare with");
}

#[tokio::test]
async fn workdays_until_the_deadline() {
    let world = World::new().await;
    world.word("e1", 1, &["p"], &[("p", "张伟")]).await;
    let id = world.open("p").await;
    let dispute = list::find(&world.books.store, &id).await.unwrap();
    assert_eq!(dispute.due_on, clock::iso_date(workday::add_workdays(clock::today(), 10)));
    assert_eq!((dispute.workdays_left(), dispute.is_overdue()), (10, false));
    let late = list::Dispute { due_on: "2017-07-03".to_owned(), ..dispute.clone() };
    assert!(late.is_overdue() && late.workdays_left() < 0);
    assert!(!list::Dispute { state: "closed".to_owned(), ..late }.is_overdue());
}

/// Counts what is published, and answers always the same.
struct Broker(AtomicUsize, Confirm);

#[async_trait]
impl Bus for Broker {
    async fn publish(&self, batch: Vec<Message>) -> Vec<Confirm> {
        self.0.fetch_add(batch.len(), Ordering::SeqCst);
        batch.iter().map(|_| self.1.clone()).collect()
    }

    async fn declare(&self, _: &Topology) -> Result<(), bus::Error> {
        Ok(())
    }

    async fn consume(&self, _: &Queue, _: u16) -> Result<Box<dyn Consumer>, bus::Error> {
        Err(bus::Error::Unreachable(String::new()))
    }

    async fn depth(&self, _: &Queue) -> Result<Depth, bus::Error> {
        Err(bus::Error::Unreachable(String::new()))
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn a_withdrawal_gives_way_to_a_newer_record_unless_it_may_be_on_its_way() {
    for attempted in [false, true] {
        let world = World::new().await;
        world.word("e1", 1, &["p", "m"], &[("p", "张伟"), ("m", "张*")]).await;
        let id = world.open("p").await;
        world.word("e2", 2, &["p"], &[("p", "张玮")]).await;
        let done = answer::answer(&world.books, &world.agreements, &id, answer::Answer::Upheld, "desk", "").await.unwrap();
        assert_eq!(done, answer::Done::Answered);
        if attempted {
            let mute = Broker(AtomicUsize::new(0), Confirm::TimedOut);
            assert!(drive::step(&mute, &world.books, &world.agreements).await.is_err());
        }
        world.word("e3", 3, &["p", "m"], &[("m", "张*")]).await;
        let broker = Broker(AtomicUsize::new(0), Confirm::Stored);
        let closed = drive::step(&broker, &world.books, &world.agreements).await.unwrap();
        let kinds = list::receivers(&world.books.store, &id).await.unwrap();
        let kinds: Vec<_> = kinds.iter().map(|one| (one.subscription.as_str(), one.kind.as_str(), one.state.as_str())).collect();
        let published = broker.0.load(Ordering::SeqCst);
        if attempted {
            assert_eq!((kinds[0], closed, published), (("m", "withdrawal", "sent"), 0, 1));
        } else {
            assert_eq!((kinds[0], closed, published), (("m", "version", "received"), 1, 0));
        }
        // Said again by a desk, it is refused; and nothing is done twice.
        let again = answer::answer(&world.books, &world.agreements, &id, answer::Answer::Upheld, "desk", "").await;
        assert_eq!(again.unwrap_err().code, ANSWERED);
        assert_eq!(drive::step(&broker, &world.books, &world.agreements).await.unwrap(), 0);
        assert_eq!(broker.0.load(Ordering::SeqCst), published);
    }
}
