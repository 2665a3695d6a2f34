//! Dead letters: what was rejected or parked, with its body, its faults and a way back.

pub mod collect;
pub mod hold;
pub mod replay;

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    clock,
    config::keys::Keys,
    envelope::Event,
    error::Fault,
    store::{Error, Row, Store, Tx},
    telemetry::{log::blank_numbers, record, stage::Stage},
};

/// Where a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Parked,
    Rejected,
    /// An operator asked for it; a running hub sends it on its way.
    Replaying,
    /// The bus has it again; the router or the lane has not dealt with it yet.
    Underway,
    Replayed,
    Discarded,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Rejected => "rejected",
            Self::Replaying => "replaying",
            Self::Underway => "underway",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// One message set aside.
#[derive(Debug, Clone)]
pub struct Letter {
    pub id: String,
    pub state: State,
    /// decode, map, route or deliver
    pub stage: String,
    /// Empty before dispatch.
    pub subscription: String,
    pub partition_key: String,
    pub event_id: String,
    pub occurrence: String,
    pub system: String,
    pub bookdate: String,
    pub dataset: String,
    /// Twelve digits; empty for a row that gave no event.
    pub division: String,
    pub faults: Vec<Fault>,
    /// As it came; sealed in the store.
    pub body: Vec<u8>,
    /// Its turn among the letters of its key, if it has one from an earlier letter of the same message.
    pub place: Option<i64>,
}

impl Letter {
    /// A letter about an event. Its id is derived, so that filing it twice keeps one.
    pub fn of_event(event: &Event, stage: &str, subscription: &str, state: State, faults: Vec<Fault>, body: &[u8]) -> Self {
        Self {
            id: letter_id(event, stage, subscription),
            state,
            stage: stage.to_owned(),
            subscription: subscription.to_owned(),
            partition_key: event.partitionkey.as_str().to_owned(),
            event_id: event.id.as_str().to_owned(),
            occurrence: event.occurrence.as_str().to_owned(),
            system: event.system().as_str().to_owned(),
            bookdate: event.bookdate.clone(),
            dataset: event.dataset().as_str().to_owned(),
            division: event.division.clone(),
            faults,
            body: body.to_vec(),
            place: None,
        }
    }
}

/// Id of the letter that an event has at a stage, should it be set aside there.
pub fn letter_id(event: &Event, stage: &str, subscription: &str) -> String {
    crate::envelope::Occurrence::derive(&event.id, &format!("{stage}/{subscription}/{}", event.occurrence)).as_str().to_owned()
}

/// What filing did.
#[derive(Debug, Default)]
pub struct Filed {
    /// Letters that are set aside now and were not before.
    pub ids: FxHashSet<String>,
    /// How many of them were never there at all.
    pub new: usize,
}

/// Files letters inside a transaction. Filing a letter again changes nothing, unless it was replayed or discarded since:
/// then it is set aside again, and keeps its place among the letters of its key.
pub async fn file(tx: &mut Tx, keys: &Keys, letters: &[Letter]) -> Result<Filed, Error> {
    // One letter twice in a batch is one letter; a statement may not touch a row twice.
    let mut ids = FxHashSet::default();
    let letters: Vec<&Letter> = letters.iter().filter(|letter| ids.insert(letter.id.as_str())).collect();
    if letters.is_empty() {
        return Ok(Filed::default());
    }
    let old = json_ids(ids.iter().copied());
    let known = tx.read("SELECT id FROM dead WHERE id IN (SELECT value ->> 0 FROM {rows})", &[old.into()]).await?.len();
    let first = place();
    let row = |(index, letter): (usize, &&Letter)| {
        let code = letter.faults.first().map(|fault| fault.code.to_string()).unwrap_or_default();
        // The second guard of lists: a sender may have named its file after a citizen.
        let faults = blank_numbers(&serde_json::to_string(&letter.faults).unwrap_or_default());
        json!([
            letter.id,
            letter.state.as_str(),
            letter.stage,
            letter.subscription,
            letter.partition_key,
            letter.event_id,
            letter.occurrence,
            letter.system,
            letter.bookdate,
            letter.dataset,
            code,
            faults,
            keys.seal(&letter.body),
            letter.place.unwrap_or(first + index as i64),
            letter.division
        ])
    };
    let rows: Vec<Value> = letters.iter().enumerate().map(row).collect();
    let sql = "INSERT INTO dead (id, state, stage, subscription, partition_key, event_id, occurrence, system, bookdate, dataset, code, faults, body, at, note, place, division) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, \
         value ->> 10, value ->> 11, value ->> 12, $2, '', CAST(value ->> 13 AS BIGINT), value ->> 14 FROM {rows} WHERE true \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, code = excluded.code, faults = excluded.faults, at = excluded.at \
         WHERE dead.state NOT IN ('parked', 'rejected') RETURNING id";
    let filed = tx.read(sql, &[Value::Array(rows).to_string().into(), clock::millis().into()]).await?;
    let filed: FxHashSet<String> = filed.iter().map(|row| row.text(0)).collect();
    let counted = letters.iter().filter(|letter| filed.contains(&letter.id));
    counted
        .filter_map(|letter| Some((Stage::parse(&letter.stage)?, letter.faults.first()?.code)))
        .for_each(|(stage, code)| record::dead_letter(stage, code));
    Ok(Filed { ids: filed, new: letters.len() - known })
}

/// Nanoseconds since 1970. Writing a batch takes longer than one nanosecond a letter, so places of one key grow.
fn place() -> i64 {
    i64::try_from(clock::now().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

/// Ids as the rows of a statement.
pub(crate) fn json_ids<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    Value::Array(ids.map(|id| json!([id])).collect()).to_string()
}

/// What a list shows of a letter: no body, no personal data.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub id: String,
    pub state: String,
    pub stage: String,
    pub subscription: String,
    pub event_id: String,
    pub system: String,
    pub date: String,
    pub dataset: String,
    pub code: String,
    pub faults: Value,
}

/// Which letters are meant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Filter {
    pub id: Option<String>,
    pub state: Option<String>,
    pub system: Option<String>,
    pub subscription: Option<String>,
    pub code: Option<String>,
    pub stage: Option<String>,
    pub dataset: Option<String>,
    /// Leading digits.
    pub division: Option<String>,
    pub limit: i64,
}

impl Filter {
    /// The condition over parameters `$1`..`$8`; an empty parameter does not restrict.
    pub(crate) const WHERE: &str = "($1 = '' OR id = $1) AND ($2 = '' OR state = $2) AND ($3 = '' OR system = $3) \
                                    AND ($4 = '' OR subscription = $4) AND ($5 = '' OR code = $5) AND ($6 = '' OR stage = $6) \
                                    AND ($7 = '' OR dataset = $7) AND ($8 = '' OR substr(division, 1, length($8)) = $8)";

    pub(crate) fn args(&self) -> Vec<crate::store::Arg> {
        [&self.id, &self.state, &self.system, &self.subscription, &self.code, &self.stage, &self.dataset, &self.division]
            .iter()
            .map(|part| part.as_deref().unwrap_or("").into())
            .collect()
    }
}

/// The letters that fit, those set aside longest ago first.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<Summary>, Error> {
    let sql = format!(
        "SELECT id, state, stage, subscription, event_id, system, bookdate, dataset, code, faults FROM dead WHERE {} ORDER BY at, id LIMIT $9",
        Filter::WHERE
    );
    let mut args = filter.args();
    args.push(filter.limit.into());
    Ok(store.read(&sql, &args).await?.iter().map(summary).collect())
}

/// Letters that failed in the same way.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    pub state: String,
    pub system: String,
    pub stage: String,
    pub subscription: String,
    pub dataset: String,
    pub code: String,
    pub letters: i64,
    /// When the first and the last were set aside.
    pub first: i64,
    pub last: i64,
}

/// What is set aside or on its way again, by kind, most letters first; of the divisions with these leading digits. Read from an
/// index alone.
pub async fn groups(store: &Store, division: &str, limit: i64) -> Result<Vec<Group>, Error> {
    let sql = "SELECT state, system, stage, subscription, dataset, code, COUNT(*), CAST(MIN(at) AS BIGINT), CAST(MAX(at) AS BIGINT) FROM dead \
               WHERE state IN ('parked', 'rejected', 'replaying', 'underway') AND ($1 = '' OR substr(division, 1, length($1)) = $1) \
               GROUP BY state, system, stage, subscription, dataset, code ORDER BY 7 DESC, system, code, state LIMIT $2";
    let group = |row: &Row| Group {
        state: row.text(0),
        system: row.text(1),
        stage: row.text(2),
        subscription: row.text(3),
        dataset: row.text(4),
        code: row.text(5),
        letters: row.int(6),
        first: row.int(7),
        last: row.int(8),
    };
    Ok(store.read(sql, &[division.into(), limit.into()]).await?.iter().map(group).collect())
}

/// How many letters wait for a decision in each county, by its six digits.
pub async fn by_county(store: &Store) -> Result<BTreeMap<String, i64>, Error> {
    let sql =
        "SELECT substr(division, 1, 6), COUNT(*) FROM dead WHERE state IN ('parked', 'rejected') GROUP BY substr(division, 1, 6)";
    Ok(store.read(sql, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect())
}

/// How many letters fit and are in one of the states (an SQL list, with further conditions if need be).
pub async fn count(store: &Store, filter: &Filter, states: &str) -> Result<i64, Error> {
    let sql = format!("SELECT COUNT(*) FROM dead WHERE {} AND state IN {states}", Filter::WHERE);
    Ok(store.read(&sql, &filter.args()).await?.first().map_or(0, |row| row.int(0)))
}

/// The body of a letter for human eyes: the structure is shown, every text and number of the record is masked.
pub async fn masked_body(store: &Store, keys: &Keys, id: &str) -> Result<Value, Error> {
    let rows = store.read("SELECT body, code FROM dead WHERE id = $1", &[id.into()]).await?;
    let Some(bytes) = rows.first().and_then(|row| keys.open(&row.text(0))) else { return Ok(Value::Null) };
    // Of what is no event the attributes are not to be trusted either.
    let is_event = rows.first().is_some_and(|row| row.text(1) != crate::router::NOT_AN_EVENT.to_string());
    Ok(masked(&bytes, is_event))
}

/// A message for human eyes, as in [`masked_body`].
pub fn masked(bytes: &[u8], is_event: bool) -> Value {
    let Ok(mut body) = serde_json::from_slice::<Value>(bytes) else {
        return json!(format!("{} bytes that are not JSON", bytes.len()));
    };
    match body.pointer_mut("/data/record").filter(|_| is_event) {
        Some(record) => mask(record),
        None => mask(&mut body),
    }
    // Keys of some sources are long enough to hold an identity number.
    if let Some(subject) = body.get_mut("subject").filter(|subject| subject.is_string()) {
        *subject = json!(blank_numbers(subject.as_str().unwrap_or_default()));
    }
    body
}

/// Keeps the shape and the length of texts, nothing of their content.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = format!("*** ({} characters)", text.chars().count()),
        Value::Number(_) => *value = json!("*** (number)"),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (at, (name, mut field)) in std::mem::take(fields).into_iter().enumerate() {
                mask(&mut field);
                let plain =
                    name.len() <= 64 && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
                let digits = name.bytes().filter(u8::is_ascii_digit).count();
                // A name that no programmer chose may be content.
                fields.insert(if plain && digits < 8 { name } else { format!("*** (name {})", at + 1) }, field);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn summary(row: &Row) -> Summary {
    Summary {
        id: row.text(0),
        state: row.text(1),
        stage: row.text(2),
        subscription: row.text(3),
        event_id: row.text(4),
        system: row.text(5),
        date: row.text(6),
        dataset: row.text(7),
        code: row.text(8),
        faults: serde_json::from_str(&row.text(9)).unwrap_or(Value::Null),
    }
}
