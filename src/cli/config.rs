//! `civilhub config print [--origin]`

use std::process::ExitCode;

use super::{Global, output};
use crate::{
    config::origin::{self, Entry},
    error::Faults,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every value that holds, secrets hidden.
    Print {
        /// Say of each value where it comes from: default, file, environment or flag.
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        format: output::Format,
    },
}

pub(super) fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let Command::Print { origin, format } = args.command;
    let entries = origin::entries(global.config.as_deref(), global.data.as_deref()).map_err(Faults)?;
    if format.is_json() {
        output::json(&entries)?;
    } else if origin {
        output::say!("{}", output::table(["key", "value", "origin", "from"], entries.iter().map(row)));
    } else {
        for entry in &entries {
            output::say!("{} = {}", entry.key, entry.value);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &Entry) -> [String; 4] {
    [entry.key.clone(), entry.value.to_string(), entry.origin.to_string(), entry.from.clone().unwrap_or_default()]
}
