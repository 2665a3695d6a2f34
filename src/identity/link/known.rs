//! An engine for a part of a larger index: persons are brought in as they are on record, then records are linked.

use super::{
    engine::{Engine, PersonNo},
    record::Record,
    score::{Belief, two_numbers},
};

impl Engine {
    /// A place for a person of the index. Call it in the order of their age.
    pub fn seat(&mut self) -> PersonNo {
        self.create()
    }

    /// What a record of a seated person says, and its blocking keys. Nothing is decided.
    pub fn teach(&mut self, person: PersonNo, record: &Record, keys: &[u64]) {
        let seated = &mut self.persons[person as usize];
        seated.profile.absorb(record);
        seated.records += 1;
        for key in keys {
            self.blocks.put(*key, person);
        }
    }

    /// That a person holds the strong number of a record.
    pub fn hold(&mut self, record: &Record, person: PersonNo) {
        if let Some(number) = record.strong(self.judge.number) {
            self.holders.insert(number, person);
        }
    }

    /// What an equal number would be worth beside the rest of the record.
    pub fn belief(&self, record: &Record, person: PersonNo) -> Belief {
        self.judge.belief(record, &self.persons[person as usize].profile)
    }

    /// Whether nothing speaks against two persons being one.
    pub fn may_be_one(&self, one: PersonNo, other: PersonNo) -> bool {
        let belief = self.judge.belief(&self.persons[one as usize].profile, &self.persons[other as usize].profile);
        let profile = |person: PersonNo| &self.persons[person as usize].profile;
        let two = self.judge.number.is_some_and(|place| two_numbers(place, profile(one), profile(other)));
        belief != Belief::Clash && !two && !self.are_told_apart(one, other)
    }

    /// A record whose person is known says something new. Answers the person, who may have turned out to be an older one.
    pub fn follow(&mut self, record: &Record, person: PersonNo) -> PersonNo {
        self.judge.terms.count(&self.judge.rules, record);
        if !self.persons[person as usize].profile.covers(record) {
            self.candidates(record);
            self.absorb(record, person);
            self.join_neighbours(person);
        }
        self.root(person)
    }
}
