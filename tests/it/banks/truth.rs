//! What the simulated banks say about everybody, computed from their rules, beside what the hub made of it.

use std::collections::BTreeMap;

use civilhub::{
    exchange::{banks, report},
    simulate::serve::queries::{Speech, balance, is_mistaken},
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::street::{Street, household};

/// JSON, away for an hour.
pub const DOWN: &str = "CMB";
/// XML, speaks of others.
pub const MISTAKEN: &str = "COMM";
/// CSV, answers twice.
pub const TWICE: &str = "CIB";
/// CSV, sends half a file first.
pub const HALF: &str = "HXB";

/// State, code where there is no answer, currency and amount.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fate {
    state: &'static str,
    code: &'static str,
    outcome: &'static str,
    money: Option<(&'static str, Decimal)>,
}

fn fate(bank: &str, speech: Speech, number: &str) -> Fate {
    let files = matches!(speech, Speech::Csv | Speech::Fixed);
    let none = |state, code| Fate { state, code, outcome: "", money: None };
    let answered = |outcome, money| Fate { state: "ANSWERED", code: "", outcome, money };
    let mistaken = bank == MISTAKEN && is_mistaken(number);
    match &number[14..17] {
        // No answer: over a line the last fault was that the bank could not be reached, in files there was none.
        "905" | "909" if !files => none("EXPIRED", "CH-6713"),
        "907" if !files => none("REFUSED", "CH-6713"),
        "905" | "907" | "908" => none("EXPIRED", ""),
        "909" => none("FAILED", "CH-6711"),
        _ if mistaken => none("FAILED", "CH-6710"),
        "903" => none("FAILED", "CH-6710"),
        "901" => answered("NONE", None),
        "902" => answered("MISMATCH", None),
        "904" => answered("FOUND", Some(("USD", Decimal::from(100)))),
        _ => answered("FOUND", Some(("CNY", balance(bank, number).parse().unwrap()))),
    }
}

/// Every query, every report, and the table of outcomes.
pub async fn compare(street: &Street, count: usize) {
    let books = street.hub.books();
    let (mut table, mut second) = (BTreeMap::<(String, String, String), i64>::new(), 0);
    for place in 0..count {
        let (_, ask) = household(place);
        let report =
            report::newest(&books, &format!("HD-{place}")).await.unwrap().unwrap_or_else(|| panic!("HD-{place} has no report"));
        let (mut missing, mut sums) = (BTreeMap::<String, Vec<Value>>::new(), BTreeMap::<String, Decimal>::new());
        let (mut foreign, mut mismatch, mut total) = (false, false, Decimal::ZERO);
        for bank in banks() {
            for (member, person) in ask.members.iter().enumerate() {
                let fate = fate(&bank.code, Speech::of(&bank.transport), &person.id_number);
                *table.entry((bank.code.clone(), fate.state.to_owned(), fate.outcome.to_owned())).or_default() += 1;
                if fate.state != "ANSWERED" {
                    missing
                        .entry(bank.code.clone())
                        .or_default()
                        .push(json!({ "member": member, "state": fate.state, "code": fate.code }));
                }
                mismatch |= fate.outcome == "MISMATCH";
                second += i64::from(bank.code == TWICE && fate.money.is_some_and(|(_, amount)| amount != Decimal::ONE));
                match fate.money {
                    Some(("CNY", amount)) => {
                        *sums.entry(bank.code.clone()).or_default() += amount;
                        total += amount;
                    }
                    Some(_) => foreign = true,
                    None => {}
                }
            }
        }
        let missing: Vec<Value> =
            missing.into_iter().map(|(provider, queries)| json!({ "provider": provider, "queries": queries })).collect();
        assert_eq!(report["coverage"]["missing"], json!(missing), "HD-{place}");
        let found: Vec<Value> = sums
            .iter()
            .map(|(bank, sum)| json!({ "provider": bank, "deposit_total": format!("{sum:.2}"), "wealth_total": "0.00" }))
            .collect();
        assert_eq!(report["by_bank"], json!(found), "HD-{place}");
        assert_eq!((&report["total"], report["foreign_currencies"] == json!(["USD"])), (&json!(format!("{total:.2}")), foreign));
        let over = total / Decimal::from(ask.members.len()) > Decimal::from(11_520);
        let so_far = if over {
            "EXCEED"
        } else if mismatch {
            "INCONSISTENT"
        } else {
            "WITHIN"
        };
        let result = if missing.is_empty() { so_far } else { "PARTIAL" };
        assert_eq!((&report["result"], &report["result_of_answers"]), (&json!(result), &json!(so_far)), "HD-{place}");
    }
    let sql = "SELECT provider, state, outcome, COUNT(*) FROM verification_query GROUP BY provider, state, outcome";
    let rows = street.hub.store.read(sql, &[]).await.unwrap();
    let kept: BTreeMap<_, i64> = rows.iter().map(|row| ((row.text(0), row.text(1), row.text(2)), row.int(3))).collect();
    assert_eq!(kept, table, "the table of outcomes");
    let rows = street.hub.store.read("SELECT body FROM ledger WHERE chain = 'exchange' AND kind = 'refused'", &[]).await.unwrap();
    let code = |code: &str| rows.iter().filter(|row| row.text(0).contains(code)).count() as i64;
    assert_eq!(code("CH-6712"), second, "each second answer that differs is one row");
    assert!(code("CH-6801") + code("CH-6802") >= 1, "half a file was noticed");
}
