//! `civilhub ledger verify|export`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Global, output};
use crate::{config::keys::Keys, ledger::verify};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Recompute every chain; names the first bad row of each.
    Verify(output::Format),
    /// Print all rows as NDJSON.
    Export {
        /// Only this day, yyyy-mm-dd.
        #[arg(long, value_parser = output::day)]
        date: Option<String>,
    },
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (config, store) = global.store().await?;
    match args.command {
        Command::Verify(format) => {
            let keys = Keys::load(&config.key_file())?;
            let report = verify::verify(&store, &keys.ledger.verifying_key()).await.map_err(|error| error.fault())?;
            if format.is_json() {
                output::json(&report)?;
            } else {
                output::report(&report.faults);
                output::say!("{} chains, {} rows, {} faults", report.chains, report.rows, report.faults.len());
            }
            Ok(output::findings(!report.faults.is_empty()))
        }
        Command::Export { date } => {
            export(&store, date.as_deref().unwrap_or_default()).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn export(store: &crate::store::Store, date: &str) -> anyhow::Result<()> {
    let sql = "SELECT chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash FROM ledger \
               WHERE ($1 = '' OR bookdate = $1) AND (chain > $2 OR (chain = $2 AND seq > $3)) ORDER BY chain, seq LIMIT 5000";
    let (mut chain, mut seq) = (String::new(), 0_i64);
    loop {
        let page = store.read(sql, &[date.into(), chain.as_str().into(), seq.into()]).await.map_err(|error| error.fault())?;
        let Some(last) = page.last() else { return Ok(()) };
        (chain, seq) = (last.text(0), last.int(1));
        for row in &page {
            let body: Value = serde_json::from_str(&row.text(8)).unwrap_or(Value::Null);
            let line = json!({
                "chain": row.text(0), "seq": row.int(1), "at": row.int(2), "kind": row.text(3), "event_id": row.text(4), "system": row.text(5),
                "date": row.text(6), "dataset": row.text(7), "body": body, "hash": row.text(9)
            });
            output::say!("{line}");
        }
    }
}
