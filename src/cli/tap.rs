//! `civilhub tap <queue> [--masked]`

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use serde_json::{Value, json};

use super::{Global, output};
use crate::{
    bus::{Queue, embedded::EmbeddedBus, rabbit::tap},
    config::{BusKind, Config, parse_duration},
    dead,
    error::Fault,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// records.<n>, deliver.<partner> or dead
    queue: String,
    /// Show the shape of records and nothing of their values.
    #[arg(long)]
    masked: bool,
    /// End after so many messages.
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// End after this time (RabbitMQ, where a tap shows what comes in from now on).
    #[arg(long = "for", default_value = "30s", value_parser = time)]
    time: Duration,
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "not a time such as 500ms, 20s or 5m".to_owned())
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let queue = Queue::parse(&args.queue).ok_or_else(|| {
        Fault::new(output::NOT_FOUND, "no queue has such a name").expected("records.<n>, deliver.<partner> or dead")
    })?;
    let mut shown = 0;
    match config.bus.kind {
        BusKind::Embedded => {
            for message in waiting(&config, &queue, args.count).await? {
                show(&message.0, &message.1, args.masked);
                shown += 1;
            }
        }
        BusKind::Rabbitmq => {
            eprintln!("showing what comes into `{}` from now on", args.queue);
            let print = |id: &str, body: bytes::Bytes| show(id, &body, args.masked);
            let tapped = tap::tap(&config.bus.url, &config.bus.prefix, &queue, args.count, args.time, print);
            shown = tapped.await.map_err(|error| error.fault())?;
        }
    }
    eprintln!("{shown} messages");
    Ok(ExitCode::SUCCESS)
}

fn show(id: &str, body: &[u8], masked: bool) {
    let message = match (masked, serde_json::from_slice::<Value>(body)) {
        (true, Ok(event)) => dead::masked(body, event.get("specversion").is_some()),
        (false, Ok(event)) => event,
        (_, Err(_)) => json!(format!("{} bytes that are not JSON", body.len())),
    };
    output::say!("{}", json!({ "id": id, "message": message }));
}

/// What waits in the embedded bus. A running hub holds its folder: then a copy is looked at.
async fn waiting(config: &Config, queue: &Queue, count: usize) -> anyhow::Result<Vec<(String, bytes::Bytes)>> {
    let folder = config.bus_dir();
    if !folder.is_dir() {
        let fault = Fault::new(output::NO_STORE, format!("there is no bus at `{}`", folder.display()));
        return Err(fault.hint("give the folder of a hub with --data").into());
    }
    let held = fs::File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
    if !held {
        return Ok(peek(&folder, queue, count).await?);
    }
    let copy = config.hub.data.join(format!(".tap-{}", std::process::id()));
    let mut looked =
        Err(Fault::new(output::NO_STORE, "the bus could not be copied").hint("try again when it is less busy, or stop the hub"));
    // The hub goes on writing: a copy may catch it between two files.
    for _ in 0..5 {
        if copied(&folder, &copy).is_ok() {
            looked = peek(&copy, queue, count).await;
        }
        let _ = fs::remove_dir_all(&copy);
        if looked.is_ok() {
            break;
        }
    }
    Ok(looked?)
}

async fn peek(folder: &Path, queue: &Queue, count: usize) -> Result<Vec<(String, bytes::Bytes)>, Fault> {
    use crate::bus::Bus;
    let bus = EmbeddedBus::open(folder).map_err(|error| error.fault())?;
    let messages = bus.peek(queue, count).await.map_err(|error| error.fault());
    bus.close().await;
    Ok(messages?.into_iter().map(|message| (message.id, message.body)).collect())
}

/// For the owner only, as the folder itself should be.
fn copied(from: &Path, to: &PathBuf) -> std::io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copied(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
