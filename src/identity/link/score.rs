//! The weight of evidence that two are one.

use rustc_hash::FxHashMap;

use super::{
    compare::{self, Level, SWAPPED, compare, levels},
    model::Weights,
    profile::Holds,
    rules::{Field, MOST_FIELDS, Rules, Speaks},
    value::{Kind, Value},
};
use crate::identity::number::Class;

/// Records for which the model's average frequency counts beside the counted one.
const TRUST_IN_AVERAGE: f32 = 1_000.0;
/// How much of a term's rarity counts when the two are only similar.
const SIMILAR: f32 = 0.5;

/// How often each value of a field was seen.
#[derive(Debug, Default)]
pub struct Terms {
    counts: Vec<FxHashMap<u64, u32>>,
    records: Vec<u32>,
}

impl Terms {
    pub fn new(rules: &Rules) -> Self {
        Self { counts: vec![FxHashMap::default(); rules.fields.len()], records: vec![0; rules.fields.len()] }
    }

    /// Counts the values of a record.
    pub fn count(&mut self, rules: &Rules, record: &super::Record) {
        for (field, value) in record.values.iter().enumerate() {
            if let (Some(value), true) = (value, rules.fields[field].terms) {
                *self.counts[field].entry(value.term()).or_default() += 1;
                self.records[field] += 1;
            }
        }
    }

    /// What was counted elsewhere: so many records have a value in the field, so many of them this one.
    pub fn know(&mut self, field: usize, term: u64, count: u32, records: u32) {
        self.counts[field].insert(term, count);
        self.records[field] = records;
    }

    #[allow(clippy::cast_precision_loss, reason = "frequencies need no more than six digits")]
    fn frequency(&self, field: usize, term: u64, average: f32) -> f32 {
        let count = self.counts[field].get(&term).copied().unwrap_or(0) as f32;
        (count + TRUST_IN_AVERAGE * average) / (self.records[field] as f32 + TRUST_IN_AVERAGE)
    }
}

/// The evidence of one pair, field by field.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    /// All of it, correlated fields counted in part.
    pub bits: f32,
    /// What speaks of the person and not only of the household.
    pub person: f32,
    /// By field; no level where nothing can be compared.
    pub levels: [Option<Level>; MOST_FIELDS],
    pub by_field: [f32; MOST_FIELDS],
    /// A level at which only an equal number links.
    pub vetoed: bool,
    /// The same, of fields other than the number.
    pub other_veto: bool,
    /// The two have different strong numbers.
    pub two_numbers: bool,
    /// Their numbers contradict one another, strong or not.
    pub conflict: bool,
    /// Name and birthday only speak for it, and the name is another or the household's fields are against: so namesakes
    /// look.
    pub alone: bool,
    /// None of the fields that must speak for it does.
    pub lacks_need: bool,
}

/// Whether an equal number is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Nothing contradicts.
    Sure,
    /// The name is a little different: a slip, or a brother's number.
    Slip,
    /// The name can be read in part only, and nothing vouches for the number: it may be a twin's.
    Unread,
    /// The number is somebody else's.
    Clash,
}

/// Compares by rules and weights.
#[derive(Debug)]
pub struct Judge {
    pub rules: Rules,
    pub weights: Weights,
    pub terms: Terms,
    /// The field of identity numbers.
    pub number: Option<usize>,
}

impl Judge {
    pub fn new(rules: Rules, weights: Weights) -> Self {
        Self { number: rules.of_kind(Kind::Number), terms: Terms::new(&rules), rules, weights }
    }

    /// The evidence for one person. `with_number` says whether the identity number is evidence at all.
    pub fn score(&self, one: &impl Holds, other: &impl Holds, with_number: bool) -> Score {
        let mut score = Score::default();
        for (place, field) in self.rules.fields.iter().enumerate() {
            if Some(place) == self.number && !with_number {
                continue;
            }
            if let Some((level, bits)) = self.field(place, field, one, other) {
                (score.levels[place], score.by_field[place]) = (Some(level), bits);
            }
        }
        self.sum(&mut score);
        self.guard(&mut score, one, other);
        score
    }

    /// The best pair of values.
    fn field(&self, place: usize, field: &Field, one: &impl Holds, other: &impl Holds) -> Option<(Level, f32)> {
        let mut best: Option<(Level, f32)> = None;
        for left in one.each(place) {
            for right in other.each(place) {
                let Some(mut level) = compare(field.kind, left, right) else { continue };
                if let Some(partner) = field.swap_with.filter(|_| level > compare::SWAPPED && field.kind == Kind::Text)
                    && is_swapped(place, partner, one, other)
                {
                    level = SWAPPED;
                }
                let level = field.fold[usize::from(level)];
                let bits = self.bits(place, field, level, left, right);
                if best.is_none_or(|(_, most)| bits > most) {
                    best = Some((level, bits));
                }
            }
        }
        best
    }

    fn bits(&self, place: usize, field: &Field, level: Level, left: &Value, right: &Value) -> f32 {
        let bits = self.weights.bits[place][usize::from(level)];
        let average = self.weights.equal[place];
        if !field.terms || bits <= 0.0 || average <= 0.0 {
            return bits;
        }
        let frequency = |value: &Value| self.terms.frequency(place, value.term(), average);
        match level {
            0 => bits + (average / frequency(left)).log2(),
            _ => (bits + SIMILAR * (average / frequency(left).max(frequency(right))).log2()).max(0.0),
        }
    }

    fn sum(&self, score: &mut Score) {
        score.bits = score.by_field.iter().sum();
        for (one, other, rest) in &self.rules.correlated {
            let (left, right) = (score.by_field[*one], score.by_field[*other]);
            if left * right > 0.0 {
                let weaker = if left.abs() < right.abs() { left } else { right };
                score.bits -= (1.0 - rest) * weaker;
            }
        }
        for (field, bits) in self.rules.fields.iter().zip(score.by_field) {
            if field.speaks_of == Speaks::Person {
                score.person += bits.max(0.0);
            }
        }
    }

    fn guard(&self, score: &mut Score, one: &impl Holds, other: &impl Holds) {
        let number = self.number.and_then(|place| score.levels[place]);
        score.conflict = number.is_some_and(|level| level >= CONFLICT);
        if let Some(place) = self.number {
            score.two_numbers = two_numbers(place, one, other);
        }
        let vetoes = |place: usize| score.levels[place].is_some_and(|level| self.rules.fields[place].veto.contains(&level));
        let clashes = |place: usize| score.levels[place].is_some_and(|level| self.rules.fields[place].clash.contains(&level));
        let mut places = 0..self.rules.fields.len();
        score.other_veto = places.clone().any(|place| Some(place) != self.number && vetoes(place));
        let household = self.rules.fields.iter().zip(score.by_field).filter(|(field, _)| field.speaks_of == Speaks::Household);
        let (mut at_home, mut against) = (false, 0.0);
        for (_, bits) in household {
            at_home |= bits > 0.0;
            against -= bits.min(0.0);
        }
        let by_own_number = self.number.is_some_and(|place| score.by_field[place] > 0.0);
        let same_name = self.rules.of_kind(Kind::Name).is_none_or(|name| score.levels[name] == Some(0));
        score.alone = !at_home && !by_own_number && (against >= self.rules.decide.against || !same_name);
        // A number without a good check digit that contradicts an equal name at one address or telephone is a slip; two good ones are a guard of their own.
        let unread = number.is_some_and(|level| level <= 1) && self.is_unread(one, other);
        let by_number =
            self.number.is_some_and(vetoes) && !(same_name && number == Some(SIBLING) && at_home && !score.two_numbers);
        score.vetoed = by_number || unread || places.any(clashes) || (score.other_veto && number != Some(0));
        let needed = &self.rules.decide.needed;
        score.lacks_need = !needed.is_empty() && needed.iter().all(|place| score.by_field[*place] <= 0.0);
    }

    /// Whether the names are known in part only, and nothing vouches for the number beside them.
    fn is_unread(&self, one: &impl Holds, other: &impl Holds) -> bool {
        let vouching = &self.rules.decide.vouching;
        let Some(name) = self.rules.of_kind(Kind::Name).filter(|_| !vouching.is_empty()) else { return false };
        // Of several names one that is read in full is enough.
        let least = |place: usize| {
            let kind = self.rules.fields[place].kind;
            let pairs = one.each(place).flat_map(|left| other.each(place).filter_map(move |right| compare(kind, left, right)));
            pairs.min()
        };
        least(name) == Some(WILD) && vouching.iter().all(|place| least(*place) != Some(0))
    }

    /// What an equal number is worth beside the other fields.
    pub fn belief(&self, one: &impl Holds, other: &impl Holds) -> Belief {
        let mut belief = Belief::Sure;
        let mut against = false;
        for (place, field) in self.rules.fields.iter().enumerate().filter(|(place, _)| Some(*place) != self.number) {
            match self.field(place, field, one, other) {
                Some((level, _)) if field.clash.contains(&level) => return Belief::Clash,
                Some((level, _)) if field.veto.contains(&level) => belief = Belief::Slip,
                Some((_, bits)) => against |= bits < 0.0 && field.speaks_of != Speaks::Household,
                None => {}
            }
        }
        // Another birthday or sex beside another name: it is the number that is wrong.
        match belief {
            Belief::Slip if against => Belief::Clash,
            Belief::Sure if self.is_unread(one, other) => Belief::Unread,
            belief => belief,
        }
    }

    /// Field by field, for people who ask why.
    pub fn explain(&self, score: &Score) -> Vec<(String, &'static str, f32)> {
        let fields = self.rules.fields.iter().enumerate();
        let known = fields.filter_map(|(place, field)| Some((field, score.levels[place]?, score.by_field[place])));
        known.map(|(field, level, bits)| (field.name.clone(), levels(field.kind)[usize::from(level)], bits)).collect()
    }
}

/// The level from which two identity numbers are two persons'.
const CONFLICT: Level = 4;
/// The level of a name that is known in part only.
const WILD: Level = 4;
const SIBLING: Level = 5;

fn is_swapped(place: usize, partner: usize, one: &impl Holds, other: &impl Holds) -> bool {
    let near = |left: usize, right: usize| one.each(left).any(|l| other.each(right).any(|r| compare::is_near(l, r)));
    near(place, partner) && near(partner, place)
}

/// Whether both have strong numbers and none in common.
pub fn two_numbers(place: usize, one: &impl Holds, other: &impl Holds) -> bool {
    let strong = |value: &&Value| matches!(value, Value::Number(number) if number.class == Class::Strong);
    let mut any = false;
    for left in one.each(place).filter(strong) {
        for right in other.each(place).filter(strong) {
            if left == right {
                return false;
            }
            any = true;
        }
    }
    any
}
