//! `civilhub settle quote`

mod quote;

use std::process::ExitCode;

use super::Global;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// What aid is due, by the policy: one JSON line for each case.
    Quote(quote::Args),
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Quote(args) => quote::run(global, &args),
    }
}
