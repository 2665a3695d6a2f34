//! The linking engine: one record after the other finds its person, or becomes a new one.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    blocks::{Blocks, Ranking},
    keys,
    model::Weights,
    profile::Profile,
    record::Record,
    rules::Rules,
    score::{Belief, Judge, Score, two_numbers},
    value::Value,
};
use crate::identity::number::Class;

/// Persons with another strong number are compared when they share so many keys.
const NEAR: u32 = 4;

/// Place of a person. The older of two has the lower one, and keeps it when they are merged.
pub type PersonNo = u32;

/// A person.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// Shared with whoever keeps the person while the engine is only for some of all persons.
    pub profile: Arc<Profile>,
    pub records: u32,
    /// The person that this one turned out to be.
    pub merged_into: Option<PersonNo>,
}

/// Why a human is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Evidence between the thresholds, or from the household only.
    Uncertain,
    /// Two persons fit and cannot both be it.
    Ambiguous,
    /// Two different valid numbers with much else in common.
    TwoValidNumbers,
    /// A number that somebody with another name holds.
    NumberHeldByOtherName,
}

impl Reason {
    /// The word in lists and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uncertain => "uncertain-match",
            Self::Ambiguous => "ambiguous",
            Self::TwoValidNumbers => "two-valid-numbers",
            Self::NumberHeldByOtherName => "number-held-by-other-name",
        }
    }
}

/// A question for a human: whether two persons are one.
#[derive(Debug, Clone)]
pub struct Question {
    pub reason: Reason,
    pub person: PersonNo,
    pub other: PersonNo,
    pub score: Score,
}

/// How a record found its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a strong number and a compatible name.
    Number,
    /// By the weight of evidence.
    Evidence,
    /// Nobody fits.
    New,
}

/// The answer for one record.
#[derive(Debug, Clone, Copy)]
pub struct Linked {
    pub person: PersonNo,
    pub way: Way,
    /// The evidence, when it was weighed.
    pub score: Option<Score>,
}

/// What the engine did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub records: u64,
    pub comparisons: u64,
    pub by_number: u64,
    pub by_evidence: u64,
    pub merges: u64,
}

/// The index in memory, and the rules by which it grows.
#[derive(Debug)]
pub struct Engine {
    pub judge: Judge,
    pub(super) persons: Vec<Person>,
    pub(super) blocks: Blocks,
    /// Who holds a strong number.
    pub(super) holders: FxHashMap<u64, PersonNo>,
    /// Pairs that a human has told apart.
    cannot: FxHashSet<(PersonNo, PersonNo)>,
    pub questions: Vec<Question>,
    pub counts: Counts,
    /// Whether terms are counted as records come, and not before.
    pub counts_terms: bool,
    /// Persons of the whole index, when only a part of it is here.
    pub population: usize,
    keys: Vec<u64>,
    near: Ranking,
}

impl Engine {
    pub fn new(rules: Rules, weights: Weights) -> Self {
        Self {
            blocks: Blocks::new(rules.decide.block),
            judge: Judge::new(rules, weights),
            persons: Vec::new(),
            holders: FxHashMap::default(),
            cannot: FxHashSet::default(),
            questions: Vec::new(),
            counts: Counts::default(),
            counts_terms: true,
            population: 0,
            keys: Vec::new(),
            near: Ranking::default(),
        }
    }

    /// The person that counts today for a place that was given out at any time.
    pub fn root(&self, mut person: PersonNo) -> PersonNo {
        while let Some(next) = self.persons[person as usize].merged_into {
            person = next;
        }
        person
    }

    /// A person.
    pub fn person(&self, person: PersonNo) -> &Person {
        &self.persons[person as usize]
    }

    /// Persons ever made; those merged since are among them.
    pub fn len(&self) -> usize {
        self.persons.len()
    }

    pub fn is_empty(&self) -> bool {
        self.persons.is_empty()
    }

    /// Bits that link at the present size of the index.
    pub fn threshold(&self) -> f32 {
        let decide = &self.judge.rules.decide;
        #[allow(clippy::cast_precision_loss, reason = "a logarithm of a count")]
        let growth = (self.persons.len().max(self.population) as f32 / decide.population as f32).max(1.0).log2();
        decide.link + growth
    }

    /// Finds or makes the person of a record.
    pub fn link(&mut self, record: &Record) -> Linked {
        self.counts.records += 1;
        if self.counts_terms {
            self.judge.terms.count(&self.judge.rules, record);
        }
        let strong = record.strong(self.judge.number);
        let holder = strong.and_then(|number| self.holders.get(&number).copied()).map(|holder| self.root(holder));
        if let Some(holder) = holder {
            return match self.judge.belief(record, &*self.persons[holder as usize].profile) {
                Belief::Sure => self.by_number(record, holder),
                Belief::Slip if !self.fits_another(record, holder) => self.by_number(record, holder),
                Belief::Unread => self.by_evidence(&self.without_number(record), None),
                Belief::Slip | Belief::Clash => self.by_clashing_number(record, holder),
            };
        }
        self.by_evidence(record, strong)
    }

    /// The fast path.
    fn by_number(&mut self, record: &Record, holder: PersonNo) -> Linked {
        self.counts.by_number += 1;
        if !self.persons[holder as usize].profile.covers(record) {
            self.candidates(record);
            self.absorb(record, holder);
            self.join_neighbours(holder);
        }
        let holder = self.root(holder);
        self.persons[holder as usize].records += 1;
        Linked { person: holder, way: Way::Number, score: None }
    }

    /// Whether somebody else fits without the number: then the number is a brother's, and the name no slip.
    fn fits_another(&mut self, record: &Record, holder: PersonNo) -> bool {
        self.candidates(record);
        let most = self.judge.rules.decide.compare;
        (0..self.near.ranked.len().min(most)).any(|place| {
            let person = self.near.ranked[place].1;
            self.counts.comparisons += 1;
            let score = self.judge.score(record, &*self.persons[person as usize].profile, false);
            person != holder && self.verdict(&score) == Verdict::Link
        })
    }

    /// A number under another name is no evidence, and from now on nobody's by this record.
    fn by_clashing_number(&mut self, record: &Record, holder: PersonNo) -> Linked {
        let record = self.without_number(record);
        let asked = self.questions.len();
        let linked = self.by_evidence(&record, None);
        if linked.person != holder {
            // The better question about the same two.
            let at = self.questions.iter().skip(asked).position(|question| question.other == holder);
            if let Some(at) = at {
                self.questions.remove(asked + at);
            }
            let score = self.compare(&record, holder);
            self.ask(Reason::NumberHeldByOtherName, linked.person, holder, score);
        }
        linked
    }

    /// The record with a number that nobody holds by it.
    fn without_number(&self, record: &Record) -> Record {
        let mut record = record.clone();
        if let Some(Some(Value::Number(number))) = self.judge.number.map(|place| &mut record.values[place]) {
            number.class = Class::Odd;
        }
        record
    }

    fn by_evidence(&mut self, record: &Record, strong: Option<u64>) -> Linked {
        self.candidates(record);
        let best = self.choose(record);
        let (person, way, score) = match best {
            Choice::Same(person, score) => (person, Way::Evidence, Some(score)),
            Choice::New => (self.create(), Way::New, None),
            Choice::Ask(reason, other, score) => {
                let person = self.create();
                self.ask(reason, person, other, score);
                (person, Way::New, Some(score))
            }
        };
        if let Some(number) = strong {
            self.holders.insert(number, person);
        }
        self.absorb(record, person);
        self.persons[person as usize].records += 1;
        if way == Way::Evidence {
            self.counts.by_evidence += 1;
            self.join_neighbours(person);
        }
        Linked { person: self.root(person), way, score }
    }

    pub(super) fn create(&mut self) -> PersonNo {
        self.persons.push(Person::default());
        PersonNo::try_from(self.persons.len() - 1).unwrap_or(PersonNo::MAX)
    }

    pub(super) fn absorb(&mut self, record: &Record, person: PersonNo) {
        Arc::make_mut(&mut self.persons[person as usize].profile).absorb(record);
        for key in &self.keys {
            self.blocks.put(*key, person);
        }
    }

    /// Ranks the persons that share most, and rarest, keys with the record.
    pub(super) fn candidates(&mut self, record: &Record) {
        keys::keys(&self.judge.rules.keys, record, &mut self.keys);
        let root = |mut person: PersonNo| {
            while let Some(next) = self.persons[person as usize].merged_into {
                person = next;
            }
            person
        };
        self.blocks.rank(&self.keys, root, &mut self.near);
    }

    fn has_another_number(&self, record: &Record, person: PersonNo) -> bool {
        self.judge.number.is_some_and(|place| two_numbers(place, record, &*self.persons[person as usize].profile))
    }

    fn compare(&mut self, record: &Record, person: PersonNo) -> Score {
        self.counts.comparisons += 1;
        self.judge.score(record, &*self.persons[person as usize].profile, true)
    }

    /// The best of the candidates, if any is good enough.
    fn choose(&mut self, record: &Record) -> Choice {
        let most = self.judge.rules.decide.compare;
        let mut best: Option<(PersonNo, Score)> = None;
        let mut second: Option<(PersonNo, Score)> = None;
        let mut barred: Option<(PersonNo, Score)> = None;
        for place in 0..self.near.ranked.len().min(most) {
            let (shared, person) = self.near.ranked[place];
            if shared < NEAR && self.has_another_number(record, person) {
                continue;
            }
            let score = self.compare(record, person);
            if score.two_numbers {
                if barred.is_none_or(|(_, most)| score.bits > most.bits) {
                    barred = Some((person, score));
                }
            } else if best.is_none_or(|(_, most)| score.bits > most.bits) {
                second = best.replace((person, score));
            } else if second.is_none_or(|(_, most)| score.bits > most.bits) {
                second = Some((person, score));
            }
        }
        self.decide(best, second, barred)
    }

    fn decide(
        &self,
        best: Option<(PersonNo, Score)>,
        second: Option<(PersonNo, Score)>,
        barred: Option<(PersonNo, Score)>,
    ) -> Choice {
        if let Some((person, score)) = best {
            let rival = second.filter(|(_, other)| score.bits - other.bits < self.judge.rules.decide.rival);
            let verdict = self.verdict(&score);
            if let (Verdict::Link, Some((other, _))) = (verdict, rival)
                && self.are_two(person, other)
            {
                return Choice::Ask(Reason::Ambiguous, person, score);
            }
            match verdict {
                Verdict::Link => return Choice::Same(person, score),
                Verdict::Ask => return Choice::Ask(Reason::Uncertain, person, score),
                Verdict::Apart => {}
            }
        }
        // Much else in common, and another valid number: a slip that passed the check, or two numbers of one person.
        match barred {
            Some((person, score)) if self.is_doubtful(&score) => Choice::Ask(Reason::TwoValidNumbers, person, score),
            _ => Choice::New,
        }
    }

    /// Whether everything but the two valid numbers says that it is one person.
    pub(super) fn is_doubtful(&self, score: &Score) -> bool {
        let number = self.judge.number.map_or(0.0, |place| score.by_field[place].min(0.0));
        !score.other_veto && score.bits - number >= self.threshold()
    }

    /// Whether two persons have numbers that contradict.
    pub(super) fn are_two(&self, one: PersonNo, other: PersonNo) -> bool {
        let (one, other) = (&*self.persons[one as usize].profile, &*self.persons[other as usize].profile);
        let score = self.judge.score(one, other, true);
        score.two_numbers || score.conflict
    }

    /// What a score comes to.
    pub(super) fn verdict(&self, score: &Score) -> Verdict {
        let decide = &self.judge.rules.decide;
        let link = self.threshold();
        if score.bits < decide.review + (link - decide.link) || score.two_numbers {
            return Verdict::Apart;
        }
        let sure = score.bits >= link && score.person >= decide.person && !(score.alone && score.bits < decide.alone);
        if sure && !score.vetoed && !score.lacks_need { Verdict::Link } else { Verdict::Ask }
    }

    fn ask(&mut self, reason: Reason, person: PersonNo, other: PersonNo, score: Score) {
        self.questions.push(Question { reason, person, other, score });
    }

    /// After a record brought something new: persons that now are the same one.
    pub(super) fn join_neighbours(&mut self, person: PersonNo) {
        let most = self.judge.rules.decide.compare;
        for place in 0..self.near.ranked.len().min(most) {
            let (person, other) = (self.root(person), self.root(self.near.ranked[place].1));
            let apart = || {
                let profile = |person: PersonNo| &*self.persons[person as usize].profile;
                self.judge.number.is_some_and(|place| two_numbers(place, profile(person), profile(other)))
            };
            if person != other && !apart() {
                self.counts.comparisons += 1;
                self.merge_if_sure(person, other);
            }
        }
    }

    /// Merges two persons when the evidence and every guard allow it.
    pub(super) fn merge_if_sure(&mut self, one: PersonNo, other: PersonNo) -> bool {
        let (left, right) = (&*self.persons[one as usize].profile, &*self.persons[other as usize].profile);
        let score = self.judge.score(left, right, true);
        let sure = self.verdict(&score) == Verdict::Link && !self.are_told_apart(one, other);
        if sure {
            self.merge(one, other);
        }
        sure
    }

    /// Makes two persons one: the older place survives. Answers it.
    pub fn merge(&mut self, one: PersonNo, other: PersonNo) -> PersonNo {
        let (survivor, retired) = (one.min(other), one.max(other));
        if survivor == retired {
            return survivor;
        }
        self.counts.merges += 1;
        let gone = std::mem::take(&mut self.persons[retired as usize]);
        self.persons[retired as usize].merged_into = Some(survivor);
        Arc::make_mut(&mut self.persons[survivor as usize].profile).merge(&gone.profile);
        self.persons[survivor as usize].records += gone.records;
        survivor
    }

    /// Never again makes these two one by itself.
    pub fn tell_apart(&mut self, one: PersonNo, other: PersonNo) {
        self.cannot.insert((one.min(other), one.max(other)));
    }

    /// Whether a human told them, or any that became them, apart.
    pub fn are_told_apart(&self, one: PersonNo, other: PersonNo) -> bool {
        let pair = |(left, right): &(PersonNo, PersonNo)| (self.root(*left), self.root(*right));
        !self.cannot.is_empty() && self.cannot.iter().map(pair).any(|pair| pair == (one, other) || pair == (other, one))
    }

    /// How often a person was left out because a key was full.
    pub fn overflow(&self) -> u64 {
        self.blocks.overflow
    }

    /// Bytes of the index, about: profiles, keys, lists.
    pub fn bytes(&self) -> usize {
        let profiles: usize = self.persons.iter().map(|person| size_of::<Person>() + person.profile.bytes()).sum();
        profiles + self.blocks.bytes() + self.holders.len() * 13 * 3 / 2
    }
}

/// What a score comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Link,
    Ask,
    Apart,
}

enum Choice {
    Same(PersonNo, Score),
    Ask(Reason, PersonNo, Score),
    New,
}
