//! `civilhub settle quote|run|reconcile|clearing`, `civilhub bench settle`

pub(super) mod bench;
mod desk;
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
    /// Requests to the settlement desk, one after another: one JSON line for each.
    Run(desk::Run),
    /// Compare a day of an institution with its day file.
    Reconcile(desk::Reconcile),
    /// The statement of a month: which county pays which institution.
    Clearing(desk::Clearing),
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Quote(args) => quote::run(global, &args),
        Command::Run(args) => desk::run(global, &args).await,
        Command::Reconcile(args) => desk::reconcile(global, &args).await,
        Command::Clearing(args) => desk::clearing(global, &args).await,
    }
}
