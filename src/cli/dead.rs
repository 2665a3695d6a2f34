//! `civilhub dead list|show|replay|discard|stop`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Global, output, trace::moment};
use crate::{
    config::keys::Keys,
    dead::{self, Filter, Summary, replay},
    error::Fault,
    store::Store,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The letters that fit, without their bodies.
    List {
        #[command(flatten)]
        which: Which,
        #[arg(long, default_value_t = 50)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
    /// What failed, by its kind.
    Groups {
        /// Only of this division and those below: leading digits of its code.
        #[arg(long, default_value = "")]
        division: String,
        #[arg(long, default_value_t = 200)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
    /// One letter with its faults and its body, personal fields masked.
    Show {
        id: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// Send letters on their way again. Says how many fit, and acts when told the same number.
    Replay(Decision),
    /// Give letters up for good. Says how many fit, and acts when told the same number.
    Discard(Decision),
    /// Stop a running replay: what has not been sent is parked again.
    Stop,
}

/// As [`dead::State`] writes them.
const STATES: [&str; 6] = ["parked", "rejected", "replaying", "underway", "replayed", "discarded"];

#[derive(clap::Args)]
struct Which {
    #[arg(long)]
    id: Option<String>,
    #[arg(long, value_parser = STATES)]
    state: Option<String>,
    #[arg(long)]
    system: Option<String>,
    #[arg(long)]
    subscription: Option<String>,
    /// Code of the first fault, e.g. CH-4103
    #[arg(long)]
    code: Option<String>,
}

#[derive(clap::Args)]
struct Decision {
    #[command(flatten)]
    which: Which,
    /// The number of letters that the command named before.
    #[arg(long)]
    count: Option<i64>,
    /// Why; goes into the ledger.
    #[arg(long)]
    reason: String,
}

impl Which {
    fn filter(self, limit: i64) -> Filter {
        Filter {
            id: self.id,
            state: self.state,
            system: self.system,
            subscription: self.subscription,
            code: self.code,
            limit,
            ..Filter::default()
        }
    }
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (config, store) = global.store().await?;
    let keys = Keys::load(&config.key_file())?;
    match args.command {
        Command::List { which, limit, format } => list(&store, which.filter(limit), format).await,
        Command::Groups { division, limit, format } => groups(&store, &division, limit, format).await,
        Command::Show { id, format } => show(&store, &keys, id, format).await,
        Command::Replay(decision) => {
            let (filter, reason) =
                confirmed(&store, decision, "('parked', 'rejected') AND stage IN ('route', 'deliver')").await?;
            let count = replay::request(&store, keys.ledger, &filter, &reason).await.map_err(|error| error.fault())?;
            output::say!("{count} letters are on their way; a running hub sends them, `civilhub dead stop` takes back the rest");
            Ok(ExitCode::SUCCESS)
        }
        Command::Discard(decision) => {
            let (filter, reason) = confirmed(&store, decision, "('parked', 'rejected')").await?;
            let count = replay::discard(&store, keys.ledger, &filter, &reason).await.map_err(|error| error.fault())?;
            output::say!("{count} letters are given up");
            Ok(ExitCode::SUCCESS)
        }
        Command::Stop => {
            output::say!("{} letters are parked again", replay::stop(&store).await.map_err(|error| error.fault())?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn groups(store: &Store, division: &str, limit: i64, format: output::Format) -> anyhow::Result<ExitCode> {
    let groups = dead::groups(store, division, limit).await.map_err(|error| error.fault())?;
    if format.is_json() {
        output::json(&groups)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = groups.into_iter().map(|group| {
        let (letters, first, last) = (group.letters.to_string(), moment(group.first), moment(group.last));
        [group.state, letters, group.code, group.system, group.stage, group.subscription, group.dataset, first, last]
    });
    let heads = ["state", "letters", "code", "system", "stage", "receiver", "dataset", "first", "last"];
    output::say!("{}", output::table(heads, rows));
    Ok(ExitCode::SUCCESS)
}

/// Acts only on a number that the user has seen.
async fn confirmed(store: &Store, decision: Decision, states: &str) -> anyhow::Result<(Filter, String)> {
    let filter = decision.which.filter(i64::MAX);
    let count = dead::count(store, &filter, states).await.map_err(|error| error.fault())?;
    if decision.count != Some(count) {
        let hint = format!("repeat the command with --count {count}");
        return Err(Fault::new(output::NOT_CONFIRMED, format!("{count} letters fit, nothing was done")).hint(hint).into());
    }
    Ok((filter, decision.reason))
}

async fn list(store: &Store, filter: Filter, format: output::Format) -> anyhow::Result<ExitCode> {
    let letters = dead::list(store, &filter).await.map_err(|error| error.fault())?;
    if format.is_json() {
        output::json(&letters)?;
    } else {
        output::say!("{}", table(&letters));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn table(letters: &[Summary]) -> comfy_table::Table {
    output::table(
        ["id", "state", "stage", "receiver", "system", "dataset", "faults"],
        letters.iter().map(|letter| {
            let stage = letter.stage.clone();
            [
                letter.id.clone(),
                letter.state.clone(),
                stage,
                letter.subscription.clone(),
                letter.system.clone(),
                letter.dataset.clone(),
                faults(&letter.faults),
            ]
        }),
    )
}

/// Faults as text, a line each.
fn faults(faults: &Value) -> String {
    let faults: Vec<Fault> = serde_json::from_value(faults.clone()).unwrap_or_default();
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

async fn show(store: &Store, keys: &Keys, id: String, format: output::Format) -> anyhow::Result<ExitCode> {
    let letters = dead::list(store, &Filter { id: Some(id.clone()), limit: 1, ..Filter::default() })
        .await
        .map_err(|error| error.fault())?;
    let Some(letter) = letters.first() else {
        return Err(Fault::new(output::NOT_FOUND, "there is no such dead letter").hint("`civilhub dead list` shows ids").into());
    };
    let body = dead::masked_body(store, keys, &id).await.map_err(|error| error.fault())?;
    if format.is_json() {
        output::json(&json!({ "letter": letter, "body": body }))?;
    } else {
        output::say!("{}\n{}", table(std::slice::from_ref(letter)), serde_json::to_string_pretty(&body)?);
    }
    Ok(ExitCode::SUCCESS)
}
