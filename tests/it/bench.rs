//! `civilhub bench adapters`, small: the shape of what it prints. Speeds are not judged here.

use serde_json::Value;

use crate::support::program::expect;

const FORMATS: [&str; 10] = ["csv", "fixed", "dbf", "zip", "xlsx", "xml", "soap", "json", "ndjson", "sql"];

#[test]
fn every_format_is_measured_beside_its_library() {
    let shown = expect(0, &["bench", "adapters", "--rows", "1200", "--rounds", "2", "-o", "json"]).stdout;
    let lines: Vec<Value> = serde_json::from_str(&shown).unwrap();
    assert_eq!(lines.iter().map(|line| line["format"].as_str().unwrap()).collect::<Vec<_>>(), FORMATS);
    for line in &lines {
        let positive = |pointer: &str| line.pointer(pointer).and_then(Value::as_f64).is_some_and(|number| number > 0.0);
        for reading in ["bare", "decoder", "road"] {
            for part in ["median", "slowest", "fastest"] {
                assert!(positive(&format!("/{reading}/{part}")), "{line}");
            }
            let part = |name: &str| line[reading][name].as_f64().unwrap();
            assert!(part("slowest") <= part("median") && part("median") <= part("fastest") && part("spread_percent") >= 0.0);
        }
        assert!(positive("/ratio") && line["rows"].as_u64() >= Some(1_150) && line["bytes"].as_u64() > Some(1_000), "{line}");
        let ratio = line["decoder"]["median"].as_f64().unwrap() / line["bare"]["median"].as_f64().unwrap();
        assert!((ratio - line["ratio"].as_f64().unwrap()).abs() < 1e-9);
    }
    let least = lines.iter().min_by(|one, other| one["ratio"].as_f64().unwrap().total_cmp(&other["ratio"].as_f64().unwrap()));
    let named: Vec<&Value> = lines.iter().filter(|line| line["slowest"] == true).collect();
    assert_eq!(named, [least.unwrap()]);
}

#[test]
fn one_format_may_be_measured_alone_and_the_last_line_names_the_slowest() {
    let shown = expect(0, &["bench", "adapters", "--rows", "50", "--rounds", "1", "--formats", "csv,xml"]).stdout;
    assert!(shown.contains("senior-allowance GL_FULL") && shown.contains("quick-xml") && !shown.contains("calamine"), "{shown}");
    let last = shown.lines().last().unwrap();
    assert!(last.starts_with("slowest beside its library: ") && last.contains(" rows per CPU second)"), "{shown}");
    expect(2, &["bench", "adapters", "--formats", "tape"]);
}
