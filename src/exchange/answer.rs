//! Taking an answer: it must belong to a query, be about the person asked for, and not contradict an earlier one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    BAD_ANSWER, SECOND_ANSWER, Subject, WRONG_SUBJECT,
    book::{Books, TRIES, entry},
};
use crate::{
    clock,
    domain::money,
    error::Fault,
    ledger::{Entry, Kind},
    store::{Arg, Error, Tx},
};

/// One account of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whatever the bank sends, only the last four digits are kept.
    #[serde(default, alias = "account_no")]
    pub account_tail4: String,
    #[serde(default)]
    pub account_type: String,
    #[serde(default)]
    pub account_status: String,
    #[serde(default = "yuan")]
    pub currency: String,
    #[serde(default)]
    pub balance: Option<String>,
    #[serde(default)]
    pub wealth_value: Option<String>,
    #[serde(default)]
    pub joint: bool,
    #[serde(default)]
    pub large_outflows: Vec<Value>,
}

fn yuan() -> String {
    "CNY".to_owned()
}

/// An answer as a provider sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub query_no: String,
    pub subject: Subject,
    /// FOUND, NONE, MISMATCH or PARTIAL.
    pub outcome: String,
    #[serde(default)]
    pub answers: Vec<Account>,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// New: the report of this request is to be made, or made again.
    New { request_no: String },
    /// The same answer is there already.
    Known,
    /// Refused; the ledger has it, and somebody should look.
    Refused(Fault),
}

/// Takes an answer of a provider.
pub async fn take(books: &Books, provider: &str, value: &Value) -> Result<Taken, Error> {
    let taken = take_all(books, provider, std::slice::from_ref(value)).await?;
    taken.into_iter().next().ok_or_else(|| Error::Failed("an answer was lost".to_owned()))
}

/// Takes answers of one provider in one transaction; what became of each, in their order.
pub async fn take_all(books: &Books, provider: &str, values: &[Value]) -> Result<Vec<Taken>, Error> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut tries = 1;
    loop {
        match try_take(books, provider, values).await {
            Err(_) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// A query as it is known before an answer.
struct Query {
    request_no: String,
    state: String,
    asked: Option<Subject>,
    answer: Option<Answer>,
}

/// What a transaction writes.
#[derive(Default)]
struct Work {
    answered: Vec<Value>,
    failed: Vec<Value>,
    requests: Vec<Value>,
    rows: Vec<Entry>,
}

async fn try_take(books: &Books, provider: &str, values: &[Value]) -> Result<Vec<Taken>, Error> {
    let mut tx = books.store.begin().await?;
    let mut queries = known(books, &mut tx, provider, values).await?;
    let (mut taken, mut work) = (Vec::with_capacity(values.len()), Work::default());
    for value in values {
        let number = value["query_no"].as_str().unwrap_or_default();
        taken.push(match queries.get_mut(number) {
            Some(query) => one(books, &mut work, provider, query, number, value),
            // An answer to nothing is told to its sender; without a number of ours there is nothing to keep in the ledger.
            None => {
                Taken::Refused(Fault::new(BAD_ANSWER, "the answer belongs to no query to this provider").at_pointer("/query_no"))
            }
        });
    }
    if !work.rows.is_empty() {
        write(&mut tx, &work).await?;
        books.note(&mut tx, work.rows).await?;
        tx.commit().await?;
    }
    for fault in taken.iter().filter_map(|taken| if let Taken::Refused(fault) = taken { Some(fault) } else { None }) {
        // The alarm: a bank that speaks of the wrong person may have shown it to others too.
        tracing::error!(code = %fault.code, "an answer of a provider was refused");
    }
    Ok(taken)
}

async fn known(books: &Books, tx: &mut Tx, provider: &str, values: &[Value]) -> Result<BTreeMap<String, Query>, Error> {
    let sql = "SELECT q.query_no, q.request_no, q.member, q.state, q.answer, v.members, v.state FROM verification_query q \
               JOIN verification v ON v.request_no = q.request_no \
               WHERE q.provider = $2 AND q.query_no IN (SELECT value ->> 0 FROM {rows})";
    let numbers: Vec<Value> = values.iter().map(|value| json!([value["query_no"].as_str().unwrap_or_default()])).collect();
    let mut queries = BTreeMap::new();
    for row in tx.read(sql, &[Value::Array(numbers).to_string().into(), provider.into()]).await? {
        let closed = row.text(6) == "CLOSED";
        let mut subjects: Vec<Subject> = if closed { Vec::new() } else { books.open(&row.text(5))? };
        let asked = usize::try_from(row.int(2)).ok().filter(|member| *member < subjects.len());
        let query = Query {
            request_no: row.text(1),
            asked: asked.map(|member| subjects.swap_remove(member)),
            answer: if row.text(4).is_empty() { None } else { Some(books.open(&row.text(4))?) },
            state: if closed { "CANCELLED".to_owned() } else { row.text(3) },
        };
        queries.insert(row.text(0), query);
    }
    Ok(queries)
}

/// Judges one answer and notes what is to be written.
fn one(books: &Books, work: &mut Work, provider: &str, query: &mut Query, number: &str, value: &Value) -> Taken {
    let answer = match read(value) {
        Err(fault) => Err(fault),
        Ok(_) if query.state == "CANCELLED" => Err(Fault::new(BAD_ANSWER, "the query was taken back, or its request is closed")),
        Ok(answer) if query.asked.as_ref() != Some(&answer.subject) => {
            Err(Fault::new(WRONG_SUBJECT, "the answer is about another person").at_pointer("/subject"))
        }
        Ok(answer) if query.state == "ANSWERED" => {
            if query.answer.as_ref() == Some(&answer) {
                return Taken::Known;
            }
            Err(Fault::new(SECOND_ANSWER, "a second answer differs from the first"))
        }
        Ok(answer) => Ok(answer),
    };
    match answer {
        Err(fault) => {
            // The query counts as failed until a right answer comes; an answer that is there already stays.
            if query.state != "ANSWERED" && query.state != "CANCELLED" {
                work.failed.push(json!([number, fault.code]));
                "FAILED".clone_into(&mut query.state);
            }
            work.rows.push(entry(Kind::Refused, number, json!({ "provider": provider, "code": fault.code })));
            Taken::Refused(fault)
        }
        Ok(answer) => {
            work.failed.retain(|row| row[0] != number);
            work.answered.push(json!([number, answer.outcome, books.seal(&answer)]));
            work.requests.push(json!([query.request_no]));
            let body = json!({ "request": query.request_no, "provider": provider, "outcome": answer.outcome, "late": query.state == "EXPIRED" });
            work.rows.push(entry(Kind::Answered, number, body));
            "ANSWERED".clone_into(&mut query.state);
            query.answer = Some(answer);
            Taken::New { request_no: query.request_no.clone() }
        }
    }
}

async fn write(tx: &mut Tx, work: &Work) -> Result<(), Error> {
    let rows = |rows: &[Value]| Arg::from(Value::Array(rows.to_vec()).to_string());
    let sql = "UPDATE verification_query SET state = 'ANSWERED', outcome = r.outcome, answer = r.sealed, fault = '', answered_at = $2 \
               FROM (SELECT value ->> 0 AS number, value ->> 1 AS outcome, value ->> 2 AS sealed FROM {rows}) AS r WHERE query_no = r.number";
    if !work.answered.is_empty() {
        tx.execute(sql, &[rows(&work.answered), clock::millis().into()]).await?;
    }
    let sql = "UPDATE verification_query SET state = 'FAILED', fault = r.code \
               FROM (SELECT value ->> 0 AS number, value ->> 1 AS code FROM {rows}) AS r WHERE query_no = r.number";
    if !work.failed.is_empty() {
        tx.execute(sql, &[rows(&work.failed)]).await?;
    }
    // A late answer opens its request again: the next report is due.
    let sql =
        "UPDATE verification SET state = 'OPEN' WHERE state = 'REPORTED' AND request_no IN (SELECT value ->> 0 FROM {rows})";
    if !work.requests.is_empty() {
        tx.execute(sql, &[rows(&work.requests)]).await?;
    }
    Ok(())
}

/// Reads an answer; account numbers are cut to their tails at once.
fn read(value: &Value) -> Result<Answer, Fault> {
    let wrong = |pointer: &str, expected: &str| {
        Fault::new(BAD_ANSWER, "the answer cannot be used").at_pointer(pointer.to_owned()).expected(expected.to_owned())
    };
    let mut answer: Answer =
        serde_json::from_value(value.clone()).map_err(|_| wrong("", "query_no, subject, outcome and answers"))?;
    if !["FOUND", "NONE", "MISMATCH", "PARTIAL"].contains(&answer.outcome.as_str()) {
        return Err(wrong("/outcome", "FOUND, NONE, MISMATCH or PARTIAL"));
    }
    if answer.answers.len() > 200 {
        return Err(wrong("/answers", "at most 200 accounts"));
    }
    for (at, account) in answer.answers.iter_mut().enumerate() {
        let tail: Vec<char> = account.account_tail4.chars().rev().take(4).collect();
        account.account_tail4 = tail.into_iter().rev().collect();
        for (name, amount) in [("balance", &mut account.balance), ("wealth_value", &mut account.wealth_value)] {
            if let Some(text) = amount {
                *text = money::yuan(text).map_err(|_| wrong(&format!("/answers/{at}/{name}"), "an amount like 480.00"))?;
            }
        }
    }
    Ok(answer)
}
