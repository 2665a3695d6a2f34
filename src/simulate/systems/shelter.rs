//! `shelter`: people picked up by the rescue stations, as answers of the national template's SOAP service.
//!
//! Quirks: names may be nicknames or missing, most have no papers, times are local without a zone, the leaving time is
//! empty while somebody is inside. The payload says GBK inside an envelope of UTF-8.

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::soap::Pages;

/// The system's slug.
pub const SLUG: &str = "shelter";
const OPERATION: &str = "queryRescue";
const OBJECT: &str = "RESCUE";
const HABITS: Habits = Habits { missing: 5_500, lower_case_x: true, gbk: true, padded_names: false };
/// Persons of ten thousand picked up in the last months.
const PICKED_UP: u64 = 120;
const NICKNAMES: [&str; 5] = ["老王", "小李子", "大刘", "哑巴", "不详"];

/// The system under way.
pub struct Shelter {
    start: Start,
    pages: Pages,
}

impl Shelter {
    /// Starts without a page.
    pub fn open(start: Start) -> Self {
        let pages = Pages::new(&start.folder, OPERATION);
        Self { start, pages }
    }

    fn rescue(&mut self, person: &Person, county: &str, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let mut recorded = Recorded::draw(&person.who, HABITS, &mut random).number_optional();
        if recorded.number.is_empty() && random.chance(3_000) {
            random.pick(&NICKNAMES).clone_into(&mut recorded.name);
            recorded.other_name = true;
        }
        let kind = faults::plant(recorded.kind, &[Kind::ImpossibleDate, Kind::UnknownCode], &mut random);
        let day = days_before(self.start.today, random.between(1, 80));
        let second = random.between(0, 86_399);
        let inside = random.chance(600);
        let left = days_before(day, -random.between(0, 9));
        let left = if inside || left >= self.start.today { String::new() } else { moment(left, second.max(86_000)) };
        let came =
            if kind == Some(Kind::ImpossibleDate) { format!("{}-02-30 10:00:00", day.year()) } else { moment(day, second) };
        let key = format!("JZ{county}{}{:06}", compact(day), person.who.no % 1_000_000);
        let file = self.pages.file();
        let row = self.pages.push(&[
            ("jzdh", &key),
            ("stationCode", &format!("{county}000001")),
            ("name", &recorded.name),
            ("idCard", &recorded.number),
            ("enterTime", &came),
            ("leaveTime", &left),
            ("reason", if kind == Some(Kind::UnknownCode) { "07" } else { random.pick(&["01", "02", "02", "03", "04", "99"]) }),
            ("outcome", if left.is_empty() { "" } else { random.pick(&["01", "01", "03", "05", "02"]) }),
            ("features", if recorded.number.is_empty() { random.pick(&["", "男装，约五十岁", "左手有疤"]) } else { "" }),
            ("isMinor", if age(person.who.birth, day) < 18 { "1" } else { "0" }),
            ("updateTime", &moment(day, second)),
        ])?;
        let spot = Spot { system: SLUG, object: OBJECT, file: &file, row, key: &key, parent: "" };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for Shelter {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "picked-up", family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.start.today) >= 8 && person.died.is_none();
            if able && random.chance(PICKED_UP) {
                self.rescue(person, family.place.county(), truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.pages.finish()
    }
}
