//! What the hub refused against what the simulator planted: precision and recall of every system.

use std::{collections::HashMap, io, path::Path};

use serde_json::Value;

use crate::{hub::Hub, store::Row};

/// The count of one system.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Its slug.
    pub system: String,
    /// Rows and files that must be refused.
    pub planted: usize,
    /// Letters of refused rows and files.
    pub refused: usize,
    /// Planted ones that were refused.
    pub found: usize,
    /// Letters about something planted.
    pub just: usize,
}

/// A line of `truth/faults.csv`.
#[derive(Debug, serde::Deserialize)]
struct Planted {
    system: String,
    object: String,
    file: String,
    row: Option<u64>,
    key: String,
    outcome: String,
}

/// The planted faults of one system and where to look for them.
#[derive(Debug, Default)]
struct Faults {
    lines: Vec<Planted>,
    /// Sheets of one workbook have rows of the same number.
    by_place: HashMap<(String, u64), Vec<usize>>,
    by_key: HashMap<String, Vec<usize>>,
    found: Vec<bool>,
    refused: usize,
    just: usize,
}

/// Judges the systems that the hub reads, by the letters it has filed.
///
/// # Errors
/// When the truth or the store cannot be read.
pub async fn judge(hub: &Hub, dir: &Path) -> io::Result<Vec<Verdict>> {
    let mut systems = planted(&dir.join("truth/faults.csv"))?;
    let sql = "SELECT system, dataset, faults, body FROM dead WHERE state = 'rejected'";
    let letters = hub.store.read(sql, &[]).await.map_err(|error| io::Error::other(error.fault().to_string()))?;
    for letter in &letters {
        let body = hub.keys.open(&letter.text(3)).and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        systems.entry(letter.text(0)).or_default().letter(letter, &body);
    }
    let read = |system: &str| hub.adapters.iter().any(|adapter| adapter.slug.as_str() == system);
    let mut verdicts: Vec<Verdict> = systems.into_iter().filter(|(system, _)| read(system)).map(Faults::verdict).collect();
    verdicts.sort_by(|left, right| left.system.cmp(&right.system));
    Ok(verdicts)
}

fn planted(path: &Path) -> io::Result<HashMap<String, Faults>> {
    let mut systems: HashMap<String, Faults> = HashMap::new();
    for line in csv::Reader::from_path(path)?.deserialize() {
        let line: Planted = line?;
        if line.outcome == "rejected" {
            systems.entry(line.system.clone()).or_default().plant(line);
        }
    }
    Ok(systems)
}

impl Faults {
    fn plant(&mut self, line: Planted) {
        let index = self.lines.len();
        // A file that is refused whole has no row and no key.
        let row = if line.key.is_empty() { Some(0) } else { line.row };
        if let Some(row) = row {
            self.by_place.entry((line.file.clone(), row)).or_default().push(index);
        }
        self.by_key.entry(line.key.clone()).or_default().push(index);
        self.lines.push(line);
        self.found.push(false);
    }

    fn letter(&mut self, letter: &Row, body: &Value) {
        self.refused += 1;
        let fault: Value = serde_json::from_str::<Value>(&letter.text(2)).map_or(Value::Null, |faults| faults[0].clone());
        let place = fault["file"].as_str().and_then(|file| {
            let row = if body.is_null() { 0 } else { fault["row"].as_u64()? };
            let at = self.by_place.get(&(file.to_owned(), row))?;
            at.iter()
                .find(|index| self.lines[**index].object.eq_ignore_ascii_case(&letter.text(1)))
                .or_else(|| at.first())
                .copied()
        });
        if let Some(index) = place.or_else(|| self.by_body(&letter.text(1), body)) {
            self.found[index] = true;
            self.just += 1;
        }
    }

    /// The planted row that a body's texts name; of several with one key the first that was not yet found.
    fn by_body(&self, object: &str, body: &Value) -> Option<usize> {
        let record = body.pointer("/data/record");
        let candidates: Vec<usize> = keys(record.unwrap_or(body))
            .iter()
            .filter_map(|key| self.by_key.get(key))
            .flatten()
            .copied()
            .filter(|index| record.is_some() || self.lines[*index].object.eq_ignore_ascii_case(object))
            .collect();
        candidates.iter().find(|index| !self.found[**index]).or_else(|| candidates.first()).copied()
    }

    fn verdict((system, faults): (String, Self)) -> Verdict {
        let found = faults.found.iter().filter(|found| **found).count();
        Verdict { system, planted: faults.lines.len(), refused: faults.refused, found, just: faults.just }
    }
}

/// Texts of a row or record that may be its key, its own level only, and the keys that several fields make.
fn keys(row: &Value) -> Vec<String> {
    let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
    let own = row.as_object().into_iter().flatten().filter_map(|(_, value)| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let mut keys: Vec<String> = own.filter(|key| !key.is_empty()).collect();
    keys.push(format!("{}-{}-{}", text("eventNo"), text("divisionCode"), text("seq")));
    keys.push(format!("{}{}{}", text("hospitalId"), text("visitNo"), text("seq")));
    keys
}
