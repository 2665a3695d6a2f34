//! `tekun`: a FoxPro client at every county; once a month one archive of a DBF and a memo file each.
//!
//! Quirks: GBK; full-width spaces inside names of two characters; the code page byte is there in some counties only; rows taken
//! back stay with the deleted mark; remarks are in the memo; day fields may be blank.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{Month, compact};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::Family;
use crate::simulate::random::Random;
use crate::simulate::status::{self, Tekun as Support};
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dbf::{CodePage, Field, Memos, Table};
use crate::simulate::write::zip::{Archive, Names};

/// The system's slug.
pub const SLUG: &str = "tekun";
const OBJECT: &str = "TK";
const FIELDS: [Field; 11] = [
    Field { name: "XM", kind: b'C', length: 20, decimals: 0 },
    Field { name: "XB", kind: b'C', length: 2, decimals: 0 },
    Field { name: "SFZH", kind: b'C', length: 18, decimals: 0 },
    Field { name: "CSRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "GYFS", kind: b'C', length: 1, decimals: 0 },
    Field { name: "ZLNL", kind: b'C', length: 1, decimals: 0 },
    Field { name: "JGMC", kind: b'C', length: 40, decimals: 0 },
    Field { name: "GYBZ", kind: b'N', length: 8, decimals: 2 },
    Field { name: "RYRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "XZDM", kind: b'C', length: 9, decimals: 0 },
    Field { name: "BZ", kind: b'M', length: 10, decimals: 0 },
];
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: true, padded_names: true };
const REMARKS: [&str; 4] = ["", "", "无儿无女，由侄子照看。", "视力差，需人搀扶；每月十日领款。"];

/// The system under way.
pub struct Tekun {
    start: Start,
    counties: BTreeMap<&'static str, (Table, Memos)>,
}

impl Tekun {
    /// Starts without counties.
    pub fn open(start: Start) -> Self {
        Self { start, counties: BTreeMap::new() }
    }

    fn person(&mut self, family: &Family, support: &Support, truth: &mut Truth) -> Result<(), Error> {
        let person = &family.members[0];
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random).number_optional();
        let planted = status::planted(self.start.seed, family, self.start.today).is_some();
        let recorded = if planted { Recorded::exact(&person.who) } else { recorded };
        let kind = faults::plant(recorded.kind, &[Kind::UnknownCode, Kind::UnknownDivision], &mut random).filter(|_| !planted);
        let home = format!("{}中心敬老院", family.place.township_name.trim_end_matches("办事处"));
        let mode = if support.housed { "1" } else { "2" };
        let county = family.place.county();
        let (table, memos) = self.counties.entry(county).or_insert_with(|| (Table::new(&FIELDS), Memos::default()));
        let remark = random.pick(&REMARKS);
        let memo = if remark.is_empty() { String::new() } else { memos.push(remark) };
        let values = [
            recorded.name.clone(),
            if person.who.man { "男" } else { "女" }.to_owned(),
            recorded.number.clone(),
            if recorded.kind.is_none() && random.chance(300) { String::new() } else { compact(person.who.birth) },
            if kind == Some(Kind::UnknownCode) { "3" } else { mode }.to_owned(),
            support.self_care.to_string(),
            if support.housed { home } else { String::new() },
            format!("{}.00", support.yuan),
            if support.housed { compact(support.since) } else { String::new() },
            if kind == Some(Kind::UnknownDivision) { "229999001" } else { family.place.township() }.to_owned(),
            memo,
        ];
        let deleted = kind.is_none() && !planted && (person.died.is_some() || random.chance(200));
        let row = table.push(&values, deleted);
        let file = format!("{}/{OBJECT}{county}.DBF", archive(self.start.today));
        let spot = Spot { system: SLUG, object: OBJECT, file: &file, row, key: &recorded.number, parent: "" };
        if deleted {
            truth.deleted(&spot);
        }
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for Tekun {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        status::tekun(self.start.seed, family, self.start.today).map_or(Ok(()), |support| self.person(family, &support, truth))
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        let path = self.start.folder.join(archive(self.start.today));
        let mut zip = Archive::new(Names::Gbk);
        for (place, (county, (table, memos))) in self.counties.into_iter().enumerate() {
            let code_page = if place % 2 == 0 { CodePage::Gbk } else { CodePage::Unmarked };
            let table = table.bytes(self.start.today, code_page);
            zip.push(&format!("{OBJECT}{county}.DBF"), &table).map_err(Error::file(&path))?;
            zip.push(&format!("{OBJECT}{county}.FPT"), &memos.bytes()).map_err(Error::file(&path))?;
        }
        std::fs::write(&path, zip.bytes()).map_err(Error::file(&path))
    }
}

/// `TK201707.ZIP`.
fn archive(today: time::Date) -> String {
    format!("{OBJECT}{}.ZIP", Month::of(today).text())
}
