//! `volunteer`: service records of the volunteers; [`serve`](crate::simulate::serve) answers from them by record number.
//!
//! One JSON object a line, numbers ascending with gaps. The volunteer number stands for the person, who registered once with
//! name and identity number; what the records show of the number is the volunteer number only.

use async_trait::async_trait;
use serde_json::json;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, days_before};
use crate::simulate::faults::{self, Kind};
use crate::simulate::numbers;
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::lines::Lines;

/// The system's slug.
pub const SLUG: &str = "volunteer";
/// The file the mock server reads.
pub const FILE: &str = "records.ndjson";
const OBJECT: &str = "records";
/// Persons of ten thousand who served in the last months.
const SERVES: u64 = 450;
const PROJECTS: [&str; 6] = ["陪伴空巢老人", "社区环境清洁", "洪灾物资搬运", "贫困家庭走访", "交通文明劝导", "老年手机课堂"];

/// The system under way.
pub struct Volunteer {
    start: Start,
    out: Lines,
    id: u64,
}

impl Volunteer {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let out = Lines::create(&start.folder, FILE)?;
        Ok(Self { start, out, id: 1_000_000 })
    }

    fn record(&mut self, person: &Person, place: Place, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        self.id += 1 + random.below(3);
        let key = self.id.to_string();
        let kind = faults::plant(None, &[Kind::ImpossibleDate, Kind::UnknownDivision, Kind::NegativeCount], random);
        let project = random.index(PROJECTS.len());
        let day = days_before(self.start.today, random.between(1, 90));
        let hours = [1.0, 1.5, 2.0, 3.0, 4.0, 8.0][random.index(6)];
        // The place is that of the organisation, else the province at the head of the volunteer number: 19 is none.
        let nowhere = kind == Some(Kind::UnknownDivision);
        let organisation = numbers::uscc('2', place.county(), 1 + random.below(40));
        let record = json!({
            "id": self.id,
            "volunteerNo": format!("{}{:010}", if nowhere { "19" } else { "22" }, person.who.no),
            "projectId": format!("P{:04}", project + 1),
            "projectName": PROJECTS[project],
            "hours": if kind == Some(Kind::NegativeCount) { -hours } else { hours },
            "serviceDate": if kind == Some(Kind::ImpossibleDate) { format!("{}-02-30", day.year()) } else { iso_date(day) },
            "orgId": if !nowhere && random.chance(8_000) { organisation } else { String::new() },
        });
        let line = self.out.push(&record)?;
        let spot = Spot { system: SLUG, object: OBJECT, file: FILE, row: line, key: &key, parent: "" };
        truth.tell(&spot, Some((&person.who, "no_number")), kind)
    }
}

#[async_trait]
impl System for Volunteer {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        for person in &family.members {
            let able = (16..75).contains(&age(person.who.birth, self.start.today)) && person.died.is_none();
            if able && random.chance(SERVES) {
                for _ in 0..=random.below(3) {
                    self.record(person, family.place, &mut random, truth)?;
                }
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.out.finish()
    }
}
