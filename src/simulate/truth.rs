//! The truth beside the exports: who is meant, what is wrong, and what the hub must make of it.
//!
//! `persons.csv` has one line for every appearance of a person in a row that names one; `faults.csv` one line for
//! every planted fault; `alerts.csv` one line for every hit a supervision rule must find; `summary.json` the counts
//! and is written last: without it the export is not whole.
//!
//! | object | key | parent |
//! |---|---|---|
//! | `DB_FAMILY`, `DB_MEMBER`, `DB_PAY` | primary key of the table | family of a member or payment |
//! | `HH` | `HHH` | |
//! | `GL_full`, `GL_delta` | `LNZH` | |
//! | `PAY`, `RET` | batch number and serial number, 24 characters | batch number |
//! | `accept` | `acceptNo` | |
//! | `report` | `<eventNo>-<divisionCode>-<seq>` as sent | |
//! | other tables | primary key, the first column | household of a payment, request of an item |
//! | `GS` | `GSBH` | |
//! | `TY`, `TK`, `BA`, `RZ` | the identity number as written | low-income certificate of `BA` |
//! | `YF` | `ZH` | |
//! | `orgs`, `orders`, `records` | `orgId`, `orderNo`, `id` | |
//! | `event`, `status`, the four dialects | `callId`, `requestNo`, the event's id: one key for all events of a call or request | |
//! | `SETTLE`, `HOSPITAL` | hospital, visit and serial number in one; hospital | visit |
//! | `ADOPTION`, `CHILD`, `RESCUE` | `registerNo`, `registerNo`, `jzdh` | |
//! | `XC`, `ZX`, `SQ`, `CUN` | county and row; township; code of the unit | |
//!
//! Rows of SOAP answers are counted on their page, those of workbooks as Excel counts; a table in an archive is `<archive>/<table>`.
//!
//! A fault without a key is one of a whole file. Rejections are told per row of the object; where an adapter reads members
//! nested in their family, a member's fault refuses the family in `parent`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::Error;
use super::faults::{Kind, Outcome};
use super::population::Who;
use crate::clock::iso_date;

/// Counts of one system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SystemSummary {
    /// Rows written, of all objects and files, repeats included.
    pub rows: u64,
    /// The same by object.
    pub objects: BTreeMap<&'static str, u64>,
    /// Rows the hub must refuse, without those of refused files.
    pub rejected: u64,
    /// Rows that repeat an earlier one.
    pub duplicates: u64,
    /// Rows older than one sent before.
    pub superseded: u64,
    /// Rows the mapping repairs.
    pub fixed: u64,
    /// Rows that carry a delete marker.
    pub deleted: u64,
    /// Files the hub must refuse whole.
    pub rejected_files: u64,
    /// Rows in those files; they are counted in `rows` too.
    pub rows_in_rejected_files: u64,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Persons of the population.
    pub persons: u64,
    /// The seed they were drawn with.
    pub seed: u64,
    /// `yyyy-mm-dd`.
    pub today: String,
    /// By slug.
    pub systems: BTreeMap<&'static str, SystemSummary>,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spot<'a> {
    /// Slug.
    pub system: &'static str,
    /// Table or object of the layout.
    pub object: &'static str,
    /// File name within the system's folder.
    pub file: &'a str,
    /// Line or record in the file from 1, deleted records and headers counted; 0 where rows have no order.
    pub row: u64,
    /// The row's own key.
    pub key: &'a str,
    /// The row it belongs to, such as the family of a member.
    pub parent: &'a str,
}

/// Writes the truth while the systems are written.
pub struct Truth {
    folder: PathBuf,
    persons: csv::Writer<BufWriter<File>>,
    faults: csv::Writer<BufWriter<File>>,
    alerts: csv::Writer<BufWriter<File>>,
    systems: BTreeMap<&'static str, SystemSummary>,
    /// What earlier systems have made known of the present family: decides what rules can find.
    known: BTreeMap<(&'static str, u64), String>,
}

impl Truth {
    /// Opens the files of the truth in `<out>/truth`.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn create(out: &Path) -> Result<Self, Error> {
        let folder = out.join("truth");
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let persons = table(
            &folder.join("persons.csv"),
            &["person", "name", "number", "birth_date", "system", "object", "key", "as_recorded"],
        )?;
        let faults = table(&folder.join("faults.csv"), &["system", "object", "file", "row", "key", "parent", "kind", "outcome"])?;
        let alerts = table(&folder.join("alerts.csv"), &["rule", "person", "system", "object", "key"])?;
        Ok(Self { folder, persons, faults, alerts, systems: BTreeMap::new(), known: BTreeMap::new() })
    }

    /// The next family: nothing is known of it.
    pub fn next_family(&mut self) {
        self.known.clear();
    }

    /// A good row makes this known of a person to whoever reads the exports.
    pub fn makes_known(&mut self, what: &'static str, person: u64, value: &str) {
        self.known.insert((what, person), value.to_owned());
    }

    /// What a good row of the family has made known.
    pub fn known(&self, what: &'static str, person: u64) -> Option<&str> {
        self.known.get(&(what, person)).map(String::as_str)
    }

    /// Counts a written row.
    pub fn row(&mut self, spot: &Spot<'_>) {
        let system = self.systems.entry(spot.system).or_default();
        system.rows += 1;
        *system.objects.entry(spot.object).or_default() += 1;
    }

    /// Counts a row with a delete marker.
    pub fn deleted(&mut self, spot: &Spot<'_>) {
        self.systems.entry(spot.system).or_default().deleted += 1;
    }

    /// A whole row at once: counted, its person named with a note, its fault told.
    ///
    /// # Errors
    /// When the truth cannot be written.
    pub fn tell(&mut self, spot: &Spot<'_>, person: Option<(&Who, &str)>, kind: Option<Kind>) -> Result<(), Error> {
        self.row(spot);
        if let Some((who, note)) = person {
            self.appears(who, spot, note)?;
        }
        kind.map_or(Ok(()), |kind| self.fault(spot, kind))
    }

    /// A person is named by the row.
    ///
    /// # Errors
    /// When the truth cannot be written.
    pub fn appears(&mut self, who: &Who, spot: &Spot<'_>, as_recorded: &str) -> Result<(), Error> {
        let (no, birth) = (who.no.to_string(), iso_date(who.birth));
        let line = [&no, &who.name, &who.number, &birth, spot.system, spot.object, spot.key, as_recorded];
        self.persons.write_record(line).map_err(|error| self.broken(error))
    }

    /// A fault was planted in the row, or in the whole file where the spot has no row.
    ///
    /// # Errors
    /// When the truth cannot be written.
    pub fn fault(&mut self, spot: &Spot<'_>, kind: Kind) -> Result<(), Error> {
        let system = self.systems.entry(spot.system).or_default();
        match kind.outcome() {
            Outcome::Rejected if spot.key.is_empty() => system.rejected_files += 1,
            Outcome::Rejected => system.rejected += 1,
            Outcome::Fixed => system.fixed += 1,
            Outcome::Duplicate => system.duplicates += 1,
            Outcome::Superseded => system.superseded += 1,
        }
        let row = if spot.row == 0 { String::new() } else { spot.row.to_string() };
        let line = [spot.system, spot.object, spot.file, &row, spot.key, spot.parent, kind.word(), kind.outcome().word()];
        self.faults.write_record(line).map_err(|error| self.broken(error))
    }

    /// A row stands in a file that is refused whole.
    pub fn in_rejected_file(&mut self, spot: &Spot<'_>) {
        self.systems.entry(spot.system).or_default().rows_in_rejected_files += 1;
    }

    /// The row breaks a supervision rule, such as R1 (paid after death).
    ///
    /// # Errors
    /// When the truth cannot be written.
    pub fn alert(&mut self, rule: &str, who: &Who, spot: &Spot<'_>) -> Result<(), Error> {
        let no = who.no.to_string();
        let line = [rule, &no, spot.system, spot.object, spot.key];
        self.alerts.write_record(line).map_err(|error| self.broken(error))
    }

    /// Flushes everything and writes the summary.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self, persons: u64, seed: u64, today: String) -> Result<Summary, Error> {
        for table in [&mut self.persons, &mut self.faults, &mut self.alerts] {
            table.flush().map_err(Error::file(&self.folder))?;
        }
        let summary = Summary { persons, seed, today, systems: self.systems };
        let path = self.folder.join("summary.json");
        let text = serde_json::to_string_pretty(&summary).map_err(|error| Error::file(&path)(error.into()))?;
        std::fs::write(&path, text + "\n").map_err(Error::file(&path))?;
        Ok(summary)
    }

    fn broken(&self, error: csv::Error) -> Error {
        Error::file(&self.folder)(std::io::Error::other(error))
    }
}

fn table(path: &Path, header: &[&str]) -> Result<csv::Writer<BufWriter<File>>, Error> {
    let file = File::create(path).map_err(Error::file(path))?;
    let mut writer = csv::Writer::from_writer(BufWriter::new(file));
    writer.write_record(header).map_err(|error| Error::file(path)(std::io::Error::other(error)))?;
    Ok(writer)
}
