//! Disputes as they are stored and shown.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Books, NO_DISPUTE,
    book::{entry, failed},
    compare::Said,
};
use crate::{
    clock,
    domain::workday,
    error::Fault,
    ledger::Kind,
    store::{Arg, Error, Row, Store},
    telemetry::log::blank_numbers,
};

/// One dispute. What people said of it is sealed.
#[derive(Debug, Clone, Serialize)]
pub struct Dispute {
    pub id: String,
    pub opened_by: String,
    pub system: String,
    pub dataset: String,
    #[serde(skip)]
    pub dataschema: String,
    pub subject: String,
    #[serde(skip)]
    pub object_id: String,
    pub event_id: String,
    pub pointer: String,
    pub state: String,
    pub outcome: String,
    #[serde(skip)]
    pub(super) said: Said,
    #[serde(skip)]
    pub(super) body: String,
    #[serde(skip)]
    pub(super) reason: String,
    pub opened_at: i64,
    pub due_on: String,
    pub promised_at: i64,
    /// What the last newer record says: `unchanged`, `unknown`, or nothing.
    pub newer_record: String,
    pub fix_event: String,
    #[serde(skip)]
    pub(super) fix_sequence: i64,
    pub answered_at: i64,
    pub answered_by: String,
    pub closed_at: i64,
}

pub(super) const COLUMNS: &str = "SELECT id, opened_by, system, dataset, dataschema, subject, object_id, event_id, pointer, state, outcome, said, body, reason, \
     opened_at, due_on, promised_at, checked, fix_event, fix_sequence, answered_at, answered_by, closed_at FROM dispute";

impl Dispute {
    pub(super) fn of(row: &Row) -> Self {
        Self {
            id: row.text(0),
            opened_by: row.text(1),
            system: row.text(2),
            dataset: row.text(3),
            dataschema: row.text(4),
            subject: row.text(5),
            object_id: row.text(6),
            event_id: row.text(7),
            pointer: row.text(8),
            state: row.text(9),
            outcome: row.text(10),
            said: serde_json::from_str(&row.text(11)).unwrap_or_default(),
            body: row.text(12),
            reason: row.text(13),
            opened_at: row.int(14),
            due_on: row.text(15),
            promised_at: row.int(16),
            newer_record: row.text(17),
            fix_event: row.text(18),
            fix_sequence: row.int(19),
            answered_at: row.int(20),
            answered_by: row.text(21),
            closed_at: row.int(22),
        }
    }

    /// What its rows in the ledger are about: the disputed event.
    pub(super) fn about(&self) -> (&str, &str, &str) {
        (&self.event_id, &self.system, &self.dataset)
    }

    /// Whether the owner has let its time go by.
    pub fn is_overdue(&self) -> bool {
        matches!(self.state.as_str(), "opened" | "sent") && self.due_on < clock::iso_date(clock::today())
    }

    /// Workdays from today to the last one, this one not counted; below zero when it is over.
    pub fn workdays_left(&self) -> i64 {
        let format = time::macros::format_description!("[year]-[month]-[day]");
        let Ok(due) = time::Date::parse(&self.due_on, &format) else { return 0 };
        let today = clock::today();
        let (from, to, sign) = if due >= today { (today, due, 1) } else { (due, today, -1) };
        let mut days = 0;
        let mut at = from;
        while let Some(next) = at.next_day().filter(|next| *next <= to) {
            at = next;
            days += i64::from(workday::is_workday(at));
        }
        sign * days
    }
}

/// One that has the wrong value.
#[derive(Debug, Clone, Serialize)]
pub struct Receiver {
    pub subscription: String,
    pub agreement: String,
    pub purpose: String,
    /// `version`: the corrected record; `withdrawal`: it may not have that one, and gives the wrong one up.
    pub kind: String,
    /// due, sent, received, waived.
    pub state: String,
    pub delivery_id: String,
    pub receipt: String,
    pub at: i64,
    #[serde(skip)]
    pub(super) wrong_event: String,
    #[serde(skip)]
    pub(super) wrong_delivery: String,
}

/// The dispute of this id.
///
/// # Errors
/// There is none, or the store fails.
pub async fn find(store: &Store, id: &str) -> Result<Dispute, Fault> {
    let rows = store.read(&format!("{COLUMNS} WHERE id = $1"), &[id.into()]).await.map_err(failed)?;
    rows.first()
        .map(Dispute::of)
        .ok_or_else(|| Fault::new(NO_DISPUTE, "there is no such dispute").hint("`civilhub dispute list` shows them"))
}

/// Who of a dispute has the wrong value, by name. Known from the answer on.
///
/// # Errors
/// The store fails.
pub async fn receivers(store: &Store, id: &str) -> Result<Vec<Receiver>, Error> {
    let sql = "SELECT subscription, agreement, purpose, kind, state, delivery_id, receipt, at, wrong_event, wrong_delivery \
               FROM dispute_receiver WHERE dispute_id = $1 ORDER BY subscription";
    let one = |row: &Row| Receiver {
        subscription: row.text(0),
        agreement: row.text(1),
        purpose: row.text(2),
        kind: row.text(3),
        state: row.text(4),
        delivery_id: row.text(5),
        receipt: row.text(6),
        at: row.int(7),
        wrong_event: row.text(8),
        wrong_delivery: row.text(9),
    };
    Ok(store.read(sql, &[id.into()]).await?.iter().map(one).collect())
}

/// Which disputes a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one system.
    pub system: Option<String>,
    /// In one state; `open` is all that are not closed.
    pub state: Option<String>,
    /// Whose owner has let its time go by.
    pub overdue: bool,
    pub limit: i64,
}

/// Disputes, the most urgent first.
///
/// # Errors
/// The store fails.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<Dispute>, Error> {
    let sql = format!(
        "{COLUMNS} WHERE ($1 = '' OR system = $1) AND ($2 = '' OR state = $2 OR $2 = 'open' AND state <> 'closed') \
         AND ($3 = '' OR due_on < $3 AND state IN ('opened', 'sent')) ORDER BY due_on, opened_at, id LIMIT $4"
    );
    let text = |value: &Option<String>| Arg::from(value.as_deref().unwrap_or_default());
    let overdue = if filter.overdue { clock::iso_date(clock::today()) } else { String::new() };
    let rows = store.read(&sql, &[text(&filter.system), text(&filter.state), overdue.into(), filter.limit.into()]).await?;
    Ok(rows.iter().map(Dispute::of).collect())
}

/// The disputes of a partner after a place, oldest first.
///
/// # Errors
/// The store fails.
pub async fn of_partner(
    store: &Store,
    partner: &str,
    after: (i64, &str),
    (from, to): (i64, i64),
    limit: i64,
) -> Result<Vec<Dispute>, Error> {
    let sql = format!(
        "{COLUMNS} WHERE opened_by = $1 AND (opened_at > $2 OR opened_at = $2 AND id > $3) AND opened_at >= $4 AND opened_at < $5 \
         ORDER BY opened_at, id LIMIT $6"
    );
    let args = [partner.into(), after.0.into(), after.1.into(), from.into(), to.into(), limit.into()];
    Ok(store.read(&sql, &args).await?.iter().map(Dispute::of).collect())
}

/// Why it was rejected; empty if it was not.
pub fn reason(books: &Books, dispute: &Dispute) -> String {
    books.open(&dispute.reason)["reason"].as_str().unwrap_or_default().to_owned()
}

/// What was said about it, in plain: problem and proposed value. That it was seen, and why, is in the ledger.
///
/// # Errors
/// There is no such dispute, no reason to look, or the store fails.
pub async fn plain(books: &Books, id: &str, why: &str) -> Result<Value, Fault> {
    super::open::words(why, "--reason")?;
    let dispute = find(&books.store, id).await?;
    let mut tx = books.store.begin().await.map_err(failed)?;
    let seen = entry(Kind::Seen, dispute.about(), json!({ "dispute": id, "what": "claim", "reason": blank_numbers(why) }));
    books.note(&mut tx, &[seen]).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    let mut said = books.open(&dispute.body);
    said["rejected_because"] = json!(reason(books, &dispute));
    Ok(said)
}
