//! `urban-dibao`: J2EE on Oracle, here a SQLite file with the same three tables.
//!
//! Quirks: the empty text is NULL; time stamps are text of fourteen digits and often equal, since townships import in
//! bulk; families are deleted softly; divisions have 12, 9 or 6 digits; old payments name the bank in Chinese.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::benefits::{self, Dibao};
use crate::simulate::calendar::{Month, age, compact, days_before};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::sqlite::{Buffer, Database, cell, yuan};

/// The system's slug.
pub const SLUG: &str = "urban-dibao";
/// The database's name in the system's folder.
pub const DATABASE: &str = "urban_dibao.sqlite";

// Amounts are TEXT, since SQLite would turn a NUMERIC column into floating point.
const TABLES: [&str; 6] = [
    "CREATE TABLE DB_FAMILY (FAMILY_ID VARCHAR2(32) PRIMARY KEY, DOMICILE_CODE VARCHAR2(12), HEAD_NAME VARCHAR2(50), CARD_TYPE CHAR(1), CARD_NO VARCHAR2(20), PEOPLE_NUM INTEGER, COVERED_NUM INTEGER, MONTH_INCOME TEXT, ASSIST_CLASS CHAR(1), POVERTY_CAUSE VARCHAR2(20), STATE_FLAG CHAR(2), REG_TIME VARCHAR2(14), MOD_TIME VARCHAR2(14), IS_DEL CHAR(1))",
    "CREATE TABLE DB_MEMBER (MEMBER_ID VARCHAR2(32) PRIMARY KEY, FAMILY_ID VARCHAR2(32), NAME VARCHAR2(50), ID_CARD VARCHAR2(20), RELATION VARCHAR2(2), NATION VARCHAR2(2), HEALTH CHAR(1), LABOUR CHAR(1), MOD_TIME VARCHAR2(14))",
    "CREATE TABLE DB_PAY (PAY_ID VARCHAR2(32) PRIMARY KEY, FAMILY_ID VARCHAR2(32), PAY_MONTH CHAR(6), PAY_MONEY TEXT, BANK_CODE VARCHAR2(6), ACCOUNT VARCHAR2(32), PAY_FLAG CHAR(1), MOD_TIME VARCHAR2(14))",
    "CREATE INDEX DB_FAMILY_MOD ON DB_FAMILY (MOD_TIME, FAMILY_ID)",
    "CREATE INDEX DB_MEMBER_FAMILY ON DB_MEMBER (FAMILY_ID)",
    "CREATE INDEX DB_PAY_MOD ON DB_PAY (MOD_TIME, PAY_ID)",
];
const FAMILY: &str = "INSERT INTO DB_FAMILY (FAMILY_ID, DOMICILE_CODE, HEAD_NAME, CARD_TYPE, CARD_NO, PEOPLE_NUM, COVERED_NUM, MONTH_INCOME, ASSIST_CLASS, POVERTY_CAUSE, STATE_FLAG, REG_TIME, MOD_TIME, IS_DEL) ";
const MEMBER: &str = "INSERT INTO DB_MEMBER (MEMBER_ID, FAMILY_ID, NAME, ID_CARD, RELATION, NATION, HEALTH, LABOUR, MOD_TIME) ";
const PAY: &str = "INSERT INTO DB_PAY (PAY_ID, FAMILY_ID, PAY_MONTH, PAY_MONEY, BANK_CODE, ACCOUNT, PAY_FLAG, MOD_TIME) ";

const HABITS: Habits = Habits { missing: 150, lower_case_x: true, gbk: false, padded_names: false };
/// Months of payments kept in the table, the present one included.
const MONTHS: i32 = 6;
/// Payments older than this many months name the bank in Chinese.
const OLD_MONTHS: i32 = 4;
const FAMILIES: usize = 0;
const MEMBERS: usize = 1;
const PAYS: usize = 2;

/// The system under way.
pub struct UrbanDibao {
    start: Start,
    database: Database,
    buffers: [Buffer; 3],
}

/// What all rows of one family share.
struct Case<'a> {
    family: &'a Family,
    dibao: &'a Dibao,
    id: String,
    modified: String,
}

impl UrbanDibao {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let database = Database::create(&start.folder.join(DATABASE), &TABLES).await?;
        Ok(Self { start, database, buffers: [Buffer::new(FAMILY), Buffer::new(MEMBER), Buffer::new(PAY)] })
    }

    fn family_row(&mut self, case: &Case<'_>, head: &Recorded, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let spot = Spot { system: SLUG, object: "DB_FAMILY", file: DATABASE, key: &case.id, ..Spot::default() };
        let code = case.family.place.code;
        let (mut division, mut state, mut kind) = (division(code, random), case.dibao.state.to_owned(), head.kind);
        if !head.refused() && random.chance(faults::UNKNOWN_DIVISION) {
            (division, kind) = ("229999001000".to_owned(), Some(Kind::UnknownDivision));
        } else if !head.refused() && random.chance(faults::UNKNOWN_CODE) {
            (state, kind) = ("77".to_owned(), Some(Kind::UnknownCode));
        }
        // Without an identity number the office wrote down the household book, whose numbers have nine digits.
        let (card_type, card) = match head.number.as_str() {
            "" => ("2", format!("{:09}", case.family.no)),
            number => ("1", number.to_owned()),
        };
        let income = random.below(120_000);
        let income = if random.chance(800) { None } else { Some(yuan(income)) };
        let deleted = random.chance(150);
        let registered = stamp(
            case.dibao.from.before(1).day(5 + u8::try_from(random.below(20)).unwrap_or(0)),
            34_000 + random.between(0, 9_000),
        );
        self.buffers[FAMILIES].push(vec![
            cell(&case.id),
            cell(&division),
            cell(&head.name),
            cell(card_type),
            cell(&card),
            cell(&case.family.members.len().to_string()),
            cell(&case.dibao.covered.to_string()),
            income,
            cell(&case.dibao.class.to_string()),
            cell(random.pick(&["01", "01,06", "02", "04", "04,09", "05,06", "01,07", "08", ""])),
            cell(&state),
            cell(&registered),
            cell(&case.modified),
            cell(if deleted { "1" } else { "0" }),
        ]);
        truth.row(&spot);
        truth.appears(&case.family.members[0].who, &spot, &head.note())?;
        if deleted {
            truth.deleted(&spot);
        }
        let who = &case.family.members[0].who;
        if !head.number.is_empty() && !head.refused() {
            truth.makes_known("owner", who.no, "");
        }
        if kind.is_none_or(|kind| kind.outcome() == Outcome::Fixed) && !deleted && case.dibao.state == "70" {
            // A marriage before the application needs no review, however old the last change of the row.
            truth.makes_known("urban-case", who.no, std::cmp::max(&case.modified[..8], &registered[..8]));
        }
        kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }

    fn member_row(
        &mut self,
        case: &Case<'_>,
        place: usize,
        recorded: &Recorded,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let person = &case.family.members[place];
        let id = format!("{}{:02}", case.id, place + 1);
        let spot = Spot { system: SLUG, object: "DB_MEMBER", file: DATABASE, key: &id, parent: &case.id, ..Spot::default() };
        let short = place == 0 && random.chance(500);
        let relation = if short { "2" } else { person.relation };
        let years = age(person.who.birth, self.start.today);
        let (health, labour) = condition(years, random);
        self.buffers[MEMBERS].push(vec![
            cell(&id),
            cell(&case.id),
            cell(&recorded.name),
            cell(&recorded.number),
            cell(relation),
            cell(person.people.code()),
            cell(health),
            cell(labour),
            cell(&case.modified),
        ]);
        truth.row(&spot);
        truth.appears(&person.who, &spot, &recorded.note())?;
        if !recorded.number.is_empty() && !recorded.refused() {
            truth.makes_known("member", person.who.no, "");
        }
        recorded.kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }

    fn pay_row(&mut self, case: &Case<'_>, back: i32, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let month = Month::of(self.start.today).before(back);
        if !case.dibao.paid(month) {
            return Ok(());
        }
        let head: &Person = &case.family.members[0];
        let id = format!("{}{}", case.id, month.text());
        let spot = Spot { system: SLUG, object: "DB_PAY", file: DATABASE, key: &id, parent: &case.id, ..Spot::default() };
        let mut period = month.text();
        let mut bank = if back >= OLD_MONTHS { head.bank.short_name } else { head.bank.code };
        let mut kind = None;
        if random.chance(faults::IMPOSSIBLE_DATE) {
            (period, kind) = (format!("{}13", &period[..4]), Some(Kind::ImpossibleDate));
        } else if random.chance(faults::UNKNOWN_CODE) {
            (bank, kind) = ("某行", Some(Kind::UnknownCode));
        }
        let (flag, modified) = self.pay_state(case, head, back);
        self.buffers[PAYS].push(vec![
            cell(&id),
            cell(&case.id),
            cell(&period),
            cell(&yuan(case.dibao.fen)),
            cell(bank),
            cell(&head.account),
            cell(flag),
            cell(&modified),
        ]);
        truth.row(&spot);
        truth.appears(&head.who, &spot, "no_number")?;
        truth.makes_known("paid", head.who.no, "");
        let found = truth.known("death", head.who.no).is_some() && truth.known("owner", head.who.no).is_some();
        if found && kind.is_none() && flag != "3" && head.died.is_some_and(|day| Month::of(day) < month) {
            truth.alert("R1", &head.who, &spot)?;
        }
        kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
    }

    /// Flag and time of change: a county's payments of one month all change in the same second.
    fn pay_state(&self, case: &Case<'_>, head: &Person, back: i32) -> (&'static str, String) {
        let month = Month::of(self.start.today).before(back);
        let second: i64 = case.family.place.county()[4..].parse().unwrap_or(0);
        if back == 0 {
            return ("0", stamp(month.day(1), 28_800 + second));
        }
        let returned = benefits::return_code(self.start.seed, head.who.no, "UD", month) != "0000";
        if returned { ("3", stamp(month.day(13), 32_400 + second)) } else { ("2", stamp(month.day(12), 32_400 + second)) }
    }
}

#[async_trait]
impl System for UrbanDibao {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let Some(dibao) = &family.dibao else { return Ok(()) };
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        let id = format!("{}{:010}", family.place.county(), family.no);
        let case = Case { family, dibao, id, modified: modified(self.start.today, &mut random) };
        let head = Recorded::draw(&family.members[0].who, HABITS, &mut random);
        self.family_row(&case, &head, &mut random, truth)?;
        self.member_row(&case, 0, &head, &mut random, truth)?;
        for place in 1..family.members.len() {
            let recorded = Recorded::draw(&family.members[place].who, HABITS, &mut random);
            self.member_row(&case, place, &recorded, &mut random, truth)?;
        }
        for back in (0..MONTHS).rev() {
            self.pay_row(&case, back, &mut random, truth)?;
        }
        if self.buffers.iter().any(Buffer::full) {
            self.database.write(&mut self.buffers).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.database.write(&mut self.buffers).await?;
        self.database.close().await
    }
}

/// Mostly twelve digits, from some offices nine or six.
fn division(code: &str, random: &mut Random) -> String {
    let digits = match random.below(100) {
        0..90 => 12,
        90..97 => 9,
        _ => 6,
    };
    code.get(..digits).unwrap_or(code).to_owned()
}

/// A fifth of the rows was changed by one of the nightly imports, all at 02:00:00.
fn modified(today: Date, random: &mut Random) -> String {
    let day = days_before(today, random.between(1, 400));
    let import = random.chance(2_000);
    let second = random.between(28_800, 61_200);
    if import { stamp(Month::of(day).day(1), 7_200) } else { stamp(day, second) }
}

/// `yyyymmddhh24miss`.
fn stamp(day: Date, second: i64) -> String {
    format!("{}{:02}{:02}{:02}", compact(day), second / 3_600, second / 60 % 60, second % 60)
}

fn condition(years: i32, random: &mut Random) -> (&'static str, &'static str) {
    match years {
        ..16 => ("1", "4"),
        16..60 => random.pick_pair(&[("1", "1"), ("2", "1"), ("3", "2"), ("4", "3"), ("5", "2")]),
        _ => random.pick_pair(&[("2", "4"), ("3", "4"), ("4", "3"), ("1", "4")]),
    }
}
