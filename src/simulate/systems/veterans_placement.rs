//! `veterans-placement`: a client program that mails one CSV a week with the ex-servicemen who reported back.
//!
//! Quirks: GB18030; identity numbers and community codes dressed for Excel; some dates with dots. Most leave after two years in
//! their early twenties and find work themselves; the state places those who served for twelve.

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before};
use crate::simulate::faults::{self, Habits, Kind, Recorded};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::gb18030::{Trailer, TrailerFile, excel};

/// The system's slug.
pub const SLUG: &str = "veterans-placement";
const OBJECT: &str = "TY";
const HEADER: [&str; 8] = ["XM", "SFZH", "TYRQ", "FYNX", "AZFS", "YCXBZ", "SQDM", "BDRQ"];
const HABITS: Habits = Habits { missing: 0, lower_case_x: true, gbk: false, padded_names: false };
/// Weeks with a file, up to last week.
const WEEKS: i64 = 12;
/// Young men of ten thousand who came back in these weeks, and men around forty.
const YOUNG: u64 = 1_500;
const SERGEANTS: u64 = 150;

/// The system under way.
pub struct VeteransPlacement {
    start: Start,
    files: Vec<(Date, TrailerFile)>,
}

impl VeteransPlacement {
    /// Opens the files of the weeks.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn open(start: Start) -> Result<Self, Error> {
        let mut files = Vec::new();
        for back in (1..=WEEKS).rev() {
            let day = days_before(start.today, 7 * back);
            let (year, week, _) = day.to_iso_week_date();
            let path = start.folder.join(format!("TY_{year}{week:02}.csv"));
            files.push((day, TrailerFile::create(&path, ',', &HEADER)?));
        }
        Ok(Self { start, files })
    }

    fn veteran(&mut self, person: &Person, years: i64, place: Place, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, person.who.no);
        let recorded = Recorded::draw(&person.who, HABITS, &mut random);
        let offers = [Kind::ImpossibleDate, Kind::UnknownCode, Kind::UnknownDivision];
        let kind = faults::plant(recorded.kind, &offers, &mut random);
        let placed = if years >= 12 {
            "安排工作"
        } else {
            random.pick(&["自主就业", "自主就业", "自主就业", "退休", "供养"])
        };
        let week = random.index(self.files.len());
        let (day, file) = &mut self.files[week];
        let reported = days_before(*day, random.between(0, 6));
        let left = days_before(reported, random.between(5, 40));
        let line = file.push(&[
            recorded.name.clone(),
            excel(&recorded.number, &mut random),
            date(left, &mut random),
            years.to_string(),
            if kind == Some(Kind::UnknownCode) { "另行通知" } else { placed }.to_owned(),
            if placed == "自主就业" { format!("{}.00", years * 4_500) } else { "0.00".to_owned() },
            excel(if kind == Some(Kind::UnknownDivision) { "229999001001" } else { place.code }, &mut random),
            if kind == Some(Kind::ImpossibleDate) { format!("{}0230", reported.year()) } else { date(reported, &mut random) },
        ])?;
        let name = file.name();
        let spot = Spot { system: SLUG, object: OBJECT, file: &name, row: line, key: &recorded.number, parent: "" };
        truth.tell(&spot, Some((&person.who, &recorded.note())), kind)
    }
}

#[async_trait]
impl System for VeteransPlacement {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, "demobilised", family.no);
        for person in family.members.iter().filter(|person| person.who.man && person.died.is_none()) {
            let (rate, years) = match age(person.who.birth, self.start.today) {
                20..=26 => (YOUNG, random.pick(&["2", "2", "2", "5", "8"]).parse().unwrap_or(2)),
                34..=45 => (SERGEANTS, 12 + random.between(0, 6)),
                _ => continue,
            };
            if random.chance(rate) {
                self.veteran(person, years, family.place, truth)?;
            }
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

fn date(day: Date, random: &mut Random) -> String {
    let (year, month, date) = (day.year(), u8::from(day.month()), day.day());
    match random.below(10) {
        0 => format!("{year}.{month}.{date}"),
        1 => format!("{year}/{month}/{date}"),
        _ => compact(day),
    }
}
