use std::{path::PathBuf, time::Instant};

use serde_json::{Map, json};
use time::macros::date;

use super::*;
use crate::envelope::{EventId, Occurrence, PartitionKey, Quality, QualityLevel, System, event::SpecVersion};

const TODAY: Date = date!(2017 - 07 - 03);

const BANK: &str = r#"
slug = "bank-jlbank"
name = "吉林银行"
[transport]
kind = "webhook"
url = "https://hub.jlbank.example/events"
allow = ["10.1.0.0/16"]
signing = "ed25519"
secret = "${JLBANK_SECRET}"
rate_per_second = 50
timeout = "10s"
[[agreement]]
id = "jlb-pay"
dataset = "assistance-payment"
purpose = "payroll"
legal_basis = "社会救助暂行办法"
valid_from = "2017-07-01"
valid_to = 2027-12-31
divisions = ["22"]
where = { bank_code = "JLBANK" }
key = ["payment_no"]
[agreement.fields]
payment_no = "plain"
payee_name = "masked"
payee_id_number = "hashed"
account_no = "encrypted"
amount = "coarse"
note = "coarse"
tags = "plain"
payee_ref = "plain"
"members.name" = "masked"
"members.address.street" = "plain"
[[agreement]]
id = "jlb-pay-late"
dataset = "assistance-payment"
purpose = "audit"
legal_basis = "…"
valid_from = "2017-07-01"
valid_to = "2027-12-31"
divisions = ["2201"]
[agreement.fields]
payment_no = "plain"
"#;

fn keys() -> GovernKeys {
    GovernKeys::new([7; 32]).with_lookup(|name| (name == "JLBANK_SECRET").then(|| "whsk_secret".to_owned()))
}

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

fn agreements() -> Agreements {
    let (_guard, dir) = folder(&[("bank-jlbank.toml", BANK), ("readme.md", "not a partner")]);
    Agreements::load(&dir, &keys()).unwrap()
}

fn event(op: &str, record: Value) -> Event {
    let content = ContentHash::of(&record);
    let id = EventId::derive(&System::from("urban-dibao"), "pay", "1", &content, 7);
    let quality = |field: &str| Quality { rule: "trimmed".to_owned(), level: QualityLevel::Fix, field: field.to_owned() };
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "file#1"),
        id,
        source: "/systems/urban-dibao".to_owned(),
        kind: format!("assistance-payment.{op}"),
        subject: "P1".to_owned(),
        time: "2017-07-03T09:00:00+08:00".to_owned(),
        dataschema: "assistance-payment/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: "220102003001".to_owned(),
        sequence: 1,
        partitionkey: PartitionKey::from("p"),
        contenthash: content,
        bookdate: "2017-07-03".to_owned(),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data {
            record,
            quality: vec![quality("payee_name"), quality("/members/0/name"), quality("secret_note"), quality("note")],
        },
    }
}

fn record() -> Value {
    json!({
        "payment_no": "P1", "payee_name": "张三", "payee_id_number": "220171197001010053", "account_no": "6217000010001234567",
        "amount": "480.00", "note": "困难", "tags": ["a", "b"], "payee_ref": {"inner": "x"}, "bank_code": "JLBANK", "secret_note": "低保",
        "members": [{"name": "李四", "income": "1.00", "address": {"street": "某路", "door": "3"}}, {"name": "王五", "income": "2.00"}],
    })
}

fn reason(outgoing: &Outgoing, field: &str) -> Option<Reason> {
    outgoing.withheld.iter().find(|(name, _)| name == field).map(|(_, reason)| *reason)
}

#[test]
fn a_copy_holds_listed_fields_only() {
    let agreements = agreements();
    let event = event("upsert", record());
    let outgoing = agreements.outgoing(&event, TODAY);
    assert_eq!(outgoing.len(), 1, "one event, one partner, one copy");
    let copy = &outgoing[0];
    assert_eq!((copy.agreement.as_str(), copy.purpose.as_str()), ("jlb-pay", "payroll"));
    let shown = &copy.event.data.record;
    let names: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(names, ["account_no", "amount", "members", "payee_id_number", "payee_name", "payment_no", "tags"]);
    assert_eq!(shown["members"], json!([{"name": "李*", "address": {"street": "某路"}}, {"name": "王*"}]));
    assert_eq!((&shown["payee_name"], &shown["amount"]), (&json!("张*"), &json!("200-500")));
    assert_eq!(shown["payee_id_number"].as_str().unwrap().len(), 64);
    let place = format!("{}/account_no", copy.delivery);
    let opened = keys::decrypt(&keys().data_key("bank-jlbank"), &place, shown["account_no"].as_str().unwrap());
    assert_eq!(opened.as_deref(), Some("6217000010001234567"));
    assert_eq!(keys::decrypt(&keys().data_key("bank-other"), &place, shown["account_no"].as_str().unwrap()), None);
    assert_eq!(reason(copy, "secret_note"), Some(Reason::NotListed));
    assert_eq!(reason(copy, "payee_ref"), Some(Reason::Structure));
    assert_eq!(reason(copy, "note"), Some(Reason::NoSuchForm));
    assert_eq!(reason(copy, "members.address.door"), Some(Reason::NotListed));
    assert_eq!(copy.withheld.iter().filter(|(name, _)| name == "members.income").count(), 1);
    let remarks: Vec<&str> = copy.event.data.quality.iter().map(|quality| quality.field.as_str()).collect();
    assert_eq!(remarks, ["payee_name", "/members/0/name"]);
}

#[test]
fn a_copy_names_its_delivery_and_gives_no_hash_of_the_whole() {
    let agreements = agreements();
    let event = event("upsert", record());
    let first = agreements.outgoing(&event, TODAY).remove(0);
    let again = agreements.outgoing(&event, TODAY).remove(0);
    assert_eq!(first.event.deliveryid, Some(DeliveryId::derive(&event.occurrence, &"bank-jlbank".into())));
    assert_eq!(first.event.subscription, Some("bank-jlbank".into()));
    assert_eq!(first.event.purpose.as_deref(), Some("payroll"));
    assert_ne!(first.event.contenthash, event.contenthash);
    assert_eq!(first.event.to_bytes(), again.event.to_bytes(), "a repeat has the same bytes");
    assert!(!String::from_utf8(first.event.to_bytes()).unwrap().contains("220171197001010053"));
}

#[test]
fn a_deletion_carries_the_key_alone() {
    let agreements = agreements();
    let copy = agreements.outgoing(&event("delete", record()), TODAY).remove(0);
    assert_eq!(copy.event.data.record, json!({"payment_no": "P1"}));
    assert_eq!(reason(&copy, "payee_name"), Some(Reason::Deleted));
    // Without the field of the filter it goes out too.
    assert_eq!(agreements.outgoing(&event("delete", json!({"payment_no": "P1"})), TODAY)[0].agreement, "jlb-pay");
}

#[test]
fn agreements_apply_by_day_division_and_filter() {
    let agreements = agreements();
    let check = |event: &Event, today: Date, expected: &[&str]| {
        let ids: Vec<String> = agreements.outgoing(event, today).into_iter().map(|copy| copy.agreement).collect();
        assert_eq!(ids, expected);
    };
    let good = event("upsert", record());
    check(&good, date!(2017 - 06 - 30), &[]);
    check(&good, date!(2017 - 07 - 01), &["jlb-pay"]);
    check(&good, date!(2027 - 12 - 31), &["jlb-pay"]);
    check(&good, date!(2028 - 01 - 01), &[]);
    let mut elsewhere = good.clone();
    elsewhere.division = "230102003001".to_owned();
    check(&elsewhere, TODAY, &[]);
    let mut other_bank = good.clone();
    other_bank.data.record["bank_code"] = "ICBC".into();
    check(&other_bank, TODAY, &["jlb-pay-late"]);
    other_bank.division = "220202003001".to_owned();
    check(&other_bank, TODAY, &[]);
    let mut other = good.clone();
    other.kind = "person.upsert".to_owned();
    check(&other, TODAY, &[]);
}

#[test]
fn explain_tells_form_and_reason() {
    let lines = agreements().explain(&event("upsert", record()), TODAY);
    assert_eq!(lines.iter().map(|line| line.verdict).collect::<Vec<_>>(), [Verdict::Applies, Verdict::Preceded]);
    let field = |name: &str| lines[0].fields.iter().find(|(field, _)| field == name).map(|(_, result)| *result);
    assert_eq!(field("payee_name"), Some(Ok(Form::Masked)));
    assert_eq!(field("members.name"), Some(Ok(Form::Masked)));
    assert_eq!(field("secret_note"), Some(Err(Reason::NotListed)));
    assert_eq!(field("note"), Some(Err(Reason::NoSuchForm)));
}

#[test]
fn partners_have_hashes_of_their_own() {
    let master = keys();
    let (one, two) = (master.partner("one"), master.partner("two"));
    assert_eq!(one.hash("220171197001010053"), one.hash("220171197001010053"));
    assert_ne!(one.hash("220171197001010053"), two.hash("220171197001010053"));
    assert_ne!(one.encrypt("d1/f", "x"), one.encrypt("d2/f", "x"));
}

#[test]
fn every_fault_of_every_file_is_told() {
    let bad = BANK
        .replace("rate_per_second", "rate_per_secund")
        .replace("\"10.1.0.0/16\"", "\"10.1.0.0/99\"")
        .replace("${JLBANK_SECRET}", "whsk_written_here")
        .replace("payee_name = \"masked\"", "payee_nam = \"maskd\"")
        .replace("\"members.name\" = \"masked\"", "members = \"plain\"")
        .replace("2027-12-31\n", "2016-01-01\n")
        .replace("jlb-pay-late", "jlb-pay");
    let (_guard, dir) =
        folder(&[("bank-jlbank.toml", &bad), ("other.toml", "slug = ["), ("third.toml", "slug = \"x\"\nnmae = \"y\"\n")]);
    let listed = |dataset: &str| {
        let names = ["payment_no", "payee_name", "members.name", "note"];
        (dataset == "assistance-payment").then(|| names.map(str::to_owned).to_vec())
    };
    let known = Known { datasets: vec!["assistance-payment"], fields: &listed, required: Vec::new() };
    let faults = Agreements::load_checked(&dir, &keys(), &known).unwrap_err();
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let all = text.join("\n");
    for (expected, row) in [
        ("CH-5102", ":10: unknown key `rate_per_secund` in [transport]; did you mean `rate_per_second`?"),
        ("CH-5104", "`10.1.0.0/99` is no network"),
        ("CH-5110", "`secret` is written in the file"),
        ("CH-5107", "`payee_nam` has no form `maskd`; did you mean `masked`?"),
        ("CH-5113", "`members` of `assistance-payment` holds an object"),
        ("CH-5106", "`assistance-payment` has no field `account_no`"),
        ("CH-5108", "the agreement ends before it begins"),
        ("CH-5111", "agreement `jlb-pay` is there twice"),
        ("CH-5101", "other.toml:1: not TOML"),
        ("CH-5114", "the slug must be the name of the file"),
        ("CH-5102", "unknown key `nmae` in the partner file; did you mean `name`?"),
        ("CH-5103", "`[transport]` is missing"),
    ] {
        assert!(
            text.iter().any(|line| line.starts_with(expected) && line.replace(" [rate_per_secund]", "").contains(row)),
            "{expected} {row} in\n{all}"
        );
    }
    assert!(!all.contains("whsk_written_here"));
}

#[test]
fn datasets_are_checked_and_suggested() {
    let bad = BANK.replacen("assistance-payment", "asistance-payment", 1);
    let (_guard, dir) = folder(&[("bank-jlbank.toml", &bad)]);
    let known = Known { datasets: vec!["assistance-payment", "person"], fields: &|_| None, required: Vec::new() };
    let faults = Agreements::load_checked(&dir, &keys(), &known).unwrap_err();
    assert_eq!(faults[0].code, file::agreement::UNKNOWN_DATASET);
    assert_eq!(faults[0].hint.as_deref(), Some("did you mean `assistance-payment`?"));
    assert!(Agreements::load(Path::new("/nonexistent"), &keys()).is_err());
}

#[test]
fn a_missing_variable_and_a_missing_token_are_states_unless_the_partner_must_be_reachable() {
    let mailbox = "slug = \"m\"\nname = \"m\"\n[transport]\nkind = \"mailbox\"\n";
    let (_guard, dir) = folder(&[("bank-jlbank.toml", BANK), ("m.toml", mailbox)]);
    let nothing_set = || GovernKeys::new([7; 32]).with_lookup(|_| None);
    let open = Agreements::load(&dir, &nothing_set()).unwrap();
    for partner in open.partners() {
        assert_eq!(partner.endpoint(), partner::Endpoint::None, "{}", partner.slug);
        assert!(matches!(&partner.transport, partner::Transport::Mailbox(mailbox) if mailbox.tokens.is_empty()));
    }
    assert_eq!(open.partners()[0].unreachable.as_deref(), Some("the variable `JLBANK_SECRET` is not set"));
    let known = Known { datasets: Vec::new(), fields: &|_| None, required: vec!["bank-jlbank", "m"] };
    let faults = Agreements::load_checked(&dir, &nothing_set(), &known).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [file::SECRET, file::SECRET]);
    assert!(faults[0].message.contains("JLBANK_SECRET"));
}

#[test]
fn divisions_may_be_padded_and_transports_keep_to_their_keys() {
    let padded = BANK.replace("[\"22\"]", "[\"220100000000\"]").replace("[\"2201\"]", "[\"220102003001\", \"222400\"]");
    let (_guard, dir) = folder(&[("bank-jlbank.toml", &padded)]);
    let agreements = Agreements::load(&dir, &keys()).unwrap();
    let divisions: Vec<_> = agreements.partners()[0].agreements.iter().map(|agreement| agreement.divisions.clone()).collect();
    assert_eq!(divisions, [vec!["2201"], vec!["220102003001", "2224"]]);
    let mailbox = "slug = \"m\"\nname = \"m\"\n[transport]\nkind = \"mailbox\"\ntoken = \"${T}\"\nurl = \"https://x.example/\"\n";
    let (_guard, dir) = folder(&[("m.toml", mailbox)]);
    let faults = Agreements::load(&dir, &GovernKeys::new([7; 32]).with_lookup(|_| Some("short".to_owned()))).unwrap_err();
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [file::reader::UNKNOWN_KEY, file::SECRET]);
}

#[test]
fn a_hostile_record_names_a_bounded_number_of_fields() {
    let fields: Map<String, Value> = (0..10_000).map(|n| (format!("f{n}"), json!(n))).collect();
    let mut wide = event("upsert", Value::Object(fields));
    wide.data.record["bank_code"] = "JLBANK".into();
    assert_eq!(agreements().outgoing(&wide, TODAY)[0].withheld.len(), 256);
}

/// A guard against quadratic walks, not a benchmark: the unoptimised build must still do thousands in a second.
#[test]
fn projection_is_linear() {
    let agreements = agreements();
    let event = event("upsert", record());
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(agreements.outgoing(&event, TODAY).len(), 1);
    }
    let elapsed = start.elapsed();
    println!("2000 projections in {elapsed:?}");
    assert!(elapsed.as_secs() < 10);
}

/// An agreement with one line more.
fn bank_with(line: &str) -> Agreements {
    let text = BANK.replacen("key = [\"payment_no\"]", &format!("key = [\"payment_no\"]\n{line}"), 1);
    let text = text.replacen("name = \"吉林银行\"", "name = \"吉林银行\"\ncodes = [\"P1\", \"P2\"]", 1);
    let (_guard, dir) = folder(&[("bank-jlbank.toml", &text)]);
    Agreements::load(&dir, &keys()).unwrap()
}

#[test]
fn what_is_given_on_request_never_goes_out_by_itself() {
    let agreements = bank_with("when = \"requested\"\ndivision_digits = 2");
    let event = event("upsert", record());
    let late = agreements.outgoing(&event, TODAY);
    assert!(late.iter().all(|outgoing| outgoing.agreement != "jlb-pay"), "{late:?}");
    let asked = agreements.on_request("bank-jlbank", &event, TODAY).unwrap();
    assert_eq!((asked.agreement.as_str(), asked.event.division.as_str()), ("jlb-pay", "220000000000"));
    assert!(agreements.on_request("bank-jlbank", &event, date!(2028 - 01 - 01)).is_none());
    assert!(agreements.on_request("nobody", &event, TODAY).is_none());
}

#[test]
fn own_records_only() {
    let agreements = bank_with("own = \"payment_no\"");
    let mut own = event("upsert", record());
    own.data.record["payment_no"] = "P2".into();
    assert_eq!(agreements.outgoing(&own, TODAY)[0].agreement, "jlb-pay");
    own.data.record["payment_no"] = "P3".into();
    assert!(agreements.outgoing(&own, TODAY).iter().all(|outgoing| outgoing.agreement != "jlb-pay"));
    let judged = agreements.preview("bank-jlbank", &own, TODAY).1;
    assert_eq!(judged[0].1, Verdict::NotOwn);
}

#[test]
fn an_agreement_warns_before_its_last_day_and_stops_after_it() {
    let agreements = agreements();
    let agreement = &agreements.partners()[0].agreements[0];
    for (day, left, warning) in [
        (date!(2027 - 11 - 30), 31, None),
        (date!(2027 - 12 - 01), 30, Some(30)),
        (date!(2027 - 12 - 24), 7, Some(7)),
        (date!(2027 - 12 - 30), 1, Some(1)),
        (date!(2027 - 12 - 31), 0, Some(1)),
        (date!(2028 - 01 - 01), -1, None),
    ] {
        assert_eq!((agreement.days_left(day), agreement.warning(day)), (left, warning), "{day}");
    }
    let event = event("upsert", record());
    let waiting = agreements.outgoing(&event, date!(2027 - 12 - 31)).remove(0);
    assert!(agreements.permit(&waiting.subscription, &waiting.event, date!(2027 - 12 - 31)).is_ok());
    let stopped = agreements.permit(&waiting.subscription, &waiting.event, date!(2028 - 01 - 01)).unwrap_err();
    assert_eq!(stopped.code, ENDED);
    assert!(agreements.outgoing(&event, date!(2028 - 01 - 01)).is_empty());
}
