//! How fast records of people find their persons in the index of a store, and where the time goes.

use std::{collections::HashMap, time::Instant};

use serde::Serialize;

use super::{
    meter::Meter,
    people::{self, Entry, Scores},
};
use crate::{
    envelope::{ContentHash, EventId, PersonKey},
    error::Fault,
    identity::{IdentityKeys, PersonIndex, PersonQuery, StoreIndex, timings::Part},
    store::{Error, Store},
};

/// The index of a measurement has keys of its own, always the same: a measurement that was broken off can be taken up.
const KEYS: ([u8; 32], [u8; 32]) = ([11; 32], [12; 32]);

/// What a measurement came to.
#[derive(Debug, Serialize)]
pub struct Indexing {
    pub records: usize,
    pub persons: i64,
    pub seconds: f64,
    pub records_per_second: f64,
    /// Of this process; what the database used comes on top.
    pub records_per_cpu_second: f64,
    pub open_reviews: i64,
    pub merges: i64,
    pub split: Vec<Share>,
    pub scores: Scores,
    /// Of the index in memory, without what is kept ready of the persons who were needed last.
    pub bytes_per_person: usize,
}

/// Where time went.
#[derive(Debug, Serialize)]
pub struct Share {
    pub part: &'static str,
    pub seconds: f64,
    pub percent: f64,
}

/// Brings so many records into the index of a store, in batches; `tell` hears of each.
///
/// # Errors
/// The store failed, or it holds the index of a hub.
pub async fn run(url: &str, records: usize, seed: u64, batch: usize, tell: &(dyn Fn(usize) + Sync)) -> Result<Indexing, Fault> {
    let store = Store::open(url).await.map_err(|error| error.fault())?;
    store.migrate().await.map_err(|error| error.fault())?;
    let index = StoreIndex::new(store.clone(), IdentityKeys::new(KEYS.0, KEYS.1))?;
    index.prepare(&|_, _| {}).await.map_err(|error| error.fault())?;
    let people = people::draw(records, seed);
    let queries: Vec<PersonQuery> = people.entries.iter().map(query).collect();
    let (started, meter) = (Instant::now(), Meter::start());
    let mut keys: Vec<PersonKey> = Vec::with_capacity(queries.len());
    for chunk in queries.chunks(batch.max(1)) {
        let answers = index.resolve(chunk).await.map_err(|error| error.fault())?;
        keys.extend(answers.into_iter().map(|answer| answer.key));
        tell(keys.len());
    }
    let seconds = started.elapsed().as_secs_f64();
    let measure = meter.stop(queries.len() as u64);
    let clusters = clusters(&store, &keys).await.map_err(|error| error.fault())?;
    let split = Part::ALL.map(|part| share(part, index.timings.of(part).as_secs_f64(), seconds));
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
    let rate = queries.len() as f64 / seconds.max(f64::MIN_POSITIVE);
    let count = async |sql: &str| store.read(sql, &[]).await.map(|rows| rows.first().map_or(0, |row| row.int(0)));
    let failed = |error: Error| error.fault();
    Ok(Indexing {
        records,
        persons: count("SELECT COUNT(*) FROM person WHERE state = 'active'").await.map_err(failed)?,
        seconds,
        records_per_second: rate,
        records_per_cpu_second: 1e6 / measure.cpu_seconds_per_million,
        open_reviews: count("SELECT COUNT(*) FROM review_item WHERE state = 'open'").await.map_err(failed)?,
        merges: count("SELECT COUNT(*) FROM person_redirect").await.map_err(failed)?,
        split: split.into(),
        scores: people::score(&people, &clusters),
        bytes_per_person: index.bytes_per_person().await,
    })
}

fn share(part: Part, spent: f64, all: f64) -> Share {
    Share { part: part.as_str(), seconds: spent, percent: spent * 100.0 / all.max(f64::MIN_POSITIVE) }
}

/// The person of each record as the index has it at the end, as a number.
async fn clusters(store: &Store, keys: &[PersonKey]) -> Result<Vec<usize>, Error> {
    let rows = store.read("SELECT old_key, new_key FROM person_redirect", &[]).await?;
    let redirects: HashMap<String, String> = rows.iter().map(|row| (row.text(0), row.text(1))).collect();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let today = |key: &PersonKey| redirects.get(key.as_str()).cloned().unwrap_or_else(|| key.as_str().to_owned());
    let current: Vec<String> = keys.iter().map(today).collect();
    Ok(current
        .iter()
        .map(|key| {
            let next = numbers.len();
            *numbers.entry(key.as_str()).or_insert(next)
        })
        .collect())
}

fn query(entry: &Entry) -> PersonQuery {
    let content = ContentHash::of(&serde_json::Value::Null);
    PersonQuery {
        system: entry.system.into(),
        reference: entry.record_id.clone(),
        name: entry.name.clone(),
        number: entry.id_number.clone(),
        birth_date: entry.birth_date.clone(),
        sex: entry.sex.clone(),
        address: entry.address.clone(),
        phone: entry.phone.clone(),
        event: EventId::derive(&entry.system.into(), "person", &entry.record_id, &content, 0),
    }
}
