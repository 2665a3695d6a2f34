//! Alerts: filed once for each rule and object, suppressed only with a reason, gone when their cause is.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    clock,
    envelope::unlike_numbers,
    store::{Error, Row, Store, Tx},
};

/// One finding. Holds keys and codes; no personal data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    pub id: String,
    pub rule: String,
    pub severity: String,
    /// The division whose work it is, or the office the rule names.
    pub owner: String,
    pub state: String,
    pub person_key: String,
    pub dataset: String,
    pub system: String,
    /// The source's own key, as the event has it.
    pub subject: String,
    pub division: String,
    #[serde(skip)]
    pub object_id: String,
    pub event_id: String,
    /// Which other events show it, states and counts.
    pub evidence: Value,
    /// Money concerned, in fen.
    pub amount: i64,
    pub at: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The id of an alert: one for each rule and object, whoever finds it and how often.
pub fn id_of(rule: &str, object_id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(rule.as_bytes());
    hash.update([0]);
    hash.update(object_id.as_bytes());
    unlike_numbers(&hash.finalize()[..12])
}

/// Files alerts. One that is known keeps its state; one that had gone is open again.
///
/// # Errors
/// When the store fails.
pub async fn file(tx: &mut Tx, alerts: &[Alert]) -> Result<(), Error> {
    let mut last = std::collections::BTreeMap::new();
    for alert in alerts {
        last.insert(alert.id.as_str(), alert);
    }
    if last.is_empty() {
        return Ok(());
    }
    let at = clock::millis();
    let rows: Vec<Value> = last
        .values()
        .map(|alert| {
            json!([
                alert.id,
                alert.rule,
                alert.severity,
                alert.owner,
                alert.person_key,
                alert.dataset,
                alert.system,
                alert.subject,
                alert.division,
                alert.object_id,
                alert.event_id,
                alert.evidence.to_string(),
                alert.amount,
                at
            ])
        })
        .collect();
    tx.execute(
        "INSERT INTO alert (id, rule, severity, owner, state, person_key, dataset, system, subject, division, object_id, event_id, \
         evidence, amount, at, changed_at, reason) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'open', value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
         value ->> 8, value ->> 9, value ->> 10, value ->> 11, CAST(value ->> 12 AS BIGINT), CAST(value ->> 13 AS BIGINT), \
         CAST(value ->> 13 AS BIGINT), '' FROM {rows} WHERE true \
         ON CONFLICT (id) DO UPDATE SET event_id = excluded.event_id, evidence = excluded.evidence, amount = excluded.amount, \
         severity = excluded.severity, state = CASE alert.state WHEN 'gone' THEN 'open' ELSE alert.state END",
        &[Value::Array(rows).to_string().into()],
    )
    .await?;
    Ok(())
}

/// Marks alerts as gone: what they found is so no more.
///
/// # Errors
/// When the store fails.
pub async fn gone(tx: &mut Tx, ids: &[String]) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = ids.iter().map(|id| json!([id])).collect();
    let sql = "UPDATE alert SET state = 'gone', changed_at = $2 WHERE state = 'open' AND id IN (SELECT value ->> 0 FROM {rows})";
    tx.execute(sql, &[Value::Array(rows).to_string().into(), clock::millis().into()]).await?;
    Ok(())
}

/// Which alerts are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub rule: Option<String>,
    pub state: Option<String>,
    /// Leading digits.
    pub division: Option<String>,
    pub limit: i64,
}

/// The newest first.
///
/// # Errors
/// When the store fails.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<Alert>, Error> {
    let sql = "SELECT id, rule, severity, owner, state, person_key, dataset, system, subject, division, object_id, event_id, evidence, \
               amount, at, reason FROM alert WHERE ($1 = '' OR rule = $1) AND ($2 = '' OR state = $2) \
               AND ($3 = '' OR substr(division, 1, length($3)) = $3) ORDER BY at DESC, id LIMIT $4";
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let args = [text(&filter.rule).into(), text(&filter.state).into(), text(&filter.division).into(), filter.limit.into()];
    Ok(store.read(sql, &args).await?.iter().map(read).collect())
}

fn read(row: &Row) -> Alert {
    Alert {
        id: row.text(0),
        rule: row.text(1),
        severity: row.text(2),
        owner: row.text(3),
        state: row.text(4),
        person_key: row.text(5),
        dataset: row.text(6),
        system: row.text(7),
        subject: row.text(8),
        division: row.text(9),
        object_id: row.text(10),
        event_id: row.text(11),
        evidence: serde_json::from_str(&row.text(12)).unwrap_or_default(),
        amount: row.int(13),
        at: row.int(14),
        reason: row.text(15),
    }
}

/// How many alerts each rule has, by state.
///
/// # Errors
/// When the store fails.
pub async fn counts(store: &Store) -> Result<Vec<(String, String, i64, i64)>, Error> {
    let sql = "SELECT rule, state, COUNT(*), CAST(SUM(amount) AS BIGINT) FROM alert GROUP BY rule, state ORDER BY rule, state";
    let rows = store.read(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.text(0), row.text(1), row.int(2), row.int(3))).collect())
}

/// How many alerts are open in each county, by its six digits.
///
/// # Errors
/// When the store fails.
pub async fn by_county(store: &Store) -> Result<std::collections::BTreeMap<String, i64>, Error> {
    let sql = "SELECT substr(division, 1, 6), COUNT(*) FROM alert WHERE state = 'open' GROUP BY substr(division, 1, 6)";
    Ok(store.read(sql, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect())
}

/// Suppresses an alert, with the reason; false when there is none that could be.
///
/// # Errors
/// When the store fails.
pub async fn suppress(store: &Store, id: &str, reason: &str) -> Result<bool, Error> {
    let sql =
        "UPDATE alert SET state = 'suppressed', reason = $2, changed_at = $3 WHERE id = $1 AND state IN ('open', 'suppressed')";
    Ok(store.write(sql, &[id.into(), reason.into(), clock::millis().into()]).await? > 0)
}
