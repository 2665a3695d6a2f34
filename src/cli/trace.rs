//! `civilhub trace <id>`

use std::process::ExitCode;

use super::{Global, output};
use crate::{
    clock,
    error::Fault,
    ledger::trace::{self, Step},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Event, delivery, occurrence or dead-letter id.
    id: String,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let steps = trace::trace(&store, &args.id).await.map_err(|error| error.fault())?;
    if steps.is_empty() {
        return Err(Fault::new(output::NOT_FOUND, "the ledger has no such id")
            .hint("`civilhub dead list` and `civilhub ledger export` show ids")
            .into());
    }
    if args.format.is_json() {
        output::json(&steps)?;
    } else {
        output::say!("{}", table(&steps));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn table(steps: &[Step]) -> comfy_table::Table {
    output::table(
        ["at", "what", "system", "dataset", "detail", "proof"],
        steps.iter().map(|step| {
            [
                moment(step.at),
                step.what.clone(),
                step.system.clone(),
                step.dataset.clone(),
                step.detail.to_string(),
                step.proof.clone(),
            ]
        }),
    )
}

pub(super) fn moment(millis: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).map(clock::rfc3339).unwrap_or_default()
}
