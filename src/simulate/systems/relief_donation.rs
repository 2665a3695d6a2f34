//! `relief-donation`: PHP on MySQL 5.0, here a SQLite file with the same table.
//!
//! Quirks: all text is GBK bytes in columns that say latin1; amounts are floating point; goods are lines of
//! `name*quantity unit`; the time of change is a Unix second. Firms give most, citizens often.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::clock::iso_date;
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before};
use crate::simulate::faults::{self, Kind};
use crate::simulate::names;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Who};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::charset::gbk_in_latin1;
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::cell;
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "relief-donation";
/// The database's name in the system's folder.
pub const DATABASE: &str = "relief_donation.sqlite";
const OBJECT: &str = "jz_donation";

const TABLES: [Table; 1] = [Table {
    name: OBJECT,
    columns: &[
        ("jz_id", "int"),
        ("donor", "varchar(100)"),
        ("kind", "char(1)"),
        ("amount", "float"),
        ("goods", "text"),
        ("use_for", "varchar(200)"),
        ("receipt_no", "varchar(30)"),
        ("jz_date", "date"),
        ("mtime", "int"),
    ],
    indexes: &["mtime, jz_id"],
}];

/// Heads of household of ten thousand who gave.
const GIVES: u64 = 250;
/// Persons of the province per firm that gave.
const PERSONS_PER_FIRM: u64 = 100;
const FIRM_PLACES: [&str; 6] = ["吉林省", "长春市", "吉林市", "四平市", "延边州", "白山市"];
const FIRM_NAMES: [&str; 8] = ["松花江", "长白山", "北国", "金穗", "白桦", "净月", "向海", "查干湖"];
const FIRM_KINDS: [&str; 5] = ["食品有限公司", "建筑工程有限公司", "药业股份有限公司", "商会", "物流有限公司"];
const GOODS: [(&str, &str, u64); 6] = [
    ("棉被", "床", 120),
    ("矿泉水", "箱", 24),
    ("帐篷", "顶", 900),
    ("大米", "袋", 110),
    ("方便面", "箱", 48),
    ("雨靴", "双", 35),
];
const USES: [&str; 4] = ["2017年7月洪涝灾害救灾", "吉林市永吉县灾后重建", "冬春救助", "不限定用途"];

/// The system under way.
pub struct ReliefDonation {
    start: Start,
    tables: Tables,
    rows: u64,
}

impl ReliefDonation {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "relief_donation", Dialect::MysqlLatin1, &TABLES).await?;
        Ok(Self { start, tables, rows: 0 })
    }

    fn donation(&mut self, donor: &str, who: Option<&Who>, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        self.rows += 1;
        let key = self.rows.to_string();
        let kind = faults::plant(None, &[Kind::UnknownCode, Kind::NegativeAmount], random);
        let in_goods = who.is_none() && random.chance(3_500);
        let (goods, worth) = if in_goods { goods(random) } else { (String::new(), money(who.is_some(), random)) };
        let amount = if kind == Some(Kind::NegativeAmount) { format!("-{worth}") } else { worth };
        let letter = if in_goods { "2" } else { "1" };
        let day = days_before(self.start.today, random.between(1, 200));
        self.tables.push(
            0,
            vec![
                cell(&key),
                cell(&gbk_in_latin1(donor)),
                cell(if kind == Some(Kind::UnknownCode) { "7" } else { letter }),
                cell(&amount),
                cell(&gbk_in_latin1(&goods)),
                cell(&gbk_in_latin1(random.pick(&USES))),
                cell(&format!("JZ{}{:06}", &compact(day)[..6], self.rows % 1_000_000)),
                cell(&iso_date(day)),
                cell(&unix(day, random.between(8 * 3_600, 20 * 3_600)).to_string()),
            ],
        )?;
        let spot = Spot { system: SLUG, object: OBJECT, file: DATABASE, key: &key, ..Spot::default() };
        truth.tell(&spot, who.map(|who| (who, "no_number")), kind)
    }
}

#[async_trait]
impl System for ReliefDonation {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        let Some(head) = family.members.first() else { return Ok(()) };
        let able = age(head.who.birth, self.start.today) >= 18 && head.died.is_none() && family.dibao.is_none();
        if able && random.chance(GIVES) {
            self.donation(&names::in_gbk(&head.who.name), Some(&head.who), &mut random, truth)?;
        }
        self.tables.settle().await
    }

    async fn finish(mut self: Box<Self>, _places: &Places, truth: &mut Truth) -> Result<(), Error> {
        for firm in 0..(self.start.persons / PERSONS_PER_FIRM).clamp(20, 20_000) {
            let mut random = Random::new(self.start.seed, "donating-firm", firm);
            let name = [random.pick(&FIRM_PLACES), random.pick(&FIRM_NAMES), random.pick(&FIRM_KINDS)].concat();
            self.donation(&name, None, &mut random, truth)?;
            self.tables.settle().await?;
        }
        self.tables.finish().await
    }
}

/// One to three lines and what they are worth.
fn goods(random: &mut Random) -> (String, String) {
    let first = random.index(GOODS.len());
    let mut lines = Vec::new();
    let mut worth = 0;
    for step in 0..=random.index(3) {
        let (name, unit, price) = GOODS[(first + step) % GOODS.len()];
        let count = 10 * (1 + random.below(80));
        worth += count * price;
        lines.push(format!("{name}*{count} {unit}"));
    }
    (lines.join("\n"), worth.to_string())
}

/// Sums as a float column gives them back: some miss their fen by a hair.
fn money(citizen: bool, random: &mut Random) -> String {
    let yuan = if citizen { 50 * (1 + random.below(40)) } else { 10_000 * (1 + random.below(200)) };
    match random.below(10) {
        0 => format!("{}.9999999", yuan - 1),
        1 => format!("{yuan}.1000001"),
        _ => yuan.to_string(),
    }
}

/// The second of a moment in China.
fn unix(day: Date, second: i64) -> i64 {
    (i64::from(day.to_julian_day()) - 2_440_588) * 86_400 + second - 8 * 3_600
}
