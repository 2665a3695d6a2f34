//! Expectation maximisation over patterns.

use super::{
    super::{
        compare::{MOST_LEVELS, levels},
        rules::Rules,
    },
    pairs::{NOTHING, Pattern, Patterns},
};

/// Chances by field and level.
pub(super) type Table = Vec<[f64; MOST_LEVELS]>;

const STEPS: usize = 60;
/// Seen as often where nothing was seen.
const LEAST_SEEN: f64 = 0.5;

/// m and u of every field.
pub(super) struct Chances {
    pub(super) m: Table,
    pub(super) u: Table,
}

impl Chances {
    /// Two records of one person mostly agree; more is not supposed.
    pub(super) fn start(rules: &Rules) -> Self {
        let mut m = vec![[0.0; MOST_LEVELS]; rules.fields.len()];
        for (row, field) in m.iter_mut().zip(&rules.fields) {
            let count = levels(field.kind).len();
            let mut share: f64 = 0.85;
            for slot in row.iter_mut().take(count) {
                *slot = share;
                share = (share * 0.3).max(0.005);
            }
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|chance| *chance /= sum);
        }
        Self { u: m.clone(), m }
    }

    /// u from random pairs, given the share of all pairs that are one person's.
    pub(super) fn learn_u(&mut self, rules: &Rules, random: &Patterns, share: f64) {
        let fields: Vec<usize> = (0..rules.fields.len()).collect();
        let weighed = random.sorted().into_iter().map(|(pattern, count)| {
            let one = if share > 0.0 { self.posterior(&pattern, &fields, share) } else { 0.0 };
            (pattern, count * (1.0 - one))
        });
        self.u = shares_of(rules, weighed.collect::<Vec<_>>().iter(), &fields);
    }

    /// Takes the m of some fields.
    pub(super) fn take_m(&mut self, m: &Table, fields: &[usize]) {
        for field in fields {
            self.m[*field] = m[*field];
        }
    }

    /// The chance that a pair is one person's.
    fn posterior(&self, pattern: &Pattern, fields: &[usize], share: f64) -> f64 {
        let (mut one, mut two) = (share, 1.0 - share);
        for field in fields {
            let level = pattern[*field];
            if level != NOTHING {
                one *= self.m[*field][usize::from(level)];
                two *= self.u[*field][usize::from(level)];
            }
        }
        if one + two > 0.0 { one / (one + two) } else { 0.0 }
    }

    /// How many pairs are one person's, and those patterns that surely are, by the given fields and without a veto.
    pub(super) fn certain(&self, rules: &Rules, all: &Patterns, fields: &[usize], least: f64) -> (f64, Patterns) {
        let (mut found, mut certain) = (0.0, Patterns::default());
        for (pattern, count) in all.sorted() {
            let vetoed = fields.iter().any(|field| rules.fields[*field].veto.contains(&pattern[*field]));
            // Among pairs of common keys one in ten or so is one person's.
            let one = self.posterior(&pattern, fields, 0.1);
            if one >= least && !vetoed {
                found += count * one;
                *certain.0.entry(pattern).or_default() += count;
            }
        }
        (found, certain)
    }
}

/// Fits the m of some fields to patterns with u as it is, and answers it with the number of pairs of one person.
pub(super) fn maximise(chances: &Chances, patterns: &Patterns, fields: &[usize], start: f64) -> (Table, f64) {
    let sorted = patterns.sorted();
    let total: f64 = sorted.iter().map(|(_, count)| count).sum();
    let mut state = Chances { m: chances.m.clone(), u: chances.u.clone() };
    let mut share = start;
    for _ in 0..STEPS {
        let mut sums = vec![[0.0; MOST_LEVELS]; state.m.len()];
        let mut matches = 0.0;
        for (pattern, count) in &sorted {
            let one = state.posterior(pattern, fields, share) * count;
            matches += one;
            for field in fields.iter().filter(|field| pattern[**field] != NOTHING) {
                sums[*field][usize::from(pattern[*field])] += one;
            }
        }
        for field in fields {
            normalise(&mut sums[*field], &state.m[*field]);
            state.m[*field] = sums[*field];
        }
        share = (matches / total).clamp(1e-6, 1.0 - 1e-6);
    }
    (state.m, share * total)
}

/// Counts to chances; nothing is impossible. Levels that the field lacks stay at 0.
fn normalise(row: &mut [f64; MOST_LEVELS], known: &[f64; MOST_LEVELS]) {
    for (slot, before) in row.iter_mut().zip(known) {
        *slot += if *before > 0.0 { LEAST_SEEN } else { 0.0 };
    }
    let sum: f64 = row.iter().sum();
    if sum > 0.0 {
        row.iter_mut().for_each(|count| *count /= sum);
    }
}

/// Shares of the levels among patterns.
pub(super) fn shares(rules: &Rules, patterns: &Patterns, fields: &[usize]) -> Table {
    shares_of(rules, patterns.sorted().iter(), fields)
}

fn shares_of<'a>(rules: &Rules, patterns: impl Iterator<Item = &'a (Pattern, f64)>, fields: &[usize]) -> Table {
    let mut table = vec![[0.0; MOST_LEVELS]; rules.fields.len()];
    for (pattern, count) in patterns {
        for field in fields.iter().filter(|field| pattern[**field] != NOTHING) {
            table[*field][usize::from(pattern[*field])] += count;
        }
    }
    for (row, field) in table.iter_mut().zip(&rules.fields) {
        let mut known = [0.0; MOST_LEVELS];
        known.iter_mut().take(levels(field.kind).len()).for_each(|slot| *slot = 1.0);
        normalise(row, &known);
    }
    table
}

/// Averages of m over blocking keys, each with the weight of the pairs it found.
pub(super) struct Sums {
    m: Table,
    weights: Vec<f64>,
}

impl Sums {
    pub(super) fn new(rules: &Rules) -> Self {
        Self { m: vec![[0.0; MOST_LEVELS]; rules.fields.len()], weights: vec![0.0; rules.fields.len()] }
    }

    pub(super) fn add(&mut self, m: &Table, fields: &[usize], weight: f64) {
        for field in fields {
            self.weights[*field] += weight;
            for (sum, chance) in self.m[*field].iter_mut().zip(m[*field]) {
                *sum += chance * weight;
            }
        }
    }

    /// Pairs of one person behind the best known field.
    pub(super) fn most(&self) -> f64 {
        self.weights.iter().copied().fold(0.0, f64::max)
    }

    /// Fields that no key leaves free keep what they had.
    pub(super) fn into_m(self, chances: &mut Chances) {
        for ((row, weight), slot) in self.m.iter().zip(self.weights).zip(&mut chances.m) {
            if weight > 0.0 {
                *slot = row.map(|sum| sum / weight);
            }
        }
    }
}
