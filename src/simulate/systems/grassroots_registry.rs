//! `grassroots-registry`: a workbook a county with its communities and villages, their committees, premises and training.
//!
//! Quirks: codes are numbers in every third county; shares stand as 0.45, `45.56%` or 45; areas as `约600`; classes and persons as `2/85`; a
//! sum below the table. Small provinces have a part of the units, so that a demo stays small.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, days_before};
use crate::simulate::faults::{self, Kind};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::Family;
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::xlsx::{self, Cell, Sheet};

/// The system's slug.
pub const SLUG: &str = "grassroots-registry";
/// Persons of the province per unit; in the province it is 2,400, but a demo should have some.
const PERSONS_PER_UNIT: u64 = 10;
const COLUMNS: [&str; 10] =
    ["序号", "代码", "名称", "户数", "用房面积", "两委人数", "平均年龄", "大专以上比例", "任期届满", "培训班次 / 人次"];

/// The system under way: everything is written at the end, since units are no family's matter.
pub struct GrassrootsRegistry {
    start: Start,
}

impl GrassrootsRegistry {
    /// Starts.
    pub fn open(start: Start) -> Self {
        Self { start }
    }

    fn unit(&self, place: Place, object: &'static str, sheet: &mut Sheet, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, place.code.parse().unwrap_or(0));
        let kind = faults::plant(None, &[Kind::UnknownDivision, Kind::WordsForNumber], &mut random);
        let code = if kind == Some(Kind::UnknownDivision) { "229999001001" } else { place.code };
        // Every third county keeps its codes as numbers; twelve digits survive that.
        let numeric = place.county().parse::<u32>().unwrap_or(0).is_multiple_of(3);
        let households = whole(150 + random.below(1_400));
        let count = whole(sheet.rows.len() as u64 + 1);
        let row = sheet.push(vec![
            Cell::Number(count),
            if numeric { Cell::Number(code.parse().unwrap_or(0.0)) } else { Cell::text(code) },
            Cell::text(place.name),
            if kind == Some(Kind::WordsForNumber) { Cell::text("三百余户") } else { Cell::Number(households) },
            if random.chance(500) { Cell::text("约600") } else { Cell::Number(whole(60 + random.below(900))) },
            Cell::Number(whole(3 + random.below(7))),
            Cell::Number(whole(380 + random.below(170)) / 10.0),
            share(&mut random),
            Cell::Date(days_before(self.start.today, -random.between(100, 900))),
            Cell::text(format!("{}/{}", 1 + random.below(4), 20 + random.below(90))),
        ]);
        let file = file(place.county(), self.start.today);
        let spot = Spot { system: SLUG, object, file: &file, row, key: place.code, parent: "" };
        truth.tell(&spot, None, kind)
    }
}

#[async_trait]
impl System for GrassrootsRegistry {
    async fn family(&mut self, _family: &Family, _truth: &mut Truth) -> Result<(), Error> {
        Ok(())
    }

    async fn finish(self: Box<Self>, places: &Places, truth: &mut Truth) -> Result<(), Error> {
        let all: Vec<&Place> = places.all().collect();
        let wanted = usize::try_from(self.start.persons / PERSONS_PER_UNIT).unwrap_or(usize::MAX).clamp(300, all.len());
        let step = all.len().div_ceil(wanted);
        for (county, name) in places.counties() {
            let title = format!("{name}城乡社区台账");
            let mut sheets = ["社区", "村"].map(|sheet| Sheet::new(sheet, &[&title], &COLUMNS));
            for place in all.iter().step_by(step).filter(|place| place.county() == *county) {
                let (object, sheet) = if place.urban { ("SQ", &mut sheets[0]) } else { ("CUN", &mut sheets[1]) };
                self.unit(**place, object, sheet, truth)?;
            }
            for sheet in &mut sheets {
                sheet.push(vec![Cell::Blank, Cell::text("合计")]);
            }
            xlsx::write(&self.start.folder.join(file(county, self.start.today)), &sheets)?;
        }
        Ok(())
    }
}

fn file(county: &str, today: Date) -> String {
    format!("JC_{county}_{}.xlsx", Month::of(today).text())
}

fn whole(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(0))
}

fn share(random: &mut Random) -> Cell {
    let percent = whole(random.below(9_000) + 500) / 100.0;
    match random.below(3) {
        0 => Cell::text(format!("{percent:.2}%")),
        1 => Cell::Number(percent),
        _ => Cell::Number(percent / 100.0),
    }
}
