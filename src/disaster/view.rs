//! Roll-up: what a division looks like at a time.
//!
//! Of every place the newest report counts that was not returned. Reports of a place are numbered; one whose number does
//! not follow the last is refused until the missing ones are there, and so is one whose figures are older than those
//! before it. What a county or prefecture typed counts only as long as no place below it has reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

use super::{DIRECT, Report, due, level, report::shown, stem, whole};
use crate::domain::division;

/// A division at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    pub event_no: String,
    pub division: String,
    pub name: String,
    pub as_of: String,
    /// Type of the disaster; of several the one that most places report.
    pub hazard: String,
    /// Sums over the places that state the indicator; one that nobody states is not there.
    pub totals: BTreeMap<String, Value>,
    /// Places that count, but do not state an indicator that others state.
    pub not_stated: BTreeMap<String, usize>,
    pub places: Places,
    /// Counties that have to report to province and ministry at once.
    pub direct: Vec<Direct>,
    /// National emergency level by dead, relocated and ruined rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency_level: Option<&'static str>,
    pub below: Vec<Line>,
}

/// Who reported, and who did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Places {
    /// Townships of the division.
    pub townships: usize,
    /// Places whose figures count.
    pub counted: usize,
    /// Townships of counties concerned of which nothing counts.
    pub silent: Vec<String>,
    /// Places whose daily report is missing: their last figures are carried forward.
    pub stale: Vec<String>,
    /// Reports that count and came after their clock.
    pub late: Vec<Late>,
    /// Reports that wait for the place to enter them again.
    pub returned: Vec<String>,
    /// Reports that do not count, and why.
    pub refused: Vec<Refused>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Late {
    pub report: String,
    pub minutes: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub report: String,
    pub why: &'static str,
}

/// A county above the threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Direct {
    pub county: String,
    pub dead_and_missing: i64,
}

/// One division below, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub division: String,
    pub name: String,
    pub counted: usize,
    pub totals: BTreeMap<String, Value>,
}

/// Codes of all townships.
static TOWNSHIPS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let townships = division::all().into_iter().filter(|division| division.level == 4);
    townships.map(|division| format!("{:012}", division.code)).collect()
});

/// The figures of one place that count.
#[derive(Debug, Clone)]
struct Counted<'a> {
    report: &'a Report,
    figures: BTreeMap<String, Decimal>,
}

/// Rolls up the reports of an event for a division at a time.
pub fn roll_up(event_no: &str, reports: &[Report], of: &str, at: i64) -> View {
    let mut places = Places::default();
    let below: Vec<&Report> = reports.iter().filter(|report| report.division.starts_with(stem(of))).collect();
    let counted = without_proxies(newest(&below, at, &mut places));
    let townships: Vec<&String> = TOWNSHIPS.iter().filter(|code| code.starts_with(stem(of))).collect();
    note_missing(&counted, &townships, at, &mut places);
    let (totals, not_stated) = sum(&counted);
    View {
        event_no: event_no.to_owned(),
        division: of.to_owned(),
        name: division::full_name(of).unwrap_or_default(),
        as_of: shown(at),
        hazard: main_hazard(&counted),
        emergency_level: emergency(&totals),
        totals: totals.iter().map(|(code, value)| (code.clone(), as_stated(code, *value))).collect(),
        not_stated,
        places,
        direct: direct(&counted),
        below: lines(&counted, of),
    }
}

/// The newest figures of every place, the numbers of its reports in order.
fn newest<'a>(reports: &[&'a Report], at: i64, places: &mut Places) -> BTreeMap<String, Counted<'a>> {
    let mut chains: BTreeMap<(&str, &str), Vec<&'a Report>> = BTreeMap::new();
    for report in reports.iter().copied() {
        chains.entry((report.division.as_str(), report.event_no.as_str())).or_default().push(report);
    }
    let mut newest: BTreeMap<String, Counted<'a>> = BTreeMap::new();
    for ((place, _), mut chain) in chains {
        chain.sort_by_key(|report| report.seq);
        let Some(counted) = last_of(&chain, at, places) else { continue };
        // One place in two events that are one counts once.
        let known = newest.get(place).map(|known| (known.report.as_of, known.report.submitted_at));
        if known.is_none_or(|known| known < (counted.report.as_of, counted.report.submitted_at)) {
            newest.insert(place.to_owned(), counted);
        }
    }
    newest
}

/// What counts of one place's reports in one event.
fn last_of<'a>(chain: &[&'a Report], at: i64, places: &mut Places) -> Option<Counted<'a>> {
    let (mut expected, mut newest_as_of, mut counted) = (1, i64::MIN, None::<Counted<'a>>);
    for report in chain.iter().copied() {
        let refused = |why| Refused { report: report.key.clone(), why };
        if report.seq != expected {
            places.refused.push(refused("a report before it is missing"));
            continue;
        }
        if report.as_of < newest_as_of {
            places.refused.push(refused("its figures are older than those of the report before it"));
            continue;
        }
        expected += 1;
        if report.as_of > at {
            continue;
        }
        if report.status == "RETURNED" {
            places.returned.push(report.key.clone());
            continue;
        }
        newest_as_of = report.as_of;
        let mut figures = match counted {
            // Nothing new: what was reported stands.
            Some(before) if report.report_type == "ZERO" => before.figures,
            _ => BTreeMap::new(),
        };
        figures.extend(report.indicators.iter().map(|(code, value)| (code.clone(), *value)));
        counted = Some(Counted { report, figures });
    }
    counted
}

/// Without what counties and prefectures typed for places that have reported themselves.
fn without_proxies(mut counted: BTreeMap<String, Counted<'_>>) -> BTreeMap<String, Counted<'_>> {
    let places: Vec<String> = counted.keys().cloned().collect();
    let covered =
        |place: &String| level(place) < 4 && places.iter().any(|other| other != place && other.starts_with(stem(place)));
    let proxies: BTreeSet<String> = places.iter().filter(|place| covered(place)).cloned().collect();
    counted.retain(|place, _| !proxies.contains(place));
    counted
}

fn note_missing(counted: &BTreeMap<String, Counted<'_>>, townships: &[&String], at: i64, places: &mut Places) {
    places.townships = townships.len();
    places.counted = counted.len();
    let counties: BTreeSet<&str> = counted.keys().filter(|place| level(place) == 4).filter_map(|place| place.get(..6)).collect();
    let silent = townships.iter().filter(|code| counties.contains(&code[..6]) && !counted.contains_key(**code));
    places.silent = silent.map(|code| (*code).clone()).collect();
    for (place, Counted { report, .. }) in counted {
        if due::is_stale(&report.report_type, &report.hazard, report.as_of, at) {
            places.stale.push(place.clone());
        }
        let late = report.late();
        if late > 0 {
            places.late.push(Late { report: report.key.clone(), minutes: late.div_euclid(60) + i64::from(late % 60 > 0) });
        }
    }
}

type Sums = BTreeMap<String, Decimal>;

/// Sums, and how many places do not state what others do. The number of townships is counted, not summed.
fn sum<'a>(counted: impl IntoIterator<Item = (&'a String, &'a Counted<'a>)>) -> (Sums, BTreeMap<String, usize>) {
    let (mut sums, mut stated, mut townships) = (Sums::new(), BTreeMap::<String, usize>::new(), 0_usize);
    let mut affected = Decimal::ZERO;
    for (place, Counted { figures, .. }) in counted {
        townships += 1;
        for (code, value) in figures.iter().filter(|(code, _)| *code != "A01") {
            *sums.entry(code.clone()).or_default() += *value;
            *stated.entry(code.clone()).or_default() += 1;
        }
        affected += match figures.get("A01") {
            Some(typed) if level(place) < 4 => *typed,
            _ if figures.values().any(|value| !value.is_zero()) => Decimal::ONE,
            _ => Decimal::ZERO,
        };
    }
    if townships > 0 {
        sums.insert("A01".to_owned(), affected);
    }
    stated.retain(|_, count| *count < townships);
    (sums, stated.into_iter().map(|(code, count)| (code, townships - count)).collect())
}

/// Counts as numbers, areas and losses as text with their decimals, as the records have them.
fn as_stated(code: &str, value: Decimal) -> Value {
    let text = match (code.as_bytes().first(), code) {
        (Some(b'C'), "C01" | "C02" | "C03" | "C04") => format!("{value:.1}"),
        (Some(b'D'), _) | (_, "E01" | "E02") => format!("{value:.2}"),
        _ => return json!(i64::try_from(value.trunc()).unwrap_or(i64::MAX)),
    };
    Value::String(text)
}

fn main_hazard(counted: &BTreeMap<String, Counted<'_>>) -> String {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for Counted { report, .. } in counted.values() {
        *places.entry(&report.hazard).or_default() += 1;
    }
    places.into_iter().max_by_key(|(_, count)| *count).map(|(hazard, _)| hazard.to_owned()).unwrap_or_default()
}

fn direct(counted: &BTreeMap<String, Counted<'_>>) -> Vec<Direct> {
    let mut counties: BTreeMap<String, Decimal> = BTreeMap::new();
    for (place, Counted { figures, .. }) in counted.iter().filter(|(place, _)| level(place) >= 3) {
        let lost = ["A03", "A04"].iter().filter_map(|code| figures.get(*code)).sum::<Decimal>();
        *counties.entry(whole(&place[..6])).or_default() += lost;
    }
    counties
        .into_iter()
        .map(|(county, lost)| Direct { county, dead_and_missing: i64::try_from(lost.trunc()).unwrap_or(i64::MAX) })
        .filter(|county| county.dead_and_missing >= DIRECT)
        .collect()
}

/// The plan of 2016: I is the gravest.
fn emergency(sums: &Sums) -> Option<&'static str> {
    let of = |codes: &[&str]| codes.iter().filter_map(|code| sums.get(*code)).sum::<Decimal>();
    let dead = of(&["A03"]);
    let in_need = of(&["A06"]).max(of(&["A09"]));
    let rooms = of(&["B02", "B06"]);
    let steps = [
        ("I", 200, 2_000_000, 300_000),
        ("II", 100, 1_000_000, 200_000),
        ("III", 50, 500_000, 100_000),
        ("IV", 20, 100_000, 10_000),
    ];
    let reached = |most: i64, value: Decimal| value >= Decimal::from(most);
    steps
        .into_iter()
        .find(|(_, deaths, people, ruins)| reached(*deaths, dead) || reached(*people, in_need) || reached(*ruins, rooms))
        .map(|(name, ..)| name)
}

/// The divisions right below.
fn lines(counted: &BTreeMap<String, Counted<'_>>, of: &str) -> Vec<Line> {
    let length = match level(of) {
        1 => 4,
        2 => 6,
        _ => 9,
    };
    let mut below: BTreeMap<&str, Vec<(&String, &Counted<'_>)>> = BTreeMap::new();
    for (place, figures) in counted.iter().filter(|(place, _)| place.len() >= length && stem(place) != stem(of)) {
        below.entry(&place[..length]).or_default().push((place, figures));
    }
    below
        .into_iter()
        .map(|(code, counted)| {
            let (sums, _) = sum(counted.iter().copied());
            let division = whole(code);
            Line {
                name: division::find(&division).map(|division| division.name.to_owned()).unwrap_or_default(),
                division,
                counted: counted.len(),
                totals: sums.iter().map(|(code, value)| (code.clone(), as_stated(code, *value))).collect(),
            }
        })
        .collect()
}
