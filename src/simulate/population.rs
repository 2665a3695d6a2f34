//! One population for all systems: families, their members and what each of them receives.
//!
//! Families are drawn one after the other and forgotten; only the identity numbers already given are kept
//! (four bytes each), so a million persons need some ten megabytes. Elders and the poor are more frequent
//! than in the province, because these are the people civil affairs knows.

use rustc_hash::FxHashSet;
use time::{Date, Duration};

use super::banks::{self, Bank};
use super::benefits::{self, Dibao, Senior};
use super::calendar;
use super::names::{self, People};
use super::numbers;
use super::places::{Place, Places};
use super::random::Random;

/// What the truth says of a person, and what outlives the family it was drawn with.
#[derive(Debug, Clone)]
pub struct Who {
    /// Running number from 1.
    pub no: u64,
    /// The true name.
    pub name: String,
    /// The right 18-character number, whatever the systems wrote.
    pub number: String,
    /// The day of birth, which the number repeats.
    pub birth: Date,
    /// True for men; the order code of the number is odd for them.
    pub man: bool,
}

/// A person of the population.
#[derive(Debug, Clone)]
pub struct Person {
    /// Identity.
    pub who: Who,
    /// Decides name and the code of `NATION`.
    pub people: People,
    /// Relation to the head of household, GB/T 4761.
    pub relation: &'static str,
    /// Eleven digits that ring nowhere.
    pub mobile: String,
    /// Where benefits are paid to.
    pub bank: &'static Bank,
    /// Card number with a right Luhn digit.
    pub account: String,
    /// Day of death, if in the last three months.
    pub died: Option<Date>,
    /// The old-age allowance, from the age of 80.
    pub senior: Option<Senior>,
}

/// A household.
#[derive(Debug, Clone)]
pub struct Family {
    /// Running number from 1.
    pub no: u64,
    /// Village or community of registration and residence.
    pub place: Place,
    /// The first member is the head.
    pub members: Vec<Person>,
    /// Urban dibao, for some families in towns.
    pub dibao: Option<Dibao>,
}

/// Draws the families; ends after the wanted number of persons.
#[derive(Debug)]
pub struct Population<'a> {
    places: &'a Places,
    seed: u64,
    today: Date,
    wanted: u64,
    persons: u64,
    families: u64,
    used: FxHashSet<u32>,
    elders: Vec<Namesake>,
}

/// An adult whose name and birthday may come again in another family.
#[derive(Debug, Clone)]
struct Namesake {
    name: String,
    birth: Date,
    man: bool,
    people: People,
}

/// A member before name and number are given.
struct Role {
    relation: &'static str,
    man: bool,
    birth: Date,
    twin: bool,
}

/// How many adults are remembered as possible namesakes.
const NAMESAKES: usize = 64;
/// Adults of ten thousand who bear name and birthday of another one.
const NAMESAKE_RATE: u64 = 30;
/// Couples with children of ten thousand who have twins; rounded up from 1.2 % of births so that small demos have some.
const TWIN_RATE: u64 = 200;

impl<'a> Population<'a> {
    /// `wanted` persons who live in `places` on the day `today`.
    pub fn new(places: &'a Places, seed: u64, wanted: u64, today: Date) -> Self {
        let used = FxHashSet::default();
        Self { places, seed, today, wanted, persons: 0, families: 0, used, elders: Vec::new() }
    }

    fn family(&mut self) -> Family {
        self.families += 1;
        let mut random = Random::new(self.seed, "family", self.families);
        let place = self.places.home(&mut random);
        let left = usize::try_from(self.wanted - self.persons).unwrap_or(usize::MAX);
        let mut roles = roles(self.today, &mut random);
        roles.truncate(left);
        let mut members: Vec<Person> = Vec::with_capacity(roles.len());
        for role in roles {
            let person = self.person(&role, place, &members, &mut random);
            members.push(person);
        }
        let dibao = benefits::dibao(place, &members, self.today, &mut random);
        Family { no: self.families, place, members, dibao }
    }

    fn person(&mut self, role: &Role, place: Place, family: &[Person], random: &mut Random) -> Person {
        self.persons += 1;
        let no = self.persons;
        let adult = calendar::age(role.birth, self.today) >= 18;
        let namesake = if family.is_empty() && random.chance(NAMESAKE_RATE) { self.namesake(random) } else { None };
        let Namesake { name, birth, man, people } = namesake.unwrap_or_else(|| fresh(role, place, family, random));
        if adult {
            self.remember(&name, birth, man, people);
        }
        let number = self.number(birth, man, role.twin.then_some(family).and_then(<[_]>::last), random);
        let bank = banks::draw(random);
        let account = numbers::card(bank.bin, bank.card_length, no, random);
        let died = benefits::death(birth, self.today, random);
        let senior = benefits::senior(birth, died, self.today, random);
        let who = Who { no, name, number, birth, man };
        Person { who, people, relation: role.relation, mobile: numbers::mobile(no), bank, account, died, senior }
    }

    fn namesake(&self, random: &mut Random) -> Option<Namesake> {
        (!self.elders.is_empty()).then(|| self.elders[random.index(self.elders.len())].clone())
    }

    fn remember(&mut self, name: &str, birth: Date, man: bool, people: People) {
        let namesake = Namesake { name: name.to_owned(), birth, man, people };
        let slot = usize::try_from(self.persons % NAMESAKES as u64).unwrap_or(0);
        if self.elders.len() < NAMESAKES {
            self.elders.push(namesake);
        } else {
            self.elders[slot] = namesake;
        }
    }

    /// A number nobody has yet; twins get neighbouring order codes, as the registry gives them.
    fn number(&mut self, birth: Date, man: bool, twin: Option<&Person>, random: &mut Random) -> String {
        let (mut zone, mut zone_code) = self.places.zone(random);
        let mut order = draw_order(man, random);
        if let Some(twin) = twin {
            (zone, zone_code) = self.places.zone_of(&twin.who.number).unwrap_or((zone, zone_code));
            let last: u32 = twin.who.number.get(14..17).and_then(|text| text.parse().ok()).unwrap_or(order);
            let next = (last + 2) / 2 * 2 + u32::from(man);
            order = if next > 999 { order } else { next };
        }
        while !self.used.insert(slot(birth, zone, order)) {
            (zone, zone_code) = self.places.zone(random);
            order = draw_order(man, random);
        }
        numbers::resident_id(zone_code, birth, order)
    }
}

impl Iterator for Population<'_> {
    type Item = Family;

    fn next(&mut self) -> Option<Family> {
        (self.persons < self.wanted).then(|| self.family())
    }
}

/// The order code: odd for men, even for women, never 000.
fn draw_order(man: bool, random: &mut Random) -> u32 {
    let half = u32::try_from(random.below(499)).unwrap_or(0) + 1;
    half * 2 - u32::from(man)
}

/// Day of birth, zone and order code as one number: nine zones, a thousand codes a day.
fn slot(birth: Date, zone: u32, order: u32) -> u32 {
    let day = birth.to_julian_day() - FIRST_DAY;
    (u32::try_from(day).unwrap_or(0) * 9 + zone) * 1_000 + order
}

/// 1 January 1900 as a Julian day.
const FIRST_DAY: i32 = 2_415_021;

fn fresh(role: &Role, place: Place, family: &[Person], random: &mut Random) -> Namesake {
    let people = match family.first() {
        Some(head) if !random.chance(500) => head.people,
        _ => People::draw(place.county(), random),
    };
    let child = matches!(role.relation, "20" | "30");
    let parent_name = family.iter().find(|person| person.who.man || family.len() == 1).filter(|_| child);
    let surname = match parent_name {
        Some(parent) if parent.people == people => surname_of(&parent.who.name),
        _ => names::surname(people, random).to_owned(),
    };
    let shared = family.last().filter(|_| role.twin).and_then(|twin| given_first(&twin.who.name, &surname));
    let name = names::full(people, &surname, role.man, role.birth.year(), shared, random);
    Namesake { name, birth: role.birth, man: role.man, people }
}

/// The surname part of a name: up to a middle dot, two characters for compound surnames, else one.
fn surname_of(name: &str) -> String {
    if let Some(dot) = name.find('·') {
        return name[..dot + '·'.len_utf8()].to_owned();
    }
    let compound = ["欧阳", "司徒", "上官"].into_iter().find(|surname| name.starts_with(surname));
    compound.map_or_else(|| name.chars().take(1).collect(), str::to_owned)
}

fn given_first(name: &str, surname: &str) -> Option<char> {
    let given = name.strip_prefix(surname)?;
    (given.chars().count() > 1).then(|| given.chars().next()).flatten()
}

/// The members of one household with sex and birthday: head, partner, children, a parent.
fn roles(today: Date, random: &mut Random) -> Vec<Role> {
    let head_man = random.chance(5_800);
    let head_age = head_age(random);
    let head = birthday(today, head_age, random);
    let mut roles = vec![Role { relation: "02", man: head_man, birth: head, twin: false }];
    let partner = if head_age >= 80 { 4_500 } else { 6_200 };
    if head_age >= 24 && random.chance(partner) {
        let birth = birthday(today, (head_age + random.between(-4, 4)).clamp(20, 99), random);
        let relation = if head_man { "12" } else { "11" };
        roles.push(Role { relation, man: !head_man, birth, twin: false });
    }
    children(today, head_age, &mut roles, random);
    if (30..=60).contains(&head_age) && random.chance(800) {
        let man = random.chance(4_000);
        let birth = birthday(today, (head_age + random.between(22, 32)).min(98), random);
        roles.push(Role { relation: if man { "51" } else { "52" }, man, birth, twin: false });
    }
    roles
}

fn head_age(random: &mut Random) -> i64 {
    match random.below(100) {
        0..30 => random.between(22, 44),
        30..65 => random.between(45, 64),
        65..83 => random.between(65, 79),
        _ => random.between(80, 96),
    }
}

fn children(today: Date, head_age: i64, roles: &mut Vec<Role>, random: &mut Random) {
    let count = match random.below(10) {
        0..3 => 0,
        3..9 => 1,
        _ => 2,
    };
    let mut age = head_age - random.between(22, 32);
    for _ in 0..count {
        let stays = age < 25 || random.chance(2_500);
        if age < 0 || !stays {
            return;
        }
        let birth = birthday(today, age, random);
        roles.push(child(birth, false, random));
        if random.chance(TWIN_RATE) {
            roles.push(child(birth, true, random));
        }
        age -= random.between(2, 6);
    }
}

fn child(birth: Date, twin: bool, random: &mut Random) -> Role {
    let man = random.chance(5_100);
    Role { relation: if man { "20" } else { "30" }, man, birth, twin }
}

/// A birthday that makes somebody `age` years old today.
fn birthday(today: Date, age: i64, random: &mut Random) -> Date {
    let days = age * 365 + age / 4 + random.between(1, 363);
    today.checked_sub(Duration::days(days)).unwrap_or(Date::MIN)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    fn draw(persons: u64, seed: u64) -> Vec<Family> {
        let places = Places::load();
        Population::new(&places, seed, persons, date!(2017 - 07 - 20)).collect()
    }

    #[test]
    fn numbers_are_valid_unique_and_of_functional_zones() {
        let mut seen = FxHashSet::default();
        for person in draw(5_000, 1).iter().flat_map(|family| &family.members) {
            let number = &person.who.number;
            assert_eq!(number.len(), 18);
            assert_eq!(numbers::resident_check(&number[..17]), number.chars().last().unwrap());
            assert!((b'7'..=b'9').contains(&number.as_bytes()[4]), "not a functional zone");
            assert_eq!(number[6..14], calendar::compact(person.who.birth));
            assert_eq!(number[14..17].parse::<u32>().unwrap() % 2 == 1, person.who.man);
            assert!(seen.insert(number.clone()), "one number for two persons");
        }
        assert_eq!(seen.len(), 5_000);
    }

    #[test]
    fn there_are_twins_namesakes_and_elders() {
        let families = draw(20_000, 2);
        let twins =
            families.iter().flat_map(|family| family.members.windows(2)).filter(|pair| pair[0].who.birth == pair[1].who.birth);
        assert!(twins.count() > 10);
        let mut seen = FxHashSet::default();
        let people = families.iter().flat_map(|family| &family.members);
        let namesakes = people.clone().filter(|person| !seen.insert((person.who.name.clone(), person.who.birth)));
        assert!(namesakes.count() > 10);
        let elders = people.filter(|person| person.senior.is_some()).count();
        assert!((1_400..3_000).contains(&elders), "{elders} of 20,000 get the old-age allowance");
        let dibao = families.iter().filter(|family| family.dibao.is_some()).count();
        assert!((900..1_500).contains(&dibao), "{dibao} families in dibao");
    }

    #[test]
    fn children_bear_a_parents_surname() {
        for family in draw(2_000, 3) {
            for child in family.members.iter().filter(|person| matches!(person.relation, "20" | "30")) {
                let own = surname_of(&child.who.name);
                let same = family.members.iter().any(|parent| surname_of(&parent.who.name) == own);
                assert!(same || child.people != family.members[0].people || child.people == People::Mongol);
            }
        }
    }
}
