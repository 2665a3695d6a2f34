//! Linking of a whole file: the same clusters in whatever order its records come.

use std::{cmp::Reverse, io::BufRead};

use rustc_hash::FxHashMap;

use super::{
    engine::{Engine, Linked, PersonNo},
    input::Names,
    model::{Model, Weights},
    record::{Raw, Record},
    rules::Rules,
    value::{Kind, Value, hash},
};
use crate::error::Fault;

/// Linked records.
pub struct Clusters {
    pub engine: Engine,
    /// The person of each record, in the order of the records.
    pub persons: Vec<PersonNo>,
    /// How each record found its person.
    pub linked: Vec<Linked>,
}

/// Reads NDJSON.
///
/// # Errors
/// A line that is no record, or an id that comes twice.
pub fn read(reader: impl BufRead, names: &Names) -> Result<Vec<Raw>, Fault> {
    let mut raws = Vec::new();
    for (number, line) in reader.split(b'\n').enumerate() {
        let line = line.map_err(|error| super::input::unreadable(&error))?;
        if !line.trim_ascii().is_empty() {
            raws.push(names.parse(&line, number as u64 + 1)?);
        }
    }
    super::input::refuse_doubles(&raws)?;
    Ok(raws)
}

/// Links records.
///
/// # Errors
/// The model does not fit the rules.
pub fn cluster(rules: &Rules, model: &Model, raws: &[Raw]) -> Result<Clusters, Fault> {
    let mut engine = Engine::new(rules.clone(), Weights::new(rules, model)?);
    let records: Vec<Record> = raws.iter().map(|raw| Record::of(rules, &raw.texts)).collect();
    // Terms are counted before the first comparison, or early records would be compared by other weights than late ones.
    engine.counts_terms = false;
    for record in &records {
        engine.judge.terms.count(&engine.judge.rules, record);
    }
    let mut linked: Vec<Option<Linked>> = vec![None; records.len()];
    for place in order(rules, raws, &records) {
        linked[place] = Some(engine.link(&records[place]));
    }
    engine.refine();
    let linked: Vec<Linked> = linked.into_iter().flatten().collect();
    let persons = linked.iter().map(|linked| engine.root(linked.person)).collect();
    Ok(Clusters { engine, persons, linked })
}

/// Good numbers first, those that most records have under the same name before others; then what says most. What is
/// left to compare depends on the contents only, and on the id where even those are equal.
fn order(rules: &Rules, raws: &[Raw], records: &[Record]) -> Vec<usize> {
    let (number, name) = (rules.of_kind(Kind::Number), rules.of_kind(Kind::Name));
    let held = |record: &Record| {
        let sound = name.and_then(|name| record.values[name].as_ref()).map_or(0, sorted);
        record.strong(number).map(|number| (number, sound))
    };
    let mut support: FxHashMap<(u64, u64), u32> = FxHashMap::default();
    for record in records {
        if let Some(held) = held(record) {
            *support.entry(held).or_default() += 1;
        }
    }
    // Whose number it rather is: of two names under one number the one that more records have, else the one with the greater hash.
    let mut owner: FxHashMap<u64, (u32, u64)> = FxHashMap::default();
    for ((number, sound), count) in &support {
        let best = owner.entry(*number).or_default();
        *best = (*best).max((*count, *sound));
    }
    // The others wait until everybody else is known: then it shows whether the name is a slip or the number a brother's.
    let waits = |record: &Record| held(record).is_some_and(|(number, sound)| owner[&number].1 != sound);
    let terms = |record: &Record| record.values.iter().map(|value| value.as_ref().map(Value::term)).collect::<Vec<_>>();
    let rank = |place: &usize| {
        let record = &records[*place];
        let support = held(record).map_or(0, |held| support[&held]);
        (waits(record), Reverse(support), Reverse(record.filled()), hash(&terms(record)), raws[*place].id.as_str())
    };
    let mut places: Vec<usize> = (0..records.len()).collect();
    places.sort_by_cached_key(rank);
    places
}

fn sorted(value: &Value) -> u64 {
    match value {
        Value::Name(name) => name.sorted,
        other => other.term(),
    }
}

impl Clusters {
    /// The records of each person, both in the order of the records.
    pub fn members(&self) -> FxHashMap<PersonNo, Vec<usize>> {
        let mut members: FxHashMap<PersonNo, Vec<usize>> = FxHashMap::default();
        for (record, person) in self.persons.iter().enumerate() {
            members.entry(*person).or_default().push(record);
        }
        members
    }

    /// The id of each record's cluster: the least id of its records, whatever their order.
    pub fn ids<'a>(&self, raws: &'a [Raw]) -> Vec<&'a str> {
        let mut least: FxHashMap<PersonNo, &str> = FxHashMap::default();
        for (raw, person) in raws.iter().zip(&self.persons) {
            let id = least.entry(*person).or_insert(&raw.id);
            *id = (*id).min(&raw.id);
        }
        self.persons.iter().map(|person| least[person]).collect()
    }
}
