//! `marriage`: J2EE on Oracle, here a SQLite file with the same table.
//!
//! Quirks: a DATE carries the time 00:00; certificates of before 2004 were written by hand; the empty text is NULL. A couple that
//! has divorced and married again has three rows. Reissues stand beside the marriage they belong to.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, weekday, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::{Cell, cell};
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "marriage";
/// The database's name in the system's folder.
pub const DATABASE: &str = "marriage.sqlite";
const OBJECT: &str = "HYDJ";

const TABLES: [Table; 1] = [Table {
    name: OBJECT,
    columns: &[
        ("DJID", "NUMBER(18)"),
        ("YWLX", "VARCHAR2(3)"),
        ("ZSBH", "VARCHAR2(24)"),
        ("NFXM", "VARCHAR2(60)"),
        ("NFSFZH", "VARCHAR2(18)"),
        ("NFCSRQ", "DATE"),
        ("VFXM", "VARCHAR2(60)"),
        ("VFSFZH", "VARCHAR2(18)"),
        ("DJRQ", "DATE"),
        ("DJJG", "VARCHAR2(8)"),
        ("CZSJ", "DATE"),
        ("ZXBZ", "CHAR(1)"),
    ],
    indexes: &["CZSJ, DJID"],
}];

const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: true, padded_names: false };
/// Couples of ten thousand whose papers are in the system.
const KNOWN: u64 = 4_500;
/// Known couples of ten thousand that parted and married again.
const AGAIN: u64 = 400;
/// Couples of ten thousand in dibao that parted in the last weeks.
const PARTED: u64 = 1_000;
/// Known couples of ten thousand that lost a certificate.
const REISSUED: u64 = 900;

/// The system under way.
pub struct Marriage {
    start: Start,
    tables: Tables,
    rows: u64,
}

impl Marriage {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "marriage", Dialect::Oracle, &TABLES).await?;
        Ok(Self { start, tables, rows: 0 })
    }

    fn couple(&mut self, family: &Family, pair: (&Person, &Person), random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let Some(wedding) = wedding(pair, self.start.today, random) else { return Ok(()) };
        self.row(family, pair, "IA", wedding, random, truth)?;
        let years = i64::from(age(wedding, self.start.today));
        let later = |years: i64, random: &mut Random| weekday(days_before(wedding, -365 * years - random.between(1, 300)));
        if years > 12 && random.chance(AGAIN) {
            self.row(family, pair, "IB", later(4, random), random, truth)?;
            self.row(family, pair, "IA", later(6, random), random, truth)?;
        } else if years > 3 && random.chance(REISSUED) {
            self.row(family, pair, "ICA", later(2, random), random, truth)?;
        }
        Ok(())
    }

    /// Some couples that get dibao parted in the last weeks: mostly after their case was looked at (rule R4).
    fn parted(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "parted", family.no);
        let Some(head) = family.members.first() else { return Ok(()) };
        let covered = ["urban-case", "rural-case"].iter().any(|case| truth.known(case, head.who.no).is_some());
        let alive = |pair: &(&Person, &Person)| pair.0.died.is_none() && pair.1.died.is_none();
        match status::couple(family).filter(alive).filter(|_| covered && random.chance(PARTED)) {
            Some(pair) => {
                let day = weekday(days_before(self.start.today, random.between(3, 30)));
                self.row(family, pair, "IB", day, &mut random, truth)
            }
            None => Ok(()),
        }
    }

    fn row(
        &mut self,
        family: &Family,
        (man, woman): (&Person, &Person),
        business: &str,
        day: Date,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        self.rows += 1;
        let key = format!("{}{:09}", family.place.county(), self.rows);
        let his = Recorded::draw(&man.who, HABITS, random);
        let hers = Recorded::draw(&woman.who, HABITS, random);
        let wrong =
            [&his, &hers].into_iter().find(|recorded| recorded.refused()).or_else(|| Some(&his).filter(|his| his.kind.is_some()));
        let numbers = wrong.unwrap_or(&hers).kind;
        let kind = faults::plant(numbers, &[Kind::UnknownCode, Kind::UnknownDivision], random);
        let office = if kind == Some(Kind::UnknownDivision) { "229999" } else { family.place.county() };
        let cancelled = kind.is_none() && random.chance(40);
        self.tables.push(
            0,
            vec![
                cell(&key),
                cell(if kind == Some(Kind::UnknownCode) { "IZ" } else { business }),
                certificate(business, family.place.county(), day, self.rows),
                cell(&his.name),
                cell(&his.number),
                cell(&moment(man.who.birth, 0)),
                cell(&hers.name),
                cell(&hers.number),
                cell(&moment(day, 0)),
                cell(&format!("{office}01")),
                cell(&moment(entered(day), working_hour(random))),
                cell(if cancelled { "1" } else { "" }),
            ],
        )?;
        let spot = Spot { system: SLUG, object: OBJECT, file: DATABASE, key: &key, ..Spot::default() };
        let good = kind.is_none_or(|kind| kind.outcome() == Outcome::Fixed) && !cancelled && matches!(business, "IA" | "IB");
        if good && [man, woman].iter().any(|party| truth.known("member", party.who.no).is_some()) {
            review(family, day, truth)?;
        }
        truth.tell(&spot, Some((&man.who, &his.note())), kind)?;
        truth.appears(&woman.who, &spot, &hers.note())
    }
}

#[async_trait]
impl System for Marriage {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        if let Some(pair) = status::couple(family).filter(|_| random.chance(KNOWN)) {
            self.couple(family, pair, &mut random, truth)?;
        }
        self.parted(family, truth)?;
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}

/// A marriage or divorce after the last change of a case that gets dibao (rule R4): one hit for each case.
fn review(family: &Family, day: Date, truth: &mut Truth) -> Result<(), Error> {
    let head = &family.members[0].who;
    let urban = format!("{}{:010}", family.place.county(), family.no);
    let cases =
        [("urban-case", "urban-dibao", "DB_FAMILY", urban), ("rural-case", "rural-dibao", "T_HJXX", family.no.to_string())];
    for (what, system, object, key) in cases {
        let last = truth.known(what, head.no).map(str::to_owned);
        let told = truth.known("R4", head.no).is_some();
        if !told && last.is_some_and(|last| compact(day) > last) {
            truth.makes_known("R4", head.no, "");
            truth.alert("R4", head, &Spot { system, object, key: &key, ..Spot::default() })?;
        }
    }
    Ok(())
}

/// A day on which he was 22 and she 20 and both were alive, for most couples before their thirties.
fn wedding((man, woman): (&Person, &Person), today: Date, random: &mut Random) -> Option<Date> {
    let grown = days_before(man.who.birth, -(22 * 366)).max(days_before(woman.who.birth, -(20 * 366)));
    let day = weekday(days_before(grown, -random.between(30, 8 * 365)));
    (day < days_before(today, 120)).then_some(day)
}

/// The system began in 2006; older papers were entered by hand in its first years.
fn entered(day: Date) -> Date {
    let years = 2006 - day.year();
    if years <= 0 { day } else { weekday(days_before(day, -(i64::from(years) + 1) * 366)) }
}

fn certificate(business: &str, county: &str, day: Date, serial: u64) -> Cell {
    let letters = match business {
        "IB" => "L",
        "ICA" => "BJ",
        _ => "J",
    };
    let year = day.year();
    if year < 2004 {
        return cell(&format!("{}字第{:06}号", if letters == "L" { "离" } else { "结" }, serial % 1_000_000));
    }
    cell(&format!("{letters}{county}-{year}-{:06}", serial % 1_000_000))
}
