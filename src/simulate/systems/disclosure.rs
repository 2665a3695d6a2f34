//! `disclosure`: the county web sites' notices, one CSV a day.
//!
//! Quirks: GB18030; village codes dressed for Excel; amounts with a thousands comma inside quotes; dates as 2017/7/3. Every
//! family in dibao is on the list; applications under review or approval hang out for seven days and more.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::benefits::Dibao;
use crate::simulate::calendar::{compact, days_before};
use crate::simulate::faults::{self, Kind};
use crate::simulate::places::Places;
use crate::simulate::population::Family;
use crate::simulate::random::Random;
use crate::simulate::status;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::gb18030::{Trailer, TrailerFile, excel};

/// The system's slug.
pub const SLUG: &str = "disclosure";
const OBJECT: &str = "GS";
const HEADER: [&str; 9] = ["GSBH", "GSLX", "CWDM", "HZXM", "BZRS", "BZJE", "KSRQ", "JSRQ", "JDDH"];
/// Days with a file, up to yesterday.
const DAYS: i64 = 14;
/// Listed families of ten thousand whose notice was renewed in these days.
const RENEWED: u64 = 5_000;

/// The system under way.
pub struct Disclosure {
    start: Start,
    files: Vec<(Date, TrailerFile)>,
}

/// What a notice says of a family.
struct Notice {
    kind: &'static str,
    covered: usize,
    /// Fen a month.
    fen: u64,
    /// Days it hangs.
    days: i64,
}

impl Disclosure {
    /// Opens the files of the days.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let mut files = Vec::new();
        for back in (1..=DAYS).rev() {
            let day = days_before(start.today, back);
            let path = start.folder.join(format!("GS_{}.csv", compact(day)));
            files.push((day, TrailerFile::create(&path, ',', &HEADER)?));
        }
        Ok(Self { start, files })
    }

    fn notice(&mut self, family: &Family, notice: &Notice, random: &mut Random, truth: &mut Truth) -> Result<(), Error> {
        let head = &family.members[0];
        let kind = faults::plant(None, &[Kind::ImpossibleDate, Kind::UnknownCode, Kind::UnknownDivision], random);
        let place = random.index(self.files.len());
        let (day, file) = &mut self.files[place];
        let key = format!("GS{}{}{:08}", family.place.county(), compact(*day), family.no);
        let from = *day;
        let begins = if kind == Some(Kind::ImpossibleDate) { format!("{}/2/30", from.year()) } else { slashed(from) };
        let division = if kind == Some(Kind::UnknownDivision) { "229999001001" } else { family.place.code };
        let line = file.push(&[
            key.clone(),
            if kind == Some(Kind::UnknownCode) { "其它通知" } else { notice.kind }.to_owned(),
            excel(division, random),
            head.who.name.clone(),
            notice.covered.to_string(),
            amount(notice.fen),
            begins,
            slashed(days_before(from, -notice.days)),
            format!("04{}-8{:07}", 31 + random.below(9), random.below(10_000_000)),
        ])?;
        let name = file.name();
        let spot = Spot { system: SLUG, object: OBJECT, file: &name, row: line, key: &key, parent: "" };
        if kind.is_none() && notice.days < 6 {
            truth.alert("R6", &head.who, &spot)?;
        }
        truth.tell(&spot, Some((&head.who, "no_number")), kind)
    }
}

#[async_trait]
impl System for Disclosure {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        let urban = family.dibao.as_ref().and_then(|dibao| notice_of(dibao, &mut random));
        let rural = || {
            let rural = status::rural(self.start.seed, family, self.start.today).filter(|rural| rural.state == 1)?;
            Some(Notice { kind: "对象名单公开", covered: rural.covered, fen: rural.quarter * 100 / 3, days: 90 })
        };
        let Some(notice) = urban.or_else(rural) else { return Ok(()) };
        if notice.days < 90 || random.chance(RENEWED) {
            self.notice(family, &notice, &mut random, truth)?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, _truth: &mut Truth) -> Result<(), Error> {
        for (_, file) in self.files {
            file.finish(Trailer::Right)?;
        }
        Ok(())
    }
}

/// Days a publicity hangs; an eighth is taken down too early (rule R6).
fn days(random: &mut Random) -> i64 {
    if random.chance(1_250) { random.between(3, 5) } else { 7 + random.between(0, 2) }
}

fn notice_of(dibao: &Dibao, random: &mut Random) -> Option<Notice> {
    let (kind, days) = match dibao.state {
        "70" => ("对象名单公开", 90),
        "40" => ("审核公示", days(random)),
        "60" => ("审批公示", days(random)),
        "90" => ("增减停公示", 30),
        _ => return None,
    };
    Some(Notice { kind, covered: dibao.covered, fen: dibao.fen, days })
}

/// `"1,284.50"` from a thousand yuan on.
fn amount(fen: u64) -> String {
    let (yuan, rest) = (fen / 100, fen % 100);
    if yuan < 1_000 { format!("{yuan}.{rest:02}") } else { format!("\"{},{:03}.{rest:02}\"", yuan / 1_000, yuan % 1_000) }
}

/// 2017/7/3.
fn slashed(day: Date) -> String {
    format!("{}/{}/{}", day.year(), u8::from(day.month()), day.day())
}
