//! A request to verify a household: judged, then fanned out into one query per person and provider.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::{Date, OffsetDateTime, macros::format_description};

use super::{
    BAD_PURPOSE, OTHER_REQUEST, Subject, UNREADABLE,
    authorisation::{self, Refusal, Wanted},
    banks,
    book::{Books, TRIES, entry},
    partner_of,
};
use crate::{
    clock,
    domain::workday::add_workdays,
    envelope::id::unlike_numbers,
    error::Fault,
    ledger::Kind,
    store::{Arg, Error},
};

/// Hours in which an on-line provider answers, and workdays in which any other does.
const ONLINE_HOURS: i64 = 2;
const BATCH_WORKDAYS: u32 = 5;
/// The hour at which a day of answers ends.
const CLOSING: &str = "17:00:00+08:00";

/// A request as it is handed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Derived from the content if it is not given.
    #[serde(default)]
    pub request_no: Option<String>,
    /// Number of the stored authorisation.
    pub authorisation: String,
    /// `UD-NEW`: category of assistance and occasion. Stays inside.
    pub purpose: String,
    /// The operator's division.
    pub division: String,
    pub operator: String,
    pub as_of: String,
    /// Kinds of query; deposits and wealth products if it is not given.
    #[serde(default = "usual_kinds")]
    pub kinds: Vec<String>,
    #[serde(default)]
    pub household: Option<String>,
    pub members: Vec<Subject>,
    /// What the household declared, by kind, in yuan.
    #[serde(default)]
    pub declared: std::collections::BTreeMap<String, String>,
    /// Monthly standard of the division in yuan, from which the limit follows.
    #[serde(default)]
    pub standard_month: Option<String>,
    /// Providers; all banks if it is not given.
    #[serde(default)]
    pub providers: Vec<String>,
}

fn usual_kinds() -> Vec<String> {
    vec!["DEPOSIT".to_owned(), "WEALTH".to_owned()]
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Fanned out; the number of queries.
    Open { request_no: String, queries: usize },
    /// It is there already.
    Known { request_no: String },
    /// Refused: one row in the ledger, nothing sent.
    Refused { request_no: String, fault: Fault },
}

fn hashed(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    unlike_numbers(&hash.finalize()[..12])
}

impl Request {
    /// Its number.
    pub fn number(&self) -> String {
        self.request_no.clone().unwrap_or_else(|| format!("HD-{}", hashed(&[&json!(self).to_string()])))
    }

    fn check(&self) -> Result<(), Fault> {
        let wrong = |pointer: &str, expected: &str| {
            Err(Fault::new(UNREADABLE, "the request cannot be used").at_pointer(pointer).expected(expected))
        };
        let number = self.number();
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if number.is_empty() || number.len() > 40 || !plain(&number) {
            return wrong("/request_no", "1 to 40 letters, digits, hyphens");
        }
        if self.division.len() != 12 || !self.division.bytes().all(|byte| byte.is_ascii_digit()) {
            return wrong("/division", "a division code of 12 digits");
        }
        if self.operator.trim().is_empty() || self.operator.len() > 60 {
            return wrong("/operator", "who asks, 1 to 60 characters");
        }
        let day = Date::parse(&self.as_of, format_description!("[year]-[month]-[day]"));
        if !day.is_ok_and(|day| day <= clock::today()) {
            return wrong("/as_of", "a day like 2017-07-03, not in the future");
        }
        let members = self.members.iter().all(|member| !member.name.trim().is_empty() && !member.id_number.trim().is_empty());
        if self.members.is_empty() || self.members.len() > 50 || !members {
            return wrong("/members", "1 to 50 persons with name and number");
        }
        let known: BTreeSet<String> = banks().into_iter().map(|bank| bank.code).collect();
        if let Some(at) = self.providers.iter().position(|provider| !known.contains(provider)) {
            return wrong(&format!("/providers/{at}"), "codes of banks, like ICBC");
        }
        Ok(())
    }

    /// The persons, each once: one who is listed at two addresses is asked for once.
    fn subjects(&self) -> Vec<Subject> {
        let mut seen = BTreeSet::new();
        self.members.iter().filter(|member| seen.insert((member.id_type.clone(), member.id_number.clone()))).cloned().collect()
    }

    fn purpose_is_good(&self) -> bool {
        let Some((category, occasion)) = self.purpose.split_once('-') else { return false };
        ["UD", "RD", "TK", "TA", "LI"].contains(&category) && ["NEW", "REVIEW", "COMPLAINT"].contains(&occasion)
    }
}

/// Number of the query about one person to one provider: the same for every repeat of the request.
pub fn query_no(request_no: &str, subject: &Subject, provider: &str) -> String {
    format!("Q-{}", hashed(&[request_no, &subject.id_type, &subject.id_number, provider]))
}

/// Judges a request and opens it. `by` is who handed it in: a partner or `operator`.
pub async fn begin(books: &Books, request: &Request, by: &str) -> Result<Begun, Fault> {
    request.check()?;
    let mut tries = 1;
    loop {
        match try_begin(books, request, by).await {
            Ok(begun) => return Ok(begun),
            Err(error) if tries == TRIES => return Err(error.fault()),
            Err(_) => tries += 1,
        }
    }
}

async fn try_begin(books: &Books, request: &Request, by: &str) -> Result<Begun, Error> {
    let request_no = request.number();
    let subjects = request.subjects();
    let stored = authorisation::get(books, &request.authorisation).await?;
    let verdict = if request.purpose_is_good() {
        let (division, kinds, today) = (request.division.as_str(), request.kinds.as_slice(), clock::today());
        authorisation::judge(stored.as_ref(), &Wanted { division, kinds, subjects: &subjects, today })
    } else {
        Err(Refusal(BAD_PURPOSE, "assets are verified for no such purpose"))
    };
    let mut tx = books.store.begin().await?;
    let content = books_hash(request);
    let sql = "SELECT state, asked_by, kinds FROM verification WHERE request_no = $1";
    if let Some(row) = tx.read(sql, &[request_no.as_str().into()]).await?.first()
        && row.text(0) != "REFUSED"
    {
        let known: Value = serde_json::from_str(&row.text(2)).unwrap_or_default();
        if known["content"] != content || row.text(1) != by {
            let fault = Fault::new(OTHER_REQUEST, "a request of this number is known with another content");
            return Ok(Begun::Refused { request_no, fault });
        }
        return Ok(Begun::Known { request_no });
    }
    let who = json!({ "authorisation": request.authorisation, "purpose": request.purpose, "operator": request.operator,
        "division": request.division, "by": by });
    let state = if verdict.is_ok() { "OPEN" } else { "REFUSED" };
    insert(books, &mut tx, request, &request_no, by, state, &content).await?;
    let begun = match verdict {
        Err(Refusal(code, text)) => {
            let mut body = who;
            body["code"] = code.to_string().into();
            books.note(&mut tx, vec![entry(Kind::Refused, &request_no, body)]).await?;
            Begun::Refused { request_no, fault: Fault::new(code, text) }
        }
        Ok(()) => {
            let queries = fan_out(&mut tx, request, &request_no, &subjects).await?;
            let mut body = who;
            body["queries"] = queries.into();
            books.note(&mut tx, vec![entry(Kind::Asked, &request_no, body)]).await?;
            Begun::Open { request_no, queries }
        }
    };
    tx.commit().await?;
    Ok(begun)
}

/// Tells one content of a request from another.
fn books_hash(request: &Request) -> String {
    hashed(&[&json!(request).to_string()])
}

async fn insert(
    books: &Books,
    tx: &mut crate::store::Tx,
    request: &Request,
    request_no: &str,
    by: &str,
    state: &str,
    content: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO verification (request_no, authorisation, purpose, division, operator, asked_by, as_of, kinds, members, declared, state, version, at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12) \
               ON CONFLICT (request_no) DO UPDATE SET authorisation = excluded.authorisation, purpose = excluded.purpose, division = excluded.division, \
               operator = excluded.operator, asked_by = excluded.asked_by, as_of = excluded.as_of, kinds = excluded.kinds, members = excluded.members, \
               declared = excluded.declared, state = excluded.state, at = excluded.at";
    let declared =
        json!({ "declared": request.declared, "standard_month": request.standard_month, "household": request.household });
    let args: [Arg; 12] = [
        request_no.into(),
        request.authorisation.as_str().into(),
        request.purpose.as_str().into(),
        request.division.as_str().into(),
        request.operator.as_str().into(),
        by.into(),
        request.as_of.as_str().into(),
        json!({ "kinds": request.kinds, "content": content }).to_string().into(),
        books.seal(&request.subjects()).into(),
        books.seal(&declared).into(),
        state.into(),
        clock::millis().into(),
    ];
    tx.execute(sql, &args).await?;
    Ok(())
}

async fn fan_out(tx: &mut crate::store::Tx, request: &Request, request_no: &str, subjects: &[Subject]) -> Result<usize, Error> {
    let (today, now) = (clock::today(), clock::millis());
    let mut rows = Vec::new();
    for bank in banks().iter().filter(|bank| request.providers.is_empty() || request.providers.contains(&bank.code)) {
        let due = due(&bank.transport, today, now);
        for (member, subject) in subjects.iter().enumerate() {
            rows.push(json!([query_no(request_no, subject, &bank.code), member, bank.code, due]));
        }
    }
    let sql = "INSERT INTO verification_query (query_no, request_no, member, provider, state, outcome, answer, fault, due_at, next_at, attempts, sent_at, answered_at) \
               SELECT value ->> 0, $2, CAST(value ->> 1 AS BIGINT), value ->> 2, 'CREATED', '', '', '', CAST(value ->> 3 AS BIGINT), 0, 0, 0, 0 FROM {rows} WHERE true \
               ON CONFLICT DO NOTHING";
    tx.execute(sql, &[Value::Array(rows.clone()).to_string().into(), request_no.into()]).await?;
    Ok(rows.len())
}

/// When an answer must be there, in milliseconds.
pub fn due(transport: &str, today: Date, now: i64) -> i64 {
    if !transport.starts_with("sftp") {
        return now + ONLINE_HOURS * 3_600_000;
    }
    after_workdays(BATCH_WORKDAYS, today, now)
}

/// The close of the workday that is so many after today, in milliseconds.
pub fn after_workdays(count: u32, today: Date, now: i64) -> i64 {
    let last = clock::iso_date(add_workdays(today, count));
    let text = format!("{last}T{CLOSING}");
    let moment = OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339);
    moment.map_or(now, |moment| moment.unix_timestamp() * 1000)
}

/// The partner file that a provider's queries are cut by.
pub fn partner(provider: &str) -> String {
    partner_of(provider)
}
