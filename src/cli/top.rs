//! `civilhub top`: what flows, what waits, what is set aside, from what all processes write into the store.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use super::{Global, output, serve::stop_signal};
use crate::hub::flow::{Screen, compare, look};

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
