//! The alert rules: metrics and labels that exist, a section of the runbook each, and cases that fire and do not.

use std::{collections::BTreeSet, fs, path::Path};

use civilhub::telemetry::metric::{Kind, Metric};

use crate::support::script;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names of alerts in the order of the file.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The metric of a name, that of its buckets too.
fn metric(word: &str) -> Option<Metric> {
    Metric::ALL.iter().copied().find(|metric| {
        let spec = metric.spec();
        word == spec.name || (spec.kind == Kind::Histogram && word.strip_suffix("_bucket") == Some(spec.name))
    })
}

#[test]
fn rules_speak_of_metrics_and_labels_that_exist() {
    let rules = read("config/alerts/civilhub.rules.yaml");
    for rule in rules.split("- alert: ").skip(1) {
        let (name, rest) = rule.split_once('\n').unwrap();
        let expression = rest.split("labels:").next().unwrap();
        let named: Vec<&str> =
            words(expression).filter(|word| word.starts_with("civilhub_") || word.starts_with("process_")).collect();
        assert!(!named.is_empty(), "{name} asks for no metric");
        let mut labels = BTreeSet::from(["le", "instance", "job"]);
        for word in named {
            let metric = metric(word).unwrap_or_else(|| panic!("{name}: there is no metric `{word}`"));
            labels.extend(metric.spec().labels.iter().map(|label| label.name()));
        }
        for grouped in expression.split(" by (").skip(1).chain(expression.split(" on (").skip(1)) {
            for label in words(grouped.split(')').next().unwrap()) {
                assert!(labels.contains(label), "{name}: no metric of it has the label `{label}`");
            }
        }
        for selector in expression.split('{').skip(1) {
            let label = words(selector).next().unwrap();
            assert!(labels.contains(label), "{name}: no metric of it has the label `{label}`");
        }
        for used in rest.split("$labels.").skip(1) {
            let label = words(used).next().unwrap();
            assert!(labels.contains(label), "{name}: its summary names the label `{label}`");
        }
    }
}

#[test]
fn each_alert_has_a_page_a_case_and_a_severity() {
    let (rules, cases, page) =
        (read("config/alerts/civilhub.rules.yaml"), read("config/alerts/civilhub.tests.yaml"), read("docs/operations.md"));
    let names = alerts(&rules);
    assert!(names.len() > 15);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name twice");
    for name in &names {
        let rule = rules.split(&format!("- alert: {name}\n")).nth(1).unwrap().split("- alert: ").next().unwrap();
        assert!(["page", "ticket", "info"].iter().any(|severity| rule.contains(&format!("severity: {severity}\n"))), "{name}");
        assert!(rule.contains(&format!("runbook_url: docs/operations.md#{}\n", name.to_lowercase())), "{name}");
        assert!(cases.contains(&format!("alertname: {name}\n")), "{name} has no case");
        let section =
            page.split(&format!("### {name}\n")).nth(1).unwrap_or_else(|| panic!("docs/operations.md has no `### {name}`"));
        let section = section.split("\n##").next().unwrap();
        for part in ["**Means:**", "**Look at:**", "**Do:**"] {
            assert!(section.contains(part), "{name} does not say {part}");
        }
    }
    let pages: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("### Civilhub")).collect();
    assert_eq!(pages.len(), names.len(), "a page of an alert that is no more: {pages:?}");
}

#[tokio::test]
async fn the_cases_fire_as_written() {
    let said = script("alerts.sh", &[]).await;
    assert!(said.contains("SUCCESS"), "{said}");
}
