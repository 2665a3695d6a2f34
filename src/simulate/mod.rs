//! A simulated province: the exports of legacy systems in their true formats, from one population.
//!
//! The seed decides everything: two runs with the same options write the same bytes. Families are drawn one by one and
//! handed to every system, so memory does not grow with the population. Beside the exports stands the [`truth`]:
//! who is meant by every row and what is wrong with it, so that the hub can be judged against it.
//!
//! To add a system: one file in [`systems`], one line in [`systems::open`]. Nothing else changes, because each system
//! draws from its own stream of chance.

use std::path::PathBuf;

use time::Date;

use crate::clock::iso_date;
use crate::error::{Fault, Faults};

pub mod banks;
pub mod benefits;
pub mod calendar;
pub mod error;
pub mod faults;
pub mod names;
pub mod numbers;
pub mod places;
pub mod population;
pub mod random;
pub mod serve;
pub mod status;
pub mod systems;
pub mod truth;
pub mod write;

pub use error::Error;
pub use truth::{Summary, SystemSummary};

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// Persons of the population, 1 to [`MOST_PERSONS`].
    pub persons: u64,
    /// Decides everything that looks like chance.
    pub seed: u64,
    /// Folder to write to; made if missing, must be empty.
    pub out: PathBuf,
    /// The day the exports are drawn; 2010 to 2060.
    pub today: Date,
}

/// More would exceed the identity numbers of nine functional zones in the crowded years.
pub const MOST_PERSONS: u64 = 20_000_000;

/// Progress is told after this many persons.
const PROGRESS_STEP: u64 = 1_000;

/// Writes the exports and the truth. `progress` is called with the persons written so far.
///
/// # Errors
/// Options out of range or an output folder in use (all faults at once), a file or database that cannot be written.
pub async fn write(options: &Options, progress: &(dyn Fn(u64) + Send + Sync)) -> Result<Summary, Error> {
    check(options)?;
    let places = places::Places::load();
    let mut truth = truth::Truth::create(&options.out)?;
    let mut systems = systems::open(options).await?;
    let mut written = 0;
    let mut told = 0;
    for family in population::Population::new(&places, options.seed, options.persons, options.today) {
        truth.next_family();
        for system in &mut systems {
            system.family(&family, &mut truth).await?;
        }
        written += family.members.len() as u64;
        if written - told >= PROGRESS_STEP {
            progress(written);
            told = written;
        }
    }
    for system in systems {
        system.finish(&places, &mut truth).await?;
    }
    progress(written);
    let summary = truth.finish(options.persons, options.seed, iso_date(options.today))?;
    let rows: u64 = summary.systems.values().map(|system| system.rows).sum();
    tracing::info!(persons = written, systems = summary.systems.len(), rows, "simulated province written");
    Ok(summary)
}

/// Every fault of the options, before anything is written.
fn check(options: &Options) -> Result<(), Error> {
    let mut faults = Vec::new();
    if options.persons == 0 || options.persons > MOST_PERSONS {
        let message = format!("`persons` is {}", options.persons);
        faults.push(Fault::new(error::OPTION_OUT_OF_RANGE, message).expected(format!("1 to {MOST_PERSONS}")));
    }
    if !(2010..=2060).contains(&options.today.year()) {
        let message = format!("`today` is {}", iso_date(options.today));
        faults.push(Fault::new(error::OPTION_OUT_OF_RANGE, message).expected("a day of 2010 to 2060"));
    }
    if let Ok(mut entries) = std::fs::read_dir(&options.out)
        && entries.next().is_some()
    {
        let fault = Fault::new(error::OUTPUT_NOT_EMPTY, "the output folder is not empty")
            .in_file(options.out.display().to_string())
            .hint("name a new folder, or remove the old export first");
        faults.push(fault);
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Options(Faults(faults))) }
}
