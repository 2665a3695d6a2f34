//! `civilhub partner …`: who receives what, in which form, until when.

mod call;
mod conformance;
mod explain;
mod keys;
mod list;
mod sandbox;

pub(super) use list::warnings;

use std::{path::PathBuf, process::ExitCode};

use super::{Global, output};
use crate::{
    config::{Config, keys::Keys},
    error::{Code, Fault, Faults},
    govern::Agreements,
    hub::{Plans, Secrets},
};

/// There is no partner of this name.
pub const NO_SUCH_PARTNER: Code = Code::new(6601);
/// The record to be explained cannot be used.
pub const NOT_EXPLAINED: Code = Code::new(6602);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every partner: how it is reached, its agreements, and which of them run out soon.
    List(output::Format),
    /// Make a pair of keys: the secret one into a file, the public one to standard output.
    Keygen {
        /// Where the secret key goes; an existing file is not replaced.
        #[arg(long)]
        out: PathBuf,
        /// ed25519, ecdsa-p256-sha256 or sm2-sm3
        #[arg(long, default_value = "ed25519")]
        algorithm: String,
    },
    /// Register, list and end public keys of a partner.
    Key(keys::Args),
    /// Send one signed request to a partner API, as a partner does; the answer goes to standard output.
    Call(call::Args),
    /// A hub to try everything with: invented citizens, simulated banks, outcomes forced by number.
    Sandbox(sandbox::Args),
    /// What a partner has shown in the sandbox (give its --data); with everything passed a signed certificate.
    Conformance(conformance::Args),
    /// What of a record would leave to a partner, in which form, and why each other field stays.
    Explain {
        partner: String,
        /// A CloudEvent, a bare record, or lines of either (`-` for standard input).
        #[arg(long)]
        record: PathBuf,
        /// Dataset of a bare record; found by its fields if not given.
        #[arg(long)]
        dataset: Option<String>,
        /// As on this day instead of today.
        #[arg(long, value_parser = output::day)]
        on: Option<String>,
        #[command(flatten)]
        format: output::Format,
    },
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Keygen { out, algorithm } => keys::generate(&out, &algorithm),
        Command::Key(args) => keys::run(global, args).await,
        Command::Sandbox(args) => sandbox::run(global, args).await,
        Command::Conformance(args) => conformance::run(global, args).await,
        Command::Call(args) => call::run(args).await,
        Command::List(format) => list::run(&plans(&global.config()?)?, format),
        Command::Explain { partner, record, dataset, on, format } => {
            let plans = plans(&global.config()?)?;
            explain::run(&plans, &explain::Question { partner, record, dataset, on }, format)
        }
    }
}

/// Schemas, adapters and partners, with the keys of the hub if it has some already.
fn plans(config: &Config) -> anyhow::Result<Plans> {
    let file = config.key_file();
    let keys = if file.is_file() { Keys::load(&file)? } else { Keys::dry_run() };
    Ok(Plans::load(config, &keys, Secrets::Optional).map_err(Faults)?)
}

fn no_such_partner(name: &str, agreements: &Agreements) -> Fault {
    let known: Vec<&str> = agreements.partners().iter().map(|partner| partner.slug.as_str()).collect();
    let fault = Fault::new(NO_SUCH_PARTNER, format!("there is no partner `{name}`"));
    match crate::config::nearest(name, known.iter()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.expected(format!("one of {}", known.join(", "))),
    }
}
