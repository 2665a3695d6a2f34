//! The command line. Exit codes: 0 good, 1 findings, 2 usage.
//!
//! Results go to standard output, faults and progress to standard error. Every command that prints a table has `-o json`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the module that prints")]

mod adapter;
mod adapter_docs;
mod adapter_kit;
mod adapter_lint;
mod adapter_new;
mod adapter_test;
mod bench;
mod bench_adapters;
mod bench_partners;
mod books;
mod bundle;
mod check;
mod citizen;
mod config;
mod console;
mod dead;
mod demo;
mod disaster;
mod disclosure;
mod dispute;
mod doctor;
mod identity;
mod ledger;
mod load;
mod migrate;
mod output;
mod partner;
mod probe;
mod schema;
mod serve;
mod settle;
mod simulate;
mod supervise;
mod tap;
mod top;
mod trace;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    config::{Config, keys::Keys},
    desk::Desk,
    error::{Fault, Faults},
    hub::person_index,
    store::Store,
};

/// The integration hub of a provincial Department of Civil Affairs.
#[derive(Parser)]
#[command(name = "civilhub", version, about, infer_subcommands = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(clap::Args, Clone)]
pub(crate) struct Global {
    /// Configuration file, above the built-in defaults.
    #[arg(long, global = true, env = "CIVILHUB_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of the hub's own data (overrides hub.data).
    #[arg(long, global = true)]
    data: Option<PathBuf>,
}

impl Global {
    pub(crate) fn config(&self) -> Result<Config, Faults> {
        Config::load(self.config.as_deref(), self.data.as_deref()).map_err(Faults)
    }

    /// The store of the configuration, for reading commands: it must exist already.
    pub(crate) async fn store(&self) -> anyhow::Result<(Config, Store)> {
        let config = self.config()?;
        let url = config.store_url();
        if let Some(path) = url.strip_prefix("sqlite://")
            && !std::path::Path::new(path).is_file()
        {
            let fault = Fault::new(output::NO_STORE, format!("there is no store at `{path}`"))
                .hint("give the folder of a hub with --data, or start one with `civilhub demo`");
            return Err(fault.into());
        }
        let store = Store::open(&url).await.map_err(|error| error.fault())?;
        Ok((config, store))
    }
}

impl Global {
    /// The desk over the store of the configuration, its tables up to date.
    pub(crate) async fn desk(&self) -> anyhow::Result<Desk> {
        let (config, store) = self.store().await?;
        let keys = Keys::load(&config.key_file())?;
        store.migrate().await.map_err(|error| error.fault())?;
        let index = person_index(&store, &keys)?;
        index.check_keys().await.map_err(|error| error.fault())?;
        Ok(Desk { store, index, key: keys.ledger })
    }
}

#[derive(Subcommand)]
enum Command {
    /// Everything in one process: a simulated province flows through the hub.
    Demo(demo::Args),
    /// Run roles: all, adapters, router, deliver or api.
    Serve(serve::Args),
    /// Check configuration, schemas, adapters and partners: every fault at once, off line.
    Check(output::Format),
    /// Look at everything a hub stands on, and say what is wrong and what to do.
    Doctor(doctor::Args),
    /// The configuration that holds, value by value.
    Config(config::Args),
    /// Try, test and list adapters.
    Adapter(adapter::Args),
    /// List, validate and compare schemas.
    Schema(schema::Args),
    /// Partners: who receives what, in which form, until when.
    Partner(partner::Args),
    /// Verification of households at the banks: authorisations, requests, reports.
    Verify(verify::Args),
    /// One record's whole life, by event, delivery or dead-letter id.
    Trace(trace::Args),
    /// Accounts of the console.
    Console(console::Args),
    /// Dead letters: list, show, replay, discard.
    Dead(dead::Args),
    /// The books: per source and day, what became of every record.
    Books(books::Args),
    /// Verify or export the hash-chained ledger.
    Ledger(ledger::Args),
    /// Link records of people, learn how, and decide about persons: review, merge, split.
    Identity(identity::Args),
    /// One citizen's own view: what the hub holds, from whom, and who received it when.
    Citizen(citizen::Args),
    /// Medical assistance: what aid is due, and settlement.
    Settle(settle::Args),
    /// Rules over what is known of persons, and the alerts they raise.
    Supervise(supervise::Args),
    /// Disaster reports over four levels: rolled up, checked, returned, reported.
    Disaster(disaster::Args),
    /// Notices to the public: what stands on a day.
    Disclosure(disclosure::Args),
    /// Disputes about fields of records: opened, answered by the owner, followed to every receiver.
    Dispute(dispute::Args),
    /// Write the legacy exports of a simulated province.
    Simulate(simulate::Args),
    /// Measure the hub.
    Bench(bench::Args),
    /// Bring the store's tables up to date, or show what that would do.
    Migrate(migrate::Args),
    /// What flows, what waits and what is set aside, renewed every second.
    Top(top::Args),
    /// Show messages of a queue without taking them.
    Tap(tap::Args),
    /// An archive for support: configuration, findings, books and counts, and nothing about a citizen.
    Bundle(bundle::Args),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Try records from standard input, for the hub that started this.
    #[command(hide = true)]
    Probe,
}

/// Parses the command line, runs, and turns the result into an exit code.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    // The default hook prints what a panic says, which may quote a row.
    crate::adapter::map::hide_panic_payloads();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("civilhub: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(code) => code,
        Err(error) => output::failure(&error),
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Serve(args) => serve::run(&global, args).await,
        Command::Check(format) => check::run(&global, format),
        Command::Adapter(args) => adapter::run(&global, args).await,
        Command::Schema(args) => schema::run(&global, args),
        Command::Partner(args) => partner::run(&global, args).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Trace(args) => trace::run(&global, args).await,
        Command::Console(args) => console::run(&global, args).await,
        Command::Dead(args) => dead::run(&global, args).await,
        Command::Books(args) => books::run(&global, args).await,
        Command::Ledger(args) => ledger::run(&global, args).await,
        Command::Identity(args) => identity::run(&global, args).await,
        Command::Citizen(args) => citizen::run(&global, args).await,
        Command::Settle(args) => settle::run(&global, args).await,
        Command::Supervise(args) => supervise::run(&global, args).await,
        Command::Disaster(args) => disaster::run(&global, args).await,
        Command::Disclosure(args) => disclosure::run(&global, args).await,
        Command::Dispute(args) => dispute::run(&global, args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Bench(args) => bench::run(&global, args).await,
        Command::Migrate(args) => migrate::run(&global, args).await,
        Command::Doctor(args) => doctor::run(&global, args).await,
        Command::Config(args) => config::run(&global, args),
        Command::Top(args) => top::run(&global, args).await,
        Command::Tap(args) => tap::run(&global, args).await,
        Command::Bundle(args) => bundle::run(&global, args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "civilhub", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Probe => probe::run(&global),
    }
}
