//! `civilhub bundle`: what support needs to see, and nothing about a citizen.
//!
//! Only counts, codes and names of the configuration go in; of a dead letter not even its faults, whose places may hold the name
//! of a file. Every text passes the rule that blanks numbers of persons.

use std::{fs::File, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{Global, output};
use crate::{
    clock,
    config::{Config, keys::Keys, origin},
    doctor,
    hub::{Plans, Secrets},
    ledger::books,
    store::{Store, health},
    telemetry::log::blank_numbers,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// File to write; civilhub-bundle-<time>.zip if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The end of this log file of the hub goes in, its lines cleaned once more.
    #[arg(long)]
    log: Option<PathBuf>,
}

/// Most of a log that goes in.
const LOG_BYTES: usize = 2 << 20;
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let mut entries = vec![("program.json", pretty(&program()))];
    let findings = doctor::examine(global.config.as_deref(), global.data.as_deref(), false).await;
    entries.push(("doctor.json", pretty(&json!(findings))));
    if let Ok(values) = origin::entries(global.config.as_deref(), global.data.as_deref()) {
        entries.push(("config.json", pretty(&json!(values))));
    }
    if let Ok(config) = global.config() {
        entries.push(("metrics.txt", metrics(&config).await));
        entries.push(("plans.json", pretty(&plans(&config))));
        entries.push(("migrations.json", pretty(&migrations(&config).await)));
    }
    if let Ok((_, store)) = global.store().await {
        entries.extend(counts(&store).await);
    }
    if let Some(path) = &args.log {
        entries.push(("hub.log", log(&std::fs::read(path)?)));
    }
    let now = clock::rfc3339(clock::now()).replace([':', '+'], "-");
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("civilhub-bundle-{now}.zip")));
    write(&out, &entries)?;
    output::say!("{}: {} files", out.display(), entries.len());
    Ok(ExitCode::SUCCESS)
}

/// Readable by its owner only, and never over another file.
fn write(out: &PathBuf, entries: &[(&str, String)]) -> anyhow::Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(out)?;
    let mut archive = ZipWriter::new(file);
    for (name, text) in entries {
        archive.start_file(*name, SimpleFileOptions::default())?;
        archive.write_all(blank_numbers(text).as_bytes())?;
    }
    archive.finish()?.sync_all()?;
    Ok(())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn program() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": clock::rfc3339(clock::now()),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "limits": read("/proc/self/limits").lines().collect::<Vec<_>>(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

fn plans(config: &Config) -> Value {
    match Plans::load(config, &Keys::dry_run(), Secrets::Optional) {
        Err(faults) => json!({ "faults": faults.iter().map(|fault| fault.code.to_string()).collect::<Vec<_>>() }),
        Ok(plans) => {
            let agreement = |agreement: &crate::govern::agreement::Agreement| json!({ "id": agreement.id, "dataset": agreement.dataset, "from": clock::iso_date(agreement.valid_from), "to": clock::iso_date(agreement.valid_to), "fields": agreement.fields.len() });
            let partners = plans.agreements.partners().iter();
            json!({
                "schemas": plans.registry.iter().map(|schema| schema.id()).collect::<Vec<_>>(),
                "adapters": plans.adapters.iter().map(|spec| json!({ "system": spec.slug.as_str(), "kind": spec.kind.as_str(), "objects": spec.objects.len() })).collect::<Vec<_>>(),
                "partners": partners.map(|partner| json!({ "partner": partner.slug, "agreements": partner.agreements.iter().map(agreement).collect::<Vec<_>>() })).collect::<Vec<_>>(),
            })
        }
    }
}

async fn migrations(config: &Config) -> Value {
    match health::look(&config.store_url(), LIMIT).await {
        Ok(look) => {
            look.steps.iter().map(|step| json!({ "step": step.version, "what": step.description, "state": step.state })).collect()
        }
        Err(trouble) => json!(trouble.to_string()),
    }
}

/// Counts of the store, never a row of it.
async fn counts(store: &Store) -> Vec<(&'static str, String)> {
    let mut entries = Vec::new();
    if let Ok(waiting) = books::waiting(store).await
        && let Ok(lines) = books::books(store, None, waiting).await
    {
        entries.push(("books.json", pretty(&json!(lines))));
    }
    let dead = "SELECT code, stage, state, system, dataset, subscription, COUNT(*), MIN(at), MAX(at) FROM dead GROUP BY code, stage, state, system, dataset, subscription";
    if let Ok(rows) = store.read(dead, &[]).await {
        let row = |row: &crate::store::Row| {
            json!({ "code": row.text(0), "stage": row.text(1), "state": row.text(2), "system": row.text(3), "dataset": row.text(4),
                    "subscription": row.text(5), "letters": row.int(6), "first": row.int(7), "last": row.int(8) })
        };
        entries.push(("dead.json", pretty(&rows.iter().map(row).collect())));
    }
    if let Ok(rows) = store.read("SELECT queue, messages, at, settled, oldest_at FROM queue_depth", &[]).await {
        let row = |row: &crate::store::Row| json!({ "queue": row.text(0), "messages": row.int(1), "at": row.int(2), "settled": row.int(3), "oldest_at": row.int(4) });
        entries.push(("queues.json", pretty(&rows.iter().map(row).collect())));
    }
    entries
}

/// What a running process says of itself.
async fn metrics(config: &Config) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(&config.http.listen).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = String::new();
        stream.take(4 << 20).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, asked).await.ok().and_then(Result::ok);
    let ours = answer.filter(|answer| answer.contains("civilhub_"));
    ours.and_then(|answer| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()))
        .unwrap_or_else(|| "no process answers on `http.listen`\n".to_owned())
}

/// Lines that the hub writes, without those whose texts are somebody else's.
fn log(bytes: &[u8]) -> String {
    let tail = &bytes[bytes.len().saturating_sub(LOG_BYTES)..];
    let text = String::from_utf8_lossy(tail).into_owned();
    let ours = |line: &&str| line.contains("civilhub") && line.is_ascii();
    text.lines().filter(ours).map(|line| format!("{line}\n")).collect()
}
