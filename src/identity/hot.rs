//! The hot index: in the memory of each router, under which blocking keys every person is found.
//!
//! It is made from the statements of the store, and holds nothing that the store does not: after a commit it takes over
//! what was decided here, and before a decision what others have decided since ([`Hot::turn`]). What persons say is kept
//! for those who were needed last; the others are cold, and are read again when they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use moka::sync::Cache;
use rustc_hash::FxHashMap;

use super::{
    batch::{Batch, Seat},
    cache::short,
    link::{
        PersonNo, Rules,
        blocks::{Blocks, Ranking},
    },
    lore::Statement,
};

/// Statements of persons kept ready: about 150 MB when full.
const STATEMENTS: u64 = 150_000;

/// Persons of the index by their places in the store.
pub(super) struct Hot {
    /// The decision up to which the store is known; none before it was read for the first time.
    pub(super) turn: Option<i64>,
    pub(super) blocks: Blocks,
    /// Who holds a number.
    holders: FxHashMap<u128, u32>,
    /// How many records bear a name; under 0 all of them.
    pub(super) names: FxHashMap<i64, u32>,
    /// Who turned out to be whom.
    redirects: FxHashMap<u32, u32>,
    /// Told apart by humans.
    pub(super) apart: Vec<(u32, u32)>,
    seats: Cache<u32, Arc<Seat>>,
    /// The youngest person.
    pub(super) last: i64,
}

impl Hot {
    pub(super) fn new(rules: &Rules) -> Self {
        let weight = |_: &u32, seat: &Arc<Seat>| u32::try_from(1 + seat.heard.len()).unwrap_or(u32::MAX);
        Self {
            turn: None,
            blocks: Blocks::new(rules.decide.block),
            holders: FxHashMap::default(),
            names: FxHashMap::default(),
            redirects: FxHashMap::default(),
            apart: Vec::new(),
            seats: Cache::builder().max_capacity(STATEMENTS).weigher(weight).build(),
            last: 0,
        }
    }

    /// Whom a person turned out to be.
    pub(super) fn root(&self, mut person: u32) -> u32 {
        while let Some(next) = self.redirects.get(&person) {
            person = *next;
        }
        person
    }

    /// The persons who share most keys.
    pub(super) fn near(&self, keys: &[u64], most: usize, ranking: &mut Ranking) -> impl Iterator<Item = u32> {
        self.blocks.rank(keys, |person| self.root(person), ranking);
        let ranked: Vec<u32> = ranking.ranked.iter().take(most).map(|(_, person)| *person).collect();
        ranked.into_iter()
    }

    /// Who holds a number.
    pub(super) fn holder(&self, hash: &str) -> Option<u32> {
        self.holders.get(&short(hash)).map(|person| self.root(*person))
    }

    /// A person, if it is not cold.
    pub(super) fn seat(&self, person: u32) -> Option<Arc<Seat>> {
        self.seats.get(&person)
    }

    pub(super) fn keep(&self, seat: &Arc<Seat>) {
        self.seats.insert(place(seat.seq), Arc::clone(seat));
    }

    /// A person as the store has it, which others have changed.
    pub(super) fn learn(&mut self, seat: &Arc<Seat>) {
        let person = place(seat.seq);
        self.redirects.remove(&person);
        self.file(person, seat.heard.iter().map(|heard| &*heard.statement));
        for number in &seat.numbers {
            self.hold(number, person);
        }
        self.last = self.last.max(seat.seq);
        self.keep(seat);
    }

    /// Puts a person under the keys of statements.
    pub(super) fn file<'s>(&mut self, person: u32, statements: impl Iterator<Item = &'s Statement>) {
        for key in statements.flat_map(|statement| &statement.keys) {
            self.blocks.put(*key, person);
        }
    }

    pub(super) fn put(&mut self, keys: &[u64], person: u32) {
        keys.iter().for_each(|key| self.blocks.put(*key, person));
    }

    pub(super) fn hold(&mut self, hash: &str, person: u32) {
        self.holders.insert(short(hash), person);
    }

    /// A person who turned out to be another.
    pub(super) fn redirect(&mut self, old: u32, new: u32) {
        self.redirects.insert(old, new);
        self.seats.invalidate(&old);
        self.last = self.last.max(i64::from(old));
    }

    /// A batch was committed as the decision `turn`.
    pub(super) fn follow(&mut self, batch: &Batch<'_>, rules: &Rules, turn: i64) {
        let at = |person: PersonNo| place(batch.person(person).seq);
        for (person, number, _) in &batch.numbers {
            self.hold(&number.hash, at(*person));
        }
        // A record that changed its word: what it said before is read from the store again.
        let stale: BTreeSet<u32> = batch.links.iter().filter(|link| link.is_known).map(|link| at(link.person)).collect();
        for link in &batch.links {
            self.file(at(link.person), std::iter::once(&*link.statement));
        }
        for (retired, _) in batch.merges.iter().filter(|(retired, _)| !batch.seats[*retired as usize].is_new) {
            self.redirect(place(batch.seats[*retired as usize].seq), at(*retired));
            self.file(at(*retired), batch.person(*retired).heard.iter().map(|heard| &*heard.statement));
        }
        let touched: BTreeMap<u32, &Seat> = batch.touched.iter().map(|person| (at(*person), batch.person(*person))).collect();
        for (person, seat) in touched {
            if stale.contains(&person) {
                self.seats.invalidate(&person);
            } else {
                let mut seat = Seat { is_new: false, ..seat.clone() };
                seat.settle(rules);
                self.seats.insert(person, Arc::new(seat));
            }
        }
        for (_, name) in batch.links.iter().filter_map(|link| link.statement.name) {
            *self.names.entry(name).or_default() += 1;
            *self.names.entry(0).or_default() += 1;
        }
        self.last = self.last.max(batch.last);
        self.turn = Some(turn);
    }

    /// Bytes of what is kept of every person, about: cold ones take no more.
    pub(super) fn bytes(&self) -> usize {
        // As in `Blocks::bytes`.
        let table = |entries: usize, size: usize| entries * (size + 1) * 3 / 2;
        self.blocks.bytes() + table(self.holders.len(), 32) + table(self.names.len(), 16) + table(self.redirects.len(), 8)
    }
}

/// A place of the store; there are not four billion persons.
pub(super) fn place(seq: i64) -> u32 {
    u32::try_from(seq).unwrap_or(u32::MAX)
}
