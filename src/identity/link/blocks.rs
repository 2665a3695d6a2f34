//! Which persons stand under a blocking key.

use rustc_hash::FxHashMap;

/// The highest bit says that the entry is the place of a list; most keys have one person and no list.
const LIST: u32 = 1 << 31;

/// Longer lists under a key are looked at when there is no shorter one.
const SHORT_LIST: usize = 40;

/// Persons by key, at most so many under each: the oldest.
#[derive(Debug, Default)]
pub struct Blocks {
    entries: FxHashMap<u64, u32>,
    lists: Vec<Vec<u32>>,
    most: usize,
    /// How often a person was left out because a key was full.
    pub overflow: u64,
}

impl Blocks {
    pub fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// The persons under a key.
    pub fn get(&self, key: u64) -> Persons<'_> {
        match self.entries.get(&key) {
            None => Persons::None,
            Some(entry) if entry & LIST == 0 => Persons::One(*entry),
            Some(entry) => Persons::List(self.lists.get((entry & !LIST) as usize).map_or(&[], Vec::as_slice)),
        }
    }

    /// Puts a person under a key, once.
    pub fn put(&mut self, key: u64, person: u32) {
        match self.entries.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => drop(entry.insert(person)),
            std::collections::hash_map::Entry::Occupied(mut entry) if entry.get() & LIST == 0 => {
                let first = *entry.get();
                if first != person {
                    entry.insert(LIST | u32::try_from(self.lists.len()).unwrap_or(0));
                    self.lists.push(vec![first, person]);
                }
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                let Some(list) = self.lists.get_mut((entry.get() & !LIST) as usize) else { return };
                if list.contains(&person) {
                } else if list.len() < self.most {
                    list.push(person);
                } else {
                    self.overflow += 1;
                    // Whatever the order in which they came, the same ones stay.
                    let youngest = list.iter_mut().max().filter(|youngest| **youngest > person);
                    youngest.into_iter().for_each(|youngest| *youngest = person);
                }
            }
        }
    }

    /// Fills `ranking` with the persons under the keys, those under most, and rarest, of them first; of equals the older.
    /// `root` is whom a person turned out to be.
    pub fn rank(&self, keys: &[u64], root: impl Fn(u32) -> u32, ranking: &mut Ranking) {
        let Ranking { found, ranked } = ranking;
        found.clear();
        // Long lists only say something when nothing else does: whoever is near shares a rare key too.
        for most in [SHORT_LIST, usize::MAX] {
            for persons in keys.iter().map(|key| self.get(*key)).filter(|persons| persons.count() <= most) {
                found.extend(persons.each().map(&root));
            }
            if !found.is_empty() {
                break;
            }
        }
        found.sort_unstable();
        ranked.clear();
        for person in found {
            match ranked.last_mut() {
                Some((count, last)) if last == person => *count += 1,
                _ => ranked.push((1, *person)),
            }
        }
        ranked.sort_unstable_by_key(|(count, person)| (u32::MAX - count, *person));
    }

    /// Bytes of the tables, about.
    pub fn bytes(&self) -> usize {
        let lists: usize = self.lists.iter().map(|list| 24 + list.capacity() * 4).sum();
        // A hash table is at most seven eighths full, on average less than two thirds.
        lists + self.entries.len() * 13 * 3 / 2
    }

    /// All lists of two persons and more.
    pub fn lists(&self) -> &[Vec<u32>] {
        &self.lists
    }
}

/// Who is near: a work space that is used again, and the result, as number of shared keys and person.
#[derive(Debug, Default)]
pub struct Ranking {
    found: Vec<u32>,
    pub ranked: Vec<(u32, u32)>,
}

/// The persons under one key.
#[derive(Debug, Clone, Copy)]
pub enum Persons<'a> {
    None,
    One(u32),
    List(&'a [u32]),
}

impl<'a> Persons<'a> {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::List(list) => list.len(),
        }
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = u32> + 'a {
        let (one, list) = match self {
            Self::None => (None, [].as_slice()),
            Self::One(person) => (Some(person), [].as_slice()),
            Self::List(list) => (None, list),
        };
        one.into_iter().chain(list.iter().copied())
    }
}
