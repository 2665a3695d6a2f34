//! `civilhub serve [role]`

use std::process::ExitCode;

use super::Global;
use crate::{
    error::Faults,
    hub::{Hub, Role},
    telemetry,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// What this process does.
    #[arg(value_enum, default_value = "all")]
    role: Role,
    /// Stop, with exit code 0, when all sources are read and all queues are empty.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    telemetry::log::init(&config.log)?;
    telemetry::export::start(&config.traces, args.role.name())?;
    let hub = Hub::open(config, global.config.as_deref()).await.map_err(Faults)?;
    let running = hub.start(args.role).await.map_err(Faults)?;
    if let Some(listen) = running.listen {
        tracing::info!(%listen, "the hub is ready");
    }
    if args.once {
        running.wait_until_drained().await;
    } else {
        stop_signal().await;
    }
    tracing::info!("the hub is stopping");
    running.stop().await;
    telemetry::export::flush().await;
    Ok(ExitCode::SUCCESS)
}

/// Waits for Ctrl-C or a termination signal.
pub(super) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
