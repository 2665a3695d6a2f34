//! A second look at a whole index: persons that stayed apart because of the order in which their records came.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    engine::{Engine, PersonNo, Question, Reason, Verdict},
    score::Score,
};

/// Passes at most; each joins what the one before made similar.
const PASSES: usize = 6;
/// Longer lists under one key are no neighbourhood.
const LONGEST_LIST: usize = 48;

/// Persons near one another, by person.
type Neighbours = FxHashMap<PersonNo, Vec<(PersonNo, f32)>>;

impl Engine {
    /// Merges best first whatever evidence and guards allow, until nothing changes, and asks about the rest.
    /// Answers how many were merged.
    pub fn refine(&mut self) -> u64 {
        let before = self.counts.merges;
        let mut known: FxHashMap<(PersonNo, PersonNo), Score> = FxHashMap::default();
        let mut touched: Option<FxHashSet<PersonNo>> = None;
        for _ in 0..PASSES {
            let pairs = self.neighbours(touched.as_ref());
            for (one, other) in pairs {
                self.counts.comparisons += 1;
                let score = self.judge.score(&*self.person(one).profile, &*self.person(other).profile, true);
                known.insert((one, other), score);
            }
            known.retain(|(one, other), score| {
                self.root(*one) == *one
                    && self.root(*other) == *other
                    && (score.two_numbers || self.verdict(score) != Verdict::Apart)
            });
            let merged = self.merge_best_first(&known);
            if merged.is_empty() {
                break;
            }
            touched = Some(merged);
        }
        self.questions_of(&known);
        self.counts.merges - before
    }

    /// Pairs of persons that share a key; only those with somebody in `touched`, if given.
    fn neighbours(&self, touched: Option<&FxHashSet<PersonNo>>) -> Vec<(PersonNo, PersonNo)> {
        let mut pairs = Vec::new();
        let mut list = Vec::new();
        for persons in self.blocks.lists().iter().filter(|list| list.len() <= LONGEST_LIST) {
            list.clear();
            list.extend(persons.iter().map(|person| self.root(*person)));
            list.sort_unstable();
            list.dedup();
            for (place, one) in list.iter().enumerate() {
                for other in &list[place + 1..] {
                    if touched.is_none_or(|touched| touched.contains(one) || touched.contains(other)) {
                        pairs.push((*one, *other));
                    }
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Answers the survivors.
    fn merge_best_first(&mut self, known: &FxHashMap<(PersonNo, PersonNo), Score>) -> FxHashSet<PersonNo> {
        let mut neighbours = Neighbours::default();
        let mut order: Vec<(PersonNo, PersonNo, f32)> = Vec::new();
        for ((one, other), score) in known.iter().filter(|(_, score)| self.verdict(score) != Verdict::Apart) {
            neighbours.entry(*one).or_default().push((*other, score.bits));
            neighbours.entry(*other).or_default().push((*one, score.bits));
            if self.verdict(score) == Verdict::Link {
                order.push((*one, *other, score.bits));
            }
        }
        order.sort_unstable_by(|one, other| other.2.total_cmp(&one.2).then((one.0, one.1).cmp(&(other.0, other.1))));
        let mut survivors = FxHashSet::default();
        for (one, other, bits) in order {
            let (left, right) = (self.root(one), self.root(other));
            if left == right || self.is_torn(one, right, bits, &neighbours) || self.is_torn(other, left, bits, &neighbours) {
                continue;
            }
            if self.merge_if_sure(left, right) {
                survivors.insert(left.min(right));
            }
        }
        survivors
    }

    /// Whether `person` fits somebody else nearly as well, who cannot be the same as `chosen`.
    fn is_torn(&self, person: PersonNo, chosen: PersonNo, bits: f32, neighbours: &Neighbours) -> bool {
        let rivals =
            neighbours.get(&person).into_iter().flatten().filter(|(_, other)| bits - other < self.judge.rules.decide.rival);
        let mut rivals =
            rivals.map(|(rival, _)| self.root(*rival)).filter(|rival| *rival != chosen && *rival != self.root(person));
        rivals.any(|rival| self.are_two(rival, chosen))
    }

    /// What evidence leaves open, strongest first.
    fn questions_of(&mut self, known: &FxHashMap<(PersonNo, PersonNo), Score>) {
        let mut asked: FxHashSet<(PersonNo, PersonNo)> = FxHashSet::default();
        let mut questions = std::mem::take(&mut self.questions);
        for ((one, other), score) in known {
            let reason = match (score.two_numbers, self.verdict(score)) {
                (true, _) if self.is_doubtful(score) => Reason::TwoValidNumbers,
                (false, Verdict::Link) => Reason::Ambiguous,
                (false, Verdict::Ask) => Reason::Uncertain,
                _ => continue,
            };
            questions.push(Question { reason, person: *one, other: *other, score: *score });
        }
        for question in &mut questions {
            let (one, other) = (self.root(question.person), self.root(question.other));
            (question.person, question.other) = (one.min(other), one.max(other));
        }
        // What linking asked comes first and says more than that two are similar.
        questions.retain(|question| question.person != question.other && asked.insert((question.person, question.other)));
        questions.sort_unstable_by(|one, other| {
            let place = |question: &Question| (question.reason, question.person, question.other);
            other.score.bits.total_cmp(&one.score.bits).then(place(one).cmp(&place(other)))
        });
        self.questions = questions;
    }
}
