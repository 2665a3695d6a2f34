//! `assist-oversight`: the counties' Excel ledgers of officials whose relatives get dibao, and of inspections.
//!
//! Quirks: title lines above the header; dates as serials, `2017.7.3` or `2017年7月3日`; an identity number typed as a number has
//! lost its last digits; day and inspectors are merged over the households of one round; a sum below the table.

use std::collections::BTreeMap;

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, age, days_before};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::names::{self, People};
use crate::simulate::numbers;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::xlsx::{self, Cell, Sheet};

/// The system's slug.
pub const SLUG: &str = "assist-oversight";
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: false, padded_names: true };
/// Families of ten thousand in dibao with a grown child who files, and families inspected.
const FILED: u64 = 3_000;
const INSPECTED: u64 = 1_500;
/// Households of one round of inspection.
const ROUND: usize = 3;
const OFFICES: [&str; 5] = ["村委会主任", "社区居委会委员", "乡镇民政助理", "镇政府低保经办员", "县民政局科员"];
const PROBLEMS: [&str; 4] = ["无", "无", "收入未如实申报", "人户分离"];

/// The system under way.
pub struct AssistOversight {
    start: Start,
    counties: BTreeMap<&'static str, [Sheet; 2]>,
}

impl AssistOversight {
    /// Starts without counties.
    pub fn open(start: Start) -> Self {
        Self { start, counties: BTreeMap::new() }
    }

    fn sheets(&mut self, county: &'static str) -> &mut [Sheet; 2] {
        self.counties.entry(county).or_insert_with(|| {
            let titles = ["低保经办人员和村（居）委会干部近亲属享受低保备案表"];
            let columns = ["序号", "备案人姓名", "身份证号", "单位及职务", "低保户主", "低保证号", "关系", "备案日期", "备注"];
            let rounds = ["巡查日期", "巡查人", "户主姓名", "问题", "整改时限"];
            [Sheet::new("近亲属备案", &titles, &columns), Sheet::new("低保巡查", &["低保巡查记录"], &rounds)]
        })
    }

    fn filing(&mut self, family: &Family, child: &Person, certificate: &str, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, child.who.no);
        let head = &family.members[0];
        let recorded = Recorded::draw(&child.who, HABITS, &mut random);
        let offers = [Kind::NumberAsNumber, Kind::ImpossibleDate, Kind::UnknownCode];
        let kind = faults::plant(recorded.kind, &offers, &mut random);
        let day = days_before(self.start.today, random.between(5, 400));
        let file = file(family.place.county(), self.start.today);
        let sheet = &mut self.sheets(family.place.county())[0];
        let row = sheet.push(vec![
            Cell::Number(f64::from(u32::try_from(sheet.rows.len()).unwrap_or(0)) + 1.0),
            Cell::text(&recorded.name),
            written(&recorded.number, kind),
            Cell::text(random.pick(&OFFICES)),
            Cell::text(&head.who.name),
            Cell::text(certificate),
            Cell::text(relation(head, kind)),
            if kind == Some(Kind::ImpossibleDate) {
                Cell::text(format!("{}年13月3日", day.year()))
            } else {
                date(day, &mut random)
            },
            Cell::Blank,
        ]);
        let spot = Spot { system: SLUG, object: "BA", file: &file, row, key: &recorded.number, parent: certificate };
        let case = truth.known("urban-case", head.who.no).or_else(|| truth.known("rural-case", head.who.no)).is_some();
        if case && kind.is_none_or(|kind| kind.outcome() == Outcome::Fixed) {
            // The hub numbers filings itself: the certificate is what both know.
            truth.alert("R7", &child.who, &Spot { key: certificate, ..spot })?;
        }
        truth.tell(&spot, Some((&child.who, &recorded.note())), kind)?;
        truth.appears(&head.who, &spot, "no_number")
    }

    fn inspection(&mut self, family: &Family, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let head = &family.members[0];
        let day = days_before(self.start.today, random.between(10, 60));
        let file = file(family.place.county(), self.start.today);
        let problem = random.pick(&PROBLEMS);
        let limit = if problem == "无" { Cell::Blank } else { Cell::Date(days_before(day, -30)) };
        let sheet = &mut self.sheets(family.place.county())[1];
        let first = sheet.rows.len().is_multiple_of(ROUND);
        let (when, who) = if first { (date(day, random), Cell::text(inspectors(random))) } else { (Cell::Blank, Cell::Blank) };
        let row = sheet.push(vec![when, who, Cell::text(&head.who.name), Cell::text(problem), limit]);
        let key = format!("{}-{row}", family.place.county());
        let spot = Spot { system: SLUG, object: "XC", file: &file, row, key: &key, parent: "" };
        truth.tell(&spot, Some((&head.who, "no_number")), None)
    }
}

#[async_trait]
impl System for AssistOversight {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let today = self.start.today;
        let rural = status::rural(self.start.seed, family, today).is_some_and(|rural| rural.state == 1);
        let urban = family.dibao.as_ref().is_some_and(|dibao| dibao.state == "70");
        let certificate = match (urban, rural) {
            (true, _) => format!("{}{:010}", family.place.county(), family.no),
            (_, true) => format!("ND{}{:08}", family.place.county(), family.no),
            _ => return Ok(()),
        };
        let mut random = Random::new(self.start.seed, "oversight", family.no);
        let grown = |person: &&Person| {
            matches!(person.relation, "20" | "30") && age(person.who.birth, today) >= 22 && person.died.is_none()
        };
        if let Some(child) = family.members.iter().find(grown).filter(|_| random.chance(FILED)) {
            self.filing(family, child, &certificate, truth)?;
        }
        if random.chance(INSPECTED) {
            self.inspection(family, &mut random, truth)?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        for (county, [mut filings, mut rounds]) in self.counties {
            let count = rounds.rows.len();
            for first in (0..count).step_by(ROUND).filter(|first| first + 1 < count) {
                let last = u32::try_from((first + ROUND).min(count) - 1).unwrap_or(0);
                let first = u32::try_from(first).unwrap_or(0);
                rounds.merged.extend([(first, last, 0), (first, last, 1)]);
            }
            filings.push(vec![Cell::text("合计")]);
            xlsx::write(&self.start.folder.join(file(county, self.start.today)), &[filings, rounds])?;
        }
        Ok(())
    }
}

fn file(county: &str, today: Date) -> String {
    format!("JG_{county}_{}.xlsx", Month::of(today).text())
}

/// A number in a text cell, or typed as a number: Excel keeps fifteen digits and makes the rest zero.
fn written(number: &str, kind: Option<Kind>) -> Cell {
    match kind {
        Some(Kind::NumberAsNumber) => Cell::Number(numbers::spoiled(number)),
        _ => Cell::text(number),
    }
}

fn relation(head: &Person, kind: Option<Kind>) -> &'static str {
    match (kind, head.who.man) {
        (Some(Kind::UnknownCode), _) => "同事",
        (_, true) => "父亲",
        (_, false) => "母亲",
    }
}

fn date(day: Date, random: &mut Random) -> Cell {
    let (year, month, date) = (day.year(), u8::from(day.month()), day.day());
    match random.below(4) {
        0 => Cell::text(format!("{year}.{month}.{date}")),
        1 => Cell::text(format!("{year}年{month}月{date}日")),
        2 => Cell::Serial(day),
        _ => Cell::Date(day),
    }
}

fn inspectors(random: &mut Random) -> String {
    let name = |random: &mut Random| names::full(People::Han, names::surname(People::Han, random), true, 1975, None, random);
    format!("{}、{}", name(random), name(random))
}
