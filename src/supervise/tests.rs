use serde_json::{Value, json};
use tempfile::TempDir;

use super::{engine::Engine, rule};
use crate::{
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    envelope::event::stand_in,
    facts::{
        self, Fact,
        alert::{self, Filter},
    },
    store::Store,
};

/// A store with facts of invented persons.
struct World {
    store: Store,
    _dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("hub.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, _dir: dir }
    }

    /// One record of a system, about these persons.
    async fn tell(&self, system: &str, dataset: &str, subject: &str, persons: &[&str], record: Value) {
        let mut event = stand_in(b"");
        event.source = format!("/systems/{system}");
        event.kind = format!("{dataset}.upsert");
        event.subject = subject.to_owned();
        event.division = "220105004001".to_owned();
        event.data.record = record;
        let persons: Vec<String> = persons.iter().map(|person| (*person).to_owned()).collect();
        let keys = Keys::dry_run();
        let object = format!("{system}/{dataset}/{subject}");
        let fact = Fact::of(&event, &object, &persons, &KeyedHash::new(&keys.hmac)).unwrap();
        let mut tx = self.store.begin().await.unwrap();
        facts::store(&mut tx, &keys, &[fact]).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn engine(&self, only: Option<&str>) -> Engine {
        let mut rules = rule::load("no such folder".as_ref()).unwrap();
        rules.retain(|rule| only.is_none_or(|only| only == rule.form.id));
        Engine::new(self.store.clone(), Keys::dry_run(), rules)
    }

    /// Alerts that are open after the rules have run, as `rule subject`.
    async fn open(&self) -> Vec<String> {
        self.engine(None).drain().await.unwrap();
        let filter = Filter { state: Some("open".to_owned()), limit: 100, ..Filter::default() };
        let alerts = alert::list(&self.store, &filter).await.unwrap();
        let mut lines: Vec<String> = alerts.iter().map(|alert| format!("{} {}", alert.rule, alert.subject)).collect();
        lines.sort();
        lines
    }
}

fn payment(period: &str, status: &str, account: &str, name: &str) -> Value {
    json!({ "purpose": "UD", "period": period, "amount": "480.00", "status": status, "account_no": account, "payee_name": name })
}

fn case(category: &str, status: &str) -> Value {
    json!({ "category": category, "status": status, "apply_date": "2016-01-05", "self_care": "2", "amount_month": "500.00",
        "history": [{ "step": "SUBMITTED", "at": "2016-01-05T09:00:00+08:00" }, { "step": status, "at": "2017-01-10T09:00:00+08:00" }] })
}

#[test]
fn the_rules_as_delivered_compile() {
    let rules = rule::load("config/rules".as_ref()).unwrap();
    let built_in = rule::load("no such folder".as_ref()).unwrap();
    let ids = |rules: &[rule::Rule]| rules.iter().map(|rule| rule.form.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&rules), ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R3-living"]);
    assert_eq!(ids(&rules), ids(&built_in));
    assert_eq!(rules[0].owner_of("220105004001"), "220105000000");
}

#[tokio::test]
async fn r1_finds_payments_after_death_through_the_account_too() {
    let world = World::new().await;
    world.tell("urban-dibao", "assistance-payment", "before", &["p1"], payment("201705", "PAID", "622", "王丽")).await;
    world.tell("urban-dibao", "assistance-payment", "after", &["p1"], payment("201706", "PAID", "622", "王丽")).await;
    world.tell("urban-dibao", "assistance-payment", "returned", &["p1"], payment("201706", "RETURNED", "622", "王丽")).await;
    world.tell("fund-payment", "assistance-payment", "bank", &["account-of-p1"], payment("201707", "SENT", "622", "王丽")).await;
    world.tell("urban-dibao", "assistance-payment", "other", &["p2"], payment("201706", "PAID", "623", "李刚")).await;
    assert!(world.open().await.is_empty());
    world.tell("funeral", "funeral-record", "d", &["p1"], json!({ "died_on": "2017-05-20" })).await;
    assert_eq!(world.open().await, ["R1 after", "R1 bank"]);
    let found = world.engine(Some("R1")).backtest().await.unwrap();
    assert_eq!((found.alerts.len(), found.alerts.values().map(|alert| alert.amount).sum::<i64>()), (2, 96_000));
    assert!(found.failed.is_empty() && found.alerts.values().all(|alert| alert.evidence[0]["dataset"] == "funeral-record"));
    // The record of the death was another person's.
    world.tell("funeral", "funeral-record", "d", &["p1"], json!({ "died_on": "2017-08-20" })).await;
    assert!(world.open().await.is_empty());
}

#[tokio::test]
async fn r2_finds_who_is_covered_twice_through_the_household_too() {
    let world = World::new().await;
    world.tell("tekun", "assistance-case", "tk", &["p1"], case("TK", "IN_BENEFIT")).await;
    let with_house = |mut case: Value| {
        case["household_ref"] = json!("family:7");
        case
    };
    world.tell("rural-dibao", "assistance-case", "rd", &["p2"], with_house(case("RD", "IN_BENEFIT"))).await;
    assert!(world.open().await.is_empty());
    world.tell("rural-dibao", "household", "h", &["p2", "p1"], json!({ "household_ref": "family:7" })).await;
    assert_eq!(world.open().await, ["R2 rd"]);
    world.tell("tekun", "assistance-case", "tk", &["p1"], case("TK", "TERMINATED")).await;
    assert!(world.open().await.is_empty());
}

#[tokio::test]
async fn r3_r4_r5_and_r7_hold_records_of_one_person_together() {
    let world = World::new().await;
    world.tell("tekun", "assistance-case", "tk", &["p1"], case("TK", "IN_BENEFIT")).await;
    let subsidy = |kind: &str| json!({ "kind": kind, "status": "active", "amount_month": "100.00" });
    world.tell("disability-subsidy", "welfare-entitlement", "care", &["p1"], subsidy("DIS_CARE")).await;
    world.tell("disability-subsidy", "welfare-entitlement", "fine", &["p9"], subsidy("DIS_CARE")).await;
    world.tell("senior-allowance", "welfare-entitlement", "free", &["p1"], subsidy("SENIOR")).await;
    let settled =
        |category: &str| json!({ "category": category, "status": "SETTLED", "admit_date": "2017-03-01", "aid_pay": "12.34" });
    world.tell("med-aid", "medical-settlement", "wrong", &["p1"], settled("DB")).await;
    world.tell("med-aid", "medical-settlement", "right", &["p1"], settled("TK")).await;
    let mut urban = case("UD", "IN_BENEFIT");
    urban["household_ref"] = json!("family:8");
    world.tell("urban-dibao", "assistance-case", "ud", &["p3"], urban).await;
    world.tell("urban-dibao", "household", "h8", &["p3", "p4"], json!({ "household_ref": "family:8" })).await;
    let act = |day: &str| json!({ "business": "IB", "registered_at": day, "cancelled": false });
    world.tell("marriage", "marriage-registration", "old", &["p4", "p5"], act("2016-12-31")).await;
    assert_eq!(world.open().await, ["R3 care", "R5 wrong"]);
    world.tell("marriage", "marriage-registration", "new", &["p4", "p5"], act("2017-02-01")).await;
    let filing = json!({ "kind": "NEAR_RELATIVE", "status": "valid", "household_ref": "certificate:8" });
    world.tell("assist-oversight", "oversight-filing", "f", &["p6"], filing).await;
    assert_eq!(world.open().await, ["R3 care", "R4 ud", "R5 wrong", "R7 f"]);
}

#[tokio::test]
async fn r6_r8_r9_and_r10_look_at_one_record_or_one_account() {
    let world = World::new().await;
    let notice = |kind: &str, to: &str| json!({ "kind": kind, "from_date": "2017-07-01", "to_date": to });
    world.tell("disclosure", "disclosure-notice", "short", &[], notice("REVIEW", "2017-07-06")).await;
    world.tell("disclosure", "disclosure-notice", "week", &[], notice("APPROVAL", "2017-07-07")).await;
    world.tell("disclosure", "disclosure-notice", "list", &[], notice("LIST", "2017-07-02")).await;
    let org = |kind: &str| json!({ "uscc": "52220105MJ0000000X", "type": kind, "division_code": "220105000000" });
    world.tell("social-org", "social-organization", "good", &[], org("2")).await;
    world.tell("social-org", "social-organization", "bad", &[], org("1")).await;
    let complaint =
        |unit: &str| json!({ "status": "ASSIGNED", "assigned_to": unit, "target": { "division_code": "220105004000" } });
    world.tell("hotline", "complaint", "own", &[], complaint("220105004000")).await;
    world.tell("hotline", "complaint", "above", &[], complaint("220105000000")).await;
    let mut due = payment("201706", "PAID", "622", "王丽");
    due["case_no"] = json!("220105UD20160105000007");
    world.tell("urban-dibao", "assistance-payment", "due", &["p1"], due).await;
    for (subject, name) in [("heard", "王莉"), ("guardian", "陈强(由监护人代领)"), ("stranger", "赵强")] {
        world.tell("fund-payment", "assistance-payment", subject, &["a1"], payment("201706", "PAID", "622", name)).await;
    }
    assert_eq!(world.open().await, ["R10 own", "R6 short", "R8 stranger", "R9 bad"]);
}

#[tokio::test]
async fn an_alert_is_suppressed_with_a_reason_and_stays_so() {
    let world = World::new().await;
    let complaint = json!({ "status": "ASSIGNED", "assigned_to": "220105004000", "target": { "division_code": "220105004000" } });
    world.tell("hotline", "complaint", "c", &[], complaint.clone()).await;
    assert_eq!(world.open().await, ["R10 c"]);
    let id = alert::list(&world.store, &Filter { limit: 1, ..Filter::default() }).await.unwrap()[0].id.clone();
    assert!(alert::suppress(&world.store, &id, "the county works on it itself").await.unwrap());
    world.tell("hotline", "complaint", "c", &[], complaint).await;
    assert!(world.open().await.is_empty());
    assert!(!alert::suppress(&world.store, "none", "no such alert").await.unwrap());
    assert_eq!(alert::counts(&world.store).await.unwrap(), [("R10".to_owned(), "suppressed".to_owned(), 1, 0)]);
}

#[test]
fn faults_of_a_rule_are_told() {
    let good = include_str!("../../config/rules/R9.toml");
    let rule = |from: &str, to: &str| rule::Rule::parse(&good.replace(from, to), "R9.toml").map(|_| ()).unwrap_err()[0].code;
    assert_eq!(rule("severity = \"low\"", "severity = \"grave\""), super::BAD_RULE);
    assert_eq!(rule("of = \"social-organization\"", "of = \"weather\""), super::BAD_RULE);
    assert_eq!(rule("string!(.fact.uscc)", "string(.fact.uscc)"), super::BAD_CONDITION);
}
