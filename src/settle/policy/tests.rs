use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::date;

use super::*;
use crate::settle::case::{Amounts, Case};

const DAY: Date = date!(2017 - 07 - 03);

fn policy() -> Policy {
    Policy::built_in().unwrap()
}

fn quote(case: Value) -> Result<crate::settle::case::Quote, Fault> {
    let policy = policy();
    Case::read(&case, &policy)?.quote(&policy, DAY)
}

#[test]
fn every_worked_case_to_the_fen() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/fixtures/medaid/cases.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let quote = serde_json::to_value(quote(case.clone()).unwrap()).unwrap();
        for field in ["base", "eligible", "aid_pay", "personal_pay"] {
            assert_eq!(quote[field], case["expect"][field], "{field} of {}", case["name"]);
        }
        assert_eq!(quote["policy_version"], "JL-ASSUMED-2017.1");
    }
}

fn dibao(more: Value) -> Value {
    let mut case = json!({"category": "DB", "service": "inpatient", "input": {"total": 60000, "in_scope": 52000, "basic_pay": 26000, "critical_pay": 8000}});
    for (key, value) in more.as_object().unwrap() {
        match value {
            Value::Object(fields) => case["input"].as_object_mut().unwrap().extend(fields.clone()),
            value => case[key] = value.clone(),
        }
    }
    case
}

#[test]
fn edges_of_bands_and_caps() {
    for (scope, aid) in [("10000", "7000.00"), ("10000.01", "7000.01"), ("9999.99", "6999.99"), ("0", "0.00"), ("0.01", "0.01")] {
        let case = json!({"category": "DB", "service": "inpatient", "input": {"total": "99999", "in_scope": scope}});
        assert_eq!(quote(case).unwrap().aid_pay, aid, "{scope}");
    }
    for (used, aid) in [("20000", "0.00"), ("19999.99", "0.01"), ("25000", "0.00"), ("7000", "13000.00"), ("7000.01", "12999.99")]
    {
        let quote = quote(dibao(json!({"input": {"aid_paid_ytd": used}}))).unwrap();
        assert_eq!((quote.aid_pay.as_str(), quote.capped), (aid, aid != "13000.00"), "{used}");
    }
}

#[test]
fn divisions_below_an_override_have_it() {
    for (division, cap) in [
        ("220100", "30000.00"),
        ("220105", "30000.00"),
        ("220105004000", "30000.00"),
        ("220105004", "30000.00"),
        ("220200", "20000.00"),
        ("222400", "20000.00"),
        ("220000", "20000.00"),
    ] {
        let quote = quote(dibao(json!({"division": division}))).unwrap();
        let cap_now = quote.rule.annual_cap.map(|cap| format!("{cap:.2}"));
        assert_eq!(cap_now.as_deref(), Some(cap), "{division}");
        assert_eq!(quote.rule.overrides.is_empty(), cap == "20000.00");
    }
    let drug = |division: &str| {
        quote(json!({"category": "DB", "service": "pharmacy", "division": division, "input": {"total": 350, "in_scope": 350}}))
    };
    assert_eq!(drug("222403").unwrap().aid_pay, "350.00");
    assert_eq!(drug("220100").unwrap().aid_pay, "300.00");
}

#[test]
fn the_admission_day_decides() {
    let mut file: Value = serde_json::from_str(BUILT_IN).unwrap();
    let rules = file["rules"].as_array_mut().unwrap();
    let at = rules.iter().position(|rule| rule["category"] == "DB" && rule["service"] == "inpatient").unwrap();
    rules[at]["valid_to"] = json!("2017-06-30");
    let mut next = rules[at].clone();
    next["valid_from"] = json!("2017-07-01");
    next.as_object_mut().unwrap().remove("valid_to");
    next["bands"] = json!([[null, 0.8]]);
    next["version"] = json!("JL-ASSUMED-2017.2");
    rules.push(next);
    file["division_overrides"].as_array_mut().unwrap().push(
        json!({"division": "220105", "category": "DB", "service": "inpatient", "annual_cap": null, "valid_from": "2017-07-01"}),
    );
    let policy = Policy::parse(&file.to_string()).unwrap();
    let at = |admitted: &str, division: Value| {
        let case = dibao(json!({"admit_date": admitted, "discharge_date": "2017-08-20", "division": division}));
        Case::read(&case, &policy).unwrap().quote(&policy, DAY)
    };
    let june = at("2017-06-30", Value::Null).unwrap();
    assert_eq!((june.aid_pay.as_str(), june.policy_version.as_str()), ("13000.00", "JL-ASSUMED-2017.1"));
    let july = at("2017-07-01", Value::Null).unwrap();
    assert_eq!((july.aid_pay.as_str(), july.policy_version.as_str()), ("14400.00", "JL-ASSUMED-2017.2"));
    assert_eq!(at("2017-07-01", json!("220105")).unwrap().rule.annual_cap, None, "the county's own over the prefecture's");
    assert!(at("2017-06-30", json!("220105")).unwrap().rule.annual_cap.is_some());
    assert_eq!(at("2016-12-31", Value::Null).unwrap_err().code, NO_RULE);
}

#[test]
fn a_reversal_is_the_negative_twin() {
    let plain = quote(dibao(json!({"input": {"aid_paid_ytd": "15000"}}))).unwrap();
    let input =
        json!({"total": -60000, "in_scope": -52000, "basic_pay": -26000, "critical_pay": "-8000.00", "aid_paid_ytd": 15000});
    let twin = quote(dibao(json!({"reverses": "S1", "input": input}))).unwrap();
    assert_eq!(twin.aid_pay, format!("-{}", plain.aid_pay));
    assert_eq!(twin.personal_pay, format!("-{}", plain.personal_pay));
    assert_eq!(quote(dibao(json!({"reverses": "S1"}))).unwrap_err().code, crate::settle::BAD_AMOUNT);
}

#[test]
fn bad_cases_get_codes_and_places() {
    use crate::settle::*;
    for (case, code, pointer) in [
        (json!(3), BAD_CASE, ""),
        (json!({"service": "inpatient", "input": {"total": 1, "in_scope": 1}}), MISSING, "/category"),
        (json!({"category": "DB", "input": {"total": 1, "in_scope": 1}}), MISSING, "/service"),
        (dibao(json!({"category": "XX"})), UNKNOWN_CODE, "/category"),
        (dibao(json!({"service": "dentist"})), UNKNOWN_CODE, "/service"),
        (dibao(json!({"service": "insurance_subsidy"})), NO_RULE, "/service"),
        (dibao(json!({"input": {"total": null}})), MISSING, "/input/total"),
        (dibao(json!({"input": {"in_scope": null}})), MISSING, "/input/in_scope"),
        (dibao(json!({"input": {"basic_pay": -1}})), BAD_AMOUNT, "/input/basic_pay"),
        (dibao(json!({"input": {"basic_pay": 1.001}})), BAD_AMOUNT, "/input/basic_pay"),
        (dibao(json!({"input": {"basic_pay": "many"}})), BAD_AMOUNT, "/input/basic_pay"),
        (dibao(json!({"input": {"basic_pay": true}})), BAD_AMOUNT, "/input/basic_pay"),
        (dibao(json!({"input": {"basic_pai": 1}})), BAD_CASE, "/input/basic_pai"),
        (dibao(json!({"input": {"in_scope": 60000.01}})), BAD_AMOUNT, "/input/in_scope"),
        (dibao(json!({"input": {"commercial_pay": 30000}})), BAD_AMOUNT, "/input/total"),
        (dibao(json!({"division": "229999"})), BAD_DIVISION, "/division"),
        (dibao(json!({"division": "110100"})), BAD_DIVISION, "/division"),
        (dibao(json!({"admit_date": "2017-02-30"})), BAD_DAY, "/admit_date"),
        (dibao(json!({"admit_date": "2017-05-02", "discharge_date": "2017-05-01"})), BAD_DAY, "/discharge_date"),
    ] {
        let fault = quote(case.clone()).expect_err(&case.to_string());
        assert_eq!((fault.code, fault.place.pointer.as_deref().unwrap_or_default()), (code, pointer), "{case}");
    }
}

#[test]
fn contradictions_in_the_file_are_refused() {
    let change = |pointer: &str, value: Value| {
        let mut file: Value = serde_json::from_str(BUILT_IN).unwrap();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = file.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(list) => list[field.parse::<usize>().unwrap()] = value,
            parent => parent[field] = value,
        }
        Policy::parse(&file.to_string()).map(|_| ())
    };
    assert!(change("/version", json!("other")).is_ok());
    for (pointer, value) in [
        ("/rules/0/bands", json!([])),
        ("/rules/0/bands", json!([[10, 0.5]])),
        ("/rules/0/bands", json!([[null, 1.5]])),
        ("/rules/0/bands", json!([[20, 0.5], [10, 0.6], [null, 1]])),
        ("/rules/0/category", json!("XX")),
        ("/rules/1/service", json!("inpatient")),
        ("/rules/0/annual_cap", json!(-1)),
        ("/rules/0/valid_to", json!("2016-01-01")),
        ("/division_overrides/0/division", json!("229999")),
        ("/category_priority/0", json!("XX")),
    ] {
        assert_eq!(
            change(pointer, value).unwrap_err().code,
            if pointer.ends_with("division") { BAD_DIVISION } else { BAD_POLICY },
            "{pointer}"
        );
    }
}

/// A bill whose payers pay no more than it, in fen.
fn bill() -> impl Strategy<Value = (Amounts, usize)> {
    let fen = |fen: i64| Decimal::new(fen, 2);
    (0..20_000_000i64, 0..100u32, prop::array::uniform5(0..30i64), 0..4_000_000i64, 0..400_000i64, 0..14usize).prop_map(
        move |(total, scope, shares, paid, used, rule)| {
            let part = |share: i64| total * share / 150;
            let amounts = Amounts {
                total: fen(total),
                in_scope: fen(total * i64::from(scope) / 100),
                basic_pay: fen(part(shares[0])),
                critical_pay: fen(part(shares[1])),
                commercial_pay: fen(part(shares[2])),
                hospital_discount: fen(part(shares[3])),
                special_pay: Decimal::ZERO,
                aid_paid_ytd: fen(paid),
                deductible_used_ytd: fen(used),
            };
            (amounts, rule)
        },
    )
}

fn nth(number: usize) -> Rule {
    let policy = policy();
    let entry = &policy.rules[number % policy.rules.len()];
    let home = number.is_multiple_of(2).then_some("220105");
    policy.rule(&entry.category, &entry.service, home, DAY).unwrap()
}

proptest! {
    #[test]
    fn whatever_the_bill((amounts, rule) in bill()) {
        let rule = nth(rule);
        let computed = rule.compute(&amounts).unwrap();
        let Computed { base, eligible, aid_pay, personal_pay, .. } = computed.clone();
        // Never negative, never above the cap, never more than is left for aid.
        prop_assert!([base, eligible, aid_pay, personal_pay].iter().all(|amount| *amount >= Decimal::ZERO));
        if let Some(cap) = rule.annual_cap {
            prop_assert!(aid_pay <= (cap - amounts.aid_paid_ytd).max(Decimal::ZERO));
        }
        prop_assert!(aid_pay <= eligible && eligible <= base && base <= amounts.in_scope);
        // Sums are exact to the fen.
        let payers = amounts.basic_pay + amounts.critical_pay + amounts.commercial_pay + amounts.hospital_discount + aid_pay + amounts.special_pay;
        prop_assert_eq!(payers + personal_pay, amounts.total);
        prop_assert!(aid_pay.scale() <= 2 && personal_pay.normalize().scale() <= 2);
        // The twin takes back all of it.
        let twin = computed.clone().negated();
        prop_assert_eq!((twin.aid_pay + aid_pay, twin.personal_pay + personal_pay), (Decimal::ZERO, Decimal::ZERO));
    }

    #[test]
    fn more_in_scope_is_never_less_aid((amounts, rule) in bill(), more in 0..1_000_000i64) {
        let rule = nth(rule);
        let wider = Amounts { in_scope: (amounts.in_scope + Decimal::new(more, 2)).min(amounts.total), ..amounts.clone() };
        prop_assert!(rule.compute(&wider).unwrap().aid_pay >= rule.compute(&amounts).unwrap().aid_pay);
    }

    #[test]
    fn insurance_pays_before_aid_and_the_person_last((amounts, rule) in bill(), payer in 0..4usize) {
        let rule = nth(rule);
        let before = rule.compute(&amounts).unwrap();
        // What an earlier payer pays more, aid and person pay less, together to the fen; the aid never grows.
        let more = before.personal_pay.min(Decimal::new(12_345, 2));
        let mut after = amounts.clone();
        let fields = [&mut after.basic_pay, &mut after.critical_pay, &mut after.commercial_pay, &mut after.hospital_discount];
        **fields.into_iter().nth(payer).as_mut().unwrap() += more;
        let after = rule.compute(&after).unwrap();
        prop_assert!(after.aid_pay <= before.aid_pay);
        prop_assert_eq!(before.aid_pay + before.personal_pay - more, after.aid_pay + after.personal_pay);
        // The preferential line pays after aid: it changes the person's part only.
        let special = Amounts { special_pay: before.personal_pay, ..amounts };
        let special = rule.compute(&special).unwrap();
        prop_assert_eq!((special.aid_pay, special.personal_pay.is_zero()), (before.aid_pay, true));
    }

    #[test]
    fn no_case_makes_it_panic(total in any::<f64>(), text in "[-+0-9.e,元]{0,12}", division in "[0-9]{0,13}", day in "[0-9-]{0,10}") {
        let _ = quote(json!({"category": "DB", "service": "inpatient", "division": division, "admit_date": day, "input": {"total": total, "in_scope": text}}));
    }
}
