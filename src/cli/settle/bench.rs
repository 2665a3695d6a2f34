//! `civilhub bench settle`

use std::{process::ExitCode, sync::Arc};

use super::{super::Global, desk::policy};
use crate::{
    cli::output,
    clock,
    config::keys::Keys,
    settle::desk::{
        Desk,
        bench::{self, Load, Measured},
    },
    store::Store,
};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Settlements a second that are offered.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Patients, each seen by two hospitals at once.
    #[arg(long, default_value_t = 100)]
    persons: u64,
    /// Callers at once.
    #[arg(long, default_value_t = 16)]
    callers: u64,
    /// Name of the run. One that was killed goes on under its name: what became of a key is asked first.
    #[arg(long)]
    run: Option<String>,
    /// Store: sqlite (in a temporary folder) or the address of a PostgreSQL database.
    #[arg(long, default_value = "sqlite")]
    store: String,
    #[command(flatten)]
    format: output::Format,
}

pub(in crate::cli) async fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("civilhub-bench-settle-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let url = match args.store.as_str() {
        "sqlite" => format!("sqlite://{}", folder.join("hub.db").display()),
        url => url.to_owned(),
    };
    let store = Store::open(&url).await.map_err(|error| error.fault())?;
    store.migrate().await.map_err(|error| error.fault())?;
    let desk = Desk::new(store.clone(), Keys::dry_run(), Arc::new(policy(global)?));
    let load = Load {
        rate: args.rate,
        seconds: args.seconds,
        persons: args.persons,
        callers: args.callers,
        resumed: args.run.is_some(),
    };
    let run_no = args.run.clone().unwrap_or_else(|| format!("b{}", clock::millis()));
    let measured = bench::run(&desk, load, &run_no).await;
    store.close().await;
    let _ = std::fs::remove_dir_all(&folder);
    let measured = measured?;
    if args.format.is_json() {
        output::json(&measured)?;
    } else {
        output::say!("{}", table(&measured));
    }
    Ok(output::findings(measured.wrong + measured.not_once > 0 || measured.unexpected > 0))
}

fn table(measured: &Measured) -> comfy_table::Table {
    let times = |p50: f64, p99: f64| (format!("{p50:.2}"), format!("{p99:.2}"));
    let (quote, settle) =
        (times(measured.quote_p50_ms, measured.quote_p99_ms), times(measured.settle_p50_ms, measured.settle_p99_ms));
    let rows = [
        ["settlements".to_owned(), measured.settlements.to_string()],
        ["reversals".to_owned(), measured.reversals.to_string()],
        ["settlements a second".to_owned(), format!("{:.1}", measured.rate)],
        ["quote, ms, p50".to_owned(), quote.0],
        ["quote, ms, p99".to_owned(), quote.1],
        ["settle, ms, p50".to_owned(), settle.0],
        ["settle, ms, p99".to_owned(), settle.1],
        ["cut by the cap".to_owned(), measured.capped.to_string()],
        ["given up waiting, then asked".to_owned(), measured.abandoned.to_string()],
        ["differences planted, found".to_owned(), format!("{}, {}", measured.planted, measured.found)],
        ["visits without exactly one settlement".to_owned(), measured.not_once.to_string()],
        ["differences missed or invented".to_owned(), measured.unexpected.to_string()],
        ["above a cap, or not the sum".to_owned(), measured.wrong.to_string()],
    ];
    output::table(["what", "measured"], rows)
}
