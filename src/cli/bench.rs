//! `civilhub bench adapters|pipeline|soak|identity|settle|partners`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

use super::{Global, output};
use crate::{
    bench::{meter::Measure, pipeline, relay, soak},
    bus::Topology,
    config::{BusKind, Config},
    error::Faults,
    hub::Hub,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every format: decoder, mapping and envelope in rows per CPU second, beside the bare library on the same bytes.
    Adapters(super::bench_adapters::Args),
    /// Linking of people in memory, with the truth at hand.
    Identity(super::identity::bench::Args),
    /// The settlement desk: two hospitals race for every cap.
    Settle(super::settle::bench::Args),
    /// Signed requests to the partner API, and verifications over the 17 simulated banks.
    Partners(super::bench_partners::Args),
    /// The road at half of its top speed for a long time: memory, descriptors and books. Exit code 1 if one of them is not well.
    Soak {
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Records of the run that finds the top speed.
        #[arg(long, default_value_t = 50_000)]
        records: u64,
        #[arg(long, default_value_t = 10_000)]
        persons: u64,
        /// AMQP address of a broker; the embedded bus without it.
        #[arg(long)]
        amqp: Option<String>,
        /// Store: sqlite (in a temporary folder) or the address of a PostgreSQL database.
        #[arg(long, default_value = "sqlite")]
        store: String,
        /// Growth of memory that is still flat, in percent.
        #[arg(long, default_value_t = 5.0)]
        most_growth: f64,
        #[command(flatten)]
        format: output::Format,
    },
    /// The two-hop road of a record, beside a bare relay with the same hops and confirms.
    Pipeline {
        #[arg(long, default_value_t = 50_000)]
        records: u64,
        /// Payees of the payments, who take turns: a new one costs an entry in the person index.
        #[arg(long, default_value_t = 10_000)]
        persons: u64,
        /// AMQP address of a broker; without it only the embedded bus is measured.
        #[arg(long, env = "CIVILHUB_TEST_AMQP")]
        amqp: Option<String>,
        /// Store: sqlite (in a temporary folder) or the address of a PostgreSQL database.
        #[arg(long, default_value = "sqlite")]
        store: String,
        #[command(flatten)]
        format: output::Format,
    },
}

/// The two measurements on one bus.
#[derive(Serialize)]
struct Pair {
    bus: &'static str,
    hub: Measure,
    relay: Measure,
    /// Rate of the hub over rate of the bare relay.
    ratio: f64,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (records, persons, amqp, store, format) = match args.command {
        Command::Adapters(args) => return super::bench_adapters::run(global, args).await,
        Command::Identity(args) => return super::identity::bench::run(&args).await,
        Command::Partners(args) => return super::bench_partners::run(global, &args).await,
        Command::Settle(args) => return super::settle::bench::run(global, &args).await,
        Command::Soak { minutes, records, persons, amqp, store, most_growth, format } => {
            let hub = open(&global.config()?, &temporary(), amqp.as_ref(), &store).await?;
            let report = soak::run(&hub, Duration::from_secs(minutes * 60), records, persons).await?;
            hub.bus.close().await;
            let _ = std::fs::remove_dir_all(temporary());
            return soaked(&report, most_growth, format);
        }
        Command::Pipeline { records, persons, amqp, store, format } => (records, persons, amqp, store, format),
    };
    let config = global.config()?;
    let folder = temporary();
    let mut pairs = vec![measure(&config, &folder.join("embedded"), None, &store, (records, persons)).await?];
    if let Some(url) = &amqp {
        pairs.push(measure(&config, &folder.join("rabbitmq"), Some(url), &store, (records, persons)).await?);
    }
    let _ = std::fs::remove_dir_all(&folder);
    if format.is_json() {
        output::json(&pairs)?;
    } else {
        output::say!("{}", table(&pairs));
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of this run.
fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("civilhub-bench-{}", std::process::id()))
}

fn soaked(report: &soak::Report, most_growth: f64, format: output::Format) -> anyhow::Result<ExitCode> {
    if format.is_json() {
        output::json(report)?;
    } else {
        let rows = report.samples.iter().map(|sample| {
            let memory = format!("{:.1}", sample.memory_mib);
            [format!("{:.0}", sample.seconds), sample.records.to_string(), memory, sample.descriptors.to_string()]
        });
        output::say!("{}", output::table(["second", "records", "memory, MiB", "descriptors"], rows));
        output::say!(
            "top speed {:.0}/s, soaked at {:.0}/s; {} records offered, {} delivered; memory {:+.1} %, descriptors {:+}, gap {}",
            report.top_rate,
            report.rate,
            report.offered,
            report.delivered,
            report.memory_growth_percent,
            report.descriptor_growth,
            report.gap
        );
    }
    Ok(output::findings(!report.is_well(most_growth)))
}

async fn measure(
    base: &Config,
    folder: &Path,
    amqp: Option<&String>,
    store: &str,
    (records, persons): (u64, u64),
) -> anyhow::Result<Pair> {
    let hub = open(base, folder, amqp, store).await?;
    let measured = pipeline::run(&hub, records, persons).await?;
    let relayed = bare(&hub, records).await.map_err(|error| error.fault())?;
    hub.bus.close().await;
    Ok(Pair {
        bus: if amqp.is_some() { "rabbitmq" } else { "embedded" },
        ratio: measured.rate / relayed.rate,
        hub: measured,
        relay: relayed,
    })
}

async fn open(base: &Config, folder: &Path, amqp: Option<&String>, store: &str) -> anyhow::Result<Arc<Hub>> {
    let mut config = base.clone();
    config.hub.data = folder.to_owned();
    config.paths.partners = folder.join("partners");
    pipeline::write_partner(&config.paths.partners)?;
    if store != "sqlite" {
        config.store.url = store.to_owned();
    }
    if let Some(url) = amqp {
        config.bus.kind = BusKind::Rabbitmq;
        config.bus.url = url.clone();
        config.bus.prefix = format!("bench{}.", std::process::id());
    }
    Ok(Hub::open(config, None).await.map_err(Faults)?)
}

async fn bare(hub: &Arc<Hub>, records: u64) -> Result<Measure, crate::bus::Error> {
    let partitions = hub.config.bus.partitions;
    hub.bus.declare(&Topology { partitions, subscriptions: vec!["relay".into()] }).await?;
    let payload = vec![b'x'; 1024].into();
    relay::run(Arc::clone(&hub.bus), partitions, "relay", payload, records, hub.config.bus.prefetch).await
}

fn table(pairs: &[Pair]) -> comfy_table::Table {
    let mut rows = Vec::new();
    for pair in pairs {
        rows.push(row(pair.bus, "hub", &pair.hub, format!("{:.2}", pair.ratio)));
        rows.push(row(pair.bus, "bare relay", &pair.relay, String::new()));
    }
    output::table(["bus", "what", "records", "records/s", "CPU s per million", "peak MiB", "hub / relay"], rows)
}

fn row(bus: &str, what: &str, measure: &Measure, ratio: String) -> [String; 7] {
    let (rate, cpu) = (format!("{:.0}", measure.rate), format!("{:.1}", measure.cpu_seconds_per_million));
    [bus.to_owned(), what.to_owned(), measure.records.to_string(), rate, cpu, measure.peak_mib.to_string(), ratio]
}
