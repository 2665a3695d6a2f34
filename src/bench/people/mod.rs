//! People with the faults of real registers, and the truth about them: what identity linking is measured with.
//!
//! The persons are those of the simulated province, with its families, twins and namesakes. Each is on record in one to
//! six systems. A system has habits: whether it asks for the number, which calendar its clerks write birthdays in, how
//! it spells names. One record in five or so has no usable identity number.

mod clerk;
mod home;
mod score;

use std::collections::HashMap;

use time::macros::date;

pub use self::score::{Scores, agreement, score};
use self::{
    clerk::Clerk,
    home::{Home, Homes},
};
use crate::simulate::{
    places::Places,
    population::{Family, Person, Population},
    random::Random,
};

/// The day the registers are drawn.
const TODAY: time::Date = date!(2017 - 07 - 03);

/// One record, as a system wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub record_id: String,
    pub system: &'static str,
    pub name: Option<String>,
    pub id_number: Option<String>,
    pub birth_date: Option<String>,
    pub sex: Option<String>,
    pub address: Option<String>,
    pub phone: Option<String>,
    /// Who is meant.
    pub person: u64,
}

/// Records, and pairs of persons that are easily taken for one.
#[derive(Debug, Default)]
pub struct People {
    pub entries: Vec<Entry>,
    pub persons: u64,
    pub twins: Vec<(u64, u64)>,
    /// One name and one birthday.
    pub namesakes: Vec<(u64, u64)>,
}

/// Draws so many records, in random order.
pub fn draw(records: usize, seed: u64) -> People {
    let (places, homes) = (Places::load(), Homes::load());
    let mut people = People::default();
    let mut first: HashMap<(String, time::Date), u64> = HashMap::new();
    // More families than can be needed: the drawing ends with the records.
    for mut family in Population::new(&places, seed, records as u64 + 16, TODAY) {
        if people.entries.len() >= records {
            break;
        }
        name_twins(&mut family);
        let home = Home::of(&homes, &places, &family, seed);
        for (place, person) in family.members.iter().enumerate() {
            people.persons += 1;
            let earlier = family.members[..place].iter().filter(|other| other.who.birth == person.who.birth);
            people.twins.extend(earlier.map(|other| (other.who.no, person.who.no)));
            let known = *first.entry((person.who.name.clone(), person.who.birth)).or_insert(person.who.no);
            if known != person.who.no {
                people.namesakes.push((known, person.who.no));
            }
            appear(person, place, &family, &home, seed, &mut people.entries);
        }
    }
    people.entries.truncate(records);
    shuffle(&mut people.entries, seed);
    people
}

/// Names are drawn, and those of twins may be equal by chance; parents see to it that they are not.
fn name_twins(family: &mut Family) {
    for place in 1..family.members.len() {
        let (earlier, rest) = family.members.split_at_mut(place);
        let who = &mut rest[0].who;
        if earlier.iter().any(|other| other.who.birth == who.birth && other.who.name == who.name) {
            let replaced = if who.name.ends_with('宁') { '安' } else { '宁' };
            who.name.pop();
            who.name.push(replaced);
        }
    }
}

fn appear(person: &Person, place: usize, family: &Family, home: &Home, seed: u64, entries: &mut Vec<Entry>) {
    let mut random = Random::new(seed, "appearances", person.who.no);
    for system in systems(&mut random) {
        let clerk = Clerk::of(system);
        let mut entry = clerk.write(person, place, family, home, &mut random);
        entry.record_id = format!("{}-{}", system, person.who.no);
        entry.person = person.who.no;
        entries.push(entry);
    }
}

/// One to six systems.
fn systems(random: &mut Random) -> Vec<&'static str> {
    let count = match random.below(100) {
        0..25 => 1,
        25..45 => 2,
        45..65 => 3,
        65..80 => 4,
        80..92 => 5,
        _ => 6,
    };
    let mut systems = clerk::SYSTEMS.map(|(name, _)| name).to_vec();
    while systems.len() > count {
        systems.remove(random.index(systems.len()));
    }
    systems
}

fn shuffle(entries: &mut [Entry], seed: u64) {
    let mut random = Random::new(seed, "order", 0);
    for last in (1..entries.len()).rev() {
        entries.swap(last, random.index(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_many_and_reproducible() {
        let people = draw(3_000, 1);
        assert_eq!(people.entries.len(), 3_000);
        assert!((900..1_150).contains(&people.persons), "{}", people.persons);
        assert_eq!(people.entries, draw(3_000, 1).entries);
        assert_ne!(people.entries, draw(3_000, 2).entries);
        let lacking = people.entries.iter().filter(|entry| entry.id_number.is_none()).count();
        assert!((250..750).contains(&lacking), "{lacking} without a number");
    }
}
