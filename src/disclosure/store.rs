//! Notices in the store: written with the router's batch, read by day and place.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::Date;

use super::{Item, Notice, item, title};
use crate::{
    clock,
    config::keys::Keys,
    envelope::{Event, Op},
    store::{Error, Row, Store, Tx},
};

const UPSERT: &str = "INSERT INTO public_notice (object_id, kind, division, from_date, to_date, hotline, body, sequence) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, CAST(value ->> 7 AS BIGINT) \
     FROM {rows} WHERE true ON CONFLICT (object_id) DO UPDATE SET kind = excluded.kind, division = excluded.division, \
     from_date = excluded.from_date, to_date = excluded.to_date, hotline = excluded.hotline, body = excluded.body, \
     sequence = excluded.sequence WHERE excluded.sequence >= public_notice.sequence";

/// Keeps the notices among events that passed, each under the id of its object: part of the router's transaction.
///
/// # Errors
/// When the store fails.
pub async fn note<'a>(
    tx: &mut Tx,
    keys: &Keys,
    events: impl Iterator<Item = &'a Event>,
    object_of: impl Fn(&Event) -> String,
) -> Result<(), Error> {
    // Of one notice the last word of the batch holds.
    let mut last: BTreeMap<String, &Event> = BTreeMap::new();
    for event in events.filter(|event| event.dataset().as_str() == "disclosure-notice") {
        last.insert(object_of(event), event);
    }
    let (gone, kept): (Vec<_>, Vec<_>) = last.iter().partition(|(_, event)| event.op() == Some(Op::Delete));
    if !kept.is_empty() {
        let rows: Vec<Value> = kept.iter().map(|(object, event)| row(keys, object, event)).collect();
        tx.execute(UPSERT, &[Value::Array(rows).to_string().into()]).await?;
    }
    if !gone.is_empty() {
        let rows: Vec<Value> = gone.iter().map(|(object, _)| json!([object])).collect();
        let sql = "DELETE FROM public_notice WHERE object_id IN (SELECT value ->> 0 FROM {rows})";
        tx.execute(sql, &[Value::Array(rows).to_string().into()]).await?;
    }
    Ok(())
}

fn row(keys: &Keys, object: &str, event: &Event) -> Value {
    let record = &event.data.record;
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let items: Vec<Item> = record["items"].as_array().into_iter().flatten().filter_map(Item::of).collect();
    let body = keys.seal(json!(items).to_string().as_bytes());
    let hotline = item::hotline(text("hotline")).unwrap_or_default();
    json!([object, text("kind"), text("division_code"), text("from_date"), text("to_date"), hotline, body, event.sequence])
}

/// The notices of a division and those below it that stand on a day, after a place, in the order of place and id.
///
/// # Errors
/// When the store fails.
pub async fn standing(
    store: &Store,
    keys: &Keys,
    day: Date,
    stem: &str,
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<Notice>, Error> {
    let sql = "SELECT object_id, kind, division, from_date, to_date, hotline, body FROM public_notice \
               WHERE division >= $1 AND division < $2 AND from_date <= $3 AND (to_date = '' OR to_date >= $3) \
               AND (division > $4 OR division = $4 AND object_id > $5) ORDER BY division, object_id LIMIT $6";
    let day = clock::iso_date(day);
    let args = [stem.into(), format!("{stem}:").into(), day.into(), after.0.into(), after.1.into(), limit.into()];
    Ok(store.read(sql, &args).await?.iter().map(|row| notice(keys, row)).collect())
}

fn notice(keys: &Keys, row: &Row) -> Notice {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let items = keys.open(&row.text(6)).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    Notice {
        id: row.text(0),
        title: title(&row.text(1), &row.text(2)),
        kind: row.text(1),
        division: row.text(2),
        from: row.text(3),
        to: some(row.text(4)),
        hotline: some(row.text(5)),
        items,
    }
}
