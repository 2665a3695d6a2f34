//! `civilhub books`

use std::process::ExitCode;

use serde_json::json;

use super::{Global, output};
use crate::ledger::books::{self, Line};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only this day, yyyy-mm-dd.
    #[arg(long, value_parser = output::day)]
    date: Option<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let waiting = books::waiting(&store).await.map_err(|error| error.fault())?;
    let lines = books::books(&store, args.date.as_deref(), waiting).await.map_err(|error| error.fault())?;
    if args.format.is_json() {
        output::json(&json!({ "rows": lines }))?;
    } else {
        output::say!("{}", table(&lines));
    }
    Ok(output::findings(lines.iter().any(|line| line.gap != 0)))
}

/// The books as a table with a total.
pub(super) fn table(lines: &[Line]) -> comfy_table::Table {
    let headings =
        ["date", "system", "received", "delivered", "rejected", "parked", "superseded", "duplicate", "in flight", "gap"];
    let mut rows: Vec<[String; 10]> = lines.iter().map(|line| row(&line.date, &line.system, numbers(line))).collect();
    let mut total = [0; 8];
    for line in lines {
        for (sum, number) in total.iter_mut().zip(numbers(line)) {
            *sum += number;
        }
    }
    rows.push(row("", "total", total));
    output::table(headings, rows)
}

fn numbers(line: &Line) -> [i64; 8] {
    [line.received, line.delivered, line.rejected, line.parked, line.superseded, line.duplicate, line.in_flight, line.gap]
}

fn row(date: &str, system: &str, numbers: [i64; 8]) -> [String; 10] {
    std::array::from_fn(|column| match column {
        0 => date.to_owned(),
        1 => system.to_owned(),
        _ => numbers[column - 2].to_string(),
    })
}
