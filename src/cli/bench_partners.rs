//! `civilhub bench partners`

use std::process::ExitCode;

use serde::Serialize;

use super::{Global, output};
use crate::{
    bench::partners::{self, Signed, Verified},
    error::Faults,
    exchange::banks,
    hub::{Hub, Role},
    signature::algorithm::Algorithm,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Signed requests of each algorithm; 0 for none.
    #[arg(long, default_value_t = 5_000)]
    requests: usize,
    /// Bank queries of one night.
    #[arg(long, default_value_t = 44_000)]
    queries: usize,
    /// Times the night's load for the second measurement; 1 for none.
    #[arg(long, default_value_t = 10)]
    factor: usize,
    #[command(flatten)]
    format: output::Format,
}

#[derive(Serialize)]
struct Report {
    signed: Vec<Signed>,
    verified: Vec<Verified>,
}

pub(super) async fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("civilhub-bench-partners-{}", std::process::id()));
    let measured = measure(global, args, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    let report = measured?;
    if args.format.is_json() {
        output::json(&report)?;
    } else {
        show(&report);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(global: &Global, args: &Args, folder: &std::path::Path) -> anyhow::Result<Report> {
    let mut report = Report { signed: Vec::new(), verified: Vec::new() };
    if args.requests > 0 {
        let mut config = global.config()?;
        partners::prepare(&mut config, &folder.join("api")).await?;
        let hub = Hub::open(config, None).await.map_err(Faults)?;
        let running = hub.start(Role::Api).await.map_err(Faults)?;
        for algorithm in Algorithm::ALL {
            report.signed.push(partners::signed(&running, algorithm, args.requests).await?);
        }
        running.stop().await;
    }
    let loads = if args.factor > 1 { vec![1, args.factor] } else { vec![1] };
    for (number, factor) in loads.into_iter().enumerate().filter(|_| args.queries > 0) {
        let mut config = global.config()?;
        partners::prepare(&mut config, &folder.join(format!("night{number}"))).await?;
        let hub = Hub::open(config, None).await.map_err(Faults)?;
        report.verified.push(partners::verified(&hub, (args.queries * factor).div_ceil(banks().len())).await?);
    }
    Ok(report)
}

fn show(report: &Report) {
    let signed = report.signed.iter().map(|signed| {
        let cells = [format!("{:.0}", signed.measure.rate), format!("{:.1}", signed.p50_ms), format!("{:.1}", signed.p99_ms)];
        let [rate, half, slow] = cells;
        [signed.algorithm.to_owned(), signed.measure.records.to_string(), rate, half, slow, signed.measure.peak_mib.to_string()]
    });
    output::say!("{}", output::table(["signed requests", "count", "per second", "p50 ms", "p99 ms", "peak MiB"], signed));
    let verified = report.verified.iter().map(|verified| {
        let (rate, time) = (format!("{:.0}", verified.measure.rate), format!("{:.1} s", verified.measure.seconds));
        [verified.measure.records.to_string(), verified.reports.to_string(), rate, time, verified.measure.peak_mib.to_string()]
    });
    output::say!("{}", output::table(["bank queries", "reports", "per second", "done in", "peak MiB"], verified));
}
