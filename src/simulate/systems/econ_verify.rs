//! `econ-verify`: Java on PostgreSQL, here a SQLite file with the same two tables.
//!
//! A household asks once and every grown member is asked for at the banks and some departments. Quirks: a value nobody
//! found is NULL, which is not zero; rows become visible minutes after their time stamp.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::{Cell, cell, yuan};
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "econ-verify";
/// The database's name in the system's folder.
pub const DATABASE: &str = "econ_verify.sqlite";
const REQUEST: &str = "hd_request";
const ITEM: &str = "hd_item";

const TABLES: [Table; 2] = [
    Table {
        name: REQUEST,
        columns: &[
            ("req_no", "text"),
            ("household_no", "text"),
            ("auth_no", "text"),
            ("auth_signed", "date"),
            ("purpose", "text"),
            ("division", "char(12)"),
            ("status", "smallint"),
            ("created_at", "timestamptz"),
            ("updated_at", "timestamptz"),
        ],
        indexes: &["updated_at, req_no"],
    },
    Table {
        name: ITEM,
        columns: &[
            ("item_id", "bigint"),
            ("req_no", "text"),
            ("person_id_no", "text"),
            ("provider", "text"),
            ("item_code", "text"),
            ("declared", "numeric(14,2)"),
            ("found", "numeric(14,2)"),
            ("as_of", "date"),
            ("result", "text"),
            ("updated_at", "timestamptz"),
        ],
        indexes: &["updated_at, item_id", "req_no"],
    },
];

const HABITS: Habits = Habits { missing: 0, lower_case_x: false, gbk: false, padded_names: false };
/// Households of ten thousand in dibao that were verified in the last months.
const VERIFIED: u64 = 2_500;
/// Who is asked, and for what.
#[rustfmt::skip]
const PROVIDERS: [(&str, &str); 14] = [
    ("JLRCU", "DEPOSIT"), ("PSBC", "DEPOSIT"), ("ABC", "DEPOSIT"), ("ICBC", "DEPOSIT"), ("CCB", "DEPOSIT"), ("BOC", "DEPOSIT"),
    ("JLBANK", "DEPOSIT"), ("CMB", "WEALTH"), ("COMM", "DEPOSIT"), ("JTRCB", "DEPOSIT"), ("public-security", "VEHICLE"),
    ("housing", "HOUSE"), ("industry-commerce", "BUSINESS"), ("hrss", "WAGE"),
];

/// The system under way.
pub struct EconVerify {
    start: Start,
    tables: Tables,
    items: u64,
}

/// What all items of one request share.
struct Request {
    no: String,
    as_of: Date,
    second: i64,
}

impl EconVerify {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "econ_verify", Dialect::Postgres, &TABLES).await?;
        Ok(Self { start, tables, items: 0 })
    }

    fn request(
        &mut self,
        family: &Family,
        category: &str,
        household: &str,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let as_of = days_before(self.start.today, random.between(8, 150));
        let second = working_hour(random);
        let request = Request { no: format!("HD{}{:08}", compact(as_of), family.no), as_of, second };
        let kind = faults::plant(None, &[Kind::UnknownCode, Kind::UnknownDivision], random);
        let reason = random.pick(&["NEW", "NEW", "NEW", "REVIEW", "REVIEW", "COMPLAINT"]);
        let division = if kind == Some(Kind::UnknownDivision) { "229999001001" } else { family.place.code };
        let status = if kind == Some(Kind::UnknownCode) { "7" } else { random.pick(&["2", "3", "3", "3", "3"]) };
        let signed = days_before(as_of, random.between(0, 5));
        self.tables.push(
            0,
            vec![
                cell(&request.no),
                cell(household),
                cell(&format!("SQ{}{:08}", family.place.county(), family.no)),
                cell(&iso_date(signed)),
                cell(&format!("{category}-{reason}")),
                cell(division),
                cell(status),
                cell(&zoned(as_of, second)),
                cell(&zoned(days_before(as_of, -6), second)),
            ],
        )?;
        let spot = Spot { system: SLUG, object: REQUEST, file: DATABASE, key: &request.no, ..Spot::default() };
        truth.tell(&spot, None, kind)?;
        for person in &family.members {
            if age(person.who.birth, self.start.today) >= 18 && person.died.is_none() {
                self.person(person, &request, random, truth)?;
            }
        }
        Ok(())
    }

    /// The row of one person at every provider asked: the number is typed once, so a wrong one is wrong in all of them.
    fn person(&mut self, person: &Person, request: &Request, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let recorded = Recorded::draw(&person.who, HABITS, random);
        let first = random.index(PROVIDERS.len());
        for step in 0..random.index(5) + 2 {
            let (provider, code) = PROVIDERS[(first + step) % PROVIDERS.len()];
            self.item(person, &recorded, (provider, code), request, random, truth)?;
        }
        Ok(())
    }

    fn item(
        &mut self,
        person: &Person,
        recorded: &Recorded,
        (provider, code): (&str, &str),
        request: &Request,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        self.items += 1;
        let key = self.items.to_string();
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode], random);
        let code = if kind == Some(Kind::UnknownCode) { "GOLD" } else { code };
        let (result, found) = outcome(random);
        let declared = if random.chance(2_000) { cell(&yuan(random.below(900) * 10_000)) } else { cell("0.00") };
        self.tables.push(
            1,
            vec![
                cell(&key),
                cell(&request.no),
                cell(&recorded.number),
                cell(provider),
                cell(code),
                declared,
                found,
                cell(&iso_date(request.as_of)),
                cell(result),
                cell(&zoned(days_before(request.as_of, -random.between(1, 5)), request.second)),
            ],
        )?;
        let spot = Spot { system: SLUG, object: ITEM, file: DATABASE, key: &key, parent: &request.no, ..Spot::default() };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for EconVerify {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        let rural = status::rural(self.start.seed, family, self.start.today).is_some();
        let verified = random.chance(VERIFIED);
        let urban = format!("{}{:010}", family.place.county(), family.no);
        if verified && family.dibao.is_some() {
            self.request(family, "UD", &urban, &mut random, truth)?;
        } else if verified && rural {
            self.request(family, "RD", &family.no.to_string(), &mut random, truth)?;
        }
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}

fn outcome(random: &mut Random) -> (&'static str, Cell) {
    match random.below(100) {
        0..30 => ("FOUND", cell(&yuan(random.below(4_000_000)))),
        30..33 => ("FOUND", cell("0.00")),
        33..36 => ("MISMATCH", None),
        36..39 => ("PARTIAL", None),
        _ => ("NONE", None),
    }
}

fn zoned(day: Date, second: i64) -> String {
    moment(day, second) + "+08"
}
