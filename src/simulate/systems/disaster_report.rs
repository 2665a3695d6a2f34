//! `disaster-report`: what the townships push during floods, one body a line in the order of arrival.
//!
//! Every township of a flood sends an initial report, continuing or zero reports, and a final one. Bodies arrive
//! up to three hours late and so out of order; some come twice; now and then an older draft of a report comes after it.
//! Areas are hectares; a county's re-entry for a township gives thousand hectares. Key: `<eventNo>-<divisionCode>-<seq>`.

use std::fs::File;
use std::io::{BufWriter, Write};

use async_trait::async_trait;
use rustc_hash::FxHashSet;
use serde_json::{Map, Number, Value, json};
use time::{Date, Duration, PrimitiveDateTime, Time};

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{compact, days_before};
use crate::simulate::faults::{self, Kind};
use crate::simulate::names::{self, People};
use crate::simulate::numbers;
use crate::simulate::places::Places;
use crate::simulate::population::Family;
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};

/// The system's slug.
pub const SLUG: &str = "disaster-report";
/// The file with the bodies.
pub const FILE: &str = "reports.ndjson";
const OBJECT: &str = "report";

/// Persons of the province per flood, and the most floods.
const PERSONS_PER_EVENT: u64 = 5_000;
const MOST_EVENTS: u64 = 400;
/// Bodies of ten thousand that come twice: webhooks are at least once.
const REPEAT: u64 = 200;
/// Bodies of ten thousand that a county entered, in thousand hectares.
const REENTERED: u64 = 100;
/// A body may be this late.
const LATEST: i64 = 3 * 3_600;

/// The system under way: everything is written at the end, since floods are no family's matter.
pub struct DisasterReport {
    start: Start,
    bodies: Vec<Body>,
    /// Keys of re-entered reports: a county enters one township's report of one number, not two.
    reentered: FxHashSet<String>,
}

struct Body {
    arrives: i64,
    key: String,
    kind: Option<Kind>,
    /// The body as text: a tree of JSON values would need six times the memory.
    text: String,
}

/// A flood as one township sees it.
struct Flood<'a> {
    event: &'a str,
    division: &'a str,
    hazard: &'a str,
    began: PrimitiveDateTime,
    /// People affected in the end.
    affected: u64,
    /// Crop area in tenths of a hectare in the end.
    crop: u64,
    reporter: Value,
}

impl DisasterReport {
    /// Starts without bodies.
    pub fn open(start: Start) -> Self {
        Self { start, bodies: Vec::new(), reentered: FxHashSet::default() }
    }

    fn event(&mut self, ordinal: u64, places: &Places) {
        let mut random = Random::new(self.start.seed, SLUG, ordinal);
        let townships = places.neighbourhood(usize::try_from(random.between(25, 55)).unwrap_or(40), &mut random);
        let hazard = random.weighted(&[("010200", 70), ("010400", 20), ("010600", 10)]);
        let day = days_before(self.start.today, random.between(8, 40));
        let began = at(day, random.between(0, 20 * 3_600));
        let first = townships.first().copied().unwrap_or("220102001000");
        let event = format!("{hazard}{}{}{:02}", compact(day), &first[..6], ordinal % 100);
        for division in townships {
            let reporter = reporter(&mut random, u64::try_from(self.bodies.len()).unwrap_or(0));
            let (affected, crop) = (50 + random.below(4_000), random.below(9_000));
            let flood = Flood { event: &event, division, hazard, began, affected, crop, reporter };
            self.township(&flood, &mut random);
        }
    }

    fn township(&mut self, flood: &Flood<'_>, random: &mut Random) {
        let reports = random.between(2, 6);
        for seq in 1..=reports {
            let kind = match seq {
                1 => "CB",
                last if last == reports => "HB",
                _ if random.chance(3_000) => "LB",
                _ => "XB",
            };
            self.report(flood, seq, kind, reports, random);
        }
    }

    fn report(&mut self, flood: &Flood<'_>, seq: i64, report: &str, reports: i64, random: &mut Random) {
        let as_of = if seq == 1 {
            flood.began + Duration::minutes(random.between(20, 110))
        } else {
            at(flood.began.date(), 0) + Duration::days(seq - 1)
        };
        let submitted = as_of + Duration::minutes(random.between(5, 8 * 60));
        let share = u64::try_from(100 * seq / reports).unwrap_or(100);
        let mut indicators = if report == "LB" { Map::new() } else { indicators(flood, share) };
        let mut division = flood.division.to_owned();
        let mut hazard = flood.hazard;
        let mut as_of_text = stamp(as_of);
        let mut kind = None;
        let county = format!("{}000000", &division[..6]);
        if report != "LB" && random.chance(REENTERED) && self.reentered.insert(format!("{}-{county}-{seq}", flood.event)) {
            in_thousands(&mut indicators, flood.crop * share / 100);
            division = county;
            kind = Some(Kind::ThousandHectares);
        } else if random.chance(faults::IMPOSSIBLE_DATE) {
            as_of_text = format!("{}-02-30 08:00:00", as_of.year());
            kind = Some(Kind::ImpossibleDate);
        } else if random.chance(faults::UNKNOWN_CODE) {
            hazard = "990000";
            kind = Some(Kind::UnknownCode);
        } else if random.chance(faults::UNKNOWN_DIVISION) {
            "229999001000".clone_into(&mut division);
            kind = Some(Kind::UnknownDivision);
        } else if report != "LB" && random.chance(faults::UNKNOWN_CODE) {
            indicators.insert("A03".to_owned(), json!(-1));
            kind = Some(Kind::NegativeCount);
        }
        let value = json!({
            "eventNo": flood.event, "divisionCode": division, "reportType": report, "seq": seq, "hazard": hazard,
            "occurredAt": stamp(flood.began), "asOf": as_of_text, "submitTime": stamp(submitted),
            "indicators": indicators, "reporter": flood.reporter,
        });
        let key = format!("{}-{division}-{seq}", flood.event);
        let arrives = submitted.assume_utc().unix_timestamp() + random.between(0, LATEST);
        let body = Body { arrives, key, kind, text: value.to_string() };
        self.send(body, value, submitted, random);
    }

    /// Queues a body, and what comes after it: the same again, or its first draft of half an hour before.
    fn send(&mut self, body: Body, mut value: Value, submitted: PrimitiveDateTime, random: &mut Random) {
        if body.kind.is_none() && random.chance(REPEAT) {
            let arrives = body.arrives + random.between(1, 2 * LATEST);
            self.bodies.push(Body { arrives, key: body.key.clone(), kind: Some(Kind::Repeat), text: body.text.clone() });
        } else if body.kind.is_none() && random.chance(faults::STALE) {
            value["submitTime"] = json!(stamp(submitted - Duration::minutes(30)));
            value["indicators"] = json!({ "A02": 1 });
            let arrives = body.arrives + random.between(1, LATEST);
            self.bodies.push(Body { arrives, key: body.key.clone(), kind: Some(Kind::Stale), text: value.to_string() });
        }
        self.bodies.push(body);
    }
}

#[async_trait]
impl System for DisasterReport {
    async fn family(&mut self, _family: &Family, _truth: &mut Truth) -> Result<(), Error> {
        Ok(())
    }

    async fn finish(mut self: Box<Self>, places: &Places, truth: &mut Truth) -> Result<(), Error> {
        let events = (self.start.persons / PERSONS_PER_EVENT).clamp(1, MOST_EVENTS);
        for ordinal in 1..=events {
            self.event(ordinal, places);
        }
        self.bodies.sort_by_key(|body| body.arrives);
        let path = self.start.folder.join(FILE);
        let mut out = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
        for (place, body) in self.bodies.iter().enumerate() {
            writeln!(out, "{}", body.text).map_err(Error::file(&path))?;
            let spot = Spot { system: SLUG, object: OBJECT, file: FILE, row: place as u64 + 1, key: &body.key, parent: "" };
            truth.row(&spot);
            body.kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))?;
        }
        out.flush().map_err(Error::file(&path))
    }
}

/// The figures when `share` percent of the final damage is known. They obey the checks D1 to D6: parts never exceed the whole.
fn indicators(flood: &Flood<'_>, share: u64) -> Map<String, Value> {
    let affected = flood.affected * share / 100;
    let relocated = affected / 6;
    let (households, crop) = (affected / 200, flood.crop * share / 100);
    let (farming, homes) = (crop * 3, households * 250);
    let mut figures = Map::new();
    for (code, count) in [
        ("A02", affected),
        ("A03", u64::from(affected > 3_600)),
        ("A05", affected / 900),
        ("A06", relocated),
        ("A07", relocated / 3),
        ("A08", relocated - relocated / 3),
        ("A09", relocated / 2),
        ("B01", households),
        ("B02", households * 5 / 2),
    ] {
        figures.insert(code.to_owned(), json!(count));
    }
    for (code, tenths) in [("C01", crop), ("C02", crop / 2), ("C03", crop / 7)] {
        figures.insert(code.to_owned(), decimal(tenths, 1));
    }
    for (code, hundredths) in [("D01", farming + homes), ("D02", farming), ("D06", homes)] {
        figures.insert(code.to_owned(), decimal(hundredths, 2));
    }
    figures
}

fn in_thousands(figures: &mut Map<String, Value>, crop: u64) {
    for (code, tenths) in [("C01", crop), ("C02", crop / 2), ("C03", crop / 7)] {
        figures.insert(code.to_owned(), decimal(tenths, 4));
    }
}

/// A decimal number without the detour over floating-point arithmetic.
fn decimal(units: u64, places: u32) -> Value {
    let scale = 10_u64.pow(places);
    let text = format!("{}.{:0width$}", units / scale, units % scale, width = places as usize);
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

fn reporter(random: &mut Random, owner: u64) -> Value {
    let surname = names::surname(People::Han, random);
    let man = random.chance(6_000);
    let name = names::full(People::Han, surname, man, 1980, None, random);
    json!({ "name": name, "phone": numbers::mobile(5_000_000 + owner) })
}

fn at(day: Date, second: i64) -> PrimitiveDateTime {
    PrimitiveDateTime::new(day, Time::MIDNIGHT) + Duration::seconds(second)
}

fn stamp(moment: PrimitiveDateTime) -> String {
    let time = moment.time();
    format!("{} {:02}:{:02}:{:02}", iso_date(moment.date()), time.hour(), time.minute(), time.second())
}
