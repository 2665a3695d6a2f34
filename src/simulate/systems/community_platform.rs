//! `community-platform`: states of citizens' requests, one JSON body a line in the order of arrival.
//!
//! Changchun runs it, first in Erdao; requests come from the communities of Changchun only. Quirks: states in the vendor's
//! words, some bodies twice under one delivery id.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::names::{self, People};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::lines::Lines;

/// The system's slug.
pub const SLUG: &str = "community-platform";
/// The file with the bodies.
pub const FILE: &str = "status.ndjson";
const OBJECT: &str = "status";
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: false, padded_names: false };
/// Adults of ten thousand in Changchun's communities who asked for something in the last two months.
const ASKS: u64 = 2_500;
/// Items of the list of services, with their departments in the first two digits.
const ITEMS: [&str; 10] = ["01001", "01005", "01010", "02001", "02005", "03001", "04002", "05001", "07001", "08001"];
const STEPS: [&str; 5] = ["已受理", "已分办", "办理中", "已办结", "已评价"];

/// The system under way.
pub struct CommunityPlatform {
    start: Start,
    out: Lines,
    deliveries: u64,
}

impl CommunityPlatform {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let out = Lines::create(&start.folder, FILE)?;
        Ok(Self { start, out, deliveries: 0 })
    }

    fn request(&mut self, person: &Person, family: &Family, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let recorded = Recorded::draw(&person.who, HABITS, random).number_optional();
        let day = days_before(self.start.today, random.between(8, 60));
        let second = working_hour(random);
        let item = random.pick(&ITEMS);
        let key = format!("SQ{}{}{:08}", family.place.county(), compact(day), person.who.no);
        let clerk = names::full(People::Han, names::surname(People::Han, random), random.chance(3_000), 1985, None, random);
        let mut body = json!({
            "requestNo": key, "itemCode": item, "deptCode": &item[..2], "communityCode": family.place.code,
            "applicant": { "name": recorded.name, "idCard": recorded.number, "mobile": person.mobile },
            "operator": clerk, "score": Value::Null,
        });
        let reached = random.index(STEPS.len());
        for (step, name) in STEPS.iter().enumerate().take(reached + 1) {
            body["status"] = json!(name);
            body["stepTime"] = json!(moment(days_before(day, -i64::try_from(step).unwrap_or(0)), second));
            if *name == "已评价" {
                body["score"] = json!(random.between(3, 5));
            }
            self.step(&key, body.clone(), (person, &recorded), random, truth)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        key: &str,
        mut body: Value,
        (person, recorded): (&Person, &Recorded),
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        self.deliveries += 1;
        body["deliveryId"] = json!(format!("D{:010}", self.deliveries));
        let offers = [Kind::ImpossibleDate, Kind::UnknownCode, Kind::UnknownDivision];
        let kind = faults::plant(recorded.kind, &offers, random);
        match kind {
            Some(Kind::ImpossibleDate) => body["stepTime"] = json!("2017-02-30 10:00:00"),
            Some(Kind::UnknownCode) => body["itemCode"] = json!("02099"),
            Some(Kind::UnknownDivision) => body["communityCode"] = json!("229999001001"),
            _ => {}
        }
        let twice = kind.is_none() && random.chance(faults::REPEAT);
        for pass in 0..=u8::from(twice) {
            let line = self.out.push(&body)?;
            let spot = Spot { system: SLUG, object: OBJECT, file: FILE, row: line, key, parent: "" };
            let kind = if pass == 1 { Some(Kind::Repeat) } else { kind };
            truth.tell(&spot, Some((&person.who, &recorded.note())), kind)?;
        }
        Ok(())
    }
}

#[async_trait]
impl System for CommunityPlatform {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        if !family.place.urban || !family.place.code.starts_with("2201") {
            return Ok(());
        }
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.start.today) >= 18 && person.died.is_none();
            if able && random.chance(ASKS) {
                self.request(person, family, &mut random, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.out.finish()
    }
}
