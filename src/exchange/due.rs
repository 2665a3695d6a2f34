//! Which queries of a provider are due, and which of them may leave.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Subject,
    authorisation::{self, Refusal, Stored, Wanted},
    book::{Books, entry},
    request,
};
use crate::{
    clock,
    envelope::{ContentHash, Data, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
    error::Code,
    govern::Agreements,
    ledger::Kind,
    store::{Arg, Error, Row},
};

/// A query that may leave now, cut by the agreement of its provider; without one there is none.
pub struct Query {
    pub number: String,
    /// How often it left before.
    pub attempts: i64,
    pub event: Option<Event>,
}

/// Reads queries of one provider whose authorisation holds at this moment. `condition` is the end of the statement, with `$1`
/// for the provider. Those whose authorisation does not hold any more are taken back.
pub async fn ready(
    books: &Books,
    agreements: &Agreements,
    provider: &str,
    condition: &str,
    more: &[Arg],
) -> Result<Vec<Query>, Error> {
    let sql = format!(
        "SELECT q.query_no, q.member, q.attempts, v.members, v.as_of, v.division, v.authorisation, v.kinds, v.request_no \
         FROM verification_query q JOIN verification v ON v.request_no = q.request_no WHERE q.provider = $1 AND {condition}"
    );
    let mut args = vec![Arg::from(provider)];
    args.extend_from_slice(more);
    let mut judge = Judge::default();
    let mut queries = Vec::new();
    for row in books.store.read(&sql, &args).await? {
        let Some(subjects) = judge.subjects(books, &row).await? else { continue };
        let Some(subject) = usize::try_from(row.int(1)).ok().and_then(|member| subjects.get(member)) else { continue };
        let number = row.text(0);
        let facts = Facts { number: &number, provider, as_of: &row.text(4), division: &row.text(5) };
        let event = cut(agreements, &facts, subject);
        queries.push(Query { number, attempts: row.int(2), event });
    }
    Ok(queries)
}

/// Judges each request once, by one look at its authorisation.
#[derive(Default)]
struct Judge {
    papers: BTreeMap<String, Option<Stored>>,
    requests: BTreeMap<String, Option<Vec<Subject>>>,
}

impl Judge {
    /// The persons of the row's request; none if it may not be asked about them any more.
    async fn subjects(&mut self, books: &Books, row: &Row) -> Result<Option<&Vec<Subject>>, Error> {
        let request_no = row.text(8);
        let judged = self.requests.contains_key(&request_no);
        if !judged {
            let subjects: Vec<Subject> = books.open(&row.text(3))?;
            let paper = row.text(6);
            let known = self.papers.contains_key(&paper);
            if !known {
                let stored = authorisation::get(books, &paper).await?;
                self.papers.insert(paper.clone(), stored);
            }
            let stored = self.papers.get(&paper).and_then(Option::as_ref);
            let refused = verdict(stored, row, (5, 7), &subjects).err();
            if let Some(Refusal(code, _)) = &refused {
                take_back(books, &request_no, &paper, *code).await?;
            }
            self.requests.insert(request_no.clone(), refused.is_none().then_some(subjects));
        }
        Ok(self.requests.get(&request_no).and_then(Option::as_ref))
    }
}

/// `columns` are those of division and kinds.
fn verdict(stored: Option<&Stored>, row: &Row, columns: (usize, usize), subjects: &[Subject]) -> Result<(), Refusal> {
    let kinds: Value = serde_json::from_str(&row.text(columns.1)).unwrap_or_default();
    let kinds: Vec<String> = serde_json::from_value(kinds["kinds"].clone()).unwrap_or_default();
    authorisation::judge(stored, &Wanted { division: &row.text(columns.0), kinds: &kinds, subjects, today: clock::today() })
}

/// Takes queries back whose authorisation does not hold any more: between request and sending it may be revoked or run out.
pub async fn cancel(books: &Books) -> Result<usize, Error> {
    let sql = "SELECT DISTINCT v.request_no, v.authorisation, v.division, v.kinds, v.members FROM verification v \
               JOIN verification_query q ON q.request_no = v.request_no LEFT JOIN authorisation a ON a.no = v.authorisation \
               WHERE v.state = 'OPEN' AND q.state IN ('CREATED', 'SENT') AND (a.no IS NULL OR a.revoked_at <> 0 OR a.valid_to < $1)";
    let mut cancelled = 0;
    for row in books.store.read(sql, &[clock::iso_date(clock::today()).into()]).await? {
        let stored = authorisation::get(books, &row.text(1)).await?;
        let subjects: Vec<Subject> = books.open(&row.text(4))?;
        let Err(Refusal(code, _)) = verdict(stored.as_ref(), &row, (2, 3), &subjects) else { continue };
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
