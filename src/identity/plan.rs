//! The rules, in memory: from what the store knows and a batch of queries to what must be written.
//!
//! Queries are decided in order, and each sees what those before it changed, so that a person who appears twice in one
//! batch is made once.

use std::collections::{BTreeSet, HashMap};

use super::{
    Evidence,
    matcher::Verdict,
    number::Class,
    standard::{Profile, Standard},
};
use crate::{
    clock,
    envelope::{PersonKey, Quality, QualityLevel},
};

/// Number held by a person whose name is clearly another.
pub(super) const OTHER_NAME: &str = "number-held-by-other-name";
/// One person seems to have two different valid numbers.
pub(super) const TWO_NUMBERS: &str = "two-valid-numbers";
/// A system's reference is used under two clearly different names.
pub(super) const OTHER_REFERENCE_NAME: &str = "reference-held-by-other-name";
/// The matcher is not sure.
pub(super) const UNCERTAIN: &str = "uncertain-match";

/// A person as the batch sees it.
pub(super) struct Person {
    pub(super) key: PersonKey,
    pub(super) profile: Profile,
    /// Hashes of the numbers held that the look-up brought up.
    pub(super) numbers: Vec<String>,
    pub(super) version: i64,
    pub(super) created_at: i64,
    pub(super) is_new: bool,
    pub(super) is_changed: bool,
    /// The person this one turned out to be.
    pub(super) merged_into: Option<usize>,
}

/// A question for a human.
pub(super) struct Review<'a> {
    pub(super) reason: &'static str,
    /// The person that the query was resolved to, and the one it conflicts with.
    pub(super) person: usize,
    pub(super) other: usize,
    pub(super) asked: &'a Standard,
    pub(super) evidence: Evidence,
}

/// What one query came to.
pub(super) struct Decision {
    pub(super) person: usize,
    pub(super) evidence: Evidence,
    pub(super) created: bool,
    pub(super) remarks: Vec<Quality>,
}

/// Knowledge and intentions of one batch.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) persons: Vec<Person>,
    by_key: HashMap<PersonKey, usize>,
    by_number: HashMap<String, usize>,
    by_reference: HashMap<String, usize>,
    pub(super) numbers: Vec<(usize, &'a Standard)>,
    pub(super) links: Vec<(usize, &'a Standard, Evidence)>,
    pub(super) merges: Vec<(usize, &'a Standard)>,
    pub(super) reviews: Vec<Review<'a>>,
    /// Existing persons that something is written to.
    pub(super) touched: BTreeSet<usize>,
}

impl<'a> Plan<'a> {
    /// Adds a person from the store; answers its place.
    pub(super) fn know(&mut self, key: PersonKey, profile: Profile, version: i64, created_at: i64) -> usize {
        if let Some(place) = self.by_key.get(&key) {
            return *place;
        }
        let person = Person {
            key,
            profile,
            numbers: Vec::new(),
            version,
            created_at,
            is_new: false,
            is_changed: false,
            merged_into: None,
        };
        self.add(person)
    }

    fn add(&mut self, person: Person) -> usize {
        let place = self.persons.len();
        self.by_key.insert(person.key.clone(), place);
        self.persons.push(person);
        place
    }

    pub(super) fn knows(&self, key: &PersonKey) -> bool {
        self.by_key.contains_key(key)
    }

    pub(super) fn know_number(&mut self, hash: String, person: usize) {
        if !self.persons[person].numbers.contains(&hash) {
            self.persons[person].numbers.push(hash.clone());
        }
        self.by_number.insert(hash, person);
    }

    pub(super) fn know_reference(&mut self, id: String, person: usize) {
        self.by_reference.insert(id, person);
    }

    /// Follows merges of this batch to the person that counts.
    pub(super) fn root(&self, mut person: usize) -> usize {
        while let Some(survivor) = self.persons[person].merged_into {
            person = survivor;
        }
        person
    }

    fn referenced(&self, asked: &Standard) -> Option<usize> {
        self.by_reference.get(&asked.reference_id).map(|person| self.root(*person))
    }

    fn holder(&self, asked: &Standard) -> Option<usize> {
        asked.evidence().and_then(|number| self.by_number.get(&number.hash)).map(|person| self.root(*person))
    }

    /// Whether the query's reference is linked to that very person: it is not while a review is open.
    pub(super) fn is_linked(&self, asked: &Standard, person: usize) -> bool {
        self.referenced(asked) == Some(self.root(person))
    }

    /// Whether number and reference leave the query open, as far as the store knows.
    pub(super) fn is_undecided(&self, asked: &Standard) -> bool {
        let held = self.holder(asked).is_some_and(|holder| self.persons[holder].profile.agrees_with(&asked.profile));
        !held && self.referenced(asked).is_none()
    }

    /// Applies the rules to one query.
    pub(super) fn decide(&mut self, asked: &'a Standard, verdict: Option<Verdict>) -> Decision {
        let mut decision = match self.holder(asked) {
            Some(holder) if self.persons[holder].profile.agrees_with(&asked.profile) => self.by_held_number(asked, holder),
            Some(holder) => self.by_clashing_number(asked, holder, verdict),
            None => self.by_reference_or_new(asked, verdict),
        };
        decision.remarks.extend(number_remark(asked));
        decision
    }

    /// Rule 1: the number is held under a compatible name.
    fn by_held_number(&mut self, asked: &'a Standard, holder: usize) -> Decision {
        let mut decision = Decision { person: holder, evidence: Evidence::Number, created: false, remarks: Vec::new() };
        match self.referenced(asked) {
            Some(other) if other != holder => self.join_or_review(asked, holder, other, &mut decision),
            Some(_) => {}
            None => self.link(asked, holder, Evidence::Number),
        }
        let place = self.root(holder);
        self.absorb(place, &asked.profile);
        decision
    }

    /// Rule 2, second half: number and reference point to two persons. They are one if only one of them has a number.
    fn join_or_review(&mut self, asked: &'a Standard, holder: usize, other: usize, decision: &mut Decision) {
        let reason = if !self.persons[other].numbers.is_empty() {
            TWO_NUMBERS
        } else if self.persons[other].profile.agrees_with(&self.persons[holder].profile) {
            return self.merge(asked, holder, other);
        } else {
            OTHER_REFERENCE_NAME
        };
        decision.remarks.push(remark(reason));
        self.reviews.push(Review { reason, person: holder, other, asked, evidence: Evidence::Number });
    }

    /// The number is held under another name: it proves nothing.
    fn by_clashing_number(&mut self, asked: &'a Standard, holder: usize, verdict: Option<Verdict>) -> Decision {
        let mut decision = match self.referenced(asked) {
            Some(person) => Decision { person, evidence: Evidence::Reference, created: false, remarks: Vec::new() },
            None => self.by_verdict(asked, verdict, false),
        };
        decision.remarks.push(remark(OTHER_NAME));
        // A name may have changed after the reference was linked: then the clash is within one person.
        self.reviews.push(Review {
            reason: OTHER_NAME,
            person: decision.person,
            other: holder,
            asked,
            evidence: decision.evidence.clone(),
        });
        decision
    }

    /// Nobody holds the number, or there is none.
    fn by_reference_or_new(&mut self, asked: &'a Standard, verdict: Option<Verdict>) -> Decision {
        let Some(person) = self.referenced(asked) else { return self.by_verdict(asked, verdict, true) };
        let mut decision = Decision { person, evidence: Evidence::Reference, created: false, remarks: Vec::new() };
        let known = &self.persons[person];
        let Some(number) = asked.evidence() else {
            if known.profile.agrees_with(&asked.profile) {
                self.absorb(person, &asked.profile);
            }
            return decision;
        };
        let reason = match (known.numbers.is_empty(), known.profile.agrees_with(&asked.profile)) {
            (true, true) => {
                self.hold(asked, number.hash.clone(), person);
                self.absorb(person, &asked.profile);
                return decision;
            }
            (true, false) => OTHER_REFERENCE_NAME,
            (false, _) => TWO_NUMBERS,
        };
        decision.remarks.push(remark(reason));
        self.reviews.push(Review { reason, person, other: person, asked, evidence: Evidence::Reference });
        decision
    }

    /// Rule 3. `with_number` says whether the number may be kept as the person's.
    fn by_verdict(&mut self, asked: &'a Standard, verdict: Option<Verdict>, with_number: bool) -> Decision {
        let mut decision = Decision { person: 0, evidence: Evidence::New, created: false, remarks: Vec::new() };
        match verdict {
            Some(Verdict::Same { key, tenths, model }) if self.may_be(asked, &key, with_number) => {
                decision.person = self.root(self.by_key[&key]);
                decision.evidence = Evidence::Match { tenths, model };
                self.absorb(decision.person, &asked.profile);
            }
            Some(Verdict::Review { key, tenths, model } | Verdict::Same { key, tenths, model })
                if self.by_key.contains_key(&key) =>
            {
                decision.person = self.create(asked);
                decision.created = true;
                decision.remarks.push(remark(UNCERTAIN));
                let (other, evidence) = (self.root(self.by_key[&key]), Evidence::Match { tenths, model });
                self.reviews.push(Review { reason: UNCERTAIN, person: decision.person, other, asked, evidence });
            }
            _ => {
                decision.person = self.create(asked);
                decision.created = true;
            }
        }
        if let Some(number) = asked.evidence().filter(|_| with_number) {
            self.hold(asked, number.hash.clone(), decision.person);
        }
        self.link(asked, decision.person, decision.evidence.clone());
        decision
    }

    /// Whatever the matcher says, two different valid numbers are not joined here.
    fn may_be(&self, asked: &Standard, key: &PersonKey, with_number: bool) -> bool {
        let Some(person) = self.by_key.get(key).map(|person| self.root(*person)) else { return false };
        asked.evidence().is_none() || (with_number && self.persons[person].numbers.is_empty())
    }

    fn create(&mut self, asked: &Standard) -> usize {
        self.add(Person {
            key: new_key(),
            profile: asked.profile.clone(),
            numbers: Vec::new(),
            version: 0,
            created_at: clock::millis(),
            is_new: true,
            is_changed: false,
            merged_into: None,
        })
    }

    fn link(&mut self, asked: &'a Standard, person: usize, evidence: Evidence) {
        // The event stands in for a missing reference only where no number will find the person again.
        if !asked.has_reference && self.holder(asked) == Some(person) {
            return;
        }
        self.by_reference.insert(asked.reference_id.clone(), person);
        self.links.push((person, asked, evidence));
        self.touch(person);
    }

    fn hold(&mut self, asked: &'a Standard, hash: String, person: usize) {
        self.know_number(hash, person);
        self.numbers.push((person, asked));
        self.touch(person);
        self.persons[person].is_changed = true;
    }

    fn absorb(&mut self, person: usize, profile: &Profile) {
        if self.persons[person].profile.absorb(profile) {
            self.persons[person].is_changed = true;
            self.touch(person);
        }
    }

    fn touch(&mut self, person: usize) {
        if !self.persons[person].is_new {
            self.touched.insert(person);
        }
    }

    /// The older key survives; a key that nobody has seen yet never does against one that is known.
    fn merge(&mut self, asked: &'a Standard, one: usize, other: usize) {
        let age = |place: usize| (self.persons[place].is_new, self.persons[place].created_at, self.persons[place].key.clone());
        let (survivor, retired) = if age(one) <= age(other) { (one, other) } else { (other, one) };
        let numbers = std::mem::take(&mut self.persons[retired].numbers);
        let profile = self.persons[retired].profile.clone();
        self.persons[survivor].numbers.extend(numbers);
        self.persons[survivor].is_changed = true;
        self.absorb(survivor, &profile);
        self.persons[retired].merged_into = Some(survivor);
        self.touch(survivor);
        self.touch(retired);
        self.merges.push((retired, asked));
    }

    /// Whether anything must be written.
    pub(super) fn is_empty(&self) -> bool {
        let new = self.persons.iter().any(|person| person.is_new);
        !new && self.touched.is_empty() && self.reviews.is_empty()
    }
}

fn remark(rule: &str) -> Quality {
    let field = if rule == UNCERTAIN { "name" } else { "number" };
    Quality { rule: rule.to_owned(), level: QualityLevel::Warn, field: field.to_owned() }
}

/// A number that was given but proves nothing deserves a remark.
pub(super) fn number_remark(asked: &Standard) -> Option<Quality> {
    match asked.number.as_ref()?.class {
        Class::Odd => Some(remark("number-odd")),
        Class::Bad => Some(remark("number-bad")),
        Class::Strong | Class::Old => None,
    }
}

/// A random UUID (version 4, RFC 9562): a key must tell nothing about its person.
fn new_key() -> PersonKey {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    PersonKey::new(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}
