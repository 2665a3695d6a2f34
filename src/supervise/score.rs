//! How well the rules find what a simulated province has planted: precision and recall of each.

use std::{collections::BTreeSet, path::Path};

use serde::Serialize;

use super::BAD_TRUTH;
use crate::{error::Fault, facts::alert::Alert};

/// What is asked of every rule.
pub const ENOUGH: f64 = 0.99;

/// One rule, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    pub rule: String,
    pub planted: usize,
    pub found: usize,
    /// Planted and found.
    pub right: usize,
    /// Part of the found that was planted; 1 where nothing was found.
    pub precision: f64,
    /// Part of the planted that was found; 1 where nothing was planted.
    pub recall: f64,
    /// Found but not planted, the first few.
    pub too_many: Vec<String>,
    /// Planted but not found, the first few.
    pub missing: Vec<String>,
}

impl Score {
    pub fn is_good(&self) -> bool {
        self.precision >= ENOUGH && self.recall >= ENOUGH
    }
}

/// Holds alerts against `truth/alerts.csv` of the province in this folder: rules R1, R2, and so on, in their order.
///
/// # Errors
/// When the truth cannot be read.
pub fn score(alerts: &[Alert], province: &Path) -> Result<Vec<Score>, Fault> {
    let path = province.join("truth/alerts.csv");
    let unread = |reason: String| {
        let fault = Fault::new(BAD_TRUTH, format!("the truth cannot be read: {reason}")).in_file(path.display().to_string());
        fault.hint("name the folder that `civilhub simulate` wrote")
    };
    let mut reader = csv::Reader::from_path(&path).map_err(|error| unread(error.to_string()))?;
    let mut planted: Vec<(String, String)> = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| unread(error.to_string()))?;
        let [Some(rule), Some(system), Some(key)] = [0, 2, 4].map(|column| row.get(column)) else {
            return Err(unread("a row has too few columns".to_owned()));
        };
        planted.push((rule.to_owned(), planted_key(rule, system, key)));
    }
    let found: Vec<(&str, String)> = alerts.iter().map(|alert| (alert.rule.as_str(), found_key(alert))).collect();
    let mut rules: Vec<&str> = found.iter().map(|(rule, _)| *rule).chain(planted.iter().map(|(rule, _)| rule.as_str())).collect();
    rules.retain(|rule| rule.strip_prefix('R').is_some_and(|number| number.parse::<u8>().is_ok()));
    rules.sort_by_key(|rule| (rule.len(), *rule));
    rules.dedup();
    let of = |rule: &str| {
        let truth = planted.iter().filter(|(of, _)| of == rule).map(|(_, key)| key.as_str()).collect();
        measure(rule, &truth, &found.iter().filter(|(of, _)| *of == rule).map(|(_, key)| key.as_str()).collect())
    };
    Ok(rules.into_iter().map(of).collect())
}

fn measure(rule: &str, planted: &BTreeSet<&str>, found: &BTreeSet<&str>) -> Score {
    let right = found.intersection(planted).count();
    #[allow(clippy::cast_precision_loss, reason = "counts of alerts are far below 2^52")]
    let part = |of: usize| if of == 0 { 1.0 } else { right as f64 / of as f64 };
    let first =
        |one: &BTreeSet<&str>, other: &BTreeSet<&str>| one.difference(other).take(5).map(|key| (*key).to_owned()).collect();
    Score {
        rule: rule.to_owned(),
        planted: planted.len(),
        found: found.len(),
        right,
        precision: part(found.len()),
        recall: part(planted.len()),
        too_many: first(found, planted),
        missing: first(planted, found),
    }
}

/// System and key of a planted case, in the form that [`found_key`] gives.
fn planted_key(rule: &str, system: &str, key: &str) -> String {
    match rule {
        // Hospital, visit and serial number in one.
        "R5" => format!("{system} {}", key.replace('-', "")),
        "R7" => match key.strip_prefix("ND").and_then(|number| number.get(6..)) {
            Some(number) => format!("rural-dibao {}", number.trim_start_matches('0')),
            None => format!("urban-dibao {key}"),
        },
        _ => format!("{system} {}", key.to_lowercase()),
    }
}

/// System and key of an alert. A filing has a number of the hub's own: the case that shows it stands for it.
fn found_key(alert: &Alert) -> String {
    let (system, subject) = (alert.system.as_str(), alert.subject.as_str());
    match alert.rule.as_str() {
        "R5" => format!("{system} {}", subject.replace('-', "")),
        // Each household of a notice is a notice of its own in the hub.
        "R6" => format!("{system} {}", subject.to_lowercase().split('-').next().unwrap_or_default()),
        "R7" => {
            let case = &alert.evidence[0];
            format!("{} {}", case["system"].as_str().unwrap_or_default(), case["subject"].as_str().unwrap_or_default())
        }
        _ => format!("{system} {}", subject.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert(rule: &str, system: &str, subject: &str) -> Alert {
        Alert {
            id: String::new(),
            rule: rule.to_owned(),
            severity: String::new(),
            owner: String::new(),
            state: "open".to_owned(),
            person_key: String::new(),
            dataset: String::new(),
            system: system.to_owned(),
            subject: subject.to_owned(),
            division: String::new(),
            object_id: String::new(),
            event_id: String::new(),
            evidence: json!([{ "system": "rural-dibao", "subject": "17" }]),
            amount: 0,
            at: 0,
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(score(&[], dir.path()).unwrap_err().code, BAD_TRUTH);
        std::fs::create_dir(dir.path().join("truth")).unwrap();
        let truth = "rule,person,system,object,key\nR1,1,urban-dibao,DB_PAY,A1\nR1,1,urban-dibao,DB_PAY,A2\n\
                     R5,2,med-aid,SETTLE,H1-V2-3\nR7,3,assist-oversight,BA,ND22010500000017\n";
        std::fs::write(dir.path().join("truth/alerts.csv"), truth).unwrap();
        let alerts = [
            alert("R1", "urban-dibao", "a1"),
            alert("R1", "urban-dibao", "a3"),
            alert("R5", "med-aid", "H1V23"),
            alert("R7", "assist-oversight", "220105-NR-0a"),
            alert("R3-living", "disability-subsidy", "x"),
        ];
        let scores = score(&alerts, dir.path()).unwrap();
        assert_eq!(scores.iter().map(|score| score.rule.as_str()).collect::<Vec<_>>(), ["R1", "R5", "R7"]);
        let (first, rest) = scores.split_first().unwrap();
        assert!((first.precision - 0.5).abs() < 1e-9 && (first.recall - 0.5).abs() < 1e-9 && !first.is_good());
        assert_eq!(
            (&first.too_many[..], &first.missing[..]),
            (&["urban-dibao a3".to_owned()][..], &["urban-dibao a2".to_owned()][..])
        );
        assert!(rest.iter().all(Score::is_good));
    }
}
