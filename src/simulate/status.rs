//! What several systems know of one family or person beside the benefits of [`super::benefits`].
//!
//! Every fact is a pure function of the seed and the person, so that each system finds the same answer without any of
//! them being kept: who gets rural dibao, lives in extreme poverty, holds a disability certificate, has served.

use time::Date;

use super::calendar::{age, days_before};
use super::population::{Family, Person};
use super::random::Random;

/// Families of ten thousand in villages that get or got rural dibao.
const RURAL_RATE: u64 = 2_200;
/// Old people alone of ten thousand whom the state keeps whole.
const TEKUN_RATE: u64 = 2_600;
/// Persons of ten thousand with a disability certificate.
const DISABLED_RATE: u64 = 700;
/// Men of ten thousand who are known as veterans.
const VETERAN_RATE: u64 = 900;
/// Default standard of a village in yuan a year and person [assumed in the domain brief].
const RURAL_STANDARD: u64 = 3_700;

/// A household's rural dibao.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rural {
    /// Persons covered.
    pub covered: usize,
    /// Income of a year in yuan.
    pub income: u64,
    /// Yuan of three months.
    pub quarter: u64,
    /// 1 normal, 2 suspended, 3 stopped.
    pub state: u8,
    /// The day the family was entered.
    pub since: Date,
}

/// A person in extreme poverty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tekun {
    /// Lives in an institution of the township, else at home.
    pub housed: bool,
    /// 1 able, 2 half, 3 not able to care for himself.
    pub self_care: u8,
    /// Yuan a month.
    pub yuan: u64,
    /// The first day of support.
    pub since: Date,
}

/// A certificate of the disabled persons' federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disability {
    /// 1 to 7.
    pub category: u8,
    /// 1, the gravest, to 4.
    pub grade: u8,
    /// Twenty characters, twenty-two after a reissue.
    pub certificate: String,
}

/// Rural dibao of a family in a village, for about a fifth of them.
pub fn rural(seed: u64, family: &Family, today: Date) -> Option<Rural> {
    let mut random = Random::new(seed, "rural-case", family.no);
    if family.place.urban || family.members.is_empty() || !random.chance(RURAL_RATE) || lonely(seed, family, today) {
        return None;
    }
    let covered = 1 + random.index(family.members.len());
    let share = random.below(60);
    let quarter = covered as u64 * RURAL_STANDARD * (100 - share) / 400;
    let state = match random.below(100) {
        0..88 => 1,
        88..93 => 2,
        _ => 3,
    };
    let income = family.members.len() as u64 * RURAL_STANDARD * share / 100;
    Some(Rural { covered, income, quarter, state, since: days_before(today, random.between(100, 2_500)) })
}

/// What is wrong, on purpose, with somebody in extreme poverty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Gets rural dibao too (rule R2).
    Twice,
    /// Gets the care subsidy too (rule R3).
    Care,
    /// Was settled for as one in dibao (rule R5).
    Settled,
}

/// The planted cases among those in extreme poverty. Their rows are free of other faults.
pub fn planted(seed: u64, family: &Family, today: Date) -> Option<Planted> {
    let person = family.members.first()?;
    if person.died.is_some() || !lonely(seed, family, today) {
        return None;
    }
    match Random::new(seed, "planted", family.no).below(20) {
        0..2 => Some(Planted::Twice),
        2..4 => Some(Planted::Care),
        4..6 => Some(Planted::Settled),
        _ => None,
    }
}

/// Support of a person who is old and alone. Such a person gets no dibao (rule R2 of the domain brief).
pub fn tekun(seed: u64, family: &Family, today: Date) -> Option<Tekun> {
    if !lonely(seed, family, today) {
        return None;
    }
    let mut random = Random::new(seed, "tekun-terms", family.no);
    let housed = random.chance(4_000);
    let self_care = match random.below(10) {
        0..6 => 1,
        6..9 => 2,
        _ => 3,
    };
    let self_care = if planted(seed, family, today) == Some(Planted::Care) { self_care.max(2) } else { self_care };
    let yuan = if housed { 520 } else { 400 } + u64::from(self_care - 1) * 80;
    Some(Tekun { housed, self_care, yuan, since: days_before(today, random.between(60, 3_000)) })
}

fn lonely(seed: u64, family: &Family, today: Date) -> bool {
    let [person] = family.members.as_slice() else { return false };
    let old = age(person.who.birth, today) >= 60;
    old && family.dibao.is_none() && Random::new(seed, "tekun", family.no).chance(TEKUN_RATE)
}

/// The disability certificate of a person, if there is one.
pub fn disability(seed: u64, person: &Person) -> Option<Disability> {
    let mut random = Random::new(seed, "disability", person.who.no);
    if !random.chance(DISABLED_RATE) {
        return None;
    }
    let category = u8::try_from(random.weighted_index(&[14, 22, 2, 40, 6, 8, 8])).unwrap_or(0) + 1;
    let grade = u8::try_from(random.weighted_index(&[15, 30, 30, 25])).unwrap_or(0) + 1;
    let reissue = if random.chance(600) { "B1" } else { "" };
    Some(Disability { category, grade, certificate: format!("{}{category}{grade}{reissue}", person.who.number) })
}

/// Code of the list `veteran_type` for persons the veterans' offices know. Types suit age, place and sex.
pub fn veteran(seed: u64, person: &Person, urban: bool, today: Date) -> Option<&'static str> {
    let mut random = Random::new(seed, "veteran", person.who.no);
    if !random.chance(VETERAN_RATE) {
        return None;
    }
    let years = age(person.who.birth, today);
    match (years, person.who.man) {
        (88.., true) => Some("41"),
        (65..88, true) => Some(if urban { "52" } else { random.pick(&["61", "61", "51", "42"]) }),
        (60..65, true) if !urban => Some("61"),
        (25..65, true) => Some(random.pick(&["11", "11", "42", "51"])),
        (60.., false) => random.chance(4_000).then_some(random.pick(&["21", "21", "71"])),
        _ => None,
    }
}

/// Head and partner of a family, man first.
pub fn couple(family: &Family) -> Option<(&Person, &Person)> {
    let head = family.members.first()?;
    let partner = family.members.iter().find(|person| matches!(person.relation, "11" | "12"))?;
    if head.who.man == partner.who.man {
        return None;
    }
    Some(if head.who.man { (head, partner) } else { (partner, head) })
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::simulate::places::Places;
    use crate::simulate::population::Population;

    const TODAY: Date = date!(2017 - 07 - 20);

    fn families() -> Vec<Family> {
        Population::new(&Places::load(), 4, 20_000, TODAY).collect()
    }

    #[test]
    fn nobody_is_covered_twice() {
        let (mut kept, mut rurals) = (0, 0);
        for family in families() {
            let covers = [family.dibao.is_some(), rural(4, &family, TODAY).is_some(), tekun(4, &family, TODAY).is_some()];
            assert!(covers.iter().filter(|cover| **cover).count() <= 1);
            kept += u64::from(covers[2]);
            rurals += u64::from(covers[1]);
        }
        assert!(kept > 200 && rurals > 600, "{kept} kept, {rurals} rural");
    }

    #[test]
    fn facts_suit_the_person() {
        let (mut veterans, mut couples) = (0, 0);
        for family in families() {
            for person in &family.members {
                if let Some(kind) = veteran(4, person, family.place.urban, TODAY) {
                    veterans += 1;
                    assert!(kind != "61" || (person.who.man && age(person.who.birth, TODAY) >= 60));
                }
                if let Some(disability) = disability(4, person) {
                    assert!(disability.certificate.starts_with(&person.who.number));
                }
            }
            if let Some((man, woman)) = couple(&family) {
                couples += 1;
                assert!(man.who.man && !woman.who.man);
            }
        }
        assert!(veterans > 300 && couples > 2_000, "{veterans} veterans, {couples} couples");
    }
}
