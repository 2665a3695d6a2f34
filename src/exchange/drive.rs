//! One pass of the exchange: sends what is due, expires what is overdue, issues the reports that can be made.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    NO_AGREEMENT, Provider, Reply, Subject, UNAVAILABLE,
    answer::{self, Taken},
    authorisation::{self, Refusal, Wanted},
    book::{Books, entry},
    report, request,
};
use crate::{
    clock,
    envelope::{ContentHash, Data, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
    error::{Code, Fault},
    govern::Agreements,
    ledger::Kind,
    store::{Arg, Error, Row},
};

/// Providers by their codes.
pub type Providers = BTreeMap<String, Arc<dyn Provider>>;

/// Queries of one provider that one pass sends.
const STEP: i64 = 64;
/// Milliseconds between two tries, growing with their number up to five minutes.
const PAUSE: i64 = 1000;
const LONGEST_PAUSE: i64 = 300_000;

/// What one pass did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Done {
    pub sent: usize,
    pub answered: usize,
    pub refused: usize,
    pub expired: usize,
    pub cancelled: usize,
    pub reports: usize,
}

/// One pass at a moment. Providers are asked side by side: a slow one holds up its own queries only.
pub async fn pass(books: &Books, agreements: &Agreements, providers: &Providers, now: i64) -> Result<Done, Error> {
    let mut done = Done::default();
    done.cancelled += cancel(books).await?;
    let lanes = super::banks().into_iter().map(|bank| {
        let provider = providers.get(&bank.code).cloned();
        async move { lane(books, agreements, &bank.code, provider, now).await }
    });
    for result in futures_util::future::join_all(lanes).await {
        let (sent, answered, refused) = result?;
        done.sent += sent;
        done.answered += answered;
        done.refused += refused;
    }
    done.expired += expire(books, now).await?;
    done.reports += report::issue_due(books).await?;
    Ok(done)
}

/// What is no provider's own: takes back, expires, reports. A hub whose lanes run by themselves calls this between.
pub async fn house(books: &Books, now: i64) -> Result<Done, Error> {
    Ok(Done {
        cancelled: cancel(books).await?,
        expired: expire(books, now).await?,
        reports: report::issue_due(books).await?,
        ..Done::default()
    })
}

/// Takes queries back whose authorisation does not hold any more: between request and sending it may be revoked or run out.
async fn cancel(books: &Books) -> Result<usize, Error> {
    let sql = "SELECT DISTINCT v.request_no, v.authorisation, v.division, v.kinds, v.members FROM verification v \
               JOIN verification_query q ON q.request_no = v.request_no WHERE q.state IN ('CREATED', 'SENT') AND v.state <> 'REFUSED'";
    let mut cancelled = 0;
    for row in books.store.read(sql, &[]).await? {
        let stored = authorisation::get(books, &row.text(1)).await?;
        let subjects: Vec<Subject> = books.open(&row.text(4))?;
        let kinds: Value = serde_json::from_str(&row.text(3)).unwrap_or_default();
        let kinds: Vec<String> = serde_json::from_value(kinds["kinds"].clone()).unwrap_or_default();
        let wanted = Wanted { division: &row.text(2), kinds: &kinds, subjects: &subjects, today: clock::today() };
        let Err(Refusal(code, _)) = authorisation::judge(stored.as_ref(), &wanted) else { continue };
        cancelled += take_back(books, &row.text(0), &row.text(1), code).await?;
    }
    Ok(cancelled)
}

/// Takes the queries of one request back: one row in the ledger, whoever comes first.
async fn take_back(books: &Books, request_no: &str, authorisation: &str, code: Code) -> Result<usize, Error> {
    let mut tx = books.store.begin().await?;
    let sql =
        "UPDATE verification_query SET state = 'CANCELLED', fault = $2 WHERE request_no = $1 AND state IN ('CREATED', 'SENT')";
    let touched = tx.execute(sql, &[request_no.into(), code.to_string().into()]).await?;
    if touched > 0 {
        let body = json!({ "authorisation": authorisation, "code": code, "queries": touched });
        books.note(&mut tx, vec![entry(Kind::Refused, request_no, body)]).await?;
        tx.commit().await?;
    }
    Ok(usize::try_from(touched).unwrap_or_default())
}

/// Whether the authorisation of a request still holds, judged at the last moment before something is sent.
async fn still_good(books: &Books, row: &Row, subjects: &[Subject]) -> Result<bool, Error> {
    let stored = authorisation::get(books, &row.text(7)).await?;
    let kinds: Value = serde_json::from_str(&row.text(8)).unwrap_or_default();
    let kinds: Vec<String> = serde_json::from_value(kinds["kinds"].clone()).unwrap_or_default();
    let wanted = Wanted { division: &row.text(5), kinds: &kinds, subjects, today: clock::today() };
    match authorisation::judge(stored.as_ref(), &wanted) {
        Ok(()) => Ok(true),
        Err(Refusal(code, _)) => take_back(books, &row.text(9), &row.text(7), code).await.map(|_| false),
    }
}

/// The queries of one provider that are due: how many were sent, answered, and answered in a way that was refused.
pub async fn lane(
    books: &Books,
    agreements: &Agreements,
    code: &str,
    provider: Option<Arc<dyn Provider>>,
    now: i64,
) -> Result<(usize, usize, usize), Error> {
    let sql = "SELECT q.query_no, q.member, q.attempts, v.members, v.as_of, v.division, v.purpose, v.authorisation, v.kinds, v.request_no \
               FROM verification_query q JOIN verification v ON v.request_no = q.request_no \
               WHERE q.provider = $1 AND q.state IN ('CREATED', 'SENT') AND q.next_at <= $2 AND q.due_at > $2 ORDER BY q.next_at, q.query_no LIMIT $3";
    let rows = books.store.read(sql, &[code.into(), now.into(), STEP.into()]).await?;
    let (mut sent, mut answered, mut refused) = (0, 0, 0);
    for row in &rows {
        let subjects: Vec<Subject> = books.open(&row.text(3))?;
        let Some(subject) = usize::try_from(row.int(1)).ok().and_then(|member| subjects.get(member)) else { continue };
        if !still_good(books, row, &subjects).await? {
            continue;
        }
        let number = row.text(0);
        let facts = Facts { number: &number, provider: code, as_of: &row.text(4), division: &row.text(5) };
        let Some(query) = cut(agreements, &facts, subject) else {
            fail(books, &number, &Fault::new(NO_AGREEMENT, "no agreement lets the query leave"), row.int(2), now).await?;
            continue;
        };
        let reply = match &provider {
            Some(provider) => {
                // Noted before it leaves: after a crash the same number goes out again, never another one.
                let sql = "UPDATE verification_query SET state = 'SENT', attempts = attempts + 1, sent_at = $2 WHERE query_no = $1 AND state IN ('CREATED', 'SENT')";
                if books.store.write(sql, &[number.as_str().into(), now.into()]).await? != 1 {
                    continue;
                }
                sent += 1;
                provider.ask(&query).await
            }
            None => Reply::Unavailable(Fault::new(UNAVAILABLE, "the provider has no endpoint")),
        };
        match reply {
            Reply::Answer(value) => match answer::take(books, code, &value).await? {
                Taken::New { .. } | Taken::Known => answered += 1,
                Taken::Refused(_) => {
                    // An answer under a foreign number was not counted against the query it came for.
                    settle(books, &number, "FAILED", super::BAD_ANSWER).await?;
                    refused += 1;
                }
            },
            Reply::Acknowledged => {
                let sql = "UPDATE verification_query SET state = 'ACKED' WHERE query_no = $1 AND state = 'SENT'";
                books.store.write(sql, &[number.as_str().into()]).await?;
            }
            Reply::Refused(_) => settle(books, &number, "REFUSED", UNAVAILABLE).await?,
            Reply::Unavailable(fault) => fail(books, &number, &fault, row.int(2), now).await?,
        }
    }
    Ok((sent, answered, refused))
}

async fn settle(books: &Books, number: &str, state: &str, code: Code) -> Result<(), Error> {
    let sql = "UPDATE verification_query SET state = $2, fault = $3 WHERE query_no = $1 AND state IN ('CREATED', 'SENT')";
    books.store.write(sql, &[number.into(), state.into(), code.to_string().into()]).await?;
    Ok(())
}

/// The same query goes again after a pause.
async fn fail(books: &Books, number: &str, fault: &Fault, attempts: i64, now: i64) -> Result<(), Error> {
    let pause = PAUSE.saturating_mul(1 << attempts.clamp(0, 16)).min(LONGEST_PAUSE);
    let sql = "UPDATE verification_query SET next_at = $2, fault = $3 WHERE query_no = $1 AND state IN ('CREATED', 'SENT')";
    let args: [Arg; 3] = [number.into(), (now + pause).into(), fault.code.to_string().into()];
    books.store.write(sql, &args).await?;
    Ok(())
}

/// Overdue queries: their report can be issued without them.
async fn expire(books: &Books, now: i64) -> Result<usize, Error> {
    let sql = "UPDATE verification_query SET state = 'EXPIRED' WHERE state IN ('CREATED', 'SENT', 'ACKED') AND due_at <= $1";
    Ok(usize::try_from(books.store.write(sql, &[now.into()]).await?).unwrap_or_default())
}

/// What the event for the agreement is made of.
struct Facts<'a> {
    number: &'a str,
    provider: &'a str,
    as_of: &'a str,
    division: &'a str,
}

/// The query as the provider may see it, cut by its agreement; its attributes say nothing of household or benefit.
fn cut(agreements: &Agreements, facts: &Facts<'_>, subject: &Subject) -> Option<Event> {
    let record = json!({ "query_no": facts.number, "provider": facts.provider, "subject": subject, "as_of": facts.as_of });
    let content = ContentHash::of(&record);
    let id = EventId::derive(&System::from("exchange"), "query", facts.number, &content, 1);
    let event = Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "exchange"),
        partitionkey: PartitionKey::from(facts.number),
        id,
        source: "/systems/exchange".to_owned(),
        kind: "asset-query.event".to_owned(),
        subject: facts.number.to_owned(),
        time: clock::rfc3339(clock::now()),
        dataschema: "asset-query/v1".to_owned(),
        datacontenttype: "application/json".to_owned(),
        division: facts.division.to_owned(),
        sequence: 1,
        contenthash: content,
        bookdate: clock::iso_date(clock::today()),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data { record, quality: Vec::new() },
    };
    let outgoing = agreements.on_request(&request::partner(facts.provider), &event, clock::today())?;
    Some(outgoing.event)
}
