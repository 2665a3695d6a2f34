//! `civilhub demo`: everything in one process.

use std::{
    fs::{File, TryLockError},
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Global, books, dead, output, serve, trace};
use crate::{
    bus::STORAGE,
    config::Config,
    dead::Filter,
    deliver::lake,
    demo::{bank, province, sources, verdict},
    error::{Code, Fault, Faults},
    hub::{Hub, Role, Running, depths},
    ledger,
    store::Store,
    telemetry,
};

/// The demo could not write its province or start its stubs.
const DEMO: Code = Code::new(1007);

#[derive(clap::Args)]
pub(super) struct Args {
    /// Number of persons in the simulated province.
    #[arg(long, default_value_t = 2_000)]
    persons: u64,
    /// The same seed makes the same province.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End, with exit code 0, when everything is delivered, instead of waiting for Ctrl-C.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let mut config = global.config()?;
    if global.data.is_none() && config.hub.data == Path::new("data") {
        config.hub.data = PathBuf::from("data/demo");
    }
    telemetry::log::init(&config.log)?;
    // Before anything is written: a second demo would put its own bank into the first one's partner files.
    let _lock = lock(&config.hub.data)?;
    let dir = config.hub.data.join("province");
    write_province(&dir, &args).await?;
    let cancel = CancellationToken::new();
    start_stubs(&mut config, &dir, &cancel).await?;
    if args.once && std::env::var_os("CIVILHUB__HTTP__LISTEN").is_none() {
        // A run that ends by itself must not clash with a demo that stays up.
        config.http.listen = "127.0.0.1:0".to_owned();
    }
    province::hand_in(&dir, &config.inbox()).map_err(|error| failed(&error))?;
    let hub = Hub::open(config, global.config.as_deref()).await.map_err(Faults)?;
    let running = hub.start(Role::All).await.map_err(Faults)?;
    let started = Instant::now();
    flow(&running, &dir).await?;
    summary(&running, started.elapsed(), &dir).await?;
    if !args.once {
        if let Some(listen) = running.listen {
            output::say!("\nThe hub stays up: http://{listen} shows its status. Ctrl-C ends it.");
            let data = running.hub.config.hub.data.display();
            output::say!(
                "Its console: http://{listen}/console, after `civilhub console user add <name> --role administrator --data {data}`."
            );
        }
        serve::stop_signal().await;
    }
    cancel.cancel();
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The folder belongs to this process until the lock is dropped.
fn lock(data: &Path) -> Result<File, Fault> {
    let unusable = |error: &dyn std::fmt::Display| {
        Fault::new(STORAGE, format!("the data folder cannot be used: {error}")).in_file(data.display().to_string())
    };
    std::fs::create_dir_all(data).map_err(|error| unusable(&error))?;
    let file = File::create(data.join("demo.lock")).map_err(|error| unusable(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(unusable(&"another demo has it open").hint("one process may use a data folder at a time"))
        }
        Err(TryLockError::Error(error)) => Err(unusable(&error)),
    }
}

fn failed(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(DEMO, error.to_string()).hint("give an empty folder with --data")
}

async fn write_province(dir: &Path, args: &Args) -> anyhow::Result<()> {
    eprintln!("writing the exports of a province of {} persons (seed {}) …", args.persons, args.seed);
    let bar = bar(args.persons, "{spinner} {pos}/{len} persons");
    province::write(dir, args.persons, args.seed, &|done| bar.set_position(done))
        .await
        .map_err(|error| Faults(error.faults()))?;
    bar.finish_and_clear();
    Ok(())
}

/// Starts the stub systems and the stub bank, and tells the configuration where they are.
async fn start_stubs(config: &mut Config, dir: &Path, cancel: &CancellationToken) -> anyhow::Result<()> {
    let bank = bank::start(&config.hub.data.join("bank"), cancel.clone()).await.map_err(|error| failed(&error))?;
    let (mocks, mut values) = sources::start(dir).await.map_err(|error| Faults(error.faults()))?;
    values.push(("BANK_JLBANK_SECRET".to_owned(), bank::SECRET.to_owned()));
    values.push(("INTERNET_PLUS_TOKEN".to_owned(), "demo-mailbox-token-of-internet-plus".to_owned()));
    for (name, value) in values {
        config.env.entry(name).or_insert(value);
    }
    config.paths.partners = bank::partners(&config.paths.partners, &config.hub.data, bank).map_err(|error| failed(&error))?;
    let keep = cancel.clone();
    tokio::spawn(async move {
        keep.cancelled().await;
        drop(mocks);
    });
    Ok(())
}

/// Pushes what the systems with webhooks have, and shows the records flow until nothing is left to do.
async fn flow(running: &Running, dir: &Path) -> anyhow::Result<()> {
    let base = running.listen.map(|listen| format!("http://{listen}")).unwrap_or_default();
    let push = sources::push(dir, &base, &running.hub.adapters);
    let watch = show_flow(running);
    tokio::pin!(push, watch);
    let pushed = tokio::select! {
        pushed = &mut push => pushed,
        never = &mut watch => match never {},
    };
    pushed.map_err(|error| Faults(error.faults()))?;
    tokio::select! {
        () = running.wait_until_drained() => Ok(()),
        never = &mut watch => match never {},
    }
}

/// A live line on a terminal, a line every five seconds elsewhere.
async fn show_flow(running: &Running) -> std::convert::Infallible {
    let live = std::io::stderr().is_terminal();
    let spinner = bar(0, "{spinner} {msg}");
    let started = Instant::now();
    loop {
        let (counted, done) = totals(&running.hub.store).await;
        let waiting: u64 = depths(&running.hub).await.values().sum();
        let line = format!(
            "{counted} records received, {done} done, {waiting} messages on the bus, {:.0} s",
            started.elapsed().as_secs_f32()
        );
        if live {
            spinner.set_message(line)
        } else {
            eprintln!("{line}")
        }
        tokio::time::sleep(Duration::from_millis(if live { 300 } else { 5_000 })).await;
    }
}

async fn totals(store: &Store) -> (i64, i64) {
    let lines = ledger::books::books(store, None, 0).await.unwrap_or_default();
    lines
        .iter()
        .fold((0, 0), |(received, done), line| (received + line.received, done + line.received - line.in_flight - line.gap))
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// What the demo leaves to look at: books, verdict, three rejected records, one record's life, the lake.
async fn summary(running: &Running, took: Duration, dir: &Path) -> anyhow::Result<()> {
    let hub = &running.hub;
    let lines = ledger::books::books(&hub.store, None, 0).await.map_err(|error| error.fault())?;
    output::say!("\nThe books after {:.1} s\n{}", took.as_secs_f32(), books::table(&lines));
    let verdicts = verdict::judge(hub, dir).await.map_err(|error| failed(&error))?;
    output::say!("\nWhat the hub refused against what the simulator planted\n{}", verdict_table(&verdicts));
    let filter = Filter { state: Some("rejected".to_owned()), limit: 3, ..Filter::default() };
    let letters = crate::dead::list(&hub.store, &filter).await.map_err(|error| error.fault())?;
    output::say!(
        "\nThree rejected records and why (civilhub dead list --data {})\n{}",
        hub.config.hub.data.display(),
        dead::table(&letters)
    );
    show_trace(hub).await?;
    show_lake(hub).await
}

fn verdict_table(verdicts: &[verdict::Verdict]) -> comfy_table::Table {
    let percent = |part: usize, whole: usize| {
        if whole == 0 { "-".to_owned() } else { format!("{:.2} %", 100.0 * part as f64 / whole as f64) }
    };
    let rows = verdicts.iter().map(|verdict| {
        [
            verdict.system.clone(),
            verdict.planted.to_string(),
            verdict.refused.to_string(),
            percent(verdict.just, verdict.refused),
            percent(verdict.found, verdict.planted),
        ]
    });
    output::table(["system", "planted", "refused", "precision", "recall"], rows)
}

async fn show_trace(hub: &Hub) -> anyhow::Result<()> {
    let sql = "SELECT event_id FROM ledger WHERE kind = 'delivered' AND system = 'fund-payment' AND chain <> 'deliver.bigdata-platform' LIMIT 1";
    let any = "SELECT event_id FROM ledger WHERE kind = 'delivered' LIMIT 1";
    let mut rows = hub.store.read(sql, &[]).await.map_err(|error| error.fault())?;
    if rows.is_empty() {
        rows = hub.store.read(any, &[]).await.map_err(|error| error.fault())?;
    }
    if let Some(event) = rows.first().map(|row| row.text(0)) {
        let steps = ledger::trace::trace(&hub.store, &event).await.map_err(|error| error.fault())?;
        output::say!(
            "\nOne record's life (civilhub trace {event} --data {})\n{}",
            hub.config.hub.data.display(),
            trace::table(&steps)
        );
    }
    Ok(())
}

async fn show_lake(hub: &Hub) -> anyhow::Result<()> {
    let root = hub.config.lake_url();
    let counts = lake::counts(&root, &std::collections::HashMap::new()).await.map_err(|error| failed(&error))?;
    output::say!(
        "\nThe lake\n{}",
        output::table(["table", "rows"], counts.iter().map(|(table, rows)| [table.clone(), rows.to_string()]))
    );
    if let Some((table, _)) = counts.first() {
        output::say!(
            "\nRead it with DuckDB:\n  duckdb -c \"INSTALL delta; LOAD delta; SELECT * FROM delta_scan('{root}/{table}') LIMIT 10\""
        );
    }
    Ok(())
}
