//! `senior-allowance`: a Delphi client that drops a monthly full file and daily deltas on an FTP server.
//!
//! Quirks: GB18030 with four-byte characters; numbers dressed for Excel as `="22…"` or with an apostrophe; full files
//! divided by commas, deltas by tabs; both have a header line and the trailer `EOF,<rows>,<md5>`.
//! One delta before the full file has a wrong digest and one a wrong count: both must be refused whole.

use std::path::Path;

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::benefits::Senior;
use crate::simulate::calendar::{compact, days_before};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::gb18030::{Trailer, TrailerFile, excel};

/// The system's slug.
pub const SLUG: &str = "senior-allowance";
const FULL: &str = "GL_full";
const DELTA: &str = "GL_delta";
const HEADER: [&str; 9] = ["LNZH", "XM", "SFZH", "CSRQ", "HKDM", "JTJE", "YHKH", "ZT", "CZLX"];
const SFZH: usize = 2;
const CSRQ: usize = 3;
const HKDM: usize = 4;
const JTJE: usize = 5;
const ZT: usize = 7;

const HABITS: Habits = Habits { missing: 50, lower_case_x: false, gbk: false, padded_names: false };
/// Days of deltas after the full file, up to today.
const DELTA_DAYS: i64 = 12;
/// Elders of ten thousand in one of the deltas.
const CHANGED: u64 = 2_000;
/// Rows in each file with a wrong trailer.
const SAMPLE: usize = 5;

/// The system under way.
pub struct SeniorAllowance {
    start: Start,
    full: TrailerFile,
    deltas: Vec<TrailerFile>,
    /// Rows of the full file that come again at its end.
    again: Vec<([String; 8], String)>,
    /// First rows, for the files with a wrong trailer.
    sample: Vec<[String; 8]>,
}

impl SeniorAllowance {
    /// Opens the full file and the deltas.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let full = full_file(&start.folder, days_before(start.today, DELTA_DAYS))?;
        let mut deltas = Vec::new();
        for back in (0..DELTA_DAYS).rev() {
            deltas.push(delta_file(&start.folder, days_before(start.today, back))?);
        }
        Ok(Self { start, full, deltas, again: Vec::new(), sample: Vec::new() })
    }

    fn elder(&mut self, person: &Person, senior: &Senior, place: Place, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random);
        let mut row = self.row(person, senior, &recorded, place, &mut random);
        let changed = random.chance(CHANGED);
        // A newcomer is in a delta only.
        if changed && random.chance(2_000) {
            return self.delta_row(person, &row, "A", &recorded, &mut random, truth);
        }
        let kind = plant(&mut row, &recorded, &mut random);
        self.full_row(person, &row, &recorded, kind, truth)?;
        if kind.is_none() && random.chance(faults::REPEAT) {
            self.again.push((row.clone(), row[0].clone()));
        }
        if !changed {
            return Ok(());
        }
        let operation = if row[ZT] == "死亡" { "D" } else { "C" };
        self.dress(&mut row, person, senior, &recorded, place);
        self.delta_row(person, &row, operation, &recorded, &mut random, truth)
    }

    /// The eight fields both files have.
    fn row(&self, person: &Person, senior: &Senior, recorded: &Recorded, place: Place, random: &mut Random) -> [String; 8] {
        let full_day = days_before(self.start.today, DELTA_DAYS);
        let dead = person.died.is_some_and(|day| day <= full_day) && !senior.unreported_death;
        let state = if dead {
            "死亡"
        } else if random.chance(200) {
            "停发"
        } else {
            "正常"
        };
        [
            format!("{}{:09}", place.county(), person.who.no),
            recorded.name.clone(),
            excel(&recorded.number, random),
            compact(person.who.birth),
            excel(place.code, random),
            format!("{}.0", senior.fen / 100),
            excel(&person.account, random),
            state.to_owned(),
        ]
    }

    /// What a delta says: the amount was raised by ten yuan, and planted faults of the full file are gone.
    fn dress(&self, row: &mut [String; 8], person: &Person, senior: &Senior, recorded: &Recorded, place: Place) {
        row[SFZH].clone_from(&recorded.number);
        row[CSRQ] = compact(person.who.birth);
        place.code.clone_into(&mut row[HKDM]);
        row[JTJE] = format!("{}.0", senior.fen / 100 + 10);
        if row[ZT] == "待定" {
            "正常".clone_into(&mut row[ZT]);
        }
    }

    fn full_row(
        &mut self,
        person: &Person,
        row: &[String; 8],
        recorded: &Recorded,
        kind: Option<Kind>,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let line = self.full.push(row)?;
        let file = self.full.name();
        let spot = Spot { system: SLUG, object: FULL, file: &file, row: line, key: &row[0], parent: "" };
        truth.row(&spot);
        truth.appears(&person.who, &spot, &recorded.note())?;
        if self.sample.len() < SAMPLE && kind.is_none() {
            self.sample.push(row.clone());
        }
        if kind.is_none_or(|kind| kind.outcome() == Outcome::Fixed) && !recorded.number.is_empty() {
            truth.makes_known("senior", person.who.no, "");
        }
        kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }

    fn delta_row(
        &mut self,
        person: &Person,
        row: &[String; 8],
        operation: &str,
        recorded: &Recorded,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let day = random.index(self.deltas.len());
        let delta = &mut self.deltas[day];
        let fields: Vec<&str> = row.iter().map(String::as_str).chain([operation]).collect();
        let line = delta.push(&fields)?;
        let file = delta.name();
        let spot = Spot { system: SLUG, object: DELTA, file: &file, row: line, key: &row[0], parent: "" };
        truth.row(&spot);
        if operation == "D" {
            truth.deleted(&spot);
        }
        truth.appears(&person.who, &spot, &recorded.note())?;
        if operation != "D" && !recorded.refused() && !recorded.number.is_empty() {
            truth.makes_known("senior", person.who.no, "");
        }
        recorded.kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }

    /// Two deltas of before the full file whose trailers are wrong.
    fn wrong_files(&self, truth: &mut Truth) -> Result<(), Error> {
        for (back, trailer) in [(2, Trailer::WrongDigest), (1, Trailer::WrongCount)] {
            let day = days_before(self.start.today, DELTA_DAYS + back);
            let mut delta = delta_file(&self.start.folder, day)?;
            let file = delta.name();
            let whole = Spot { system: SLUG, object: DELTA, file: &file, ..Spot::default() };
            for row in &self.sample {
                let fields: Vec<&str> = row.iter().map(String::as_str).chain(["C"]).collect();
                let line = delta.push(&fields)?;
                let spot = Spot { row: line, key: &row[0], ..whole };
                truth.row(&spot);
                truth.in_rejected_file(&spot);
            }
            delta.finish(trailer)?;
            truth.fault(&whole, Kind::WrongTrailer)?;
        }
        Ok(())
    }
}

#[async_trait]
impl System for SeniorAllowance {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        for person in &family.members {
            if let Some(senior) = &person.senior {
                self.elder(person, senior, family.place, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, _places: &Places, truth: &mut Truth) -> Result<(), Error> {
        self.wrong_files(truth)?;
        let file = self.full.name();
        for (row, key) in &self.again {
            let line = self.full.push(row)?;
            let spot = Spot { system: SLUG, object: FULL, file: &file, row: line, key, parent: "" };
            truth.row(&spot);
            truth.fault(&spot, Kind::Repeat)?;
        }
        self.full.finish(Trailer::Right)?;
        for delta in self.deltas {
            delta.finish(Trailer::Right)?;
        }
        Ok(())
    }
}

fn full_file(folder: &Path, day: Date) -> Result<TrailerFile, Error> {
    TrailerFile::create(&folder.join(format!("{FULL}_{}.csv", compact(day))), ',', &HEADER[..8])
}

fn delta_file(folder: &Path, day: Date) -> Result<TrailerFile, Error> {
    TrailerFile::create(&folder.join(format!("{DELTA}_{}.csv", compact(day))), '\t', &HEADER)
}

fn plant(row: &mut [String; 8], recorded: &Recorded, random: &mut Random) -> Option<Kind> {
    if recorded.kind.is_some() {
        return recorded.kind;
    }
    if random.chance(faults::IMPOSSIBLE_DATE) {
        row[CSRQ] = format!("{}0230", &row[CSRQ][..4]);
        return Some(Kind::ImpossibleDate);
    }
    if random.chance(faults::UNKNOWN_CODE) {
        "待定".clone_into(&mut row[ZT]);
        return Some(Kind::UnknownCode);
    }
    if random.chance(faults::UNKNOWN_DIVISION) {
        "229999001001".clone_into(&mut row[HKDM]);
        return Some(Kind::UnknownDivision);
    }
    None
}
