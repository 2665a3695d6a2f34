//! Reports as the store has them.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::due::{self, Level};
use crate::{
    clock,
    envelope::{Event, Op},
    store::{Error, Row, Store, Tx},
};

/// One report of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub key: String,
    pub event_no: String,
    pub division: String,
    pub seq: i64,
    pub report_type: String,
    pub hazard: String,
    pub occurred_at: i64,
    pub as_of: i64,
    pub submitted_at: i64,
    pub revision: i64,
    pub status: String,
    /// What was stated, by indicator; what is missing is not zero.
    pub indicators: BTreeMap<String, Decimal>,
    pub stored_at: i64,
    pub county_at: i64,
    pub pref_at: i64,
    pub prov_at: i64,
    pub reason: String,
}

impl Report {
    /// Seconds after the county's clock.
    pub fn late(&self) -> i64 {
        let since = if self.report_type == "FINAL" { self.as_of } else { self.occurred_at };
        due::late(due::due(&self.report_type, Level::County, self.as_of, since), self.submitted_at)
    }
}

/// Stores the disaster reports among events that passed: part of the router's transaction.
///
/// # Errors
/// When the store fails.
pub async fn note<'a>(tx: &mut Tx, events: impl Iterator<Item = &'a Event>) -> Result<(), Error> {
    let mut last: BTreeMap<&str, (i64, Value)> = BTreeMap::new();
    let mut gone: Vec<Value> = Vec::new();
    for event in events.filter(|event| event.dataset().as_str() == "disaster-report") {
        if event.op() == Some(Op::Delete) {
            gone.push(json!([event.subject]));
        } else {
            let key = event.data.record["report_key"].as_str().unwrap_or_default();
            if last.get(key).is_none_or(|(sequence, _)| *sequence <= event.sequence) {
                last.insert(key, (event.sequence, row(event)));
            }
        }
    }
    if !last.is_empty() {
        let rows: Vec<Value> = last.into_values().map(|(_, row)| row).collect();
        tx.execute(UPSERT, &[Value::Array(rows).to_string().into()]).await?;
    }
    if !gone.is_empty() {
        let sql = "DELETE FROM disaster_report WHERE report_key IN (SELECT value ->> 0 FROM {rows})";
        tx.execute(sql, &[Value::Array(gone).to_string().into()]).await?;
    }
    Ok(())
}

const UPSERT: &str = "INSERT INTO disaster_report (report_key, event_no, division, seq, report_type, hazard, occurred_at, as_of, \
     submitted_at, revision, status, indicators, event_id, stored_at, county_at, pref_at, prov_at, reason) \
     SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS BIGINT), value ->> 4, value ->> 5, \
     CAST(value ->> 6 AS BIGINT), CAST(value ->> 7 AS BIGINT), CAST(value ->> 8 AS BIGINT), CAST(value ->> 9 AS BIGINT), \
     value ->> 10, value ->> 11, value ->> 12, CAST(value ->> 13 AS BIGINT), 0, 0, 0, '' FROM {rows} WHERE true \
     ON CONFLICT (report_key) DO UPDATE SET report_type = excluded.report_type, hazard = excluded.hazard, \
     occurred_at = excluded.occurred_at, as_of = excluded.as_of, submitted_at = excluded.submitted_at, \
     revision = excluded.revision, status = excluded.status, indicators = excluded.indicators, event_id = excluded.event_id, \
     stored_at = excluded.stored_at, county_at = 0, pref_at = 0, prov_at = 0, reason = '' \
     WHERE excluded.revision >= disaster_report.revision";

fn row(event: &Event) -> Value {
    let record = &event.data.record;
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let indicators = record.get("indicators").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    json!([
        text("report_key"),
        text("event_no"),
        text("division_code"),
        record["seq"].as_i64().unwrap_or(0),
        text("report_type"),
        text("hazard"),
        millis(text("occurred_at")),
        millis(text("as_of")),
        millis(text("submitted_at")),
        event.sequence,
        text("status"),
        indicators.to_string(),
        event.id.as_str(),
        clock::millis()
    ])
}

/// Milliseconds of an RFC 3339 time; 0 for what is none, which the schema has refused before.
pub(super) fn millis(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339).map_or(0, |moment| moment.unix_timestamp() * 1000)
}

const COLUMNS: &str = "report_key, event_no, division, seq, report_type, hazard, occurred_at, as_of, submitted_at, revision, status, \
     indicators, stored_at, county_at, pref_at, prov_at, reason";

/// The reports of an event and of those that were merged into it, below a division.
///
/// # Errors
/// When the store fails.
pub async fn load(store: &Store, event_no: &str, stem: &str) -> Result<Vec<Report>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM disaster_report WHERE substr(division, 1, length($2)) = $2 AND (event_no = $1 OR event_no IN \
         (SELECT event_no FROM disaster_merge WHERE into_event = $1)) ORDER BY division, event_no, seq"
    );
    Ok(store.read(&sql, &[event_no.into(), stem.into()]).await?.iter().map(read).collect())
}

/// One report.
pub(super) async fn find(tx: &mut Tx, key: &str) -> Result<Option<Report>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM disaster_report WHERE report_key = $1");
    Ok(tx.read(&sql, &[key.into()]).await?.first().map(read))
}

fn read(row: &Row) -> Report {
    Report {
        key: row.text(0),
        event_no: row.text(1),
        division: row.text(2),
        seq: row.int(3),
        report_type: row.text(4),
        hazard: row.text(5),
        occurred_at: row.int(6),
        as_of: row.int(7),
        submitted_at: row.int(8),
        revision: row.int(9),
        status: row.text(10),
        indicators: indicators(&row.text(11)),
        stored_at: row.int(12),
        county_at: row.int(13),
        pref_at: row.int(14),
        prov_at: row.int(15),
        reason: row.text(16),
    }
}

/// Counts are numbers, areas and losses are text: both become exact decimals.
pub(super) fn indicators(text: &str) -> BTreeMap<String, Decimal> {
    let stated: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.to_string().parse().ok(),
    };
    stated.iter().filter_map(|(code, value)| Some((code.clone(), number(value)?))).collect()
}

/// An event with the number of its reports and places, and the time of its newest figures.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    pub event_no: String,
    pub hazard: String,
    pub reports: i64,
    pub places: i64,
    pub newest_as_of: String,
    /// The event that it was merged into.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub merged_into: String,
}

/// All events, the newest figures first.
///
/// # Errors
/// When the store fails.
pub async fn events(store: &Store) -> Result<Vec<Summary>, Error> {
    let sql = "SELECT r.event_no, MIN(r.hazard), COUNT(*), COUNT(DISTINCT r.division), MAX(r.as_of), COALESCE(MIN(m.into_event), '') \
               FROM disaster_report r LEFT JOIN disaster_merge m ON m.event_no = r.event_no GROUP BY r.event_no ORDER BY 5 DESC, 1";
    let rows = store.read(sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Summary {
            event_no: row.text(0),
            hazard: row.text(1),
            reports: row.int(2),
            places: row.int(3),
            newest_as_of: shown(row.int(4)),
            merged_into: row.text(5),
        })
        .collect())
}

/// A time as people and machines read it.
pub(super) fn shown(millis: i64) -> String {
    OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).map_or_else(|_| String::new(), clock::rfc3339)
}
