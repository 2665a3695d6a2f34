//! `child-adoption`: adoptions and children in need, as answers of the national template's SOAP service.
//!
//! Quirks: the adopted child's number is often missing; a family may have one adopter or two. A child adopted stands in the
//! population as a child of the family; the children in need live with a grandparent.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, weekday, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::soap::Pages;

/// The system's slug.
pub const SLUG: &str = "child-adoption";
const ADOPTIONS: &str = "queryAdoption";
const CHILDREN: &str = "queryChild";
const CHILD_HABITS: Habits = Habits { missing: 5_000, lower_case_x: false, gbk: false, padded_names: false };
const HABITS: Habits = Habits { missing: 0, lower_case_x: false, gbk: false, padded_names: false };
/// Children of ten thousand whose parents adopted them.
const ADOPTED: u64 = 350;
/// Children of ten thousand for whom the state pays; far above the province's rate, so that small demos have some.
const IN_NEED: u64 = 400;

/// The system under way.
pub struct ChildAdoption {
    start: Start,
    adoptions: Pages,
    children: Pages,
}

impl ChildAdoption {
    /// Starts without pages.
    pub fn open(start: Start) -> Self {
        let pages = |operation| Pages::new(&start.folder, operation);
        let (adoptions, children) = (pages(ADOPTIONS), pages(CHILDREN));
        Self { start, adoptions, children }
    }

    fn adopted(&mut self, child: &Person, family: &Family, parents: (&Person, &Person), truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, child.who.no);
        let Some(day) = registered(child, parents, self.start.today, &mut random) else { return Ok(()) };
        let young = Recorded::draw(&child.who, CHILD_HABITS, &mut random).number_optional();
        let (him, her) =
            (Recorded::draw(&parents.0.who, HABITS, &mut random), Recorded::draw(&parents.1.who, HABITS, &mut random));
        let wrong = [&him, &her].into_iter().find(|recorded| recorded.refused());
        let numbers = wrong.and_then(|recorded| recorded.kind).or(young.kind).or(him.kind).or(her.kind);
        let kind = faults::plant(numbers, &[Kind::ImpossibleDate, Kind::UnknownCode], &mut random);
        let key = format!("{}-{}-{:08}", family.place.county(), day.year(), child.who.no);
        let date = if kind == Some(Kind::ImpossibleDate) { format!("{}-02-30", day.year()) } else { iso_date(day) };
        let file = self.adoptions.file();
        let row = self.adoptions.push(&[
            ("registerNo", &key),
            ("adopteeName", &young.name),
            ("adopteeIdCard", &young.number),
            ("birthday", &iso_date(child.who.birth)),
            ("childSource", if kind == Some(Kind::UnknownCode) { "9" } else { random.pick(&["1", "2", "3", "4"]) }),
            ("adopter1Name", &him.name),
            ("adopter1IdCard", &him.number),
            ("adopter2Name", &her.name),
            ("adopter2IdCard", &her.number),
            ("registerDate", &date),
            ("officeDivision", &format!("{}000000", family.place.county())),
            ("updateTime", &moment(day, working_hour(&mut random))),
        ])?;
        let spot = Spot { system: SLUG, object: "ADOPTION", file: &file, row, key: &key, parent: "" };
        truth.tell(&spot, Some((&child.who, &young.note())), kind)?;
        truth.appears(&parents.0.who, &spot, &him.note())?;
        truth.appears(&parents.1.who, &spot, &her.note())
    }

    fn in_need(&mut self, child: &Person, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, CHILDREN, child.who.no);
        let recorded = Recorded::draw(&child.who, HABITS, &mut random).number_optional();
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode, Kind::UnknownDivision], &mut random);
        let key = format!("ET{}{:08}", family.place.county(), child.who.no);
        let updated = days_before(self.start.today, random.between(1, 50));
        let file = self.children.file();
        let since = compact(days_before(self.start.today, random.between(60, 700)));
        let row = self.children.push(&[
            ("registerNo", &key),
            ("adopteeName", &recorded.name),
            ("adopteeIdCard", &recorded.number),
            ("birthday", &iso_date(child.who.birth)),
            ("childKind", if kind == Some(Kind::UnknownCode) { "3" } else { random.pick(&["1", "2"]) }),
            ("divisionCode", if kind == Some(Kind::UnknownDivision) { "229999001001" } else { family.place.code }),
            ("allowance", random.pick(&["600.00", "1000.00"])),
            ("beginMonth", &since[..6]),
            ("status", random.pick(&["1", "1", "1", "2"])),
            ("updateTime", &moment(updated, working_hour(&mut random))),
        ])?;
        let spot = Spot { system: SLUG, object: "CHILD", file: &file, row, key: &key, parent: "" };
        truth.tell(&spot, Some((&child.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for ChildAdoption {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "children", family.no);
        for child in family.members.iter().filter(|person| matches!(person.relation, "20" | "30")) {
            let years = age(child.who.birth, self.start.today);
            let (adopted, needy) = (random.chance(ADOPTED), random.chance(IN_NEED));
            if years < 14
                && adopted
                && let Some(parents) = status::couple(family)
            {
                self.adopted(child, family, parents, truth)?;
            } else if years < 18 && needy && family.members.len() == 2 {
                self.in_need(child, family, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.adoptions.finish()?;
        self.children.finish()
    }
}

/// A working day when both adopters were thirty, within the first years of the child.
fn registered(child: &Person, (man, woman): (&Person, &Person), today: Date, random: &mut Random) -> Option<Date> {
    let thirty = |person: &Person| days_before(person.who.birth, -(30 * 366));
    let first = thirty(man).max(thirty(woman)).max(days_before(child.who.birth, -60));
    let day = weekday(days_before(first, -random.between(10, 700)));
    (day < today).then_some(day)
}
