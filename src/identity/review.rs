//! What a human has to decide: whether two persons are one, or whether a record that contradicts its own person is right.

use serde::Serialize;
use serde_json::Value;

use super::{
    StoreIndex,
    hand::Why,
    person::{Filed, shown},
    standard::Said,
};
use crate::{
    clock,
    envelope::PersonKey,
    error::{Code, Fault},
    store::{Error, Row, Tx},
};

/// There is no such review.
pub const NO_REVIEW: Code = Code::new(5008);
/// The review has been decided.
pub const DECIDED: Code = Code::new(5009);

/// A question without any value of a person.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    pub id: String,
    pub reason: String,
    /// `open` or `closed`.
    pub state: String,
    pub person_key: PersonKey,
    /// The same as `person_key` when the record contradicts its own person.
    pub other_key: PersonKey,
    /// The system whose record raised it.
    pub system: String,
    pub event_id: String,
    pub bits: f64,
    /// Field, level and tenths of a bit.
    pub fields: Value,
    pub model: String,
    /// `accepted`, `rejected`, `joined` when it answered itself, or nothing yet.
    pub decision: String,
    pub note: String,
    pub opened_at: i64,
    pub postponed_at: i64,
    pub closed_at: i64,
    #[serde(skip)]
    reference_id: String,
    #[serde(skip)]
    said_id: String,
}

/// A question with what both sides say.
pub struct Sides {
    pub item: Item,
    pub person: Vec<Filed>,
    pub other: Vec<Filed>,
}

/// One field of a question: what each side says, how they compare and what that weighs.
pub struct Compared {
    pub field: &'static str,
    pub person: Vec<String>,
    pub other: Vec<String>,
    pub level: String,
    /// Of a bit; nothing where the field was not weighed.
    pub tenths: Option<i64>,
}

impl Sides {
    /// Field by field; values are masked unless `plain`.
    pub fn compare(&self, plain: bool) -> Vec<Compared> {
        let weighed = |field: &str| self.item.fields.as_array().into_iter().flatten().find(|weighed| weighed["field"] == field);
        let compare = |field: &'static str| Compared {
            field,
            person: values(&self.person, field, plain),
            other: values(&self.other, field, plain),
            level: weighed(field).and_then(|weighed| weighed["level"].as_str()).unwrap_or_default().to_owned(),
            tenths: weighed(field).and_then(|weighed| weighed["tenths"].as_i64()),
        };
        Said::FIELDS.into_iter().map(compare).collect()
    }
}

/// The different values that records have of a field.
fn values(side: &[Filed], field: &str, plain: bool) -> Vec<String> {
    let mut values: Vec<String> = side.iter().filter_map(|filed| shown(&filed.said, plain).remove(field)).collect();
    values.sort();
    values.dedup();
    values
}

/// What a human says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// They are one; or the record is right.
    Accept,
    /// They are two, for ever; or the record is wrong.
    Reject,
    /// To the end of the queue.
    Later,
}

impl Answer {
    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Reject => "rejected",
            Self::Later => "postponed",
        }
    }
}

const COLUMNS: &str = "id, reason, state, person_key, other_key, system, event_id, tenths, fields, model, decision, note, opened_at, \
     postponed_at, closed_at, reference_id, said_id";
const CLOSE: &str = "UPDATE review_item SET state = 'closed', decision = $2, note = $3, closed_at = $4 WHERE id = $1";
const POSTPONE: &str = "UPDATE review_item SET postponed_at = $2, note = $3 WHERE id = $1";

impl Item {
    fn of(row: &Row) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "tenths of a bit are small")]
        let bits = row.int(7) as f64 / 10.0;
        Self {
            id: row.text(0),
            reason: row.text(1),
            state: row.text(2),
            person_key: row.text(3).into(),
            other_key: row.text(4).into(),
            system: row.text(5),
            event_id: row.text(6),
            bits,
            fields: serde_json::from_str(&row.text(8)).unwrap_or_default(),
            model: row.text(9),
            decision: row.text(10),
            note: row.text(11),
            opened_at: row.int(12),
            postponed_at: row.int(13),
            closed_at: row.int(14),
            reference_id: row.text(15),
            said_id: row.text(16),
        }
    }

    /// Whether it is about one person and not about two.
    pub fn is_about_one(&self) -> bool {
        self.person_key == self.other_key
    }
}

impl StoreIndex {
    /// Questions, those first that nobody has put off, the strongest of them first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn reviews(&self, state: Option<&str>, reason: Option<&str>, limit: i64) -> Result<Vec<Item>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM review_item WHERE (state = $1 OR $1 = '') AND (reason = $2 OR $2 = '') \
             ORDER BY postponed_at, tenths DESC, opened_at, id LIMIT $3"
        );
        let args = [state.unwrap_or_default().into(), reason.unwrap_or_default().into(), limit.into()];
        Ok(self.store.read(&sql, &args).await?.iter().map(Item::of).collect())
    }

    /// One question with both sides.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn review(&self, id: &str) -> Result<Sides, Fault> {
        let sql = format!("SELECT {COLUMNS} FROM review_item WHERE id = $1");
        let rows = self.store.read(&sql, &[id.into()]).await.map_err(|error| error.fault())?;
        let item = rows.first().map(Item::of).ok_or_else(no_review)?;
        let person = self.records(&item.person_key).await.map_err(|error| error.fault())?;
        let other = match item.is_about_one() {
            true => self.word(&item).await.map_err(|error| error.fault())?,
            false => self.records(&item.other_key).await.map_err(|error| error.fault())?,
        };
        Ok(Sides { item, person, other })
    }

    /// The word of the record that contradicts its own person.
    async fn word(&self, item: &Item) -> Result<Vec<Filed>, Error> {
        let sql = "SELECT t.said_id, t.sealed, s.system, s.reference FROM statement t, source_record s \
             WHERE t.said_id = $1 AND s.reference_id = $2";
        let rows = self.store.read(sql, &[item.said_id.as_str().into(), item.reference_id.as_str().into()]).await?;
        let mut words = Vec::new();
        for row in rows {
            let said = self.lore.open(&row.text(0), &row.text(1))?.said.clone();
            words.push(Filed::word(item.reference_id.clone(), row.text(2), row.text(3), said));
        }
        Ok(words)
    }

    /// Decides a question. Accepting merges the two, rejecting tells them apart for ever.
    ///
    /// # Errors
    /// There is none, it is decided, the two were told apart, or the store failed.
    pub async fn answer(&self, tx: &mut Tx, id: &str, answer: Answer, reason: &str) -> Result<Item, Fault> {
        super::write::hold_to_change(tx).await.map_err(|error| error.fault())?;
        let sql = format!("SELECT {COLUMNS} FROM review_item WHERE id = $1");
        let rows = tx.read(&sql, &[id.into()]).await.map_err(|error| error.fault())?;
        let item = rows.first().map(Item::of).ok_or_else(no_review)?;
        if item.state != "open" {
            let fault = Fault::new(DECIDED, format!("the review was decided before: {}", item.decision));
            return Err(fault.hint("`civilhub identity merge` and `identity split` change what was decided"));
        }
        let now = clock::millis();
        match answer {
            Answer::Later => {
                let done = tx.execute(POSTPONE, &[id.into(), now.into(), reason.into()]).await;
                return done.map(|_| item).map_err(|error| error.fault());
            }
            Answer::Accept => self.accept(tx, &item).await?,
            Answer::Reject if item.is_about_one() => {}
            Answer::Reject => self.tell_apart(tx, &item.person_key, &item.other_key, "review").await?,
        }
        let closed = tx.execute(CLOSE, &[id.into(), answer.as_str().into(), reason.into(), now.into()]).await;
        closed.map(|_| item).map_err(|error| error.fault())
    }

    async fn accept(&self, tx: &mut Tx, item: &Item) -> Result<(), Fault> {
        let mut key = item.person_key.clone();
        if !item.is_about_one() {
            let why = Why { event: item.event_id.clone(), despite: false };
            key = self.merge(tx, &item.person_key, &item.other_key, &why).await?.person_key;
        }
        self.adopt(tx, item).await.map_err(|error| error.fault())?;
        self.rebuild_one(tx, &key).await
    }

    /// The record's word counts from now on.
    async fn adopt(&self, tx: &mut Tx, item: &Item) -> Result<(), Error> {
        let now = clock::millis();
        let sql = "UPDATE source_record SET said_id = $2, said_at = $3, remarks = '' WHERE reference_id = $1 AND said_id <> $2";
        let args = [item.reference_id.as_str().into(), item.said_id.as_str().into(), now.into()];
        if tx.execute(sql, &args).await? > 0 {
            let sql = "INSERT INTO said (reference_id, said_id, at, event_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            let more = [item.event_id.as_str().into()];
            tx.execute(sql, &[args.as_slice(), &more].concat()).await?;
        }
        Ok(())
    }
}

fn no_review() -> Fault {
    Fault::new(NO_REVIEW, "there is no such review").hint("`civilhub identity review` shows the open ones")
}
