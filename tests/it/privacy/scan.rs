//! Looks for citizens in texts and in bytes.

use std::{collections::HashSet, path::Path};

/// Names and numbers of everybody in the truth of a simulation.
pub struct Scan {
    numbers: HashSet<String>,
    names: HashSet<String>,
}

impl Scan {
    pub fn of_truth(persons: &Path) -> Self {
        let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
        for row in csv::Reader::from_path(persons).unwrap().records() {
            let row = row.unwrap();
            names.insert(row[1].to_owned());
            numbers.insert(row[2].to_owned());
        }
        assert!(numbers.len() > 500 && names.len() > 500);
        Self { numbers, names }
    }

    /// One name and number of the truth.
    pub fn somebody(&self) -> (String, String) {
        (self.names.iter().min().unwrap().clone(), self.numbers.iter().min().unwrap().clone())
    }

    /// Every place of a text with `\d{17}[\dXx]` or with a name; the finding says where, with what stands around it.
    pub fn find(&self, what: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for line in text.lines() {
            if let Some(at) = identity_number(line.as_bytes()) {
                found.push(format!("{what}: a number in `{}`", around(line, at)));
            }
            if let Some(name) = self.name_in(line) {
                found.push(format!("{what}: the name {name} in `{}`", around(line, line.find(&name).unwrap())));
            }
        }
        found
    }

    /// How often numbers and names of the truth stand in bytes, as UTF-8.
    pub fn count(&self, bytes: &[u8]) -> (usize, usize) {
        let (mut numbers, mut at) = (0, 0);
        while let Some(place) = identity_number(&bytes[at..]) {
            let number = String::from_utf8_lossy(&bytes[at + place..at + place + 18]).to_ascii_uppercase();
            numbers += usize::from(self.numbers.contains(&number));
            at += place + 1;
        }
        let text = String::from_utf8_lossy(bytes);
        (numbers, text.split(|c: char| !ideograph(c)).filter(|run| self.name_in(run).is_some()).count())
    }

    fn name_in(&self, text: &str) -> Option<String> {
        let runs = text.split(|c: char| !ideograph(c)).filter(|run| !run.is_empty());
        for run in runs {
            let characters: Vec<char> = run.chars().collect();
            for from in 0..characters.len() {
                for length in 2..=(characters.len() - from).min(12) {
                    let part: String = characters[from..from + length].iter().collect();
                    if self.names.contains(&part) {
                        return Some(part);
                    }
                }
            }
        }
        None
    }
}

/// Ideographs, those beyond U+FFFF too, and the dot of names of other peoples.
fn ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}' | '·')
}

/// Where `\d{17}[\dXx]` stands first.
fn identity_number(bytes: &[u8]) -> Option<usize> {
    let mut run = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if run >= 17 && (byte.is_ascii_digit() || matches!(byte, b'X' | b'x')) {
            return Some(at - 17);
        }
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
    }
    None
}

fn around(line: &str, at: usize) -> String {
    let characters: Vec<(usize, char)> = line.char_indices().collect();
    let place = characters.partition_point(|(index, _)| *index < at);
    characters[place.saturating_sub(60)..(place + 60).min(characters.len())].iter().map(|(_, c)| c).collect()
}
