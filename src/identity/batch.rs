//! The decisions of one batch, in memory: from what the store knows and a batch of queries to what must be written.
//!
//! Queries are decided in order, and each sees what those before it changed, so that a person who appears twice in one
//! batch is made once. Who is meant is decided by the linking engine, as for a whole file; what is added here is the
//! system's own reference, which is believed before anything else.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rustc_hash::FxHashMap;

use super::{
    Evidence,
    golden::Voice,
    link::{
        Engine, PersonNo, Rules, Way,
        profile::Profile,
        score::{Belief, Score},
    },
    lore::{Lore, Statement},
    remark::{self, OTHER_NAME, OTHER_REFERENCE_NAME, TWO_NUMBERS, UNCERTAIN},
    standard::{Number, Standard},
};
use crate::envelope::PersonKey;

/// A person of the batch, in the place of the engine's person.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) key: PersonKey,
    pub(super) seq: i64,
    pub(super) is_new: bool,
    /// Hashes of the numbers held.
    pub(super) numbers: Vec<String>,
    pub(super) heard: Vec<Heard>,
    /// Numbers held that no record gives any more.
    pub(super) kept: Vec<Arc<Statement>>,
    /// All of it in the form in which it is compared, as of the last [`Seat::settle`].
    pub(super) profile: Arc<Profile>,
}

impl Seat {
    /// A person of the store.
    pub(super) fn known(key: PersonKey, seq: i64) -> Self {
        Self { key, seq, is_new: false, numbers: Vec::new(), heard: Vec::new(), kept: Vec::new(), profile: Arc::default() }
    }

    /// A person who was never seen before.
    fn new(key: PersonKey) -> Self {
        Self { is_new: true, ..Self::known(key, 0) }
    }

    /// Brings what was heard into order, and derives the rest from it. The order in which it was heard does not matter.
    pub(super) fn settle(&mut self, rules: &Rules) {
        let source = |heard: &Heard| (heard.at, heard.statement.id.clone(), Arc::clone(&heard.system));
        self.heard.sort_by_cached_key(source);
        self.heard.dedup_by(|later, first| {
            later.statement.id == first.statement.id && later.system == first.system && later.doubted == first.doubted
        });
        let kept = std::mem::take(&mut self.kept);
        self.kept =
            kept.into_iter().filter(|kept| kept.number.as_ref().is_some_and(|number| !self.states(&number.hash))).collect();
        let mut profile = Profile::default();
        for heard in &self.heard {
            match heard.doubted {
                true => profile.absorb(&heard.statement.without_number(rules)),
                false => profile.absorb(&heard.statement.record),
            };
        }
        for kept in &self.kept {
            profile.absorb(&kept.record);
        }
        self.profile = Arc::new(profile);
    }

    /// Whether a record of the person gives the number as the person's own.
    pub(super) fn states(&self, hash: &str) -> bool {
        let number = |heard: &Heard| heard.statement.number.as_ref().is_some_and(|number| number.hash == hash);
        self.heard.iter().any(|heard| !heard.doubted && number(heard))
    }

    /// Its records' words, for the golden record.
    pub(super) fn voices<'s>(&'s self) -> Vec<Voice<'s>> {
        let voice = |heard: &'s Heard| {
            let said = &heard.statement.said;
            Voice { said, system: &heard.system, at: heard.at, doubted: heard.doubted }
        };
        self.heard.iter().map(voice).collect()
    }
}

/// A statement about a person, and who made it when.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) statement: Arc<Statement>,
    pub(super) system: Arc<str>,
    pub(super) at: i64,
    /// Its number is somebody else's.
    pub(super) doubted: bool,
}

/// A record that is on file.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) person: PersonNo,
    /// All that it says; nothing when it was filed by an older version of the hub.
    pub(super) statement: Option<Arc<Statement>>,
    pub(super) remarks: String,
}

/// A record's new word, or a new record.
pub(super) struct Link<'a> {
    pub(super) person: PersonNo,
    pub(super) asked: &'a Standard,
    pub(super) statement: Arc<Statement>,
    pub(super) evidence: Evidence,
    pub(super) remarks: String,
    /// Whether the record was on file before.
    pub(super) is_known: bool,
}

/// A question for a human: whether `person`, to whom the record was resolved, and `other` are one; the same twice when the
/// record contradicts its own person.
pub(super) struct Ask<'a> {
    pub(super) reason: &'static str,
    pub(super) person: PersonNo,
    pub(super) other: PersonNo,
    pub(super) asked: &'a Standard,
    pub(super) statement: Arc<Statement>,
    pub(super) score: Option<Score>,
}

/// What one query came to.
pub(super) struct Decision {
    pub(super) person: PersonNo,
    pub(super) evidence: Evidence,
    pub(super) created: bool,
    pub(super) remarks: Vec<&'static str>,
    /// Whether the decision stands beside the record, so that the same word needs none again.
    pub(super) is_kept: bool,
}

/// Knowledge and intentions of one batch.
pub(super) struct Batch<'a> {
    lore: &'a Lore,
    pub(super) engine: Engine,
    pub(super) seats: Vec<Seat>,
    pub(super) by_number: HashMap<String, PersonNo>,
    pub(super) by_reference: HashMap<String, Known>,
    pub(super) links: Vec<Link<'a>>,
    pub(super) numbers: Vec<(PersonNo, Number, &'a Standard)>,
    pub(super) merges: Vec<(PersonNo, &'a Standard)>,
    pub(super) asks: Vec<Ask<'a>>,
    /// Persons of the store that something is written to.
    pub(super) touched: BTreeSet<PersonNo>,
    /// The youngest person of the index.
    pub(super) last: i64,
    pub(super) now: i64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(lore: &'a Lore, last: i64) -> Self {
        let mut engine = lore.engine();
        engine.population = usize::try_from(last).unwrap_or_default();
        Self {
            lore,
            engine,
            seats: Vec::new(),
            by_number: HashMap::new(),
            by_reference: HashMap::new(),
            links: Vec::new(),
            numbers: Vec::new(),
            merges: Vec::new(),
            asks: Vec::new(),
            touched: BTreeSet::new(),
            last,
            now: crate::clock::millis(),
        }
    }

    /// Brings in a person of the store; call it in the order of their age.
    pub(super) fn seat(&mut self, seat: Seat) -> PersonNo {
        let person = self.engine.seat(Arc::clone(&seat.profile));
        self.seats.push(seat);
        person
    }

    /// How frequent the names of the batch are; row 0 of the store counts all records.
    pub(super) fn count_names<'s>(&mut self, asked: impl Iterator<Item = &'s Statement>, counts: &FxHashMap<i64, u32>) {
        let Some(field) = self.lore.counted else { return };
        let all = counts.get(&0).copied().unwrap_or_default();
        for (term, hash) in asked.filter_map(|statement| statement.name) {
            self.engine.judge.terms.know(field, term, counts.get(&hash).copied().unwrap_or_default(), all);
        }
    }

    /// Follows merges of this batch to the person that counts.
    pub(super) fn root(&self, person: PersonNo) -> PersonNo {
        self.engine.root(person)
    }

    /// The person that counts.
    pub(super) fn person(&self, person: PersonNo) -> &Seat {
        &self.seats[self.root(person) as usize]
    }

    fn holder(&self, statement: &Statement) -> Option<PersonNo> {
        statement.number.as_ref().and_then(|number| self.by_number.get(&number.hash)).map(|person| self.root(*person))
    }

    /// Decides one query.
    pub(super) fn decide(&mut self, asked: &'a Standard, statement: &Arc<Statement>) -> Decision {
        let merges = self.engine.counts.merges;
        let decision = match self.by_reference.get(&asked.reference_id).cloned() {
            Some(known) if known.statement.as_ref().is_some_and(|known| known.said.covers(&asked.said)) => {
                remembered(&known, asked)
            }
            Some(known) => {
                let before = known.statement.as_deref();
                let statement = before.map_or_else(|| Arc::clone(statement), |before| self.lore.followed_by(before, asked));
                let number = |statement: &Statement| statement.number.as_ref().map(|number| number.hash.clone());
                let is_news = before.is_none_or(|before| number(before) != number(&statement));
                match known.remarks.contains(OTHER_NAME) && !is_news {
                    true => self.accept(asked, &statement, (self.root(known.person), &[OTHER_NAME])),
                    false => self.by_reference(asked, &statement, (self.root(known.person), is_news)),
                }
            }
            None => self.by_evidence(asked, statement),
        };
        if self.engine.counts.merges != merges {
            self.note_merges(asked);
        }
        decision
    }

    /// A record that nobody has seen.
    fn by_evidence(&mut self, asked: &'a Standard, statement: &Arc<Statement>) -> Decision {
        let holder = self.holder(statement);
        if let Some(holder) = holder {
            self.engine.hold(&statement.record, holder);
        }
        let linked = self.engine.link(&statement.record);
        let created = self.seat_new(asked);
        let evidence = match (linked.way, linked.score) {
            (Way::Number, _) => Evidence::Number,
            (Way::Evidence, Some(score)) => {
                Evidence::Match { tenths: tenths(score.bits), model: self.lore.weights.version.clone() }
            }
            _ => Evidence::New,
        };
        let mut remarks = Vec::new();
        for question in std::mem::take(&mut self.engine.questions) {
            let reason = remark::of(question.reason);
            if !remarks.contains(&reason) {
                remarks.push(reason);
            }
            let (person, other, score) = (question.person, question.other, Some(question.score));
            self.asks.push(Ask { reason, person, other, asked, statement: Arc::clone(statement), score });
        }
        let doubted = remarks.contains(&OTHER_NAME);
        if !doubted {
            self.keep_number(asked, statement, linked.person);
        }
        // The event stands in for a missing reference only where no number will find the person again.
        let is_kept = asked.has_reference || linked.way != Way::Number;
        if is_kept {
            self.link(asked, statement, linked.person, (evidence.clone(), &remarks, false));
        }
        Decision { person: linked.person, evidence, created, remarks, is_kept }
    }

    /// A seat for the person whom the engine has just made, if it has.
    fn seat_new(&mut self, asked: &Standard) -> bool {
        let made = self.engine.len() > self.seats.len();
        if made {
            let key = self.lore.person_key(&[&asked.reference_id]);
            self.seats.push(Seat::new(key));
        }
        made
    }

    /// A record on file says something else than before.
    fn by_reference(
        &mut self,
        asked: &'a Standard,
        statement: &Arc<Statement>,
        (person, number_is_news): (PersonNo, bool),
    ) -> Decision {
        let agrees = self.engine.belief(&statement.record, person) != Belief::Clash;
        let has_number = !self.seats[person as usize].numbers.is_empty();
        let number = statement.number.as_ref().filter(|_| number_is_news);
        let doubt = match (number, self.holder(statement)) {
            (Some(_), Some(holder)) if holder != person => {
                if self.engine.belief(&statement.record, holder) == Belief::Clash {
                    return self.doubt(asked, statement, (OTHER_NAME, person, holder));
                }
                if has_number {
                    return self.doubt(asked, statement, (TWO_NUMBERS, holder, person));
                }
                if !agrees || !self.engine.may_be_one(person, holder) {
                    return self.doubt(asked, statement, (OTHER_REFERENCE_NAME, holder, person));
                }
                self.engine.merge(holder, person);
                None
            }
            (Some(_), None) if has_number => Some(TWO_NUMBERS),
            (Some(_), None) if !agrees => Some(OTHER_REFERENCE_NAME),
            _ => None,
        };
        match doubt {
            Some(reason) => self.doubt(asked, statement, (reason, person, person)),
            None if agrees => self.accept(asked, statement, (person, &[])),
            // A name may change; whether it did is for the number to say.
            None => Decision { person, evidence: Evidence::Reference, created: false, remarks: Vec::new(), is_kept: false },
        }
    }

    /// The record's news is its person's; the doubt that its number is another's may stay.
    fn accept(
        &mut self,
        asked: &'a Standard,
        statement: &Arc<Statement>,
        (person, doubts): (PersonNo, &[&'static str]),
    ) -> Decision {
        let person = self.root(person);
        let person = if doubts.is_empty() {
            let person = self.engine.follow(&statement.record, person);
            self.keep_number(asked, statement, person);
            person
        } else {
            self.engine.follow(&statement.without_number(&self.lore.rules), person)
        };
        let by_number = asked.evidence().is_some() && doubts.is_empty();
        let evidence = if by_number { Evidence::Number } else { Evidence::Reference };
        self.link(asked, statement, person, (evidence.clone(), doubts, true));
        Decision { person, evidence, created: false, remarks: doubts.to_vec(), is_kept: true }
    }

    /// The record keeps its person and its word, and a human is asked. It is resolved to the first of the two.
    fn doubt(
        &mut self,
        asked: &'a Standard,
        statement: &Arc<Statement>,
        (reason, person, other): (&'static str, PersonNo, PersonNo),
    ) -> Decision {
        self.asks.push(Ask { reason, person, other, asked, statement: Arc::clone(statement), score: None });
        let evidence = if reason == OTHER_NAME || person == other { Evidence::Reference } else { Evidence::Number };
        Decision { person, evidence, created: false, remarks: vec![reason], is_kept: false }
    }

    /// The number is the person's from now on, if it proves anything and is nobody's yet.
    fn keep_number(&mut self, asked: &'a Standard, statement: &Statement, person: PersonNo) {
        let number = statement.number.as_ref().filter(|number| !self.by_number.contains_key(&number.hash));
        let Some(number) = number.cloned() else { return };
        let person = self.root(person);
        self.by_number.insert(number.hash.clone(), person);
        self.seats[person as usize].numbers.push(number.hash.clone());
        self.numbers.push((person, number, asked));
        self.touched.insert(person);
    }

    fn link(
        &mut self,
        asked: &'a Standard,
        statement: &Arc<Statement>,
        person: PersonNo,
        (evidence, remarks, is_known): (Evidence, &[&'static str], bool),
    ) {
        let (person, remarks) = (self.root(person), remarks.join(" "));
        let known = Known { person, statement: Some(Arc::clone(statement)), remarks: remarks.clone() };
        self.by_reference.insert(asked.reference_id.clone(), known);
        let doubted = remarks.contains(OTHER_NAME);
        let heard = Heard { statement: Arc::clone(statement), system: asked.system.as_str().into(), at: self.now, doubted };
        self.seats[person as usize].heard.push(heard);
        self.touched.insert(person);
        self.links.push(Link { person, asked, statement: Arc::clone(statement), evidence, remarks, is_known });
    }

    /// What the engine has merged since, and what that means for the seats.
    fn note_merges(&mut self, asked: &'a Standard) {
        let noted: BTreeSet<PersonNo> = self.merges.iter().map(|(person, _)| *person).collect();
        let places = 0..PersonNo::try_from(self.seats.len()).unwrap_or_default();
        for retired in places.filter(|person| self.engine.root(*person) != *person && !noted.contains(person)) {
            let survivor = self.engine.root(retired);
            let gone = &mut self.seats[retired as usize];
            let (numbers, heard) = (std::mem::take(&mut gone.numbers), std::mem::take(&mut gone.heard));
            let seat = &mut self.seats[survivor as usize];
            seat.numbers.extend(numbers);
            seat.heard.extend(heard);
            self.touched.insert(survivor);
            self.merges.push((retired, asked));
        }
    }

    /// Whether anything must be written.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.numbers.is_empty() && self.merges.is_empty() && self.asks.is_empty()
    }
}

fn remembered(known: &Known, asked: &Standard) -> Decision {
    let evidence = if asked.evidence().is_some() { Evidence::Number } else { Evidence::Reference };
    let remarks = super::load::remarks(&known.remarks).collect();
    Decision { person: known.person, evidence, created: false, remarks, is_kept: true }
}

#[allow(clippy::cast_possible_truncation, reason = "a weight is far below 2^63")]
pub(super) fn tenths(bits: f32) -> i64 {
    (bits * 10.0).round() as i64
}

/// The doubts of which one says that two persons are perhaps one.
pub(super) fn is_about_two(reason: &str) -> bool {
    matches!(reason, UNCERTAIN | remark::AMBIGUOUS)
}
