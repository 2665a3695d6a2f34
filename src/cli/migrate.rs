//! `civilhub migrate [plan]`

use std::{process::ExitCode, time::Duration};

use super::{Global, output};
use crate::{
    config::origin::without_secrets,
    error::Fault,
    store::{
        self, Store,
        health::{self, State, Step, Trouble},
    },
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Which steps are done, and the SQL of those that are not; changes nothing. Exit code 1 if the tables are not this program's.
    Plan(output::Format),
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let url = config.store_url();
    if let Some(Command::Plan(format)) = args.command {
        return plan(&url, format).await;
    }
    if url.starts_with("sqlite:") {
        // The first command of a new hub finds no folder.
        let unusable = |error: std::io::Error| {
            Fault::new(store::UNREACHABLE, format!("the data folder cannot be made: {}", error.kind())).hint("check `hub.data`")
        };
        std::fs::create_dir_all(&config.hub.data).map_err(unusable)?;
    }
    let store = Store::open(&url).await.map_err(|error| error.fault())?;
    store.migrate().await.map_err(|error| error.fault())?;
    output::say!("the store is up to date");
    Ok(ExitCode::SUCCESS)
}

async fn plan(url: &str, format: output::Format) -> anyhow::Result<ExitCode> {
    let steps = match health::look(url, Duration::from_secs(30)).await {
        Ok(look) => look.steps,
        Err(Trouble::NoFile) => health::fresh(),
        Err(trouble) => {
            let fault = Fault::new(store::UNREACHABLE, format!("`{}`: {trouble}", without_secrets(url)));
            return Err(fault.hint("`civilhub doctor` says more").into());
        }
    };
    if format.is_json() {
        output::json(&steps)?;
    } else {
        show(&steps);
    }
    Ok(output::findings(steps.iter().any(|step| !matches!(step.state, State::Applied | State::Pending))))
}

fn show(steps: &[Step]) {
    let state = |step: &Step| format!("{:?}", step.state).to_lowercase();
    let rows = steps.iter().map(|step| [step.version.to_string(), step.description.clone(), state(step)]);
    output::say!("{}", output::table(["step", "what", "state"], rows));
    for step in steps {
        if let Some(sql) = &step.sql {
            output::say!("\n-- step {}: {}\n{}", step.version, step.description, sql.trim_end());
        }
    }
    let pending = steps.iter().filter(|step| step.state == State::Pending).count();
    output::say!("\n{pending} of {} steps would be done by `civilhub migrate`", steps.len());
}
