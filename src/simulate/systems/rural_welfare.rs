//! `rural-welfare`: a workbook a county with the welfare centres of its townships and their residents.
//!
//! Quirks: townships by name; beds as `60张`; an identity number typed as a number has lost its last digits; a sum below the table.
//! The people in extreme poverty who live in a home are here, and some old neighbours who pay for themselves.

use std::collections::BTreeMap;

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, age, days_before};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::names::{self, People};
use crate::simulate::numbers;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::xlsx::{self, Cell, Sheet};

/// The system's slug.
pub const SLUG: &str = "rural-welfare";
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: false, padded_names: true };
/// Old people of ten thousand in villages who pay for a bed.
const PAYING: u64 = 250;

/// The system under way.
pub struct RuralWelfare {
    start: Start,
    counties: BTreeMap<&'static str, County>,
}

struct County {
    residents: Sheet,
    /// By township: its name, all residents, those in extreme poverty.
    centres: BTreeMap<&'static str, (&'static str, u32, u32)>,
}

impl RuralWelfare {
    /// Starts without counties.
    pub fn open(start: Start) -> Self {
        Self { start, counties: BTreeMap::new() }
    }

    fn resident(&mut self, family: &Family, person: &Person, since: Date, kept: bool, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random);
        let kind = faults::plant(recorded.kind, &[Kind::NumberAsNumber], &mut random);
        let place = family.place;
        let county = self.counties.entry(place.county()).or_insert_with(|| County {
            residents: Sheet::new("入住", &["入住老人花名册"], &["序号", "中心名称", "姓名", "身份证号", "入住日期", "备注"]),
            centres: BTreeMap::new(),
        });
        let centre = county.centres.entry(place.township()).or_insert((place.township_name, 0, 0));
        centre.1 += 1;
        centre.2 += u32::from(kept);
        let count = u32::try_from(county.residents.rows.len()).unwrap_or(0) + 1;
        let row = county.residents.push(vec![
            Cell::Number(f64::from(count)),
            Cell::text(name(place.township_name)),
            Cell::text(&recorded.name),
            if kind == Some(Kind::NumberAsNumber) {
                Cell::Number(numbers::spoiled(&recorded.number))
            } else {
                Cell::text(&recorded.number)
            },
            Cell::Date(since),
            Cell::Blank,
        ]);
        let file = file(place.county(), self.start.today);
        let spot = Spot { system: SLUG, object: "RZ", file: &file, row, key: &recorded.number, parent: "" };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }

    fn centres(&self, code: &str, county: &County, truth: &mut Truth) -> Result<Sheet, Error> {
        let columns = ["中心名称", "乡镇", "床位数", "入住人数", "特困人数", "负责人", "备注"];
        let mut sheet = Sheet::new("中心", &["农村社会福利服务中心台账"], &columns);
        let file = file(code, self.start.today);
        for (township, (township_name, residents, kept)) in &county.centres {
            let mut random = Random::new(self.start.seed, "welfare-centre", township.parse().unwrap_or(0));
            let kind = faults::plant(None, &[Kind::WordsForNumber], &mut random);
            let beds = residents + 10 + u32::try_from(random.below(50)).unwrap_or(0);
            let surname = names::surname(People::Han, &mut random);
            let beds = match kind {
                Some(_) => Cell::text(format!("约{beds}")),
                None if random.chance(2_000) => Cell::text(format!("{beds}张")),
                None => Cell::Number(f64::from(beds)),
            };
            let row = sheet.push(vec![
                Cell::text(name(township_name)),
                Cell::text(*township_name),
                beds,
                Cell::Number(f64::from(*residents)),
                Cell::Number(f64::from(*kept)),
                Cell::text(names::full(People::Han, surname, true, 1965, None, &mut random)),
                Cell::Blank,
            ]);
            let spot = Spot { system: SLUG, object: "ZX", file: &file, row, key: township, parent: "" };
            truth.tell(&spot, None, kind)?;
        }
        sheet.push(vec![Cell::text("合计")]);
        Ok(sheet)
    }
}

#[async_trait]
impl System for RuralWelfare {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let today = self.start.today;
        if let Some(support) = status::tekun(self.start.seed, family, today).filter(|support| support.housed) {
            return self.resident(family, &family.members[0], support.since, true, truth);
        }
        if family.place.urban {
            return Ok(());
        }
        let mut random = Random::new(self.start.seed, "paying-resident", family.no);
        for person in &family.members {
            let old = age(person.who.birth, today) >= 70 && person.died.is_none();
            if old && random.chance(PAYING) {
                self.resident(family, person, days_before(today, random.between(20, 1_500)), false, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, truth: &mut Truth) -> Result<(), Error> {
        for (code, county) in &self.counties {
            let centres = self.centres(code, county, truth)?;
            let staff = Sheet::new("人员", &["工作人员花名册"], &["姓名", "岗位"]);
            let path = self.start.folder.join(file(code, self.start.today));
            xlsx::write(&path, &[centres, county.residents.clone(), staff])?;
        }
        Ok(())
    }
}

fn file(county: &str, today: Date) -> String {
    format!("FW_{county}_{}.xlsx", Month::of(today).text())
}

/// The centre as `tekun` calls it too.
fn name(township: &str) -> String {
    format!("{}中心敬老院", township.trim_end_matches("办事处"))
}
