//! Taking an answer: it must belong to a query, be about the person asked for, and not contradict an earlier one.

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
    ledger::Kind,
    store::{Arg, Error},
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
    let mut tries = 1;
    loop {
        match try_take(books, provider, value).await {
            Err(_) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

async fn try_take(books: &Books, provider: &str, value: &Value) -> Result<Taken, Error> {
    let number = value["query_no"].as_str().unwrap_or_default().to_owned();
    let mut tx = books.store.begin().await?;
    let sql = "SELECT q.request_no, q.member, q.state, q.answer, v.members FROM verification_query q JOIN verification v ON v.request_no = q.request_no \
               WHERE q.query_no = $1 AND q.provider = $2";
    let rows = tx.read(sql, &[number.as_str().into(), provider.into()]).await?;
    // An answer to nothing is told to its sender; without a number of ours there is nothing to keep in the ledger.
    let Some(row) = rows.first() else {
        return Ok(Taken::Refused(
            Fault::new(BAD_ANSWER, "the answer belongs to no query to this provider").at_pointer("/query_no"),
        ));
    };
    let (request_no, state) = (row.text(0), row.text(2));
    let subjects: Vec<Subject> = books.open(&row.text(4))?;
    let asked = usize::try_from(row.int(1)).ok().and_then(|member| subjects.get(member));
    let before = row.text(3);
    let refusal = match read(value) {
        Err(fault) => Some(fault),
        Ok(answer) if asked != Some(&answer.subject) => {
            Some(Fault::new(WRONG_SUBJECT, "the answer is about another person").at_pointer("/subject"))
        }
        Ok(answer) if state == "ANSWERED" => {
            let known: Answer = books.open(&before)?;
            if known == answer {
                return Ok(Taken::Known);
            }
            Some(Fault::new(SECOND_ANSWER, "a second answer differs from the first"))
        }
        Ok(_) if state == "CANCELLED" => Some(Fault::new(BAD_ANSWER, "the query was cancelled: the answer is not kept")),
        Ok(_) => None,
    };
    if let Some(fault) = refusal {
        return refuse(books, tx, &number, provider, fault, state == "ANSWERED").await;
    }
    let answer = read(value).map_err(|_| Error::Failed("an answer changed while it was read".to_owned()))?;
    let sql = "UPDATE verification_query SET state = 'ANSWERED', outcome = $2, answer = $3, fault = '', answered_at = $4 WHERE query_no = $1";
    let args: [Arg; 4] =
        [number.as_str().into(), answer.outcome.as_str().into(), books.seal(&answer).into(), clock::millis().into()];
    tx.execute(sql, &args).await?;
    let body = json!({ "request": request_no, "provider": provider, "outcome": answer.outcome, "late": state == "EXPIRED" });
    books.note(&mut tx, vec![entry(Kind::Answered, &number, body)]).await?;
    tx.commit().await?;
    Ok(Taken::New { request_no })
}

/// Notes a refused answer. The query counts as failed until a right answer comes; an answer that is there already stays.
async fn refuse(
    books: &Books,
    mut tx: crate::store::Tx,
    number: &str,
    provider: &str,
    fault: Fault,
    answered: bool,
) -> Result<Taken, Error> {
    if !answered {
        let sql = "UPDATE verification_query SET state = 'FAILED', fault = $2 WHERE query_no = $1 AND state <> 'CANCELLED'";
        tx.execute(sql, &[number.into(), fault.code.to_string().into()]).await?;
    }
    let body = json!({ "provider": provider, "code": fault.code });
    books.note(&mut tx, vec![entry(Kind::Refused, number, body)]).await?;
    tx.commit().await?;
    // The alarm: a bank that speaks of the wrong person may have shown it to others too.
    tracing::error!(code = %fault.code, "an answer of a provider was refused");
    Ok(Taken::Refused(fault))
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
