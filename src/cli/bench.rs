//! `civilhub bench adapters|pipeline|identity|settle`

use std::{path::Path, process::ExitCode, sync::Arc};

use serde::Serialize;

use super::{Global, output};
use crate::{
    bench::{meter::Measure, pipeline, relay},
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
        Command::Settle(args) => return super::settle::bench::run(global, &args).await,
        Command::Pipeline { records, persons, amqp, store, format } => (records, persons, amqp, store, format),
    };
    let config = global.config()?;
    let folder = std::env::temp_dir().join(format!("civilhub-bench-{}", std::process::id()));
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

async fn measure(
    base: &Config,
    folder: &Path,
    amqp: Option<&String>,
    store: &str,
    (records, persons): (u64, u64),
) -> anyhow::Result<Pair> {
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
    let hub = Hub::open(config, None).await.map_err(Faults)?;
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
