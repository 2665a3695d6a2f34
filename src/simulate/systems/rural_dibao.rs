//! `rural-dibao`: ASP.NET on SQL Server, here a SQLite file with the same two tables.
//!
//! Quirks: divisions end at the township, the village is a name; amounts are quarterly, incomes yearly, both `money` with
//! four decimals; 1900-01-01 is an empty date; times have steps of 3.33 ms; the bank is free text. The row version is
//! one counter for the whole database.

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, days_before, moment, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::Family;
use crate::simulate::random::Random;
use crate::simulate::status::{self, Planted, Rural};
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::cell;
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "rural-dibao";
/// The database's name in the system's folder.
pub const DATABASE: &str = "rural_dibao.sqlite";
const HOUSEHOLD: &str = "T_HJXX";
const PAYMENT: &str = "T_FFJL";

const TABLES: [Table; 2] = [
    Table {
        name: HOUSEHOLD,
        columns: &[
            ("hzbh", "int"),
            ("xzqh", "varchar(9)"),
            ("cwmc", "nvarchar(50)"),
            ("hzxm", "nvarchar(20)"),
            ("sfzh", "varchar(18)"),
            ("jtrk", "tinyint"),
            ("bzrs", "tinyint"),
            ("nsr", "money"),
            ("bzje", "money"),
            ("dbzh", "varchar(20)"),
            ("zt", "tinyint"),
            ("tbrq", "datetime"),
            ("xgsj", "datetime"),
            ("rv", "rowversion"),
        ],
        indexes: &["rv"],
    },
    Table {
        name: PAYMENT,
        columns: &[
            ("id", "bigint"),
            ("hzbh", "int"),
            ("jd", "char(6)"),
            ("je", "money"),
            ("khh", "nvarchar(30)"),
            ("zh", "varchar(30)"),
            ("ffzt", "tinyint"),
            ("rv", "rowversion"),
        ],
        indexes: &["rv", "hzbh"],
    },
];

const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: true, padded_names: true };
/// Quarters of payments kept, the present one not included.
const QUARTERS: i32 = 2;
/// What clerks type for the bank.
const BANK_WORDS: [(&str, &[&str]); 3] =
    [("JLRCU", &["农信社", "信用社", "农村信用社"]), ("PSBC", &["邮储", "邮政", "邮政储蓄"]), ("ABC", &["农行", "农业银行"])];

/// The system under way.
pub struct RuralDibao {
    start: Start,
    tables: Tables,
    version: u64,
    payments: u64,
}

impl RuralDibao {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "rural_dibao", Dialect::Mssql, &TABLES).await?;
        // Versions of a server that has run for years begin high.
        Ok(Self { start, tables, version: 2_000_000, payments: 0 })
    }

    fn version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn household(&mut self, family: &Family, rural: &Rural, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let head = &family.members[0];
        let planted = status::planted(self.start.seed, family, self.start.today).is_some();
        let recorded = Recorded::draw(&head.who, HABITS, random);
        let recorded = if planted { Recorded::exact(&head.who) } else { recorded };
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode, Kind::UnknownDivision], random).filter(|_| !planted);
        let township = if kind == Some(Kind::UnknownDivision) { "229999001" } else { family.place.township() };
        let state = if kind == Some(Kind::UnknownCode) { 7 } else { rural.state };
        let key = family.no.to_string();
        // Forms without a date were entered as the first day SQL Server offers.
        let entered = if random.chance(300) { "1900-01-01 00:00:00.000".to_owned() } else { moment(rural.since, 0) + ".000" };
        let changed = moment(days_before(self.start.today, random.between(1, 300)), working_hour(random));
        let version = self.version();
        self.tables.push(
            0,
            vec![
                cell(&key),
                cell(township),
                cell(&village(family.place.name, random)),
                cell(&recorded.name),
                cell(&recorded.number),
                cell(&family.members.len().to_string()),
                cell(&rural.covered.to_string()),
                cell(&money(rural.income)),
                cell(&money(rural.quarter)),
                cell(&format!("ND{}{:08}", family.place.county(), family.no)),
                cell(&state.to_string()),
                cell(&entered),
                cell(&format!("{changed}{}", random.pick(&[".000", ".003", ".007"]))),
                cell(&version),
            ],
        )?;
        let spot = Spot { system: SLUG, object: HOUSEHOLD, file: DATABASE, key: &key, ..Spot::default() };
        if kind.is_none_or(|kind| kind.outcome() == Outcome::Fixed) && rural.state == 1 {
            // The empty date of SQL Server is before every other.
            let last = std::cmp::max(&changed[..10], &entered[..10]).replace('-', "");
            truth.makes_known("rural-case", head.who.no, &last);
            truth.makes_known("member", head.who.no, "");
        }
        if planted {
            truth.alert("R2", &head.who, &spot)?;
        }
        truth.tell(&spot, Some((&head.who, &recorded.note())), kind)
    }

    fn payment(
        &mut self,
        family: &Family,
        rural: &Rural,
        back: i32,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let head = &family.members[0];
        self.payments += 1;
        let (id, family_key) = (self.payments.to_string(), family.no.to_string());
        let kind = faults::plant(None, &[Kind::ImpossibleDate, Kind::UnknownCode], random);
        let quarter = quarter(Month::of(self.start.today).before(3 * back));
        let quarter = if kind == Some(Kind::ImpossibleDate) { format!("{}Q5", &quarter[..4]) } else { quarter };
        let bank =
            if kind == Some(Kind::UnknownCode) { "某行" } else { bank_words(head.bank.code, head.bank.short_name, random) };
        let state = if random.chance(250) { "3" } else { "2" };
        let version = self.version();
        self.tables.push(
            1,
            vec![
                cell(&id),
                cell(&family_key),
                cell(&quarter),
                cell(&money(rural.quarter)),
                cell(bank),
                cell(&head.account),
                cell(state),
                cell(&version),
            ],
        )?;
        let spot = Spot { system: SLUG, object: PAYMENT, file: DATABASE, key: &id, parent: &family_key, ..Spot::default() };
        truth.tell(&spot, Some((&head.who, "no_number")), kind)
    }
}

#[async_trait]
impl System for RuralDibao {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let (seed, today) = (self.start.seed, self.start.today);
        let twice = status::planted(seed, family, today) == Some(Planted::Twice);
        let planted = || {
            let since = days_before(today, 400);
            twice.then_some(Rural { covered: 1, income: 0, quarter: 925, state: 1, since })
        };
        let Some(rural) = status::rural(seed, family, today).or_else(planted) else { return Ok(()) };
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        self.household(family, &rural, &mut random, truth)?;
        if rural.state == 1 {
            for back in (1..=QUARTERS).rev() {
                self.payment(family, &rural, back, &mut random, truth)?;
            }
        }
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}

/// A tenth of the clerks leave the committee out: 东安村 for 东安村委会.
fn village(name: &str, random: &mut Random) -> String {
    match name.strip_suffix("委会") {
        Some(short) if short.ends_with('村') && random.chance(1_000) => short.to_owned(),
        _ => name.to_owned(),
    }
}

fn bank_words(code: &str, short_name: &'static str, random: &mut Random) -> &'static str {
    let words = BANK_WORDS.iter().find(|(bank, _)| *bank == code).map(|(_, words)| *words);
    words.map_or(short_name, |words| random.pick(words))
}

fn money(yuan: u64) -> String {
    format!("{yuan}.0000")
}

/// `2017Q3`.
fn quarter(month: Month) -> String {
    let day = month.day(1);
    format!("{:04}Q{}", day.year(), u8::from(day.month()).div_ceil(3))
}
