//! `civilhub doctor`

use std::process::ExitCode;

use super::{Global, output};
use crate::doctor::{self, Finding, Status};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Before the hub is installed: tables, keys and queues need not be there yet.
    #[arg(long)]
    pre: bool,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(global.config.as_deref(), global.data.as_deref(), args.pre).await;
    if args.format.is_json() {
        output::json(&findings)?;
    } else {
        output::say!("{}", output::table(["status", "code", "category", "message", "what to do"], findings.iter().map(row)));
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        output::say!("{} good, {} warnings, {} faults", count(Status::Ok), count(Status::Warn), count(Status::Fail));
    }
    Ok(output::findings(findings.iter().any(|finding| finding.status == Status::Fail)))
}

fn row(finding: &Finding) -> [String; 5] {
    let word = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    [
        word(serde_json::to_value(finding.status)),
        finding.code.to_string(),
        word(serde_json::to_value(finding.category)),
        finding.message.clone(),
        finding.hint.clone(),
    ]
}
