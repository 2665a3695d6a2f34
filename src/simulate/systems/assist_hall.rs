//! `assist-hall`: what the intake system of the 916 service halls holds; [`serve`](crate::simulate::serve) answers from it.
//!
//! One JSON object a line, in no order of time. Quirks are the server's: unstable pages, repeats, pauses.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::json;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, clock, compact, days_before};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};

/// The system's slug.
pub const SLUG: &str = "assist-hall";
/// The file the mock server reads.
pub const FILE: &str = "accept.ndjson";
const OBJECT: &str = "accept";

const HABITS: Habits = Habits { missing: 20, lower_case_x: true, gbk: false, padded_names: false };
/// Living adults of ten thousand who applied in the last two months.
const APPLIES: u64 = 1_800;
/// Items of the halls, by the hub's list of services.
const ITEMS: [(&str, u64); 8] =
    [("01001", 20), ("01002", 10), ("01005", 20), ("01006", 6), ("01007", 4), ("01008", 20), ("01010", 12), ("01017", 10)];
/// States in words, by the hub's list `request_status`.
const STATES: [(&str, u64); 7] =
    [("已提交", 10), ("已受理", 25), ("补正", 5), ("办理中", 25), ("办结", 30), ("不予受理", 3), ("不予办理", 2)];

/// The system under way.
pub struct AssistHall {
    path: PathBuf,
    out: BufWriter<File>,
    lines: u64,
    seed: u64,
    today: time::Date,
}

impl AssistHall {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(start: &Start) -> Result<Self, Error> {
        let path = start.folder.join(FILE);
        let out = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
        Ok(Self { path, out, lines: 0, seed: start.seed, today: start.today })
    }

    fn accept(&mut self, person: &Person, place: Place, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let recorded = Recorded::draw(&person.who, HABITS, random);
        let day = days_before(self.today, random.between(1, 60));
        let second = random.between(8 * 3_600, 17 * 3_600);
        let mut item = random.weighted(&ITEMS);
        let mut window = format!("{}000", place.township());
        let mut kind = recorded.kind;
        if kind.is_none() && random.chance(faults::UNKNOWN_CODE) {
            (item, kind) = ("01999", Some(Kind::UnknownCode));
        } else if kind.is_none() && random.chance(faults::UNKNOWN_DIVISION) {
            (window, kind) = ("229999001000".to_owned(), Some(Kind::UnknownDivision));
        }
        let number = format!("SL{}{}{:08}", place.county(), compact(day), person.who.no);
        let record = json!({
            "acceptNo": number,
            "itemCode": item,
            "windowCode": window,
            "applicant": { "name": recorded.name, "idCard": recorded.number, "mobile": person.mobile },
            "status": random.weighted(&STATES),
            "updateTime": format!("{} {}", iso_date(day), clock(second)),
        });
        let twice = kind.is_none() && random.chance(faults::REPEAT);
        self.put(&record, person, &number, &recorded, kind, truth)?;
        if twice {
            self.put(&record, person, &number, &recorded, Some(Kind::Repeat), truth)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        record: &serde_json::Value,
        person: &Person,
        key: &str,
        recorded: &Recorded,
        kind: Option<Kind>,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        writeln!(self.out, "{record}").map_err(Error::file(&self.path))?;
        self.lines += 1;
        let spot = Spot { system: SLUG, object: OBJECT, file: FILE, row: self.lines, key, parent: "" };
        truth.row(&spot);
        truth.appears(&person.who, &spot, &recorded.note())?;
        kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }
}

#[async_trait]
impl System for AssistHall {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.seed, SLUG, family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.today) >= 18 && person.died.is_none();
            if able && random.chance(APPLIES) {
                self.accept(person, family.place, &mut random, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.out.flush().map_err(Error::file(&self.path))
    }
}
