//! `temp-aid`: PHP on MySQL, here a SQLite file with the same table.
//!
//! Quirks: some names were encoded twice when the site moved to a new server; an application not yet approved has the
//! date 0000-00-00 00:00:00; rows are deleted softly.

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before, moment, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::charset::twice_encoded;
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::{cell, yuan};
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "temp-aid";
/// The database's name in the system's folder.
pub const DATABASE: &str = "temp_aid.sqlite";
const OBJECT: &str = "jz_apply";

const TABLES: [Table; 1] = [Table {
    name: OBJECT,
    columns: &[
        ("id", "bigint unsigned"),
        ("apply_no", "varchar(32)"),
        ("id_card", "varchar(18)"),
        ("name", "varchar(40)"),
        ("area_code", "char(12)"),
        ("reason_code", "varchar(10)"),
        ("amount", "decimal(10,2)"),
        ("status", "tinyint"),
        ("approved_at", "datetime"),
        ("updated_at", "timestamp"),
        ("deleted", "tinyint"),
    ],
    indexes: &["updated_at, id"],
}];

const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: false, padded_names: false };
/// Living adults of ten thousand who asked for help in the last year.
const APPLIES: u64 = 350;
/// States of the site: 1 entered, 2 in review, 3 approved, 4 refused, 5 paid.
const STATES: [(&str, u64); 5] = [("1", 8), ("2", 12), ("3", 20), ("4", 8), ("5", 52)];
const NO_DATE: &str = "0000-00-00 00:00:00";
const NAME: usize = 3;

/// The system under way.
pub struct TempAid {
    start: Start,
    tables: Tables,
    rows: u64,
}

impl TempAid {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "temp_aid", Dialect::Mysql, &TABLES).await?;
        Ok(Self { start, tables, rows: 0 })
    }

    fn apply(&mut self, person: &Person, place: Place, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        self.rows += 1;
        let key = self.rows.to_string();
        let recorded = Recorded::draw(&person.who, HABITS, random);
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode, Kind::UnknownDivision], random);
        let asked = days_before(self.start.today, random.between(10, 360));
        let decided = days_before(asked, -random.between(2, 9));
        let status = random.weighted(&STATES);
        let approved = if matches!(status, "3" | "5") { moment(decided, working_hour(random)) } else { NO_DATE.to_owned() };
        let deleted = kind.is_none() && random.chance(150);
        let mut row = vec![
            cell(&key),
            cell(&format!("LS{}{}{:06}", place.county(), compact(asked), self.rows % 1_000_000)),
            cell(&recorded.number),
            cell(&recorded.name),
            cell(if kind == Some(Kind::UnknownDivision) { "229999001000" } else { place.code }),
            cell(if kind == Some(Kind::UnknownCode) { "77" } else { random.pick(&["01", "01", "01", "03", "10", "07", "99"]) }),
            cell(&yuan(50_000 + random.below(60) * 10_000)),
            cell(status),
            cell(&approved),
            cell(&moment(decided, working_hour(random))),
            cell(if deleted { "1" } else { "0" }),
        ];
        if random.chance(300) {
            row[NAME] = cell(&twice_encoded(&recorded.name));
        }
        self.tables.push(0, row)?;
        let spot = Spot { system: SLUG, object: OBJECT, file: DATABASE, key: &key, ..Spot::default() };
        if deleted {
            truth.deleted(&spot);
        }
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for TempAid {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        for person in &family.members {
            let able = age(person.who.birth, self.start.today) >= 18 && person.died.is_none();
            if able && random.chance(APPLIES) {
                self.apply(person, family.place, &mut random, truth)?;
            }
        }
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}
