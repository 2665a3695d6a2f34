//! `civilhub top`: what flows, what waits, what is set aside, from what all processes write into the store.

use std::{collections::BTreeMap, io::IsTerminal, process::ExitCode, time::Duration};

use serde::Serialize;

use super::{Global, output, serve::stop_signal};
use crate::{
    clock,
    store::{Error, Store},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// One look, then end.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks; rates are over that time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    format: output::Format,
}

/// One system.
#[derive(Debug, Default, Serialize)]
struct SystemLine {
    system: String,
    /// Records handed over since the store was made.
    received: i64,
    /// Records a second since the last look.
    rate: f64,
    /// Dead letters that wait for a decision.
    dead: i64,
}

/// One queue.
#[derive(Debug, Serialize)]
struct QueueLine {
    queue: String,
    messages: i64,
    /// Age of the oldest message.
    oldest_seconds: i64,
    /// Messages that left it, a second, since the last look.
    rate: f64,
}

#[derive(Debug, Serialize)]
struct Screen {
    at: String,
    systems: Vec<SystemLine>,
    queues: Vec<QueueLine>,
    /// Seconds since a running process last counted the queues.
    seen_seconds: Option<i64>,
}

/// What one look counts.
#[derive(Default)]
struct Look {
    at: i64,
    received: BTreeMap<String, i64>,
    dead: BTreeMap<String, i64>,
    /// Messages, settled, oldest, when seen.
    queues: BTreeMap<String, (i64, i64, i64, i64)>,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let every = Duration::from_secs(args.interval);
    let mut before = look(&store).await.map_err(|error| error.fault())?;
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        tokio::select! {
            () = &mut stop => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(every) => {}
        }
        let now = look(&store).await.map_err(|error| error.fault())?;
        let screen = compare(&before, &now);
        if args.format.is_json() {
            output::json(&screen)?;
        } else {
            draw(&screen, !args.once);
        }
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

async fn look(store: &Store) -> Result<Look, Error> {
    let mut look = Look { at: clock::millis(), ..Look::default() };
    let received = "SELECT system, CAST(SUM(records + refused) AS BIGINT) FROM handed_over GROUP BY system";
    look.received = store.read(received, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect();
    let dead = "SELECT system, COUNT(*) FROM dead WHERE state IN ('parked', 'rejected') GROUP BY system";
    look.dead = store.read(dead, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect();
    let queues = "SELECT queue, messages, settled, oldest_at, at FROM queue_depth";
    let row = |row: &crate::store::Row| (row.text(0), (row.int(1), row.int(2), row.int(3), row.int(4)));
    look.queues = store.read(queues, &[]).await?.iter().map(row).collect();
    Ok(look)
}

fn compare(before: &Look, now: &Look) -> Screen {
    let seconds = ((now.at - before.at).max(1) as f64) / 1000.0;
    let rate = |now: i64, before: Option<i64>| ((now - before.unwrap_or(now)).max(0) as f64 / seconds * 10.0).round() / 10.0;
    let mut systems: BTreeMap<&str, SystemLine> = BTreeMap::new();
    for (system, received) in &now.received {
        let line = systems.entry(system).or_default();
        (line.received, line.rate) = (*received, rate(*received, before.received.get(system).copied()));
    }
    for (system, letters) in &now.dead {
        systems.entry(system).or_default().dead = *letters;
    }
    let queues = now.queues.iter().map(|(queue, (messages, settled, oldest, _))| QueueLine {
        queue: queue.clone(),
        messages: *messages,
        oldest_seconds: if *messages == 0 || *oldest == 0 { 0 } else { (now.at - oldest).max(0) / 1000 },
        rate: rate(*settled, before.queues.get(queue).map(|(_, settled, ..)| *settled)),
    });
    Screen {
        at: clock::rfc3339(clock::now()),
        systems: systems.into_iter().map(|(system, line)| SystemLine { system: system.to_owned(), ..line }).collect(),
        queues: queues.collect(),
        seen_seconds: now.queues.values().map(|(.., seen)| (now.at - seen).max(0) / 1000).min(),
    }
}

fn draw(screen: &Screen, again: bool) {
    if again && std::io::stdout().is_terminal() {
        // To the upper left corner, and everything below it away.
        output::say!("\x1b[H\x1b[J");
    }
    match screen.seen_seconds {
        Some(seconds) if seconds <= 5 => output::say!("{}", screen.at),
        Some(seconds) => output::say!("{}; no process has counted the queues for {seconds} s", screen.at),
        None => output::say!("{}; no process has counted the queues yet", screen.at),
    }
    let systems = screen
        .systems
        .iter()
        .map(|line| [line.system.clone(), line.rate.to_string(), line.received.to_string(), line.dead.to_string()]);
    output::say!("{}", output::table(["system", "records/s", "received", "dead letters"], systems));
    let queues = screen
        .queues
        .iter()
        .map(|line| [line.queue.clone(), line.rate.to_string(), line.messages.to_string(), line.oldest_seconds.to_string()]);
    output::say!("{}", output::table(["queue", "out/s", "messages", "oldest, s"], queues));
}
