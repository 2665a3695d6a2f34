//! `disability-subsidy`: Spring Boot on PostgreSQL, here a SQLite file with the same table.
//!
//! Quirks: a subsidy without an end has the date `infinity`, or none; certificates have 20 characters, reissued ones 22. The
//! living subsidy (DL) goes to families in dibao, the care subsidy (DC) to the two gravest grades, not to those in
//! extreme poverty, whose care is paid already.

use async_trait::async_trait;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{Month, days_before, moment};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::numbers;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status::{self, Disability, Planted};
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::cell;
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "disability-subsidy";
/// The database's name in the system's folder.
pub const DATABASE: &str = "disability_subsidy.sqlite";
const OBJECT: &str = "subsidy";

const TABLES: [Table; 1] = [Table {
    name: OBJECT,
    columns: &[
        ("id", "uuid"),
        ("person_id", "char(18)"),
        ("cert_no", "varchar(22)"),
        ("subsidy_type", "char(2)"),
        ("grade", "smallint"),
        ("amount", "numeric(8,2)"),
        ("valid_from", "date"),
        ("valid_to", "date"),
        ("updated_at", "timestamptz"),
    ],
    indexes: &["updated_at, id"],
}];

const HABITS: Habits = Habits { missing: 0, lower_case_x: false, gbk: false, padded_names: false };

/// The system under way.
pub struct DisabilitySubsidy {
    start: Start,
    tables: Tables,
}

impl DisabilitySubsidy {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "disability_subsidy", Dialect::Postgres, &TABLES).await?;
        Ok(Self { start, tables })
    }

    fn subsidy(
        &mut self,
        person: &Person,
        disability: &Disability,
        letters: &str,
        random: &mut Random,
        planted: bool,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let key = numbers::uuid(random);
        let mut recorded = Recorded::draw(&person.who, HABITS, random);
        if recorded.number.len() == 15 {
            // The system is young: it never held a number of fifteen digits.
            (recorded.number, recorded.kind) = (person.who.number.clone(), None);
        }
        if planted {
            recorded = Recorded::exact(&person.who);
        }
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode], random).filter(|_| !planted);
        let from = Month::of(days_before(self.start.today, random.between(40, 540))).day(1);
        let until = match (person.died, random.below(10)) {
            (Some(day), _) => iso_date(Month::of(day).day(28)),
            _ if planted => "infinity".to_owned(),
            (None, 0..5) => "infinity".to_owned(),
            (None, 5..8) => String::new(),
            (None, _) => iso_date(days_before(self.start.today, -random.between(100, 900))),
        };
        let amount = if letters == "DL" { "70.00" } else { random.pick(&["80.00", "100.00", "120.00"]) };
        let changed = days_before(self.start.today, random.between(1, 39));
        self.tables.push(
            0,
            vec![
                cell(&key),
                cell(&recorded.number),
                cell(&disability.certificate),
                cell(if kind == Some(Kind::UnknownCode) { "DX" } else { letters }),
                cell(&disability.grade.to_string()),
                cell(amount),
                cell(&iso_date(from)),
                cell(&until),
                cell(&format!("{}.{:06}+08", moment(changed, random.between(28_800, 61_200)), random.below(1_000_000))),
            ],
        )?;
        let spot = Spot { system: SLUG, object: OBJECT, file: DATABASE, key: &key, ..Spot::default() };
        if planted {
            truth.alert("R3", &person.who, &spot)?;
        }
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for DisabilitySubsidy {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let (seed, today) = (self.start.seed, self.start.today);
        let poor = family.dibao.is_some() || status::rural(seed, family, today).is_some();
        let kept = status::tekun(seed, family, today).is_some();
        if status::planted(seed, family, today) == Some(Planted::Care) {
            let person = &family.members[0];
            let disability = Disability { category: 4, grade: 1, certificate: format!("{}41", person.who.number) };
            self.subsidy(person, &disability, "DC", &mut Random::new(seed, "planted-care", family.no), true, truth)?;
        }
        for person in &family.members {
            let Some(disability) = status::disability(seed, person) else { continue };
            let mut random = Random::new(seed, SLUG, person.who.no);
            if poor {
                self.subsidy(person, &disability, "DL", &mut random, false, truth)?;
            }
            if disability.grade <= 2 && !kept {
                self.subsidy(person, &disability, "DC", &mut random, false, truth)?;
            }
        }
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}
