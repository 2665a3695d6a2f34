//! What people receive and when it ends: the facts several systems must tell alike.
//!
//! A payment appears in the dibao database, in the payroll file to the bank and in the bank's answer; a death appears
//! in the crematory's file and, too late, in the payroll. These functions are the single source of both.

use time::Date;

use super::calendar::{Month, age, days_before};
use super::places::Place;
use super::population::Person;
use super::random::Random;

/// A household's minimum living guarantee.
#[derive(Debug, Clone)]
pub struct Dibao {
    /// Persons covered, 1 to all members.
    pub covered: usize,
    /// Monthly amount in fen.
    pub fen: u64,
    /// Own state code of the system, `70` in benefit.
    pub state: &'static str,
    /// A, B or C.
    pub class: char,
    /// First month of benefit.
    pub from: Month,
    /// Last month paid; the month of the head's death, or later where nobody reported it.
    pub until: Month,
}

/// A person's old-age allowance.
#[derive(Debug, Clone)]
pub struct Senior {
    /// Monthly amount in fen.
    pub fen: u64,
    /// Last month paid.
    pub until: Month,
    /// True where the death has not reached the office.
    pub unreported_death: bool,
}

/// The deaths the crematories report lie within this many days.
pub const DEATH_WINDOW: i64 = 90;
/// Dead recipients of ten thousand who are paid on for two months.
const PAID_AFTER_DEATH: u64 = 1_200;
/// Families of ten thousand in towns that get or asked for urban dibao: gives about 0.06 households per person.
const DIBAO_RATE: u64 = 2_700;
/// Default standard in fen a month and person [assumed in the domain brief].
const STANDARD: u64 = 48_000;

/// The day of death of those who died lately.
pub fn death(birth: Date, today: Date, random: &mut Random) -> Option<Date> {
    let rate = match age(birth, today) {
        80.. => 1_000,
        60..80 => 400,
        _ => 25,
    };
    let days = random.between(3, DEATH_WINDOW - 3);
    random.chance(rate).then(|| days_before(today, days))
}

/// The allowance of everyone aged 80 and over.
pub fn senior(birth: Date, died: Option<Date>, today: Date, random: &mut Random) -> Option<Senior> {
    let age = age(birth, today);
    if age < 80 {
        return None;
    }
    let fen = match age {
        80..90 => 10_000,
        90..100 => 20_000,
        _ => 30_000,
    };
    let (until, unreported_death) = last_month(died, today, random);
    Some(Senior { fen, until, unreported_death })
}

/// The dibao case of a family in a town, for about a quarter of them.
pub fn dibao(place: Place, members: &[Person], today: Date, random: &mut Random) -> Option<Dibao> {
    let head = members.first()?;
    if !place.urban || !random.chance(DIBAO_RATE) {
        return None;
    }
    let covered = 1 + random.index(members.len());
    let state = match random.below(100) {
        0..80 => "70",
        80..83 => "80",
        83..90 => "90",
        90..92 => "10",
        92..94 => "20",
        94..96 => "30",
        96..98 => "40",
        _ => "60",
    };
    let income_share = random.below(60);
    let fen = covered as u64 * STANDARD * (100 - income_share) / 100 / 100 * 100;
    let from = Month::of(today).before(i32::try_from(random.between(1, 60)).unwrap_or(1));
    let (until, _) = last_month(head.died, today, random);
    let class = random.character("AABBBC");
    Some(Dibao { covered, fen, state, class, from, until })
}

fn last_month(died: Option<Date>, today: Date, random: &mut Random) -> (Month, bool) {
    let unreported = random.chance(PAID_AFTER_DEATH);
    match died {
        None => (Month::of(today), false),
        Some(day) if unreported => (Month::of(day).before(-2), true),
        Some(day) => (Month::of(day), false),
    }
}

impl Dibao {
    /// True when the month is paid.
    pub fn paid(&self, month: Month) -> bool {
        self.state == "70" && self.from <= month && month <= self.until
    }
}

/// The bank's answer to one payment: the same in every system that tells it. A name mismatch is the commonest return.
pub fn return_code(seed: u64, person: u64, purpose: &str, month: Month) -> &'static str {
    let mut random = Random::new(seed, purpose, person);
    let mut random = Random::new(random.bits(), &month.text(), person);
    match random.below(1_000) {
        0..14 => "1002",
        14..18 => "1001",
        18..21 => "1003",
        21..23 => "1004",
        23..25 => "1005",
        _ => "0000",
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn return_codes_agree_between_systems() {
        let month = Month::of(date!(2017 - 06 - 10));
        for person in 1..500 {
            assert_eq!(return_code(5, person, "UD", month), return_code(5, person, "UD", month));
        }
        let returned = (1..10_000).filter(|person| return_code(5, *person, "UD", month) != "0000").count();
        assert!((180..330).contains(&returned), "{returned}");
    }

    #[test]
    fn allowance_begins_at_eighty() {
        let mut random = Random::new(1, "senior", 0);
        let today = date!(2017 - 07 - 20);
        assert!(senior(date!(1937 - 07 - 21), None, today, &mut random).is_none());
        assert_eq!(senior(date!(1937 - 07 - 20), None, today, &mut random).unwrap().fen, 10_000);
        assert_eq!(senior(date!(1917 - 07 - 20), None, today, &mut random).unwrap().fen, 30_000);
    }
}
