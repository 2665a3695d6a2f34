use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use serde_json::json;

use super::{
    answer::{self, Taken},
    authorisation::{self, Authorisation},
    book::Books,
    drive::{Providers, pass},
    report,
    request::{Begun, Request, begin},
    *,
};
use crate::{
    clock,
    config::keys::Keys,
    govern::{Agreements, keys::GovernKeys},
    store::Store,
};

const WIFE: &str = "220171197001010053";

struct Desk {
    _dir: tempfile::TempDir,
    books: Books,
    agreements: Agreements,
}

async fn desk() -> Desk {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/hub.db", dir.path().display())).await.unwrap();
    store.migrate().await.unwrap();
    let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/partners");
    let agreements = Agreements::load(&partners, &GovernKeys::new([7; 32]).with_lookup(|_| None)).unwrap();
    Desk { books: Books { store, keys: Keys::dry_run() }, agreements, _dir: dir }
}

fn paper(change: serde_json::Value) -> Authorisation {
    let mut paper = json!({
        "no": "SQ1", "division": "220102003001", "signed_at": "2017-06-28", "valid_to": "2099-12-31", "scope": ["DEPOSIT", "WEALTH"],
        "image_sha256": "ab".repeat(32),
        "members": [{ "name": "王建国", "id_number": WIFE, "signed": true }],
    });
    paper.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(paper).unwrap()
}

fn ask(change: serde_json::Value) -> Request {
    let mut ask = json!({
        "request_no": "HD1", "authorisation": "SQ1", "purpose": "UD-NEW", "division": "220102000000", "operator": "clerk 1",
        "as_of": "2017-06-30", "household": "H1", "members": [{ "name": "王建国", "id_number": WIFE }],
        "declared": { "DEPOSIT": "1000.00" }, "standard_month": "480.00",
    });
    ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(ask).unwrap()
}

/// How a bank answers a query.
type Behaviour = fn(&Value) -> Reply;

/// A bank that keeps what it was asked and answers as it is told.
struct Bank {
    asked: Mutex<Vec<Event>>,
    behaviour: Behaviour,
}

#[async_trait]
impl Provider for Bank {
    async fn ask(&self, query: &Event) -> Reply {
        self.asked.lock().unwrap().push(query.clone());
        (self.behaviour)(&query.data.record)
    }
}

fn none(query: &Value) -> Reply {
    Reply::Answer(json!({ "query_no": query["query_no"], "subject": query["subject"], "outcome": "NONE" }))
}

fn found(query: &Value) -> Reply {
    Reply::Answer(json!({
        "query_no": query["query_no"], "subject": query["subject"], "outcome": "FOUND",
        "answers": [{ "account_no": "6228650000001234567", "balance": "1200.5", "wealth_value": "0" }, { "currency": "USD", "balance": "5" }],
    }))
}

fn somebody_else(query: &Value) -> Reply {
    let subject = json!({ "name": "李明", "id_type": "01", "id_number": query["subject"]["id_number"] });
    Reply::Answer(json!({ "query_no": query["query_no"], "subject": subject, "outcome": "NONE" }))
}

fn away(_: &Value) -> Reply {
    Reply::Unavailable(Fault::new(UNAVAILABLE, "away"))
}

struct Street {
    banks: BTreeMap<String, Arc<Bank>>,
}

impl Street {
    fn new(special: &[(&str, Behaviour)]) -> Self {
        let behaviour = |code: &str| special.iter().find(|(name, _)| *name == code).map_or(none as Behaviour, |found| found.1);
        let bank = |code: String| {
            let bank = Arc::new(Bank { asked: Mutex::default(), behaviour: behaviour(&code) });
            (code, bank)
        };
        Self { banks: banks().into_iter().map(|one| bank(one.code)).collect() }
    }

    fn providers(&self) -> Providers {
        self.banks.iter().map(|(code, bank)| (code.clone(), Arc::clone(bank) as Arc<dyn Provider>)).collect()
    }

    fn packets(&self) -> usize {
        self.banks.values().map(|bank| bank.asked.lock().unwrap().len()).sum()
    }
}

async fn rows(books: &Books, kind: &str) -> usize {
    let rows = books.store.read("SELECT event_id FROM ledger WHERE chain = 'exchange' AND kind = $1", &[kind.into()]).await;
    rows.unwrap().len()
}

#[test]
fn there_are_seventeen_banks_with_agreements() {
    assert_eq!(banks().len(), 17);
    assert_eq!(partner_of("ICBC"), "bank-icbc");
    assert_eq!(partner_of("tax"), "tax");
}

#[tokio::test]
async fn a_household_is_asked_at_every_bank_once_and_reported() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    // The same person at two addresses is one person.
    let twice = json!({ "members": [{ "name": "王建国", "id_number": WIFE }, { "name": "王建国", "id_number": WIFE }] });
    let begun = begin(&desk.books, &ask(twice.clone()), "operator").await.unwrap();
    assert_eq!(begun, Begun::Open { request_no: "HD1".to_owned(), queries: 17 });
    assert_eq!(begin(&desk.books, &ask(twice), "operator").await.unwrap(), Begun::Known { request_no: "HD1".to_owned() });
    let street = Street::new(&[("JLBANK", found)]);
    let done = pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    assert_eq!((done.sent, done.answered, done.reports), (17, 17, 1));
    let again = pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    assert_eq!(again, Default::default(), "nothing is left to do");
    let report = report::newest(&desk.books, "HD1").await.unwrap().unwrap();
    assert_eq!(
        (&report["result"], &report["total"], &report["coverage"]["answered"]),
        (&json!("INCONSISTENT"), &json!("1200.50"), &json!(17))
    );
    assert_eq!((&report["foreign_currencies"], &report["limit_per_capita"]), (&json!(["USD"]), &json!("11520.00")));
    assert_eq!(
        (rows(&desk.books, "asked").await, rows(&desk.books, "answered").await, rows(&desk.books, "reported").await),
        (1, 17, 1)
    );
}

#[tokio::test]
async fn a_bank_sees_five_fields_and_nothing_else() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({})), "operator").await.unwrap();
    let street = Street::new(&[]);
    pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    let mut numbers = std::collections::BTreeSet::new();
    for bank in street.banks.values() {
        let asked = bank.asked.lock().unwrap();
        let [query] = asked.as_slice() else { panic!("one query") };
        let record = query.data.record.as_object().unwrap();
        assert_eq!(record.keys().collect::<Vec<_>>(), ["as_of", "query_no", "subject"]);
        assert_eq!(record["subject"].as_object().unwrap().keys().collect::<Vec<_>>(), ["id_number", "id_type", "name"]);
        let whole = serde_json::to_string(query).unwrap();
        for secret in ["UD-NEW", "HD1", "SQ1", "H1", "220102", "clerk", "480.00", "1000.00"] {
            assert!(!whole.contains(secret), "{secret} in {whole}");
        }
        assert!(numbers.insert(record["query_no"].to_string()), "no two banks share a number");
    }
}

#[tokio::test]
async fn without_a_good_authorisation_no_packet_leaves_and_one_row_is_written() {
    let child = json!({ "name": "王小明", "id_number": "220171201601010010", "id_type": "99", "birth_date": "2016-01-01" });
    let adult = json!({ "name": "王建国", "id_number": WIFE, "signed": true });
    let cases = [
        (None, json!({}), NO_AUTHORISATION),
        (Some(json!({ "signed_at": "2016-01-01", "valid_to": "2017-01-01" })), json!({}), EXPIRED),
        (Some(json!({ "signed_at": "2098-01-01" })), json!({}), EXPIRED),
        (Some(json!({ "scope": ["DEPOSIT"] })), json!({}), OUT_OF_SCOPE),
        (Some(json!({})), json!({ "kinds": ["HOUSE"] }), OUT_OF_SCOPE),
        (Some(json!({})), json!({ "division": "220200000000" }), OTHER_DIVISION),
        (Some(json!({})), json!({ "purpose": "LOAN-NEW" }), BAD_PURPOSE),
        (Some(json!({ "members": [{ "name": "王建国", "id_number": WIFE }] })), json!({}), INCOMPLETE),
        (Some(json!({ "members": [adult, child] })), json!({}), INCOMPLETE),
        (Some(json!({})), json!({ "members": [{ "name": "李明", "id_number": WIFE }] }), INCOMPLETE),
    ];
    for (paper_change, change, code) in cases {
        let desk = desk().await;
        if let Some(change) = paper_change {
            authorisation::put(&desk.books, &paper(change)).await.unwrap().unwrap();
        }
        let begun = begin(&desk.books, &ask(change), "operator").await.unwrap();
        let Begun::Refused { fault, .. } = begun else { panic!("{code}: {begun:?}") };
        assert_eq!(fault.code, code);
        let street = Street::new(&[]);
        pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
        assert_eq!((street.packets(), rows(&desk.books, "refused").await), (0, 1), "{code}");
    }
}

#[tokio::test]
async fn a_guardian_signs_for_a_child() {
    let desk = desk().await;
    let child = json!({ "name": "王小明", "id_number": "X1", "id_type": "99", "birth_date": "2016-01-01", "guardian": "王建国" });
    let members = json!({ "members": [{ "name": "王建国", "id_number": WIFE, "signed": true }, child] });
    authorisation::put(&desk.books, &paper(members)).await.unwrap().unwrap();
    assert!(matches!(begin(&desk.books, &ask(json!({})), "operator").await.unwrap(), Begun::Open { queries: 17, .. }));
}

#[tokio::test]
async fn revoked_between_request_and_sending_nothing_leaves() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({})), "operator").await.unwrap();
    assert!(authorisation::revoke(&desk.books, "SQ1", "by letter").await.unwrap());
    assert!(!authorisation::revoke(&desk.books, "SQ1", "again").await.unwrap());
    let street = Street::new(&[]);
    let done = pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    assert_eq!((done.cancelled, street.packets(), rows(&desk.books, "refused").await), (17, 0, 1));
    assert!(matches!(begin(&desk.books, &ask(json!({ "request_no": "HD2" })), "operator").await.unwrap(),
        Begun::Refused { fault, .. } if fault.code == REVOKED));
}

#[tokio::test]
async fn who_does_not_answer_is_named_and_a_late_answer_makes_the_next_report() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({})), "operator").await.unwrap();
    let street = Street::new(&[("ICBC", away)]);
    pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    assert!(report::newest(&desk.books, "HD1").await.unwrap().is_none(), "one bank may still answer");
    let later = clock::millis() + 3 * 3_600_000;
    let done = pass(&desk.books, &desk.agreements, &street.providers(), later).await.unwrap();
    assert_eq!((done.expired, done.reports), (1, 1));
    let report = report::newest(&desk.books, "HD1").await.unwrap().unwrap();
    assert_eq!((&report["result"], &report["coverage"]["missing"][0]["provider"]), (&json!("PARTIAL"), &json!("ICBC")));
    let query = street.banks["ICBC"].asked.lock().unwrap()[0].data.record.clone();
    let Reply::Answer(late) = none(&query) else { panic!() };
    let taken = answer::take(&desk.books, "ICBC", &late).await.unwrap();
    assert_eq!(taken, Taken::New { request_no: "HD1".to_owned() });
    assert_eq!(answer::take(&desk.books, "ICBC", &late).await.unwrap(), Taken::Known);
    pass(&desk.books, &desk.agreements, &street.providers(), later).await.unwrap();
    pass(&desk.books, &desk.agreements, &street.providers(), later).await.unwrap();
    let report = report::newest(&desk.books, "HD1").await.unwrap().unwrap();
    assert_eq!((&report["version"], &report["result"], &report["supersedes"]), (&json!(2), &json!("WITHIN"), &json!("HD1-R1")));
    // A bank that changes its mind is refused; what it said first stays.
    let mut other = late.clone();
    other["outcome"] = json!("MISMATCH");
    assert!(
        matches!(answer::take(&desk.books, "ICBC", &other).await.unwrap(), Taken::Refused(fault) if fault.code == SECOND_ANSWER)
    );
    assert_eq!(pass(&desk.books, &desk.agreements, &street.providers(), later).await.unwrap().reports, 0);
}

#[tokio::test]
async fn details_are_destroyed_when_their_time_is_over_and_the_report_stays() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({})), "operator").await.unwrap();
    let street = Street::new(&[("JLBANK", found)]);
    pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    let day = 86_400_000;
    assert_eq!(report::destroy(&desk.books, clock::millis() + 89 * day, 90).await.unwrap(), 0);
    assert_eq!(report::destroy(&desk.books, clock::millis() + 91 * day, 90).await.unwrap(), 1);
    assert_eq!(report::destroy(&desk.books, clock::millis() + 91 * day, 90).await.unwrap(), 0);
    let left = "SELECT q.request_no FROM verification_query q JOIN verification v ON v.request_no = q.request_no WHERE q.answer <> '' OR v.members <> ''";
    assert!(desk.books.store.read(left, &[]).await.unwrap().is_empty());
    let report = report::newest(&desk.books, "HD1").await.unwrap().unwrap();
    assert_eq!((&report["total"], rows(&desk.books, "destroyed").await), (&json!("1200.50"), 1));
    let query = street.banks["ICBC"].asked.lock().unwrap()[0].data.record.clone();
    let Reply::Answer(again) = none(&query) else { panic!() };
    assert!(
        matches!(answer::take(&desk.books, "ICBC", &again).await.unwrap(), Taken::Refused(fault) if fault.code == BAD_ANSWER)
    );
    assert_eq!(pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap(), Default::default());
}

#[tokio::test]
async fn an_answer_about_somebody_else_is_refused_and_no_bank_answers_for_another() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({})), "operator").await.unwrap();
    let street = Street::new(&[("ABC", somebody_else)]);
    let done = pass(&desk.books, &desk.agreements, &street.providers(), clock::millis()).await.unwrap();
    assert_eq!((done.answered, done.refused, rows(&desk.books, "refused").await), (16, 1, 1));
    let report = report::newest(&desk.books, "HD1").await.unwrap().unwrap();
    assert_eq!(
        report["coverage"]["missing"][0],
        json!({ "provider": "ABC", "queries": [{ "member": 0, "state": "FAILED", "code": "CH-6710" }] })
    );
    let query = street.banks["ICBC"].asked.lock().unwrap()[0].data.record.clone();
    let Reply::Answer(stolen) = none(&query) else { panic!() };
    assert!(
        matches!(answer::take(&desk.books, "ABC", &stolen).await.unwrap(), Taken::Refused(fault) if fault.code == BAD_ANSWER)
    );
}

#[tokio::test]
async fn an_unreachable_bank_gets_the_same_number_again() {
    let desk = desk().await;
    authorisation::put(&desk.books, &paper(json!({}))).await.unwrap().unwrap();
    begin(&desk.books, &ask(json!({ "providers": ["CMB"] })), "operator").await.unwrap();
    let street = Street::new(&[("CMB", away)]);
    let now = clock::millis();
    for step in 0..4 {
        pass(&desk.books, &desk.agreements, &street.providers(), now + step * 60_000).await.unwrap();
    }
    let asked = street.banks["CMB"].asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|query| query.data.record["query_no"] == asked[0].data.record["query_no"]));
}

#[test]
fn batch_answers_are_due_after_five_workdays() {
    use time::macros::date;
    let due = super::request::due("sftp_csv", date!(2017 - 09 - 28), 0);
    // Friday 29 and Saturday 30 September (worked), then the week of the National Day; 9, 10 and 11 October.
    assert_eq!(time::OffsetDateTime::from_unix_timestamp(due / 1000).map(clock::rfc3339).unwrap(), "2017-10-11T17:00:00+08:00");
    assert_eq!(super::request::due("rest_json", date!(2017 - 09 - 28), 0), 7_200_000);
}
