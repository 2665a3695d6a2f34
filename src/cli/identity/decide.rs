//! `civilhub identity merge|split|household`

use std::process::ExitCode;

use super::super::{Global, output};
use crate::{error::Fault, identity::household};

#[derive(clap::Args)]
pub(super) struct Merge {
    one: String,
    other: String,
    /// Why; goes into the ledger.
    #[arg(long)]
    reason: String,
    /// Also where a human told the two apart before.
    #[arg(long)]
    despite: bool,
    #[command(flatten)]
    format: output::Format,
}

#[derive(clap::Args)]
pub(super) struct Split {
    key: String,
    /// Records that go away, as `civilhub citizen KEY` names them: ids, or system/reference. With commas between.
    #[arg(long, value_delimiter = ',', num_args = 1.., required = true)]
    records: Vec<String>,
    /// Why; goes into the ledger.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    format: output::Format,
}

#[derive(clap::Args)]
pub(super) struct Home {
    /// Key of a household.
    key: String,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn merge(global: &Global, args: Merge) -> anyhow::Result<ExitCode> {
    let desk = global.desk().await?;
    let (one, other) = (args.one.as_str().into(), args.other.as_str().into());
    let merged = desk.merge(&one, &other, &args.reason, args.despite).await?;
    if args.format.is_json() {
        output::json(&merged)?;
    } else {
        output::say!("{} is the person; {} leads to it", merged.person_key, merged.retired_key);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn split(global: &Global, args: Split) -> anyhow::Result<ExitCode> {
    let desk = global.desk().await?;
    let parted = desk.split(&args.key.as_str().into(), &args.records, &args.reason).await?;
    if args.format.is_json() {
        output::json(&parted)?;
    } else {
        let how = if parted.revived { "has its key back" } else { "is a person of its own" };
        output::say!("{} keeps its key; {} with {} records {how}", parted.person_key, parted.split_key, parted.records);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn household(global: &Global, args: Home) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let found = household::one(&store, &args.key).await.map_err(|error| error.fault())?;
    let Some(home) = found else {
        let fault = Fault::new(output::NOT_FOUND, "there is no such household");
        return Err(fault.hint("`civilhub citizen KEY` shows the households of a person").into());
    };
    if args.format.is_json() {
        output::json(&home)?;
    } else {
        output::say!("household {} in {}, head {}, by {}", home.household_key, home.division, home.head, home.systems.join(", "));
        let rows = home.members.iter().map(|member| [member.person_key.clone(), member.relation.clone()]);
        output::say!("{}", output::table(["member", "relation"], rows));
    }
    Ok(ExitCode::SUCCESS)
}
