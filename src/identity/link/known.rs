//! An engine for a part of a larger index: persons are brought in as they are on record, then records are linked.

use std::sync::Arc;

use super::{
    engine::{Engine, PersonNo},
    profile::Profile,
    record::Record,
    score::{Belief, two_numbers},
};

impl Engine {
    /// A place for a person of the index and all that is known of it. Call it in the order of their age.
    pub fn seat(&mut self, profile: Arc<Profile>) -> PersonNo {
        let person = self.create();
        self.persons[person as usize].profile = profile;
        person
    }

    /// Puts a seated person under a blocking key.
    pub fn put(&mut self, key: u64, person: PersonNo) {
        self.blocks.put(key, person);
    }

    /// That a person holds the strong number of a record.
    pub fn hold(&mut self, record: &Record, person: PersonNo) {
        if let Some(number) = record.strong(self.judge.number) {
            self.holders.insert(number, person);
        }
    }

    /// What an equal number would be worth beside the rest of the record.
    pub fn belief(&self, record: &Record, person: PersonNo) -> Belief {
        self.judge.belief(record, &*self.persons[person as usize].profile)
    }

    /// Whether nothing speaks against two persons being one.
    pub fn may_be_one(&self, one: PersonNo, other: PersonNo) -> bool {
        let belief = self.judge.belief(&*self.persons[one as usize].profile, &*self.persons[other as usize].profile);
        let profile = |person: PersonNo| &*self.persons[person as usize].profile;
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
