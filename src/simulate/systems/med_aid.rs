//! `med-aid`: the settlement service's day file, as answers of its SOAP interface.
//!
//! Quirks: the payload says GBK inside an envelope of UTF-8; a settlement taken back has a twin with negative amounts, flagged
//! 02, or, from old sites, flagged 00 with a negative total. Only people with a status are treated: extreme poverty,
//! dibao, preferential treatment. Sums hold to the fen.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{compact, days_before, moment, working_hour};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::status::{self, Planted};
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::soap::Pages;

/// The system's slug.
pub const SLUG: &str = "med-aid";
const SETTLE: &str = "querySettle";
const HOSPITAL: &str = "queryHospital";
/// Designated hospitals of a county.
const HOSPITALS: u64 = 4;
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: true, padded_names: false };
/// Entitled persons of ten thousand who were in hospital in the last weeks.
const TREATED: u64 = 1_200;
const DISEASES: [&str; 8] = ["I63.9", "I25.1", "J18.9", "E11.9", "N18.0", "K80.2", "C34.9", "M51.2"];

const HOSPITAL_NAMES: [&str; 4] = ["人民医院", "中医院", "第二医院", "社区卫生服务中心"];

/// The system under way.
pub struct MedAid {
    start: Start,
    pages: Pages,
}

/// A bill in fen.
#[derive(Clone, Copy)]
struct Bill {
    total: i64,
    in_scope: i64,
    basic: i64,
    critical: i64,
    aid: i64,
}

impl MedAid {
    /// Starts without a page.
    pub fn open(start: Start) -> Self {
        let pages = Pages::new(&start.folder, SETTLE);
        Self { start, pages }
    }

    fn visit(&mut self, person: &Person, category: &str, county: &str, planted: bool, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random);
        let offers = [Kind::ImpossibleDate, Kind::UnknownCode, Kind::WrongSum];
        let recorded = if planted { Recorded::exact(&person.who) } else { recorded };
        let kind = faults::plant(recorded.kind, &offers, &mut random).filter(|_| !planted);
        let left = days_before(self.start.today, random.between(1, 40));
        let came = days_before(left, random.between(2, 20));
        let bill = bill(category, &mut random);
        let visit = format!("ZY{}{:08}", compact(came), person.who.no);
        let dates = (came, left);
        let hospital = hospital(county, random.below(HOSPITALS));
        let taken_back = kind.is_none() && !planted && random.chance(300);
        let flag = if taken_back { "01" } else { "00" };
        self.row(person, &recorded, category, (&hospital, &visit, "settle"), dates, bill, flag, kind, &mut random, truth)?;
        if planted {
            let key = format!("{hospital}{visit}1");
            truth.alert("R5", &person.who, &Spot { system: SLUG, object: "SETTLE", key: &key, ..Spot::default() })?;
        }
        if taken_back {
            let Bill { total, in_scope, basic, critical, aid } = bill;
            let twin = Bill { total: -total, in_scope: -in_scope, basic: -basic, critical: -critical, aid: -aid };
            let flag = random.pick(&["02", "02", "02", ""]);
            self.row(person, &recorded, category, (&hospital, &visit, "reverse"), dates, twin, flag, None, &mut random, truth)?;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "a settlement is these things and its twin changes three of them")]
    fn row(
        &mut self,
        person: &Person,
        recorded: &Recorded,
        category: &str,
        (hospital, visit, call): (&str, &str, &str),
        (came, left): (Date, Date),
        bill: Bill,
        flag: &str,
        kind: Option<Kind>,
        random: &mut Random,
        truth: &mut Truth,
    ) -> Result<(), Error> {
        let off = i64::from(kind == Some(Kind::WrongSum));
        let personal = bill.total - bill.basic - bill.critical - bill.aid + off;
        let discharge = if kind == Some(Kind::ImpossibleDate) { format!("{}0230", left.year()) } else { compact(left) };
        // A settlement is taken back the next morning.
        let back = i64::from(call == "reverse");
        let settled = moment(days_before(left, -back), working_hour(random));
        let file = self.pages.file();
        let row = self.pages.push(&[
            ("hospitalId", hospital),
            ("visitNo", visit),
            ("seq", "1"),
            ("callName", call),
            ("idCard", &recorded.number),
            ("serviceType", "1"),
            ("category", if kind == Some(Kind::UnknownCode) { "11" } else { category }),
            ("snapshot", &format!("{}01", &compact(came)[..6])),
            ("insuranceType", "390"),
            ("inDate", &compact(came)),
            ("leaveDate", &discharge),
            ("diseaseCode", random.pick(&DISEASES)),
            ("totalExpense", &yuan(bill.total)),
            ("insuranceExpense", &yuan(bill.in_scope)),
            ("insurancePay", &yuan(bill.basic)),
            ("illnessPay", &yuan(bill.critical)),
            ("assistPay", &yuan(bill.aid)),
            ("personalPay", &yuan(personal)),
            ("strikeFlag", flag),
            ("policyVersion", "JL2017.1"),
            ("settleTime", &settled),
            ("updateTime", &settled),
        ])?;
        let key = format!("{hospital}{visit}1");
        let spot = Spot { system: SLUG, object: "SETTLE", file: &file, row, key: &key, parent: visit };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for MedAid {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let (seed, today) = (self.start.seed, self.start.today);
        let kept = status::tekun(seed, family, today).is_some();
        let poor = family.dibao.as_ref().is_some_and(|dibao| dibao.state == "70")
            || status::rural(seed, family, today).is_some_and(|rural| rural.state == 1);
        let mut random = Random::new(seed, "in-hospital", family.no);
        for person in family.members.iter().filter(|person| person.died.is_none()) {
            let veteran = status::veteran(seed, person, family.place.urban, today).is_some();
            let category = match () {
                () if kept => "01",
                () if poor => "02",
                () if veteran => "05",
                () => continue,
            };
            let wrong = status::planted(seed, family, today) == Some(Planted::Settled);
            if wrong {
                self.visit(person, "02", family.place.county(), true, truth)?;
            } else if random.chance(TREATED) {
                self.visit(person, category, family.place.county(), false, truth)?;
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, places: &Places, truth: &mut Truth) -> Result<(), Error> {
        let Self { start, pages: settlements } = *self;
        settlements.finish()?;
        let mut pages = Pages::new(&start.folder, HOSPITAL);
        for (county, name) in places.counties() {
            for ordinal in 0..HOSPITALS {
                let file = pages.file();
                let key = hospital(county, ordinal);
                let row = pages.push(&[
                    ("hospitalId", &key),
                    ("hospitalName", &format!("{name}{}", HOSPITAL_NAMES[usize::try_from(ordinal).unwrap_or(0)])),
                    ("hospitalType", if ordinal == 3 { "2" } else { "1" }),
                    ("grade", ["三级乙等", "二级甲等", "二级乙等", "一级甲等"][usize::try_from(ordinal).unwrap_or(0)]),
                    ("divisionCode", &format!("{county}000000")),
                    ("contractBegin", "20170101"),
                    ("contractEnd", "20171231"),
                    ("status", "1"),
                    ("updateTime", "2017-01-01 00:00:00"),
                ])?;
                let spot = Spot { system: SLUG, object: "HOSPITAL", file: &file, row, key: &key, parent: "" };
                truth.tell(&spot, None, None)?;
            }
        }
        pages.finish()
    }
}

fn hospital(county: &str, ordinal: u64) -> String {
    format!("{county}H{:05}", ordinal + 1)
}

/// A bill whose aid is what the policy gives below all caps: the whole rest in extreme poverty, seventy of a hundred else.
fn bill(category: &str, random: &mut Random) -> Bill {
    let total = random.between(80_000, 1_500_000);
    let in_scope = total - total / 10 - random.between(0, 9_000);
    let basic = in_scope * 55 / 100;
    let critical = if in_scope > 1_000_000 { (in_scope - 1_000_000) / 2 } else { 0 };
    let base = in_scope - basic - critical;
    let aid = if category == "01" { base } else { (base * 70 + 50) / 100 };
    Bill { total, in_scope, basic, critical, aid }
}

fn yuan(fen: i64) -> String {
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100)
}
