//! The report of a household: what was found beside what was declared, who did not answer, and what follows.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    Subject,
    answer::Answer,
    book::{Books, TRIES, entry},
};
use crate::{
    clock,
    ledger::Kind,
    store::{Arg, Error, Row},
};

/// The limit of a person is so many monthly standards [assumed by the domain brief].
const STANDARDS: u32 = 24;

/// Issues the reports of all requests whose queries have ended and whose answers no report has yet.
pub async fn issue_due(books: &Books) -> Result<usize, Error> {
    let sql = "SELECT v.request_no, v.version FROM verification v WHERE v.state = 'OPEN' \
               AND NOT EXISTS (SELECT 1 FROM verification_query q WHERE q.request_no = v.request_no AND q.state IN ('CREATED', 'SENT', 'ACKED')) \
               AND (v.version = 0 OR (SELECT COUNT(*) FROM verification_query q WHERE q.request_no = v.request_no AND q.state = 'ANSWERED') \
                    <> (SELECT r.answered FROM verification_report r WHERE r.request_no = v.request_no AND r.version = v.version))";
    let mut issued = 0;
    for row in books.store.read(sql, &[]).await? {
        let mut tries = 1;
        loop {
            match issue(books, &row.text(0), row.int(1)).await {
                Ok(fresh) => {
                    issued += usize::from(fresh);
                    break;
                }
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }
    Ok(issued)
}

/// Issues the next version, unless another process has.
async fn issue(books: &Books, request_no: &str, version: i64) -> Result<bool, Error> {
    let mut tx = books.store.begin().await?;
    let moved = tx
        .execute(
            "UPDATE verification SET version = version + 1, state = 'REPORTED' WHERE request_no = $1 AND version = $2",
            &[request_no.into(), version.into()],
        )
        .await?;
    if moved != 1 {
        return Ok(false);
    }
    let head = tx
        .read("SELECT as_of, members, declared, division FROM verification WHERE request_no = $1", &[request_no.into()])
        .await?;
    let sql = "SELECT provider, member, state, outcome, answer, fault FROM verification_query WHERE request_no = $1 ORDER BY provider, member";
    let queries = tx.read(sql, &[request_no.into()]).await?;
    let Some(head) = head.first() else { return Ok(false) };
    let report_no = format!("{request_no}-R{}", version + 1);
    let mut body = compose(books, head, &queries)?;
    body["report_no"] = report_no.as_str().into();
    body["request_no"] = request_no.into();
    body["issued_at"] = clock::rfc3339(clock::now()).into();
    body["supersedes"] = if version > 0 { format!("{request_no}-R{version}").into() } else { Value::Null };
    let result = body["result"].as_str().unwrap_or_default().to_owned();
    let answered = queries.iter().filter(|row| row.text(2) == "ANSWERED").count();
    let sql = "INSERT INTO verification_report (request_no, version, report_no, result, answered, body, at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args: [Arg; 7] = [
        request_no.into(),
        (version + 1).into(),
        report_no.as_str().into(),
        result.as_str().into(),
        i64::try_from(answered).unwrap_or_default().into(),
        books.seal(&body).into(),
        clock::millis().into(),
    ];
    tx.execute(sql, &args).await?;
    let proof = json!({ "report": report_no, "result": result, "coverage": body["coverage"] });
    books.note(&mut tx, vec![entry(Kind::Reported, request_no, proof)]).await?;
    tx.commit().await?;
    Ok(true)
}

/// Sums of one household.
#[derive(Default)]
struct Found {
    by_kind: BTreeMap<&'static str, Decimal>,
    foreign: BTreeSet<String>,
    mismatches: Vec<Value>,
    outflows: usize,
    by_bank: BTreeMap<String, [Decimal; 2]>,
}

impl Found {
    fn add(&mut self, provider: &str, member: i64, answer: &Answer) {
        if answer.outcome == "MISMATCH" {
            self.mismatches.push(json!({ "provider": provider, "member": member, "kind": "NAME_MISMATCH" }));
        }
        for account in &answer.answers {
            self.outflows += account.large_outflows.len();
            if account.currency != "CNY" {
                // Rates are not the hub's business: the officer sees that there is something.
                self.foreign.insert(account.currency.clone());
                continue;
            }
            let amount = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(Decimal::ZERO);
            let (deposit, wealth) = (amount(&account.balance), amount(&account.wealth_value));
            *self.by_kind.entry("DEPOSIT").or_default() += deposit;
            *self.by_kind.entry("WEALTH").or_default() += wealth;
            let bank = self.by_bank.entry(provider.to_owned()).or_default();
            bank[0] += deposit;
            bank[1] += wealth;
        }
    }

    fn total(&self) -> Decimal {
        self.by_kind.values().copied().sum()
    }
}

fn compose(books: &Books, head: &Row, queries: &[Row]) -> Result<Value, Error> {
    let members: Vec<Subject> = books.open(&head.text(1))?;
    let told: Value = books.open(&head.text(2))?;
    let (mut found, mut missing, mut answered) = (Found::default(), BTreeMap::<String, Vec<Value>>::new(), 0);
    for row in queries {
        let (provider, member) = (row.text(0), row.int(1));
        if row.text(2) == "ANSWERED" {
            answered += 1;
            found.add(&provider, member, &books.open::<Answer>(&row.text(4))?);
        } else {
            let why = json!({ "member": member, "state": row.text(2), "code": row.text(5) });
            missing.entry(provider).or_default().push(why);
        }
    }
    let missing: Vec<Value> =
        missing.into_iter().map(|(provider, members)| json!({ "provider": provider, "queries": members })).collect();
    let limit = limit(&told);
    let per_capita = found.total() / Decimal::from(members.len().max(1));
    let discrepancies = discrepancies(&found, &told);
    let so_far = if limit.is_some_and(|limit| per_capita > limit) {
        "EXCEED"
    } else if discrepancies.is_empty() {
        "WITHIN"
    } else {
        "INCONSISTENT"
    };
    let money = |amount: &Decimal| format!("{amount:.2}");
    Ok(json!({
        "household": told["household"],
        "as_of": head.text(0),
        "members": members.len(),
        "result": if missing.is_empty() { so_far } else { "PARTIAL" },
        "result_of_answers": so_far,
        "coverage": { "asked": queries.len(), "answered": answered, "missing": missing },
        "by_kind": found.by_kind.iter().map(|(kind, sum)| json!({ "kind": kind, "found": money(sum), "declared": told["declared"][*kind] })).collect::<Vec<_>>(),
        "by_bank": found.by_bank.iter().map(|(bank, sums)| json!({ "provider": bank, "deposit_total": money(&sums[0]), "wealth_total": money(&sums[1]) })).collect::<Vec<_>>(),
        "total": money(&found.total()),
        "per_capita": money(&per_capita.round_dp(2)),
        "limit_per_capita": limit.as_ref().map(money),
        "foreign_currencies": found.foreign,
        "large_outflows": found.outflows,
        "discrepancies": discrepancies,
    }))
}

fn limit(told: &Value) -> Option<Decimal> {
    let standard: Decimal = told["standard_month"].as_str()?.parse().ok()?;
    Some(standard * Decimal::from(STANDARDS))
}

/// What was found and not declared, or declared too low; names that did not fit.
fn discrepancies(found: &Found, told: &Value) -> Vec<Value> {
    let mut list = found.mismatches.clone();
    let Some(declared) = told["declared"].as_object().filter(|declared| !declared.is_empty()) else { return list };
    for (kind, sum) in &found.by_kind {
        let said: Option<Decimal> = declared.get(*kind).and_then(Value::as_str).and_then(|text| text.parse().ok());
        match said {
            None if *sum > Decimal::ZERO => list.push(json!({ "kind": "UNDECLARED_ASSET", "asset": kind })),
            Some(said) if *sum > said => list.push(json!({ "kind": "UNDERSTATED", "asset": kind })),
            _ => {}
        }
    }
    list
}

/// Destroys what is kept beside reports whose time is over: answers, persons, declarations. The reports stay.
pub async fn destroy(books: &Books, now: i64, days: u16) -> Result<usize, Error> {
    let before = now - i64::from(days) * 86_400_000;
    let sql = "SELECT v.request_no FROM verification v JOIN verification_report r ON r.request_no = v.request_no AND r.version = v.version \
               WHERE v.state = 'REPORTED' AND r.at < $1 ORDER BY r.at LIMIT 500";
    let due = books.store.read(sql, &[before.into()]).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let names = Value::Array(due.iter().map(|row| json!([row.text(0)])).collect()).to_string();
    let mut tx = books.store.begin().await?;
    // One whose report is being made again at this moment is open and stays.
    let sql = "UPDATE verification SET state = 'CLOSED', members = '', declared = '' WHERE state = 'REPORTED' \
               AND request_no IN (SELECT value ->> 0 FROM {rows}) RETURNING request_no";
    let closed = tx.read(sql, &[names.into()]).await?;
    let names = Value::Array(closed.iter().map(|row| json!([row.text(0)])).collect()).to_string();
    let sql = "UPDATE verification_query SET answer = '' WHERE request_no IN (SELECT value ->> 0 FROM {rows})";
    tx.execute(sql, &[names.into()]).await?;
    let rows = closed.iter().map(|row| entry(Kind::Destroyed, &row.text(0), json!({ "days": days }))).collect();
    books.note(&mut tx, rows).await?;
    tx.commit().await?;
    Ok(closed.len())
}

/// The newest report of a request, or one version of it.
pub async fn newest(books: &Books, request_no: &str) -> Result<Option<Value>, Error> {
    let sql = "SELECT version, body FROM verification_report WHERE request_no = $1 ORDER BY version DESC LIMIT 1";
    let rows = books.store.read(sql, &[request_no.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut body: Value = books.open(&row.text(1))?;
    body["version"] = row.int(0).into();
    Ok(Some(body))
}

/// State, counts of queries by state, and who has not answered.
pub async fn status(books: &Books, request_no: &str) -> Result<Option<Value>, Error> {
    let sql = "SELECT state, version, at, purpose, division, asked_by FROM verification WHERE request_no = $1";
    let rows = books.store.read(sql, &[request_no.into()]).await?;
    let Some(head) = rows.first() else { return Ok(None) };
    let sql = "SELECT provider, state, fault, COUNT(*) FROM verification_query WHERE request_no = $1 GROUP BY provider, state, fault ORDER BY provider, state";
    let mut states: BTreeMap<String, i64> = BTreeMap::new();
    let (mut providers, mut waiting) = (Vec::new(), BTreeSet::new());
    for row in books.store.read(sql, &[request_no.into()]).await? {
        *states.entry(row.text(1)).or_default() += row.int(3);
        if row.text(1) != "ANSWERED" {
            waiting.insert(row.text(0));
        }
        providers.push(json!({ "provider": row.text(0), "state": row.text(1), "code": row.optional_text(2).filter(|code| !code.is_empty()), "queries": row.int(3) }));
    }
    Ok(Some(json!({
        "request_no": request_no,
        "state": head.text(0),
        "report_version": head.int(1),
        "purpose": head.text(3),
        "division": head.text(4),
        "asked_by": head.text(5),
        "queries": states,
        "not_answered": waiting,
        "providers": providers,
    })))
}
