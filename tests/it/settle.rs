//! The settlement desk, on both stores.

use std::{collections::BTreeMap, sync::Arc};

use civilhub::{
    config::keys::Keys,
    identity::IdentityKeys,
    settle::{
        desk::{
            ALREADY_SETTLED, BAD_REQUEST, Desk, Error, KEY_REUSED, NOT_AS_PRESETTLED, NOT_REVERSIBLE, Request,
            bench::{self, Load},
            recon::SiteLine,
        },
        policy::Policy,
    },
    store::Store,
};
use serde_json::{Value, json};

use crate::store::{Db, on_both};

on_both! {
    what_was_settled_is_answered_again
    a_stay_is_settled_as_it_was_presettled
    a_reversal_gives_the_cap_back
    two_hospitals_never_exceed_a_cap_together
    reconciliation_finds_every_difference_and_no_other
    the_home_county_pays
    the_window_is_told_who_is_entitled
}

fn desk(store: &Store) -> Desk {
    Desk::new(store.clone(), Keys::dry_run(), Arc::new(Policy::built_in().unwrap()))
}

fn request(visit: &str, more: Value) -> Request {
    let mut object = json!({
        "institution": "220105H00001", "visit_no": visit, "id_number": "invented-1", "category": "DB", "service": "outpatient_chronic",
        "division": "220105", "admit_date": "2017-07-03", "settled_on": "2017-07-03", "total": "1000.00", "in_scope": "1000.00",
    });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Request::read(object.as_object().unwrap()).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> civilhub::error::Code {
    result.unwrap_err().fault().code
}

async fn what_was_settled_is_answered_again(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let bill = request("v1", json!({}));
    assert!(desk.query(&bill.idem_key()).await.unwrap().is_none(), "nothing was done: it may be sent");
    let first = desk.settle(&bill).await.unwrap();
    assert_eq!((first.aid_pay.as_str(), first.personal_pay.as_str(), first.repeated), ("600.00", "400.00", false));
    let again = desk.settle(&bill).await.unwrap();
    assert!(again.repeated && again.settle_no == first.settle_no && again.aid_pay == first.aid_pay);
    assert_eq!(desk.query(&bill.idem_key()).await.unwrap().unwrap().settle_no, first.settle_no);
    assert_eq!(code(desk.settle(&request("v1", json!({ "total": "1000.01" }))).await), KEY_REUSED);
    assert_eq!(code(desk.settle(&request("v1", json!({ "seq": 2 }))).await), ALREADY_SETTLED);
    let left = desk.quote(&request("v2", json!({ "total": "9000", "in_scope": "9000" }))).await.unwrap();
    assert_eq!((left.aid_pay.as_str(), left.capped), ("1400.00", true), "600 of 2,000 were used, once");
}

async fn a_stay_is_settled_as_it_was_presettled(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let stay = |more: Value| {
        request(
            "z1",
            json!({ "service": "inpatient" })
                .as_object()
                .map(|base| {
                    let mut base = base.clone();
                    base.extend(more.as_object().unwrap().clone());
                    Value::Object(base)
                })
                .unwrap(),
        )
    };
    assert_eq!(code(desk.settle(&stay(json!({}))).await), NOT_AS_PRESETTLED);
    desk.presettle(&stay(json!({ "total": "1200.00" }))).await.unwrap();
    assert_eq!(code(desk.settle(&stay(json!({}))).await), NOT_AS_PRESETTLED);
    let told = desk.presettle(&stay(json!({}))).await.unwrap();
    assert_eq!(desk.settle(&stay(json!({}))).await.unwrap().aid_pay, told.aid_pay);
}

async fn a_reversal_gives_the_cap_back(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let whole = request("v1", json!({ "total": "9000", "in_scope": "9000" }));
    let settled = desk.settle(&whole).await.unwrap();
    assert_eq!(settled.aid_pay, "2000.00");
    assert_eq!(desk.quote(&request("v2", json!({}))).await.unwrap().aid_pay, "0.00");
    let twin = desk.reverse(&settled.settle_no, "the insurance corrected its part", false).await.unwrap();
    assert_eq!((twin.aid_pay.as_str(), twin.total.as_str(), twin.repeated), ("-2000.00", "-9000.00", false));
    let again = desk.reverse(&settled.settle_no, "sent twice", false).await.unwrap();
    assert!(again.repeated && again.settle_no == twin.settle_no);
    assert_eq!(desk.query(&whole.idem_key()).await.unwrap().unwrap().status, "REVERSED");
    // The visit is settled again under the next sequence number, and the whole cap is there.
    let next = request("v1", json!({ "seq": 2, "total": "9000", "in_scope": "8000" }));
    assert_eq!(desk.settle(&next).await.unwrap().aid_pay, "2000.00");
}

async fn two_hospitals_never_exceed_a_cap_together(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..24 {
        let desk = desk.clone();
        racers.spawn(async move {
            let hospital = format!("220105H0000{}", number % 2 + 1);
            let bill =
                request(&format!("v{number}"), json!({ "institution": hospital, "total": "333.33", "in_scope": "333.33" }));
            // Half of the answers are lost: the caller sends the same again.
            let settled = desk.settle(&bill).await.unwrap();
            if number % 2 == 0 { desk.settle(&bill).await.unwrap() } else { settled }
        });
    }
    let mut fen = 0;
    while let Some(settled) = racers.join_next().await {
        fen += settled.unwrap().aid_pay.replace('.', "").parse::<i64>().unwrap();
    }
    assert_eq!(fen, 200_000, "24 times 200.00 would be more; the cap is used to the fen");
    let load = Load { rate: 400, seconds: 2, persons: 4, callers: 8, resumed: false };
    let measured = bench::run(&desk, load, "race").await.unwrap();
    assert_eq!((measured.not_once, measured.wrong, measured.unexpected), (0, 0, 0), "{measured:?}");
    assert!(measured.capped > 0 && measured.reversals == 40 && measured.planted > 8 && measured.planted == measured.found);
}

async fn reconciliation_finds_every_difference_and_no_other(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let mut keys = Vec::new();
    for number in 0..5 {
        let bill = request(&format!("v{number}"), json!({ "id_number": format!("invented-{number}") }));
        desk.settle(&bill).await.unwrap();
        keys.push(bill.idem_key());
    }
    let line = |key: &str, aid_pay: i64, status: &str| SiteLine { idem_key: key.to_owned(), aid_pay, status: status.to_owned() };
    let site = [
        line(&keys[0], 60_000, "SETTLED"),
        line(&keys[1], 60_001, "SETTLED"),
        line(&keys[2], 60_000, "REVERSED"),
        line(&keys[3], 60_000, "SETTLED"),
        line("220105H00001-elsewhere-1", 100, "SETTLED"),
    ];
    let report = desk.reconcile("220105H00001", "2017-07-03", &site).await.unwrap();
    let counts = BTreeMap::from([("MATCH", 2), ("HUB_ONLY", 1), ("SITE_ONLY", 1), ("AMOUNT_DIFF", 1), ("STATUS_DIFF", 1)]);
    assert_eq!(report.results, counts);
    assert_eq!((report.hub_lines, report.site_lines, report.hub_aid.as_str()), (5, 5, "3000.00"));
    // What differs waits; what matches needs the county for its reversal.
    let statement = desk.clearing("2017-07", false).await.unwrap();
    assert_eq!((statement[0].lines, statement[0].aid.as_str(), statement[0].waiting), (2, "1200.00", 3));
    let matched = desk.query(&keys[0]).await.unwrap().unwrap();
    assert_eq!(matched.status, "RECONCILED");
    assert_eq!(code(desk.reverse(&matched.settle_no, "late", false).await), NOT_REVERSIBLE);
    desk.reverse(&matched.settle_no, "late", true).await.unwrap();
    // The site puts its file right.
    let right: Vec<SiteLine> =
        keys[1..].iter().map(|key| line(key, 60_000, "SETTLED")).chain([line(&keys[0], 60_000, "REVERSED")]).collect();
    assert!(desk.reconcile("220105H00001", "2017-07-03", &right).await.unwrap().differences.is_empty());
}

async fn the_home_county_pays(db: Db) {
    let store = db.open().await;
    let desk = desk(&store);
    let mut site = Vec::new();
    for (visit, home) in [("v1", "220105"), ("v2", "222403"), ("v3", "222403004")] {
        let bill = request(visit, json!({ "id_number": visit, "division": home }));
        desk.settle(&bill).await.unwrap();
        site.push(SiteLine { idem_key: bill.idem_key(), aid_pay: 60_000, status: "SETTLED".to_owned() });
    }
    desk.reconcile("220105H00001", "2017-07-03", &site).await.unwrap();
    let lines = desk.clearing("2017-07", true).await.unwrap();
    let paid: Vec<_> = lines.iter().map(|line| (line.county.as_str(), line.lines, line.aid.as_str())).collect();
    assert_eq!(paid, [("220105", 1, "600.00"), ("222403", 2, "1200.00")]);
    assert_eq!(desk.clearing("2017-07", false).await.unwrap(), lines, "the statement stays as it was");
    let cleared = desk.query("220105H00001-v1-1").await.unwrap().unwrap();
    assert_eq!(cleared.status, "CLEARED");
    assert_eq!(code(desk.reverse(&cleared.settle_no, "too late", true).await), NOT_REVERSIBLE);
}

/// A record of the hub, as rules and the window see it.
async fn fact(store: &Store, object: &str, links: &[(&str, &str)], body: Value) {
    let sealed = Keys::dry_run().seal(body.to_string().as_bytes());
    let sql = "INSERT INTO fact (object_id, dataset, system, subject, division, event_id, sequence, body, at, due, deleted) \
               VALUES ($1, 'assistance-case', 's', $1, '220105000000', 'e', 1, $2, 1, 0, 0) \
               ON CONFLICT (object_id) DO UPDATE SET body = excluded.body, sequence = fact.sequence + 1";
    store.write(sql, &[object.into(), sealed.into()]).await.unwrap();
    for (kind, value) in links {
        let sql = "INSERT INTO fact_link (object_id, kind, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        store.write(sql, &[object.into(), (*kind).into(), (*value).into()]).await.unwrap();
    }
}

async fn the_window_is_told_who_is_entitled(db: Db) {
    let store = db.open().await;
    let (keys, number) = (Keys::dry_run(), "220171197001010053");
    let hash = IdentityKeys::new(keys.derive("identity"), keys.aes).number_hash(number);
    let sql = "INSERT INTO person_identifier (number_hash, person_key, number, class, active, event_id, since) \
               VALUES ($1, 'old-key', '', 'strong', 1, 'e', 0)";
    store.write(sql, &[hash.into()]).await.unwrap();
    let sql =
        "INSERT INTO person_redirect (old_key, new_key, reason, event_id, at) VALUES ('old-key', 'p1', 'one person', 'e', 0)";
    store.write(sql, &[]).await.unwrap();
    let case = |category: &str, status: &str| json!({ "category": category, "status": status, "apply_date": "2016-01-05" });
    // The case names the head only; the household is what holds it to this member, who was linked under an older key.
    fact(&store, "household", &[("person", "old-key"), ("household", "h1")], json!({})).await;
    fact(&store, "case", &[("household", "h1"), ("person", "p9")], case("RD", "IN_BENEFIT")).await;
    let day = |text: &str| civilhub::domain::date::cn_date(text).unwrap();
    let before = desk(&store).eligibility(number, day("2015-07-03")).await.unwrap();
    assert!(!before.eligible && before.reason.is_some() && before.cap_left.is_empty());
    let window = desk(&store);
    let told = window.eligibility(number, day("2017-07-03")).await.unwrap();
    assert_eq!((told.category.as_deref(), told.cap_left["outpatient_chronic"].as_str()), (Some("DB"), "2000.00"));
    // What is settled counts at once; what the records say, within the bound.
    window.settle(&request("v1", json!({ "id_number": number }))).await.unwrap();
    fact(&store, "tekun", &[("person", "p1")], case("TK", "IN_BENEFIT")).await;
    let again = window.eligibility(number, day("2017-07-03")).await.unwrap();
    assert_eq!((again.category.as_deref(), again.cap_left["outpatient_chronic"].as_str()), (Some("DB"), "1400.00"));
    assert_eq!(again.snapshot, told.snapshot);
    let fresh = desk(&store).eligibility(number, day("2017-07-03")).await.unwrap();
    assert_eq!(fresh.category.as_deref(), Some("TK"));
    assert_ne!(fresh.snapshot, told.snapshot);
    assert_eq!(code(desk(&store).eligibility("220171197001010054", day("2017-07-03")).await), BAD_REQUEST);
    assert!(!desk(&store).eligibility("22017119700101007X", day("2017-07-03")).await.is_ok_and(|told| told.eligible));
}

/// `settle quote` as a user starts it.
fn quote(input: &str) -> (Option<i32>, Vec<Value>) {
    use std::io::Write;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_civilhub"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["settle", "quote", "--input", "-"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut running = command.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn quotes_come_in_the_order_of_the_cases_and_a_bad_one_costs_only_itself() {
    let file = include_str!("../fixtures/medaid/cases.json");
    let (code, lines) = quote(file);
    let cases: Value = serde_json::from_str(file).unwrap();
    assert_eq!((code, lines.len()), (Some(0), 10));
    for (line, case) in lines.iter().zip(cases["cases"].as_array().unwrap()) {
        assert_eq!(line["name"], case["name"]);
        for field in ["base", "eligible", "aid_pay", "personal_pay"] {
            assert_eq!(line[field], case["expect"][field], "{field} of {}", case["name"]);
        }
    }
    let good = r#"{"category": "DB", "service": "pharmacy", "input": {"total": 10, "in_scope": 10}}"#;
    let (code, lines) = quote(good);
    assert_eq!((code, lines.len(), lines[0]["aid_pay"].as_str()), (Some(0), 1, Some("10.00")));
    let twice = r#"{"category": "DB", "service": "pharmacy", "input": {"total": 10, "total": 11, "in_scope": 10}}"#;
    let (code, lines) = quote(&format!("[{good}, 5, {twice}, {good}]"));
    assert_eq!((code, lines.len()), (Some(1), 4));
    assert_eq!((lines[1]["error"]["code"].as_str(), lines[2]["error"]["code"].as_str()), (Some("CH-7202"), Some("CH-2052")));
    assert_eq!(lines[2]["error"]["pointer"], "/input/total");
    assert!(lines[0]["error"].is_null() && lines[3]["error"].is_null());
    assert_eq!(quote("[]"), (Some(0), Vec::new()));
    assert_eq!(quote("{").0, Some(1));
}

/// Settlements at a rate while the desk's process is killed without warning: not one fen too much, every key one effect.
/// `CIVILHUB_LONG=1` runs it for five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_killed_settles_everything_once() {
    let (seconds, kills) = if std::env::var_os("CIVILHUB_LONG").is_some() { (300, 20) } else { (6, 3) };
    let store = crate::support::postgres::Postgres::database().await;
    let bench = || {
        let mut command =
            crate::support::program::command(&["bench", "settle", "--run", "killed", "--rate", "200", "--persons", "40"]);
        command.args(["--seconds", &seconds.to_string(), "--store", &store, "-o", "json"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    };
    let lives = std::time::Duration::from_secs(seconds) / (kills + 1);
    for _ in 0..kills {
        let mut desk = bench().spawn().unwrap();
        tokio::time::sleep(lives).await;
        desk.kill().unwrap();
        desk.wait().unwrap();
    }
    let output = bench().output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_str(&text).unwrap();
    println!("{measured}");
    for must_be_none in ["wrong", "not_once", "unexpected"] {
        assert_eq!(measured[must_be_none], 0, "{measured}");
    }
    assert!(measured["planted"].as_u64().unwrap() > 10 && measured["planted"] == measured["found"]);
}
