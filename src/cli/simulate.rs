//! `civilhub simulate`

use std::{path::PathBuf, process::ExitCode};

use indicatif::ProgressBar;

use super::output;
use crate::{clock, error::Faults, simulate};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Number of persons in the province.
    #[arg(long, default_value_t = 2_000)]
    persons: u64,
    /// The same seed writes the same files.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder to write to.
    #[arg(long)]
    out: PathBuf,
    /// The day the province is looked at, yyyy-mm-dd; today if not given.
    #[arg(long)]
    today: Option<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let today = match &args.today {
        Some(text) => crate::domain::date::cn_date(text).map_err(|refusal| refusal.fault())?,
        None => clock::today(),
    };
    let options = simulate::Options { persons: args.persons, seed: args.seed, out: args.out, today };
    let bar = ProgressBar::new(args.persons);
    let summary = simulate::write(&options, &|done| bar.set_position(done)).await.map_err(|error| Faults(error.faults()))?;
    bar.finish_and_clear();
    if args.format.is_json() {
        output::json(&summary)?;
    } else {
        let rows = summary.systems.iter().map(|(system, numbers)| {
            [
                system.to_string(),
                numbers.rows.to_string(),
                numbers.rejected.to_string(),
                numbers.duplicates.to_string(),
                numbers.superseded.to_string(),
            ]
        });
        output::say!("{}", output::table(["system", "rows", "to be rejected", "duplicate", "superseded"], rows));
    }
    Ok(ExitCode::SUCCESS)
}
