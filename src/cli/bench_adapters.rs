//! `civilhub bench adapters`

use std::process::ExitCode;

use super::{Global, output};
use crate::bench::adapters::{self, Line, Speed, Wish};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Rows of each format.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rows: u64,
    /// Rounds in which all formats take turns; one more goes ahead and does not count.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Formats to measure, separated by commas; all when not given.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(adapters::formats()))]
    formats: Vec<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let folder = global.config()?.paths.adapters;
    let wish = Wish { rows: args.rows, rounds: usize::from(args.rounds), formats: args.formats };
    let lines = tokio::task::spawn_blocking(move || adapters::run(&folder, &wish)).await??;
    if args.format.is_json() {
        output::json(&lines)?;
    } else {
        output::say!("{}", table(&lines));
        if let Some(line) = lines.iter().find(|line| line.slowest) {
            output::say!(
                "slowest beside its library: {} at {:.2} of the speed of {} ({} {}, {:.0} rows per CPU second)",
                line.format,
                line.ratio,
                line.library,
                line.adapter,
                line.object,
                line.decoder.median
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(lines: &[Line]) -> comfy_table::Table {
    let row = |line: &Line| {
        [
            line.format.to_owned(),
            format!("{} {}", line.adapter, line.object),
            line.rows.to_string(),
            (line.bytes / line.rows.max(1)).to_string(),
            format!("{} {}", shown(&line.bare), line.library),
            shown(&line.decoder),
            shown(&line.road),
            format!("{:.2}{}", line.ratio, if line.slowest { " slowest" } else { "" }),
        ]
    };
    let headings = [
        "format",
        "adapter",
        "rows",
        "bytes a row",
        "bare library, rows per CPU s",
        "decoder, rows per CPU s",
        "decode, map, envelope, rows per CPU s",
        "decoder / bare",
    ];
    output::table(headings, lines.iter().map(row))
}

/// The median, and how far the rounds lie apart.
fn shown(speed: &Speed) -> String {
    format!("{:.0} ±{:.0}%", speed.median, speed.spread_percent / 2.0)
}
