//! How fast records of people are linked in memory, how well, and whether it stays so when there are many.

use serde::Serialize;

use super::{
    meter::Meter,
    people::{self, People, Scores, agreement},
};
use crate::{
    error::Fault,
    identity::link::{Engine, Model, Raw, Record, Rules, Weights, batch},
};

/// Records whose time is taken at each size.
const WINDOW: usize = 100_000;

/// What linking of one set of records came to.
#[derive(Debug, Serialize)]
pub struct Linking {
    pub records: usize,
    pub persons: u64,
    /// As records come, in any order: standardising included.
    pub stream: Part,
    /// The whole file at once, with second looks.
    pub batch: Part,
    pub bytes_per_person: usize,
    /// Times that a person was left out because a blocking key was full.
    pub overflow: u64,
    pub model: String,
}

/// One way of linking.
#[derive(Debug, Serialize)]
pub struct Part {
    pub records_per_cpu_second: f64,
    pub comparisons_per_record: f64,
    /// Questions for a human, for each hundred records.
    pub questions_percent: f64,
    pub scores: Scores,
    /// F1 between the partitions of this order of arrival and of the opposite one.
    pub order_f1: f64,
}

/// One size of a growing index.
#[derive(Debug, Serialize)]
pub struct Growth {
    pub records: usize,
    /// CPU time of a record, over the last hundred thousand.
    pub microseconds: f64,
    pub bytes_per_person: usize,
}

/// Links `records` records drawn with `seed` as a stream and as a batch.
///
/// # Errors
/// Rules and model do not fit.
pub fn run(rules: &Rules, model: &Model, records: usize, seed: u64) -> Result<Linking, Fault> {
    let people = people::draw(records, seed);
    let mut raws = raws(rules, &people);
    let meter = Meter::start();
    let (engine, streamed) = stream(rules, model, &raws)?;
    let stream_rate = rate(&meter, records);
    let meter = Meter::start();
    let clusters = batch::cluster(rules, model, &raws)?;
    let batch_rate = rate(&meter, records);
    raws.reverse();
    let backwards = |mut persons: Vec<u32>| {
        persons.reverse();
        persons
    };
    let stream_order = agreement(&streamed, &backwards(self::stream(rules, model, &raws)?.1));
    let batch_order = agreement(&clusters.persons, &backwards(batch::cluster(rules, model, &raws)?.persons));
    let stream = part(&engine, (stream_rate, stream_order), people::score(&people, &streamed), records);
    let batch = part(&clusters.engine, (batch_rate, batch_order), people::score(&people, &clusters.persons), records);
    Ok(Linking {
        records,
        persons: people.persons,
        stream,
        batch,
        bytes_per_person: engine.bytes() / engine.len().max(1),
        overflow: engine.overflow(),
        model: model.version.clone(),
    })
}

/// One record after the other.
fn stream(rules: &Rules, model: &Model, raws: &[Raw]) -> Result<(Engine, Vec<u32>), Fault> {
    let mut engine = Engine::new(rules.clone(), Weights::new(rules, model)?);
    let linked: Vec<u32> = raws.iter().map(|raw| engine.link(&Record::of(rules, &raw.texts)).person).collect();
    let persons = linked.into_iter().map(|person| engine.root(person)).collect();
    Ok((engine, persons))
}

/// Lets an index grow through the sizes and takes the time at each.
///
/// # Errors
/// Rules and model do not fit.
pub fn grow(rules: &Rules, model: &Model, sizes: &[usize], seed: u64, tell: &dyn Fn(usize)) -> Result<Vec<Growth>, Fault> {
    let people = people::draw(sizes.iter().copied().max().unwrap_or_default(), seed);
    let raws = raws(rules, &people);
    let mut engine = Engine::new(rules.clone(), Weights::new(rules, model)?);
    let mut growth = Vec::new();
    let mut next = 0;
    for size in sizes {
        let window = size.saturating_sub(WINDOW).max(next);
        for raw in raws.get(next..window).unwrap_or_default() {
            engine.link(&Record::of(rules, &raw.texts));
        }
        let meter = Meter::start();
        for raw in raws.get(window..*size).unwrap_or_default() {
            engine.link(&Record::of(rules, &raw.texts));
        }
        let microseconds = 1e6 / rate(&meter, size - window);
        growth.push(Growth { records: *size, microseconds, bytes_per_person: engine.bytes() / engine.len().max(1) });
        next = *size;
        tell(next);
    }
    Ok(growth)
}

/// The entries as records of the built-in rules.
fn raws(rules: &Rules, people: &People) -> Vec<Raw> {
    let texts = |entry: &people::Entry| {
        let text = |name: &str| match name {
            "name" => entry.name.clone(),
            "id_number" => entry.id_number.clone(),
            "birth_date" => entry.birth_date.clone(),
            "sex" => entry.sex.clone(),
            "address" => entry.address.clone(),
            "phone" => entry.phone.clone(),
            _ => None,
        };
        rules.fields.iter().map(|field| text(&field.name)).collect()
    };
    let raw = |entry: &people::Entry| Raw { id: entry.record_id.clone(), system: entry.system.to_owned(), texts: texts(entry) };
    people.entries.iter().map(raw).collect()
}

fn rate(meter: &Meter, records: usize) -> f64 {
    1e6 / meter.stop(records as u64).cpu_seconds_per_million
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
fn part(engine: &Engine, (rate, order_f1): (f64, f64), scores: Scores, records: usize) -> Part {
    Part {
        records_per_cpu_second: rate,
        comparisons_per_record: engine.counts.comparisons as f64 / records as f64,
        questions_percent: engine.questions.len() as f64 * 100.0 / records as f64,
        scores,
        order_f1,
    }
}
