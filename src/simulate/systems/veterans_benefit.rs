//! `veterans-benefit`: PowerBuilder on Sybase, a fixed-width text file a county.
//!
//! Quirks: columns are bytes of GBK, so a long name is cut, even inside a character; fifteen-digit numbers are padded with
//! spaces; amounts are fen. Records have 107 bytes and CR LF, without header or trailer.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, days_before};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::fixed::{PlainFile, Record, cuts_character};

/// The system's slug.
pub const SLUG: &str = "veterans-benefit";
const OBJECT: &str = "YF";
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: true, padded_names: true };
/// Bytes of the name, and of a record without its line end.
const NAME_WIDTH: usize = 20;
const WIDTH: usize = 107;

/// The system under way.
pub struct VeteransBenefit {
    start: Start,
    counties: BTreeMap<&'static str, PlainFile>,
}

impl VeteransBenefit {
    /// Starts without counties.
    pub fn open(start: Start) -> Self {
        Self { start, counties: BTreeMap::new() }
    }

    fn veteran(&mut self, person: &Person, letters: &str, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let county = family.place.county();
        let recorded = Recorded::draw(&person.who, HABITS, &mut random);
        let cut = cuts_character(&recorded.name, NAME_WIDTH).then_some(Kind::NameCut);
        let offers = [Kind::ImpossibleDate, Kind::UnknownCode, Kind::UnknownDivision];
        let kind = faults::plant(recorded.kind.or(cut), &offers, &mut random);
        let grade = if letters == "11" { 1 + random.below(10) } else { 0 };
        let since = Month::of(days_before(self.start.today, random.between(40, 3_000))).text();
        let township = if kind == Some(Kind::UnknownDivision) { "229999001" } else { family.place.township() };
        let since = if kind == Some(Kind::ImpossibleDate) { format!("{}13", &since[..4]) } else { since };
        let state = if person.died.is_some() { "3" } else { random.pick(&["1", "1", "1", "1", "1", "1", "1", "1", "1", "2"]) };
        let key = format!("YF{county}{:09}", person.who.no);
        let record = Record::default()
            .text(&key, 20)
            .text(&recorded.name, NAME_WIDTH)
            .text(&recorded.number, 18)
            .text(if kind == Some(Kind::UnknownCode) { "99" } else { letters }, 2)
            .number(grade, 2)
            .text(township, 9)
            .number(amount(letters, grade), 10)
            .text(&since, 6)
            .text(&person.account, 19)
            .text(state, 1);
        let folder = &self.start.folder;
        let file =
            self.counties.entry(county).or_insert_with(|| PlainFile::new(folder.join(format!("{OBJECT}{county}.TXT")), WIDTH));
        let line = file.push(record)?;
        let name = file.name();
        let spot = Spot { system: SLUG, object: OBJECT, file: &name, row: line, key: &key, parent: "" };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for VeteransBenefit {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        for person in &family.members {
            if let Some(letters) = status::veteran(self.start.seed, person, family.place.urban, self.start.today) {
                self.veteran(person, letters, family, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.counties.into_values().try_for_each(PlainFile::finish)
    }
}

/// Fen a month, roughly as the tables of 2017 went.
fn amount(letters: &str, grade: u64) -> u64 {
    match letters {
        "11" => 55_000 + (10 - grade) * 42_000,
        "21" => 160_000,
        "41" => 125_000,
        "61" => 30_000,
        "71" => 44_000,
        _ => 55_000,
    }
}
