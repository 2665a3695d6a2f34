//! `civilhub adapter load list|release|drop`

use std::process::ExitCode;

use super::{Global, output};
use crate::{adapter::load::held, error::Fault};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// As the store has them.
const STATES: [&str; 7] = ["reading", "ended", "held", "deleting", "done", "dropped", "superseded"];

#[derive(clap::Subcommand)]
enum Command {
    /// Full loads, the newest first.
    List {
        #[arg(long, value_parser = STATES)]
        state: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
    /// Let a held load delete what vanished; a running hub does it at its next look.
    Release(Decision),
    /// Delete nothing for a held load; the next full load decides again.
    Drop(Decision),
}

#[derive(clap::Args)]
struct Decision {
    /// Id of the load, from the list.
    id: String,
    /// Why; kept with the load.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let (decision, done) = match args.command {
        Command::List { state, limit, format } => {
            let loads = held::list(&store, state.as_deref(), limit).await.map_err(|error| error.fault())?;
            return list(&loads, format);
        }
        Command::Release(decision) => {
            (held::release(&store, &decision.id, &decision.reason).await, "is released; a running hub deletes what vanished")
        }
        Command::Drop(decision) => {
            (held::give_up(&store, &decision.id, &decision.reason).await, "is dropped; nothing is deleted")
        }
    };
    if decision.map_err(|error| error.fault())? {
        output::say!("the load {done}");
        return Ok(ExitCode::SUCCESS);
    }
    let fault = Fault::new(output::NOT_FOUND, "no held load has this id");
    Err(fault.hint("`civilhub adapter load list --state held` shows them").into())
}

fn list(loads: &[held::Summary], format: output::Format) -> anyhow::Result<ExitCode> {
    if format.is_json() {
        output::json(&loads)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cells = loads.iter().map(|load| {
        let [known, vanished, deleted, unread] = [load.known, load.vanished, load.deleted, load.unread].map(|n| n.to_string());
        [load.id.clone(), load.state.clone(), load.system.clone(), load.file.clone(), known, vanished, deleted, unread]
    });
    let headings = ["id", "state", "system", "file", "keys before", "vanished", "deleted", "unread rows"];
    output::say!("{}", output::table(headings, cells));
    Ok(ExitCode::SUCCESS)
}
