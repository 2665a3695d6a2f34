//! `funeral`: FoxPro at the crematories, one DBF a day with the cremations of all of them.
//!
//! Quirks: GBK; the code page byte is there only on even days; mistaken entries stay with the deleted mark; about 6 %
//! have no identity number; the unknown dead are called 无名氏. The first six digits of `HHH` are the crematory's county.
//! `SWYY`: 01 illness, 02 accident, 03 old age, 09 other; `GHCL`: the hub's list `funeral_method`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use time::Date;

use super::{Start, System};
use crate::simulate::Error;
use crate::simulate::calendar::{age, compact, days_before};
use crate::simulate::faults::{self, Habits, Kind, Outcome, Recorded};
use crate::simulate::names::{self, People};
use crate::simulate::places::{Place, Places};
use crate::simulate::population::{Family, Person, Who};
use crate::simulate::random::Random;
use crate::simulate::truth::{Spot, Truth};
use crate::simulate::write::dbf::{CodePage, Field, Table};

/// The system's slug.
pub const SLUG: &str = "funeral";
const OBJECT: &str = "HH";

const FIELDS: [Field; 12] = [
    Field { name: "HHH", kind: b'C', length: 12, decimals: 0 },
    Field { name: "XM", kind: b'C', length: 20, decimals: 0 },
    Field { name: "XB", kind: b'C', length: 2, decimals: 0 },
    Field { name: "NL", kind: b'N', length: 3, decimals: 0 },
    Field { name: "SFZH", kind: b'C', length: 18, decimals: 0 },
    Field { name: "SWRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "SWYY", kind: b'C', length: 2, decimals: 0 },
    Field { name: "HHRQ", kind: b'D', length: 8, decimals: 0 },
    Field { name: "HHSJ", kind: b'C', length: 5, decimals: 0 },
    Field { name: "GHCL", kind: b'C', length: 1, decimals: 0 },
    Field { name: "JM", kind: b'N', length: 8, decimals: 2 },
    Field { name: "JBR", kind: b'C', length: 20, decimals: 0 },
];
const HHH: usize = 0;
const SWRQ: usize = 5;
const HHSJ: usize = 8;
const GHCL: usize = 9;

const HABITS: Habits = Habits { missing: 600, lower_case_x: true, gbk: true, padded_names: true };
/// Mistaken entries of ten thousand that stay in the file as deleted.
const DELETED: u64 = 100;
/// Unknown dead beside ten thousand known ones.
const UNKNOWN: u64 = 60;

/// The system under way: the rows wait for their day's file, since numbers run through the day.
pub struct Funeral {
    start: Start,
    days: BTreeMap<Date, Vec<Cremation>>,
}

struct Cremation {
    county: &'static str,
    /// Minutes of the day.
    minute: i64,
    /// Nobody for the unknown dead and for mistaken entries.
    who: Option<Who>,
    note: String,
    values: [String; 12],
    kind: Option<Kind>,
    deleted: bool,
    /// Comes again, unchanged or as an older version.
    again: Option<Kind>,
}

impl Funeral {
    /// Starts with empty days.
    pub fn open(start: Start) -> Self {
        Self { start, days: BTreeMap::new() }
    }

    /// True when the row names the dead by a good number.
    fn cremate(&mut self, person: &Person, died: Date, family: &Family, random: &mut Random) -> bool {
        let recorded = Recorded::draw(&person.who, HABITS, random);
        let cremated = days_before(died, -random.between(1, 3));
        let relative = relative(family, person);
        let mut row = self.row(family.place, person.who.man, age(person.who.birth, died), (died, cremated), random);
        row.values[1].clone_from(&recorded.name);
        row.values[4].clone_from(&recorded.number);
        row.values[11] = relative;
        row.who = Some(person.who.clone());
        row.note = recorded.note();
        row.kind = recorded.kind;
        plant(&mut row, &recorded, died, random);
        if random.chance(DELETED) {
            let mut mistake = self.row(family.place, person.who.man, 0, (died, cremated), random);
            mistake.values[1].clone_from(&row.values[1]);
            mistake.deleted = true;
            self.days.entry(cremated).or_default().push(mistake);
        }
        if random.chance(UNKNOWN) {
            let years = i32::try_from(random.between(30, 80)).unwrap_or(50);
            let mut unknown = self.row(family.place, random.chance(7_000), years, (died, cremated), random);
            "无名氏".clone_into(&mut unknown.values[1]);
            self.days.entry(cremated).or_default().push(unknown);
        }
        let refused = row.kind.is_some_and(|kind| kind.outcome() == Outcome::Rejected);
        let named = !recorded.number.is_empty() && !refused;
        self.days.entry(cremated).or_default().push(row);
        named
    }

    fn row(&self, place: Place, man: bool, years: i32, (died, cremated): (Date, Date), random: &mut Random) -> Cremation {
        let minute = random.between(7 * 60, 14 * 60);
        let waived = if random.chance(4_000) { random.pick(&["500.00", "800.00", "1260.00"]) } else { "0.00" };
        let values = [
            String::new(),
            String::new(),
            if man { "男" } else { "女" }.to_owned(),
            if years > 0 { years.to_string() } else { String::new() },
            String::new(),
            compact(died),
            random.pick(&["01", "01", "01", "03", "03", "02", "09"]).to_owned(),
            compact(cremated),
            format!("{:02}:{:02}", minute / 60, minute % 60),
            random.pick(&["1", "1", "2", "2", "2", "3", "9"]).to_owned(),
            waived.to_owned(),
            String::new(),
        ];
        Cremation {
            county: place.county(),
            minute,
            who: None,
            note: String::new(),
            values,
            kind: None,
            deleted: false,
            again: None,
        }
    }
}

#[async_trait]
impl System for Funeral {
    async fn family(&mut self, family: &Family, truth: &mut Truth) -> Result<(), Error> {
        let mut random = Random::new(self.start.seed, SLUG, family.no);
        for person in &family.members {
            if let Some(died) = person.died
                && self.cremate(person, died, family, &mut random)
            {
                truth.makes_known("death", person.who.no, "");
            }
        }
        Ok(())
    }

    async fn finish(self: Box<Self>, _places: &Places, truth: &mut Truth) -> Result<(), Error> {
        let mut serials = BTreeMap::new();
        for (day, mut rows) in self.days {
            rows.sort_by_key(|row| (row.county, row.minute));
            let file = format!("HH{}.DBF", &compact(day)[2..]);
            let table = fill(&file, &mut rows, &mut serials, truth)?;
            let code_page = if day.day() % 2 == 0 { CodePage::Gbk } else { CodePage::Unmarked };
            table.write(&self.start.folder.join(&file), day, code_page)?;
        }
        Ok(())
    }
}

/// Puts a day's rows into a table: first all in the order of the day, then those that come again.
fn fill(
    file: &str,
    rows: &mut [Cremation],
    serials: &mut BTreeMap<&'static str, u32>,
    truth: &mut Truth,
) -> Result<Table, Error> {
    let mut table = Table::new(&FIELDS);
    for row in rows.iter_mut() {
        let serial = serials.entry(row.county).or_default();
        *serial += 1;
        row.values[HHH] = format!("{}{serial:06}", row.county);
        put(&mut table, file, row, row.kind, truth)?;
    }
    for row in rows.iter_mut().filter(|row| row.again.is_some()) {
        if row.again == Some(Kind::Stale) {
            // The clerk's first draft: an hour earlier, and the ashes not yet placed.
            row.values[HHSJ] = format!("{:02}:{:02}", row.minute / 60 - 1, row.minute % 60);
            "9".clone_into(&mut row.values[GHCL]);
        }
        put(&mut table, file, row, row.again, truth)?;
    }
    Ok(table)
}

fn put(table: &mut Table, file: &str, row: &Cremation, kind: Option<Kind>, truth: &mut Truth) -> Result<(), Error> {
    let number = table.push(&row.values, row.deleted);
    let spot = Spot { system: SLUG, object: OBJECT, file, row: number, key: &row.values[HHH], parent: "" };
    truth.row(&spot);
    if row.deleted {
        truth.deleted(&spot);
    }
    if let Some(who) = &row.who {
        truth.appears(who, &spot, &row.note)?;
    }
    kind.map_or(Ok(()), |kind| truth.fault(&spot, kind))
}

/// One fault at most; rows that are refused or repaired do not come again.
fn plant(row: &mut Cremation, recorded: &Recorded, died: Date, random: &mut Random) {
    if recorded.kind.is_some() {
        return;
    }
    if random.chance(faults::IMPOSSIBLE_DATE) {
        row.values[SWRQ] = format!("{}0230", died.year());
        row.kind = Some(Kind::ImpossibleDate);
    } else if random.chance(faults::UNKNOWN_CODE) {
        "7".clone_into(&mut row.values[GHCL]);
        row.kind = Some(Kind::UnknownCode);
    } else if random.chance(faults::REPEAT) {
        row.again = Some(Kind::Repeat);
    } else if random.chance(faults::STALE) {
        row.again = Some(Kind::Stale);
    }
}

/// Who came to the crematory: another member, else a clerk of the village.
fn relative(family: &Family, dead: &Person) -> String {
    let other = family.members.iter().find(|member| member.who.no != dead.who.no && member.died.is_none());
    other.map_or_else(
        || {
            let mut random = Random::new(dead.who.no, "relative", family.no);
            let surname = names::surname(People::Han, &mut random);
            names::in_gbk(&names::full(People::Han, surname, true, 1970, None, &mut random))
        },
        |other| names::in_gbk(&other.who.name),
    )
}
