//! What the hub knows now, as far as rules ask for it, and the alerts that come of it.
//!
//! Of every record that passed the router the fields in [`FIELDS`] are kept, encrypted, one row for each source object;
//! links hold rows of one person, identity number, household, case, account or certificate together. A row that changed is `due` until the
//! rules have looked at it. The router writes all of it in the transaction of its batch: two statements more, whatever the
//! size of the batch, and none for batches without such records.

pub mod alert;
mod field;

use serde_json::{Map, Value, json};

pub use field::{FIELDS, fields_of};

use crate::{
    clock,
    config::keys::Keys,
    domain::{keyed_hash::KeyedHash, resident_id::ResidentId},
    envelope::{Event, Op},
    store::{Error, Tx},
};

/// One row before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub object_id: String,
    pub dataset: String,
    pub system: String,
    pub subject: String,
    pub division: String,
    pub event_id: String,
    pub sequence: i64,
    pub deleted: bool,
    pub body: Value,
    /// Kind and value.
    pub links: Vec<(&'static str, String)>,
}

impl Fact {
    /// What is kept of an event; none of datasets that no rule asks for.
    pub fn of(event: &Event, object_id: &str, persons: &[String], hash: &KeyedHash) -> Option<Self> {
        let fields = fields_of(event.dataset().as_str())?;
        let record = &event.data.record;
        let mut body = Map::new();
        for field in fields {
            if let Some(value) = record.get(*field) {
                body.insert((*field).to_owned(), field::slim(field, value));
            }
        }
        Some(Self {
            object_id: object_id.to_owned(),
            dataset: event.dataset().as_str().to_owned(),
            system: event.system().as_str().to_owned(),
            subject: event.subject.clone(),
            division: event.division.clone(),
            event_id: event.id.as_str().to_owned(),
            sequence: event.sequence,
            deleted: event.op() == Some(Op::Delete),
            body: Value::Object(body),
            links: links(event, persons, hash),
        })
    }
}

/// Where records of one person have its identity number.
const NUMBERS: [&str; 4] = ["id_number", "person_id_number", "applicant_id_number", "payee_id_number"];

/// What holds the record to others.
fn links(event: &Event, persons: &[String], hash: &KeyedHash) -> Vec<(&'static str, String)> {
    let (record, system) = (&event.data.record, event.system());
    let text = |field: &str| record[field].as_str().filter(|text| !text.is_empty());
    let short = |text: &str| hash.hex(text)[..32].to_owned();
    let mut links: Vec<(&'static str, String)> = persons.iter().map(|key| ("person", key.clone())).collect();
    if let Some(household) = text("household_ref") {
        links.push(("household", short(&format!("{system}/{household}"))));
        // Filings know a household by its certificate, which in some systems is its number.
        let number = household.strip_prefix("family:").or_else(|| household.strip_prefix("certificate:"));
        links.extend(number.map(|number| ("certificate", short(number))));
    }
    links.extend(text("certificate_no").map(|number| ("certificate", short(number))));
    links.extend(text("case_no").map(|case| ("case", short(case))));
    links.extend(record["case_nos"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|case| ("case", short(case))));
    // Of records that are about one person; members of a household have numbers of their own.
    let number = NUMBERS.iter().find_map(|field| ResidentId::parse(text(field)?).ok());
    links.extend(number.map(|number| ("number", hash.hex(number.as_str()))));
    links.extend(text("account_no").map(|account| ("account", hash.hex(account))));
    links.extend(
        text("account_ref").and_then(|account| account.strip_prefix("account:")).map(|hash| ("account", hash.to_owned())),
    );
    links.sort();
    links.dedup();
    links
}

/// Stores the facts of a batch. Of one object the last word holds.
///
/// # Errors
/// When the store fails.
pub async fn store(tx: &mut Tx, keys: &Keys, facts: &[Fact]) -> Result<(), Error> {
    let mut last = std::collections::BTreeMap::new();
    for fact in facts {
        last.insert(fact.object_id.as_str(), fact);
    }
    if last.is_empty() {
        return Ok(());
    }
    let at = clock::millis();
    let gone: Vec<Value> = last.values().filter(|fact| fact.deleted).map(|fact| json!(fact.object_id)).collect();
    if !gone.is_empty() {
        // What is deleted keeps its links: an account that was paid to is still the dead person's.
        let sql = "UPDATE fact SET deleted = 1, due = $2 WHERE object_id IN (SELECT value ->> 0 FROM {rows})";
        let rows: Vec<Value> = gone.iter().map(|id| json!([id])).collect();
        tx.execute(sql, &[Value::Array(rows).to_string().into(), at.into()]).await?;
    }
    let kept: Vec<&&Fact> = last.values().filter(|fact| !fact.deleted).collect();
    let rows: Vec<Value> = kept
        .iter()
        .map(|fact| {
            let body = keys.seal(fact.body.to_string().as_bytes());
            json!([
                fact.object_id,
                fact.dataset,
                fact.system,
                fact.subject,
                fact.division,
                fact.event_id,
                fact.sequence,
                body,
                at
            ])
        })
        .collect();
    tx.execute(
        "INSERT INTO fact (object_id, dataset, system, subject, division, event_id, sequence, body, at, due, deleted) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, CAST(value ->> 6 AS BIGINT), \
         value ->> 7, CAST(value ->> 8 AS BIGINT), CAST(value ->> 8 AS BIGINT), 0 FROM {rows} WHERE true \
         ON CONFLICT (object_id) DO UPDATE SET event_id = excluded.event_id, sequence = excluded.sequence, body = excluded.body, \
         division = excluded.division, at = excluded.at, due = excluded.due, deleted = 0",
        &[Value::Array(rows).to_string().into()],
    )
    .await?;
    let rows: Vec<Value> =
        kept.iter().flat_map(|fact| fact.links.iter().map(|(kind, value)| json!([fact.object_id, kind, value]))).collect();
    // Links are only ever added: a person once named by an object is still concerned by it.
    tx.execute(
        "INSERT INTO fact_link (object_id, kind, value) SELECT value ->> 0, value ->> 1, value ->> 2 FROM {rows} WHERE true \
         ON CONFLICT (object_id, kind, value) DO NOTHING",
        &[Value::Array(rows).to_string().into()],
    )
    .await?;
    Ok(())
}
