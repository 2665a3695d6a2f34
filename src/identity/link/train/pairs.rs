//! Pairs to learn from, as counted patterns of levels.

use rustc_hash::FxHashMap;

use super::super::{
    Record,
    compare::{self, Level, SWAPPED, compare},
    rules::{MOST_FIELDS, Rules},
    value::{Kind, hash},
};

/// In the place of a level where nothing can be compared.
pub(super) const NOTHING: Level = Level::MAX;
const RANDOM_PAIRS: u64 = 500_000;
/// Pairs of one blocking key.
const MOST_PAIRS: usize = 200_000;
/// Records under one key; longer lists are no sign of one person.
const LONGEST_LIST: usize = 40;

/// One level for each field.
pub(super) type Pattern = [Level; MOST_FIELDS];

/// How often each pattern was seen.
#[derive(Debug, Default)]
pub(super) struct Patterns(pub(super) FxHashMap<Pattern, f64>);

impl Patterns {
    pub(super) fn total(&self) -> f64 {
        self.0.values().sum()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        for (pattern, count) in &other.0 {
            *self.0.entry(*pattern).or_default() += count;
        }
    }

    fn see(&mut self, pattern: Pattern) {
        *self.0.entry(pattern).or_default() += 1.0;
    }

    /// In one order always: sums of fractions depend on it.
    pub(super) fn sorted(&self) -> Vec<(Pattern, f64)> {
        let mut sorted: Vec<_> = self.0.iter().map(|(pattern, count)| (*pattern, *count)).collect();
        sorted.sort_unstable_by_key(|(pattern, _)| *pattern);
        sorted
    }
}

/// All that is learned from.
pub(super) struct Sample {
    pub(super) random: Patterns,
    pub(super) by_key: Vec<Patterns>,
    /// Pairs with one strong number.
    pub(super) anchored: Patterns,
    pub(super) number: Option<usize>,
    /// Pairs that the records have at all.
    pub(super) pairs: f64,
}

impl Sample {
    pub(super) fn of(rules: &Rules, records: &[Record]) -> Self {
        let number = rules.of_kind(Kind::Number);
        #[allow(clippy::cast_precision_loss, reason = "a count of pairs, for a share")]
        let count = records.len() as f64;
        let mut sample = Self {
            random: random(rules, records),
            by_key: Vec::new(),
            anchored: Patterns::default(),
            number,
            pairs: (count * (count - 1.0) / 2.0).max(1.0),
        };
        for key in &rules.keys {
            let mut hashes = Vec::new();
            let mut lists: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
            for (place, record) in records.iter().enumerate() {
                super::super::keys::keys(std::slice::from_ref(key), record, &mut hashes);
                for hash in &hashes {
                    lists.entry(*hash).or_default().push(place);
                }
            }
            sample.by_key.push(listed(rules, records, lists));
        }
        if number.is_some() {
            let mut lists: FxHashMap<u64, Vec<usize>> = FxHashMap::default();
            for (place, record) in records.iter().enumerate() {
                if let Some(number) = record.strong(number) {
                    lists.entry(number).or_default().push(place);
                }
            }
            sample.anchored = listed(rules, records, lists);
        }
        sample
    }
}

/// All pairs of each list, lists in the order of their hashes until there are enough.
fn listed(rules: &Rules, records: &[Record], lists: FxHashMap<u64, Vec<usize>>) -> Patterns {
    let mut lists: Vec<_> = lists.into_iter().filter(|(_, list)| (2..=LONGEST_LIST).contains(&list.len())).collect();
    lists.sort_unstable();
    let mut patterns = Patterns::default();
    let mut pairs = 0;
    for (_, list) in lists {
        for (place, one) in list.iter().enumerate() {
            for other in &list[place + 1..] {
                patterns.see(pattern(rules, &records[*one], &records[*other]));
                pairs += 1;
            }
        }
        if pairs >= MOST_PAIRS {
            break;
        }
    }
    patterns
}

/// Reproducible chance: the places are hashes of running numbers.
fn random(rules: &Rules, records: &[Record]) -> Patterns {
    let mut patterns = Patterns::default();
    let count = records.len() as u64;
    if count < 2 {
        return patterns;
    }
    let place = |seed: u64| usize::try_from((u128::from(hash(&seed)) * u128::from(count)) >> 64).unwrap_or(0);
    for number in 0..RANDOM_PAIRS {
        let (one, other) = (place(number * 2), place(number * 2 + 1));
        if one != other {
            patterns.see(pattern(rules, &records[one], &records[other]));
        }
    }
    patterns
}

fn pattern(rules: &Rules, one: &Record, other: &Record) -> Pattern {
    let mut pattern = [NOTHING; MOST_FIELDS];
    for (place, field) in rules.fields.iter().enumerate() {
        let (Some(left), Some(right)) = (&one.values[place], &other.values[place]) else { continue };
        let Some(mut level) = compare(field.kind, left, right) else { continue };
        if let Some(partner) = field.swap_with.filter(|_| level > SWAPPED && field.kind == Kind::Text)
            && let (Some(mine), Some(theirs)) = (&one.values[partner], &other.values[partner])
            && compare::is_near(left, theirs)
            && compare::is_near(mine, right)
        {
            level = SWAPPED;
        }
        pattern[place] = field.fold[usize::from(level)];
    }
    pattern
}
