//! The watch: what a batch of records says of the states of its objects, against what was known of them.

use serde_json::Value;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{ILLEGAL_STEP, Machine, PUBLICITY_SHORT, SKIPPED_STEP, UNKNOWN_STATE, Verdict, machines};
use crate::{clock, domain::date, error::Code};

/// A dataset, its machine, and the list of steps with its field.
type Watched = (&'static str, &'static str, Option<(&'static str, &'static str)>);

/// Datasets with a machine: the field of the state, and the list of steps with its field, if there is one.
pub const MACHINES: [Watched; 7] = [
    ("assistance-case", "dibao", Some(("history", "step"))),
    ("asset-query", "verification", None),
    ("medical-settlement", "settlement", None),
    ("disaster-report", "disaster", None),
    ("service-request", "service", Some(("steps", "step"))),
    ("complaint", "complaint", None),
    ("assistance-payment", "payment", None),
];

/// Steps out of a publicity, which must have lasted.
const AFTER_PUBLICITY: [(&str, &str); 2] = [("REVIEW_PUBLICITY", "COUNTY_REVIEW"), ("APPROVAL_PUBLICITY", "APPROVED")];
const PUBLICITY_DAYS: i64 = 7;

/// What is known of an object: its state, and the day since which it is in it. Written in one column, as `STATE yyyy-mm-dd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub state: String,
    pub since: Date,
}

impl Known {
    /// Reads the column; nothing is known where it is empty.
    pub fn read(text: &str) -> Option<Self> {
        let (state, since) = text.split_once(' ')?;
        Some(Self { state: state.to_owned(), since: date::cn_date(since).ok()? })
    }

    /// The column.
    pub fn text(&self) -> String {
        format!("{} {}", self.state, clock::iso_date(self.since))
    }
}

/// Something about a case that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    pub code: Code,
    /// The name in remarks and alerts.
    pub rule: &'static str,
    pub severity: &'static str,
    /// The field that shows it.
    pub field: &'static str,
    /// States and counts; no personal data.
    pub evidence: Value,
}

/// Judges what a record says of its object, and gives what is known of it from now on. `time` is the event's.
pub fn watch(dataset: &str, record: &Value, time: &str, known: Option<&Known>) -> (Option<Known>, Vec<Flag>) {
    let Some((_, name, list)) = MACHINES.iter().find(|(of, ..)| *of == dataset) else { return (None, Vec::new()) };
    let (Some(machine), Some(state)) = (machines().get(*name), record["status"].as_str()) else {
        return (known.cloned(), Vec::new());
    };
    let day = OffsetDateTime::parse(time, &Rfc3339).map_or_else(|_| clock::today(), |time| time.to_offset(clock::CHINA).date());
    let mut flags = Vec::new();
    if let Some((steps, step)) = list {
        flags.extend(within(machine, &record[*steps], step, steps));
    }
    let mut now = Known { state: state.to_owned(), since: day };
    if let Some(known) = known {
        flags.extend(step(machine, known, &now));
        if known.state == now.state {
            now.since = known.since;
        }
    } else if !machine.has(state) {
        flags.push(flag(UNKNOWN_STATE, "unknown-state", "medium", serde_json::json!({ "to": state })));
    }
    if dataset == "assistance-case" {
        flags.extend(publicity(record));
    }
    (Some(now), flags)
}

/// One change of state.
fn step(machine: &Machine, before: &Known, now: &Known) -> Option<Flag> {
    let evidence = serde_json::json!({ "from": before.state, "to": now.state });
    match machine.judge(&before.state, &now.state) {
        Verdict::Legal(_) => too_soon(before, now),
        Verdict::Same => None,
        Verdict::Skipped(_) => Some(flag(SKIPPED_STEP, "step-skipped", "low", evidence)),
        Verdict::Illegal => Some(flag(ILLEGAL_STEP, "illegal-step", "high", evidence)),
        Verdict::Unknown => Some(flag(UNKNOWN_STATE, "unknown-state", "medium", evidence)),
    }
}

/// A publicity that ended before its time.
fn too_soon(before: &Known, now: &Known) -> Option<Flag> {
    let ends = AFTER_PUBLICITY.contains(&(before.state.as_str(), now.state.as_str()));
    let days = (now.since - before.since).whole_days();
    let evidence = serde_json::json!({ "from": before.state, "to": now.state, "days": days });
    (ends && days < PUBLICITY_DAYS).then(|| flag(PUBLICITY_SHORT, "publicity-short", "high", evidence))
}

/// The steps that a record tells of itself: what no way leads to, and publicities cut short. Many systems tell only the
/// first and the last of their steps, so that what lies between is no finding here.
fn within(machine: &Machine, steps: &Value, field: &str, list: &'static str) -> Vec<Flag> {
    let steps: Vec<Known> = steps
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| {
            let since = OffsetDateTime::parse(step["at"].as_str()?, &Rfc3339).ok()?.to_offset(clock::CHINA).date();
            Some(Known { state: step[field].as_str()?.to_owned(), since })
        })
        .collect();
    let judged = steps.windows(2).filter_map(|pair| step(machine, &pair[0], &pair[1]));
    judged
        .filter(|flag| flag.code == ILLEGAL_STEP || flag.code == PUBLICITY_SHORT)
        .map(|flag| Flag { field: list, ..flag })
        .collect()
}

/// The publicity as the case states it; both days count.
fn publicity(record: &Value) -> Option<Flag> {
    let day = |field: &str| record[field].as_str().and_then(|text| date::cn_date(text).ok());
    let days = (day("publicity_to")? - day("publicity_from")?).whole_days() + 1;
    let evidence = serde_json::json!({ "days": days });
    (days < PUBLICITY_DAYS).then(|| Flag { field: "publicity_to", ..flag(PUBLICITY_SHORT, "publicity-short", "high", evidence) })
}

fn flag(code: Code, rule: &'static str, severity: &'static str, evidence: Value) -> Flag {
    Flag { code, rule, severity, field: "status", evidence }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cases::steps;

    fn known(state: &str, since: &str) -> Known {
        Known { state: state.to_owned(), since: date::cn_date(since).unwrap() }
    }

    fn rules(dataset: &str, record: &Value, at: &str, before: Option<&Known>) -> Vec<&'static str> {
        watch(dataset, record, &format!("{at}T09:00:00+08:00"), before).1.iter().map(|flag| flag.rule).collect()
    }

    /// Generated from the file: no legal step is flagged, every other one is.
    #[test]
    fn every_step_of_the_table_as_a_record() {
        for (dataset, machine, _) in MACHINES {
            for from in machines()[machine].states() {
                for to in machines()[machine].states() {
                    let legal = steps().iter().any(|step| step.machine == machine && step.from == from && step.to == to);
                    let record = json!({ "status": to });
                    let flags = rules(dataset, &record, "2017-07-20", Some(&known(from, "2017-07-01")));
                    assert_eq!(flags.is_empty(), legal || from == to, "{dataset}: {from} -> {to}: {flags:?}");
                }
            }
        }
    }

    #[test]
    fn a_publicity_lasts_seven_days() {
        let record = json!({ "status": "COUNTY_REVIEW" });
        let before = known("REVIEW_PUBLICITY", "2017-07-01");
        assert_eq!(rules("assistance-case", &record, "2017-07-07", Some(&before)), ["publicity-short"]);
        assert!(rules("assistance-case", &record, "2017-07-08", Some(&before)).is_empty());
        let stated = |to: &str| json!({ "status": "APPROVED", "publicity_from": "2017-07-01", "publicity_to": to });
        assert_eq!(rules("assistance-case", &stated("2017-07-06"), "2017-07-20", None), ["publicity-short"]);
        assert!(rules("assistance-case", &stated("2017-07-07"), "2017-07-20", None).is_empty());
        // The day since which it is up is kept while other fields change.
        let (still, _) =
            watch("assistance-case", &json!({ "status": "REVIEW_PUBLICITY" }), "2017-07-05T09:00:00+08:00", Some(&before));
        assert_eq!(still, Some(before));
    }

    #[test]
    fn what_a_record_tells_of_itself() {
        let case = |history: Value| json!({ "status": "IN_BENEFIT", "history": history });
        let step = |step: &str, day: &str| json!({ "step": step, "at": format!("2017-{day}T09:00:00+08:00") });
        let told = |history: Value| rules("assistance-case", &case(history), "2017-07-20", None);
        assert!(told(json!([step("SUBMITTED", "01-02"), step("IN_BENEFIT", "07-01")])).is_empty());
        assert_eq!(told(json!([step("TERMINATED", "01-02"), step("IN_BENEFIT", "07-01")])), ["illegal-step"]);
        assert_eq!(told(json!([step("APPROVAL_PUBLICITY", "06-29"), step("APPROVED", "07-01")])), ["publicity-short"]);
    }

    #[test]
    fn the_first_sight_of_a_case_is_no_step() {
        assert!(rules("assistance-case", &json!({ "status": "IN_BENEFIT" }), "2017-07-20", None).is_empty());
        assert_eq!(rules("assistance-case", &json!({ "status": "WAITING" }), "2017-07-20", None), ["unknown-state"]);
        assert!(rules("person", &json!({}), "2017-07-20", None).is_empty());
        let column = known("IN_BENEFIT", "2017-07-01");
        assert_eq!(Known::read(&column.text()), Some(column));
        assert_eq!(Known::read(""), None);
    }
}
