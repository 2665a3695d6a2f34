//! `eldercare`: the elder-care platform's homes and home-care orders; [`serve`](crate::simulate::serve) answers from them.
//!
//! One JSON object a line. Quirks: some vendors mask the elder's number (`220105********0042`), times end in `Z` or `+08:00`; orders
//! under way have no finishing time and no score.

use async_trait::async_trait;
use serde_json::{Value, json};
use time::Date;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, clock, days_before};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::names::{self, People};
use crate::simulate::numbers;
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::lines::Lines;

/// The system's slug.
pub const SLUG: &str = "eldercare";
/// The files the mock server reads.
pub const ORGS: &str = "orgs.ndjson";
/// See [`ORGS`].
pub const ORDERS: &str = "orders.ndjson";

const HABITS: Habits = Habits { missing: 0, lower_case_x: false, gbk: false, padded_names: false };
/// Elders of ten thousand who ordered help at home in the last two months.
const ORDERED: u64 = 1_200;
/// Orders of ten thousand from vendors that mask numbers.
const MASKED: u64 = 1_500;
/// Persons of the province per home; in the province it is sixteen thousand.
const PERSONS_PER_ORG: u64 = 100;
const SERVICES: [&str; 6] = ["助餐", "助洁", "助浴", "助医", "康复护理", "精神慰藉"];
/// Orders of ten thousand that are done.
const DONE: u64 = 7_500;

/// The system under way.
pub struct Eldercare {
    start: Start,
    orgs: Lines,
    orders: Lines,
}

impl Eldercare {
    /// Opens the files.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let (orgs, orders) = (Lines::create(&start.folder, ORGS)?, Lines::create(&start.folder, ORDERS)?);
        Ok(Self { start, orgs, orders })
    }

    fn order(&mut self, elder: &Person, place: Place, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, elder.who.no);
        let mut recorded = Recorded::draw(&elder.who, HABITS, &mut random).number_optional();
        if random.chance(MASKED) {
            // Nobody can see whether a masked number is right.
            (recorded.number, recorded.kind) = (masked(&elder.who.number), None);
        }
        let kind = faults::plant(recorded.kind, &[Kind::ImpossibleDate, Kind::UnknownCode], &mut random);
        let created = days_before(self.start.today, random.between(2, 60));
        let second = random.between(8 * 3_600, 15 * 3_600);
        let done = random.chance(DONE);
        let key = format!("YL{}{:08}", iso_date(created).replace('-', ""), elder.who.no);
        let finished = time(created, second + random.between(1_800, 9_000), &mut random);
        let finished = if kind == Some(Kind::ImpossibleDate) { format!("{}-02-30T10:00:00Z", created.year()) } else { finished };
        let closed = done || kind == Some(Kind::ImpossibleDate);
        let order = json!({
            "orderNo": key,
            "orgId": org_id(random.below(orgs(self.start.persons))),
            "elderIdCard": recorded.number,
            "serviceType": if kind == Some(Kind::UnknownCode) { "陪聊" } else { random.pick(&SERVICES) },
            "divisionCode": place.code,
            "createdAt": time(created, second, &mut random),
            "finishedAt": if closed { Value::String(finished) } else { Value::Null },
            "score": if done && random.chance(7_000) { json!(random.between(3, 5)) } else { Value::Null },
            "updatedAt": time(created, second + 9_600, &mut random),
        });
        let line = self.orders.push(&order)?;
        let spot = Spot { system: SLUG, object: "orders", file: ORDERS, row: line, key: &key, parent: "" };
        truth.tell(&spot, Some((&elder.who, &recorded.note())), kind)
    }

    fn org(&mut self, ordinal: u64, places: &Places, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "elder-home", ordinal);
        let place = places.home(&mut random);
        let kind = faults::plant(None, &[Kind::UnknownCode, Kind::UnknownDivision], &mut random);
        let day_care = place.urban && random.chance(5_000);
        let beds = if day_care { 10 + random.below(20) } else { 30 + random.below(200) };
        let key = org_id(ordinal);
        let surname = names::surname(People::Han, &mut random);
        let updated = days_before(self.start.today, random.between(1, 30));
        let org = json!({
            "orgId": key,
            "name": format!("{}{}", place.township_name.trim_end_matches("办事处"), if day_care { "日间照料中心" } else { "养老院" }),
            "type": if kind == Some(Kind::UnknownCode) { "宾馆" } else if day_care { "日间照料中心" } else { "养老机构" },
            "divisionCode": if kind == Some(Kind::UnknownDivision) { "229999001001" } else { place.code },
            "beds": beds,
            "occupied": random.below(beds + 1),
            "head": names::full(People::Han, surname, random.chance(5_000), 1968, None, &mut random),
            "phone": numbers::mobile(5_000_000 + ordinal),
            "designated": random.chance(8_000),
            "status": random.pick(&["运营", "运营", "运营", "停业"]),
            "updatedAt": time(updated, random.between(30_000, 60_000), &mut random),
        });
        let line = self.orgs.push(&org)?;
        let spot = Spot { system: SLUG, object: "orgs", file: ORGS, row: line, key: &key, parent: "" };
        truth.tell(&spot, None, kind)
    }
}

#[async_trait]
impl System for Eldercare {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "home-care", family.no);
        for elder in &family.members {
            let old = age(elder.who.birth, self.start.today) >= 65 && elder.died.is_none();
            if old && random.chance(ORDERED) {
                self.order(elder, family.place, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, places: &Places, truth: &mut Truth) -> Result<(), Error> {
        for ordinal in 0..orgs(self.start.persons) {
            self.org(ordinal, places, truth)?;
        }
        self.orgs.finish()?;
        self.orders.finish()
    }
}

fn orgs(persons: u64) -> u64 {
    (persons / PERSONS_PER_ORG).clamp(20, 3_500)
}

fn org_id(ordinal: u64) -> String {
    format!("ORG{:06}", ordinal + 1)
}

/// Six digits, eight stars, four characters.
fn masked(number: &str) -> String {
    format!("{}********{}", number.get(..6).unwrap_or_default(), number.get(14..).unwrap_or_default())
}

/// Half of the vendors give UTC, the others Chinese time.
fn time(day: Date, second: i64, random: &mut Random) -> String {
    if random.chance(5_000) {
        format!("{}T{}Z", iso_date(day), clock(second - 8 * 3_600))
    } else {
        format!("{}T{}+08:00", iso_date(day), clock(second))
    }
}
