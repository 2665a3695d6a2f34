use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Report, figures, level,
    report::{indicators, millis},
    view::{View, roll_up},
};

const EVENT: &str = "0102002017071322022101";
const TOWN: &str = "220221100000";
const OTHER: &str = "220221101000";
const COUNTY: &str = "220221000000";

fn report(place: &str, seq: i64, kind: &str, as_of: &str, stated: serde_json::Value) -> Report {
    let as_of = millis(&format!("2017-07-{as_of}+08:00"));
    Report {
        key: format!("{EVENT}-{place}-{seq}"),
        event_no: EVENT.to_owned(),
        division: place.to_owned(),
        seq,
        report_type: kind.to_owned(),
        hazard: "010200".to_owned(),
        occurred_at: millis("2017-07-13T18:00:00+08:00"),
        as_of,
        submitted_at: as_of + 60_000,
        revision: 1,
        status: "ENTERED".to_owned(),
        indicators: indicators(&stated.to_string()),
        stored_at: 0,
        county_at: 0,
        pref_at: 0,
        prov_at: 0,
        reason: String::new(),
    }
}

fn at(reports: &[Report], of: &str, time: &str) -> View {
    roll_up(EVENT, reports, of, millis(&format!("2017-07-{time}+08:00")))
}

#[test]
fn levels_of_divisions() {
    let codes = ["220000000000", "220200000000", COUNTY, TOWN, "220221100201"];
    assert_eq!(codes.map(level), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_missing_is_not_zero() {
    let reports = [
        report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A02": 100, "A06": 20, "C01": "1.5", "D01": "10.20" })),
        report(OTHER, 1, "INITIAL", "13T19:30:00", json!({ "A02": 7, "C01": "0.5" })),
    ];
    let view = at(&reports, "220000000000", "13T20:00:00");
    assert_eq!(json!(view.totals), json!({ "A01": 2, "A02": 107, "A06": 20, "C01": "2.0", "D01": "10.20" }));
    assert_eq!(view.not_stated, BTreeMap::from([("A06".to_owned(), 1), ("D01".to_owned(), 1)]));
    assert_eq!(view.below.iter().map(|line| (line.division.as_str(), line.counted)).collect::<Vec<_>>(), [("220200000000", 2)]);
    assert!(view.places.silent.len() > 5 && view.places.silent.iter().all(|town| town.starts_with("220221")));
}

#[test]
fn the_newest_counts_and_a_zero_report_changes_nothing() {
    let reports = [
        report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A02": 100 })),
        report(TOWN, 2, "CONTINUING", "14T00:00:00", json!({ "A02": 150, "A03": 1 })),
        report(TOWN, 3, "ZERO", "15T00:00:00", json!({})),
    ];
    for (time, people) in [("13T19:30:00", 100), ("14T08:00:00", 150), ("15T08:00:00", 150)] {
        assert_eq!(at(&reports, COUNTY, time).totals["A02"], people, "{time}");
    }
    assert!(!at(&reports, COUNTY, "13T18:00:00").totals.contains_key("A02"));
    assert!(at(&reports, COUNTY, "15T23:00:00").places.stale.is_empty());
    assert_eq!(at(&reports, COUNTY, "16T09:00:00").places.stale, [TOWN]);
}

#[test]
fn a_gap_is_refused_until_it_is_filled() {
    let mut reports = vec![
        report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A02": 100 })),
        report(TOWN, 3, "CONTINUING", "15T00:00:00", json!({ "A02": 300 })),
    ];
    let view = at(&reports, COUNTY, "15T08:00:00");
    assert_eq!((view.totals["A02"].clone(), view.places.refused.len()), (json!(100), 1));
    reports.push(report(TOWN, 2, "CONTINUING", "14T00:00:00", json!({ "A02": 200 })));
    let view = at(&reports, COUNTY, "15T08:00:00");
    assert_eq!((view.totals["A02"].clone(), view.places.refused.len()), (json!(300), 0));
    reports.push(report(TOWN, 4, "CONTINUING", "14T12:00:00", json!({ "A02": 400 })));
    assert_eq!(at(&reports, COUNTY, "15T08:00:00").totals["A02"], 300, "figures do not go back in time");
}

#[test]
fn a_returned_report_counts_again_when_it_is_entered_again() {
    let mut reports = [
        report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A02": 100 })),
        report(TOWN, 2, "CONTINUING", "14T00:00:00", json!({ "A02": 1500 })),
    ];
    reports[1].status = "RETURNED".to_owned();
    let view = at(&reports, COUNTY, "14T08:00:00");
    assert_eq!((view.totals["A02"].clone(), view.places.returned.len()), (json!(100), 1));
    reports[1].status = "ENTERED".to_owned();
    assert_eq!(at(&reports, COUNTY, "14T08:00:00").totals["A02"], 1500);
}

#[test]
fn a_typed_county_figure_gives_way_to_its_townships() {
    let typed = report(COUNTY, 1, "INITIAL", "13T19:00:00", json!({ "A01": 5, "A02": 900 }));
    let view = at(std::slice::from_ref(&typed), "220200000000", "13T20:00:00");
    assert_eq!(json!(view.totals), json!({ "A01": 5, "A02": 900 }));
    let reports = [typed, report(TOWN, 1, "INITIAL", "13T19:10:00", json!({ "A02": 40 }))];
    assert_eq!(json!(at(&reports, "220200000000", "13T20:00:00").totals), json!({ "A01": 1, "A02": 40 }));
}

#[test]
fn one_place_in_two_events_that_are_one_counts_once() {
    let mut other = report(TOWN, 1, "INITIAL", "13T21:00:00", json!({ "A02": 120 }));
    other.event_no = "0104002017071322022101".to_owned();
    let reports = [report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A02": 100 })), other];
    assert_eq!(at(&reports, COUNTY, "13T22:00:00").totals["A02"], 120);
}

#[test]
fn ten_dead_and_missing_are_reported_directly_and_level_iv_is_known() {
    let reports = [
        report(TOWN, 1, "INITIAL", "13T19:00:00", json!({ "A03": 7, "A04": 1, "A06": 106_000 })),
        report(OTHER, 1, "INITIAL", "13T19:00:00", json!({ "A03": 1, "A04": 1 })),
    ];
    let view = at(&reports, "220000000000", "13T20:00:00");
    assert_eq!((view.direct.len(), view.direct[0].dead_and_missing), (1, 10));
    assert_eq!(view.emergency_level, Some("IV"));
    assert!(at(&reports[1..], COUNTY, "13T20:00:00").direct.is_empty());
}

#[test]
fn the_agencies_of_2017_stand_side_by_side() {
    let text = include_str!("../../tests/fixtures/scenario_flood_2017.json");
    let (event, published) = figures::read(text, None).unwrap();
    assert_eq!((event.as_str(), published.len()), (EVENT, 2));
    assert_eq!((&published[0].figures["A03"], &published[1].figures["A03"]), (&json!(7), &json!(19)));
    let conflicts = figures::conflicts(&BTreeMap::new(), &published);
    assert!(["A02", "A03", "A04", "A06", "D01"].iter().all(|code| conflicts.contains(&(*code).to_owned())), "{conflicts:?}");
    assert!(figures::read("{}", None).is_err());
    assert!(figures::read(r#"{"reports":[{"source":"a"}]}"#, Some(EVENT)).is_err());
}
