//! `social-org`: ASP.NET on SQL Server, here a SQLite file with the same table.
//!
//! Quirks: capital in ten thousand yuan with four decimals; some organisations registered before 2016 have no
//! credit code yet, only their certificate; the time of change comes from a clock three minutes fast.

use async_trait::async_trait;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, days_before, moment, working_hour};
use crate::simulate::faults::{self, Kind};
use crate::simulate::names;
use crate::simulate::numbers;
use crate::simulate::places::Places;
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dump::Dialect;
use crate::simulate::write::sqlite::cell;
use crate::simulate::write::tables::{Table, Tables};

/// The system's slug.
pub const SLUG: &str = "social-org";
/// The database's name in the system's folder.
pub const DATABASE: &str = "social_org.sqlite";
const OBJECT: &str = "ORG_BASE";

const TABLES: [Table; 1] = [Table {
    name: OBJECT,
    columns: &[
        ("ORG_ID", "uniqueidentifier"),
        ("USCC", "char(18)"),
        ("REG_NO", "varchar(30)"),
        ("ORG_NAME", "nvarchar(100)"),
        ("ORG_TYPE", "char(1)"),
        ("FRDB", "nvarchar(20)"),
        ("ZCZJ", "decimal(18,4)"),
        ("YWZGDW", "nvarchar(60)"),
        ("DJRQ", "datetime"),
        ("ZT", "char(1)"),
        ("LastModified", "datetime2"),
    ],
    indexes: &["LastModified, ORG_ID"],
}];

/// Heads of household of ten thousand who lead an organisation; far more than in the province, so that small demos have some.
const LEADS: u64 = 350;
/// Organisations of ten thousand whose credit code names another register than their certificate (rule R9).
const OTHER_REGISTER: u64 = 1_500;
/// The server's clock is fast by this.
const FAST: i64 = 180;
const FIELDS: [&str; 8] = ["书画", "象棋", "老年体育", "养蜂", "食用菌", "蒲公英", "阳光", "人参种植"];

/// The system under way.
pub struct SocialOrg {
    start: Start,
    tables: Tables,
    rows: u64,
}

impl SocialOrg {
    /// Makes the database.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn open(start: Start) -> Result<Self, Error> {
        let tables = Tables::create(&start.folder, "social_org", Dialect::Mssql, &TABLES).await?;
        Ok(Self { start, tables, rows: 0 })
    }

    fn organisation(&mut self, family: &Family, head: &Person, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        self.rows += 1;
        let key = numbers::uuid(random).to_uppercase();
        let county = family.place.county();
        let letter = random.weighted(&[("1", 50), ("2", 48), ("3", 2)]);
        let kind = faults::plant(None, &[Kind::WrongCreditCode, Kind::UnknownCode], random);
        let strange = kind.is_none() && Random::new(self.start.seed, "other-register", head.who.no).chance(OTHER_REGISTER);
        let register = if strange { other_register(county) } else { county };
        let mut code = numbers::uscc(letter.chars().next().unwrap_or('1'), register, head.who.no);
        if kind == Some(Kind::WrongCreditCode) {
            let last = if code.ends_with('0') { '1' } else { '0' };
            code.truncate(17);
            code.push(last);
        }
        let registered = days_before(self.start.today, random.between(60, 4_000));
        if kind.is_none() && registered.year() < 2016 && random.chance(500) && !strange {
            code.clear();
        }
        let capital = if letter == "3" { 200 + random.below(800) } else { 3 + random.below(30) };
        let changed = moment(days_before(self.start.today, random.between(1, 59)), working_hour(random) + FAST);
        self.tables.push(
            0,
            vec![
                cell(&key),
                cell(&code),
                cell(&format!("吉{}社证字第{:06}号", county, self.rows % 1_000_000)),
                cell(&name(family.place.township_name, letter, random)),
                cell(letter),
                cell(&names::in_gbk(&head.who.name)),
                cell(&format!("{capital}.{}", random.pick(&["0000", "0000", "5000"]))),
                cell(random.pick(&["民政局", "文化广电局", "农业局", "体育局", "教育局", "科学技术协会"])),
                cell(&(moment(registered, 0) + ".000")),
                cell(if kind == Some(Kind::UnknownCode) { "8" } else { random.pick(&["1", "1", "1", "1", "1", "2", "3", "5"]) }),
                cell(&format!("{changed}.{:07}", random.below(10_000_000))),
            ],
        )?;
        let spot = Spot { system: SLUG, object: OBJECT, file: DATABASE, key: &key, ..Spot::default() };
        if strange {
            truth.alert("R9", &head.who, &spot)?;
        }
        truth.tell(&spot, Some((&head.who, "no_number")), kind)
    }
}

#[async_trait]
impl System for SocialOrg {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        let Some(head) = family.members.first() else { return Ok(()) };
        let able = (25..75).contains(&age(head.who.birth, self.start.today)) && head.died.is_none();
        if able && random.chance(LEADS) {
            self.organisation(family, head, &mut random, truth)?;
        }
        self.tables.settle().await
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        self.tables.finish().await
    }
}

/// A county that is not this one.
fn other_register(county: &str) -> &'static str {
    if county == "220105" { "220104" } else { "220105" }
}

fn name(township: &str, letter: &str, random: &mut Random) -> String {
    let place = township.trim_end_matches("办事处");
    let field = random.pick(&FIELDS);
    match letter {
        "2" => format!("{place}{field}社会工作服务中心"),
        "3" => format!("{place}{field}公益基金会"),
        _ => format!("{place}{field}协会"),
    }
}
