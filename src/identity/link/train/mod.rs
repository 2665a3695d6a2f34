//! Fitting m and u without knowing who is who.
//!
//! u comes from random pairs, each weighed by the chance that it is not one person after all. m comes, where there are
//! strong numbers, from pairs that share one (and the number's own m from pairs that everything else makes certain);
//! else from expectation maximisation over the pairs of each blocking key, for the fields that the key is not made of.

mod em;
mod pairs;

use std::collections::BTreeMap;

use self::{
    em::{Chances, maximise},
    pairs::{Patterns, Sample},
};
use super::{
    Record,
    compare::levels,
    model::{Chance, Model},
    record::Raw,
    rules::Rules,
    value::hash,
};
use crate::error::{Code, Fault};

/// There are too few records or pairs to learn from.
pub const TOO_LITTLE: Code = Code::new(5405);

/// So many pairs with one strong number make the others superfluous.
const ENOUGH_ANCHORS: f64 = 300.0;
/// Fewer pairs of one person teach nothing.
const ENOUGH_PAIRS: f64 = 20.0;
const ROUNDS: usize = 4;
/// A pair is taken for one person's at this chance.
const CERTAIN: f64 = 0.99;

/// Fits a model. `version` names it; without one it is named after the rules and its contents.
///
/// # Errors
/// Too few records, or hardly any two of them are of one person.
pub fn train(rules: &Rules, raws: &[Raw], version: Option<&str>) -> Result<Model, Fault> {
    // Values that a number gives would agree with it always.
    let records: Vec<Record> = raws.iter().map(|raw| Record::as_stated(rules, &raw.texts)).collect();
    let sample = Sample::of(rules, &records);
    let mut chances = Chances::start(rules);
    chances.learn_u(rules, &sample.random, 0.0);
    let anchored = sample.anchored.total() >= ENOUGH_ANCHORS;
    for _ in 0..ROUNDS {
        let share = if anchored { by_anchors(rules, &sample, &mut chances) } else { by_keys(rules, &sample, &mut chances)? };
        chances.learn_u(rules, &sample.random, share);
    }
    Ok(model(rules, &chances, raws.len(), anchored, version))
}

/// Answers the share of all pairs that are one person's.
fn by_anchors(rules: &Rules, sample: &Sample, chances: &mut Chances) -> f64 {
    let number = sample.number;
    let others: Vec<usize> = (0..rules.fields.len()).filter(|field| Some(*field) != number).collect();
    let (m, _) = maximise(chances, &sample.anchored, &others, 0.95);
    chances.take_m(&m, &others);
    let all = sample.all();
    let (found, certain) = chances.certain(rules, &all, &others, CERTAIN);
    if let Some(number) = number {
        chances.take_m(&em::shares(rules, &certain, &[number]), &[number]);
    }
    found / sample.pairs
}

fn by_keys(rules: &Rules, sample: &Sample, chances: &mut Chances) -> Result<f64, Fault> {
    let mut sums = em::Sums::new(rules);
    for (key, patterns) in rules.keys.iter().zip(&sample.by_key) {
        let others: Vec<usize> = (0..rules.fields.len()).filter(|field| !key.uses(*field)).collect();
        if patterns.total() < ENOUGH_PAIRS || others.is_empty() {
            continue;
        }
        let (m, matches) = maximise(chances, patterns, &others, 0.5);
        sums.add(&m, &others, matches);
    }
    if sums.most() < ENOUGH_PAIRS {
        let fault = Fault::new(TOO_LITTLE, "the records show too few pairs of one person").expected("20 pairs at least");
        return Err(fault.hint("train on a larger file, or check the blocking keys of the rules"));
    }
    sums.into_m(chances);
    let every: Vec<usize> = (0..rules.fields.len()).collect();
    Ok(chances.certain(rules, &sample.all(), &every, 0.5).0 / sample.pairs)
}

fn model(rules: &Rules, chances: &Chances, records: usize, anchored: bool, version: Option<&str>) -> Model {
    let mut fields = BTreeMap::new();
    for (place, field) in rules.fields.iter().enumerate() {
        let used = levels(field.kind).iter().enumerate().filter(|(level, _)| usize::from(field.fold[*level]) == *level);
        let of = |level: usize| Chance { m: round(chances.m[place][level]), u: round(chances.u[place][level]) };
        fields.insert(field.name.clone(), used.map(|(level, name)| ((*name).to_owned(), of(level))).collect());
    }
    let method = if anchored { "anchored" } else { "em" }.to_owned();
    let mut model = Model { version: String::new(), rules: rules.version.clone(), records: records as u64, method, fields };
    let name = || format!("{}-{:08x}", rules.version, hash(&model.text()) >> 32);
    model.version = version.map_or_else(name, str::to_owned);
    model
}

/// Four digits are more than a chance from a sample is worth.
fn round(chance: f64) -> f64 {
    format!("{chance:.3e}").parse().unwrap_or(chance)
}

impl Sample {
    /// Patterns of all keys together.
    fn all(&self) -> Patterns {
        let mut all = Patterns::default();
        for patterns in &self.by_key {
            all.extend(patterns);
        }
        all
    }
}
