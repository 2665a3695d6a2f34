//! One record's whole life, put together from the ledger, the receipts and the dead letters.

use serde::Serialize;
use serde_json::{Value, json};

use crate::store::{Error, Store};

/// One step of a record's life.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Milliseconds since 1970.
    pub at: i64,
    pub what: String,
    /// Which chain proves it, and where.
    pub proof: String,
    pub system: String,
    pub dataset: String,
    pub detail: Value,
}

/// The steps of a record, oldest first. `id` is an event, delivery, occurrence or dead-letter id; empty if nothing has it.
pub async fn trace(store: &Store, id: &str) -> Result<Vec<Step>, Error> {
    let event = event_of(store, id).await?;
    steps(store, &event).await
}

/// The steps of an event, oldest first.
pub async fn steps(store: &Store, event: &str) -> Result<Vec<Step>, Error> {
    let sql = "SELECT at, kind, chain, seq, system, dataset, body FROM ledger WHERE event_id = $1 ORDER BY at, seq";
    let mut steps = Vec::new();
    for row in store.read(sql, &[event.into()]).await? {
        steps.push(Step {
            at: row.int(0),
            what: row.text(1),
            proof: format!("{}#{}", row.text(2), row.int(3)),
            system: row.text(4),
            dataset: row.text(5),
            detail: serde_json::from_str(&row.text(6)).unwrap_or(Value::Null),
        });
    }
    let sql = "SELECT at, state, id, stage, subscription, system, dataset, faults FROM dead WHERE event_id = $1 ORDER BY at";
    for row in store.read(sql, &[event.into()]).await? {
        let faults: Value = serde_json::from_str(&row.text(7)).unwrap_or(Value::Null);
        steps.push(Step {
            at: row.int(0),
            what: format!("dead letter, {}", row.text(1)),
            proof: format!("dead {}", row.text(2)),
            system: row.text(5),
            dataset: row.text(6),
            detail: json!({ "stage": row.text(3), "subscription": row.text(4), "faults": faults }),
        });
    }
    steps.sort_by_key(|step| step.at);
    Ok(steps)
}

/// The event behind an event, occurrence or dead-letter id, found by an index.
pub async fn by_index(store: &Store, id: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT event_id FROM ledger WHERE event_id = $1 UNION SELECT event_id FROM dead WHERE id = $1 \
               UNION SELECT event_id FROM dead WHERE occurrence = $1 LIMIT 1";
    Ok(store.read(sql, &[id.into()]).await?.first().map(|row| row.text(0)))
}

/// The event behind an id of any kind.
async fn event_of(store: &Store, id: &str) -> Result<String, Error> {
    if let Some(event) = by_index(store, id).await? {
        return Ok(event);
    }
    // A delivery id stands in the body of its row only: a slow look-up, for the rare question.
    let sql = "SELECT event_id FROM ledger WHERE kind IN ('delivered', 'parked') AND body LIKE '%' || $1 || '%' LIMIT 1";
    let rows = if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        store.read(sql, &[id.into()]).await?
    } else {
        Vec::new()
    };
    Ok(rows.first().map_or_else(|| id.to_owned(), |row| row.text(0)))
}
