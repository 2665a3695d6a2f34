//! One pass of the exchange: sends what is due, expires what is overdue, issues the reports that can be made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    BAD_ANSWER, NO_AGREEMENT, Provider, Reply, UNAVAILABLE,
    answer::{self, Taken},
    book::Books,
    due::{self, Query},
    files, report,
};
use crate::{
    error::{Code, Fault},
    govern::Agreements,
    store::Error,
};

/// Providers by their codes.
pub type Providers = BTreeMap<String, Arc<dyn Provider>>;

/// Queries of one provider that one pass sends, and how many of them are under way at once.
const STEP: i64 = 256;
const IN_FLIGHT: usize = 32;
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

/// What one lane did in one pass.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub sent: usize,
    pub answered: usize,
    pub refused: usize,
}

/// One pass at a moment. Providers are asked side by side: a slow one holds up its own queries only.
pub async fn pass(books: &Books, agreements: &Agreements, providers: &Providers, now: i64) -> Result<Done, Error> {
    let mut done = Done { cancelled: due::cancel(books).await?, ..Done::default() };
    let lanes = super::banks().into_iter().map(|bank| {
        let provider = providers.get(&bank.code).cloned();
        async move { lane(books, agreements, &bank.code, provider, now).await }
    });
    for result in futures_util::future::join_all(lanes).await {
        let counts = result?;
        done.sent += counts.sent;
        done.answered += counts.answered;
        done.refused += counts.refused;
    }
    done.expired += expire(books, now).await?;
    done.reports += report::issue_due(books).await?;
    Ok(done)
}

/// What is no provider's own: takes back, expires, reports. A hub whose lanes run by themselves calls this between.
pub async fn house(books: &Books, now: i64) -> Result<Done, Error> {
    Ok(Done {
        cancelled: due::cancel(books).await?,
        expired: expire(books, now).await?,
        reports: report::issue_due(books).await?,
        ..Done::default()
    })
}

/// The queries of one provider that are due.
pub async fn lane(
    books: &Books,
    agreements: &Agreements,
    code: &str,
    provider: Option<Arc<dyn Provider>>,
    now: i64,
) -> Result<Counts, Error> {
    if let Some(folder) = provider.as_ref().and_then(|provider| provider.folder()) {
        let taken = files::take::take(books, code, folder, now).await?;
        let sent = files::send::send(books, agreements, code, folder, now).await?;
        return Ok(Counts { sent, ..taken });
    }
    let condition =
        "q.state IN ('CREATED', 'SENT') AND q.next_at <= $2 AND q.due_at > $2 ORDER BY q.next_at, q.query_no LIMIT $3";
    let (good, bad): (Vec<Query>, Vec<Query>) = due::ready(books, agreements, code, condition, &[now.into(), STEP.into()])
        .await?
        .into_iter()
        .partition(|query| query.event.is_some());
    let mut counts = Counts::default();
    let cannot = |query: Query| (query, Reply::Unavailable(Fault::new(NO_AGREEMENT, "no agreement lets the query leave")));
    counts = settle(books, code, bad.into_iter().map(cannot).collect(), now, counts).await?;
    let Some(provider) = provider else {
        let fault = || Fault::new(UNAVAILABLE, "the provider has no endpoint");
        return settle(books, code, good.into_iter().map(|query| (query, Reply::Unavailable(fault()))).collect(), now, counts)
            .await;
    };
    let noted = note(books, &good, now).await?;
    counts.sent = noted.len();
    let asked = stream::iter(good.into_iter().filter(|query| noted.contains(&query.number)).map(|query| {
        let provider = Arc::clone(&provider);
        // A task of its own, so that answers are stored while others are under way.
        tokio::spawn(async move {
            let reply = match &query.event {
                Some(event) => provider.ask(event).await,
                None => Reply::Unavailable(Fault::new(NO_AGREEMENT, "no agreement lets the query leave")),
            };
            (query, reply)
        })
    }));
    let mut replies = asked.buffer_unordered(IN_FLIGHT).ready_chunks(IN_FLIGHT);
    while let Some(chunk) = replies.next().await {
        counts = settle(books, code, chunk.into_iter().filter_map(Result::ok).collect(), now, counts).await?;
    }
    Ok(counts)
}

/// Noted before they leave: after a crash the same numbers go out again, never other ones. Those that still may.
async fn note(books: &Books, queries: &[Query], now: i64) -> Result<BTreeSet<String>, Error> {
    if queries.is_empty() {
        return Ok(BTreeSet::new());
    }
    let numbers: Vec<Value> = queries.iter().map(|query| json!([query.number])).collect();
    let sql = "UPDATE verification_query SET state = 'SENT', attempts = attempts + 1, sent_at = $2 \
               WHERE query_no IN (SELECT value ->> 0 FROM {rows}) AND state IN ('CREATED', 'SENT') RETURNING query_no";
    let mut tx = books.store.begin().await?;
    let rows = tx.read(sql, &[Value::Array(numbers).to_string().into(), now.into()]).await?;
    let noted = rows.iter().map(|row| row.text(0)).collect();
    tx.commit().await?;
    Ok(noted)
}

/// What follows from the replies, for all of them at once.
async fn settle(books: &Books, code: &str, replies: Vec<(Query, Reply)>, now: i64, mut counts: Counts) -> Result<Counts, Error> {
    let (mut moves, mut numbers, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let step = |number: &str, state: &str, fault: Option<Code>, next: i64| {
        json!([number, state, fault.map(|code| code.to_string()).unwrap_or_default(), next])
    };
    for (query, reply) in replies {
        match reply {
            Reply::Answer(value) => {
                numbers.push(query.number);
                values.push(value);
            }
            Reply::Acknowledged => moves.push(step(&query.number, "ACKED", None, now)),
            Reply::Refused(_) => moves.push(step(&query.number, "REFUSED", Some(UNAVAILABLE), now)),
            Reply::Unavailable(fault) => {
                moves.push(step(&query.number, "", Some(fault.code), now + pause(query.attempts)));
            }
        }
    }
    for (number, taken) in numbers.iter().zip(answer::take_all(books, code, &values).await?) {
        match taken {
            Taken::New { .. } | Taken::Known => counts.answered += 1,
            Taken::Refused(_) => {
                // An answer under a foreign number was not counted against the query it came for.
                moves.push(step(number, "FAILED", Some(BAD_ANSWER), now));
                counts.refused += 1;
            }
        }
    }
    if !moves.is_empty() {
        let sql = "UPDATE verification_query SET state = CASE WHEN r.state = '' THEN verification_query.state ELSE r.state END, \
                   fault = r.fault, next_at = r.next_at FROM (SELECT value ->> 0 AS number, value ->> 1 AS state, value ->> 2 AS fault, \
                   CAST(value ->> 3 AS BIGINT) AS next_at FROM {rows}) AS r WHERE query_no = r.number AND verification_query.state IN ('CREATED', 'SENT')";
        books.store.write(sql, &[Value::Array(moves).to_string().into()]).await?;
    }
    Ok(counts)
}

/// Milliseconds before the next try.
pub fn pause(attempts: i64) -> i64 {
    PAUSE.saturating_mul(1 << attempts.clamp(0, 16)).min(LONGEST_PAUSE)
}

/// Overdue queries: their report can be issued without them.
async fn expire(books: &Books, now: i64) -> Result<usize, Error> {
    let sql = "UPDATE verification_query SET state = 'EXPIRED' WHERE state IN ('CREATED', 'SENT', 'ACKED') AND due_at <= $1";
    Ok(usize::try_from(books.store.write(sql, &[now.into()]).await?).unwrap_or_default())
}
