//! `civilhub adapter lint`: findings with file, line and caret.

use std::{path::Path, process::ExitCode};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};
use serde_json::json;

use super::{
    Global,
    adapter_kit::{Which, folders},
    output,
};
use crate::{
    domain::codes::CodeLists,
    error::Faults,
    kit::lint::{self, Finding},
    schema::SchemaRegistry,
    store::Store,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    format: output::Format,
}

/// The schemas of the configuration, with the code lists of the hub.
pub(super) fn registry(global: &Global) -> anyhow::Result<SchemaRegistry> {
    let codes = |list: &str, code: &str| {
        CodeLists::embedded().get(list).map(|list| list.find(code).is_some_and(|entry| entry.code == code))
    };
    Ok(SchemaRegistry::load(&global.config()?.paths.schemas, std::sync::Arc::new(codes)).map_err(Faults)?)
}

pub(super) async fn run(global: &Global, dir: &Path, args: Args) -> anyhow::Result<ExitCode> {
    let registry = registry(global)?;
    let store = Store::open("sqlite::memory:").await.map_err(|error| error.fault())?;
    let folders = folders(dir, &args.which)?;
    let found: Vec<Finding> = folders.iter().flat_map(|folder| lint::lint(folder, &registry, &store)).collect();
    if args.format.is_json() {
        let faults: Vec<_> = found.iter().map(|finding| &finding.fault).collect();
        output::json(&json!({ "adapters": folders.len(), "findings": found.len(), "faults": faults }))?;
    } else {
        for finding in &found {
            output::say!("{}", render(finding));
        }
        output::say!("{} adapters, {} findings", folders.len(), found.len());
    }
    Ok(output::findings(!found.is_empty()))
}

/// One finding as a person reads it.
fn render(finding: &Finding) -> String {
    let fault = &finding.fault;
    let mut shown = MietteDiagnostic::new(fault.message.clone()).with_code(fault.code.to_string());
    let help: Vec<String> = fault.expected.iter().map(|what| format!("expected {what}")).chain(fault.hint.clone()).collect();
    if !help.is_empty() {
        shown = shown.with_help(help.join("; "));
    }
    let report = match &finding.span {
        Some(span) => {
            shown = shown.with_label(LabeledSpan::underline(span.clone()));
            Report::new(shown).with_source_code(NamedSource::new(&finding.file.name, finding.file.text.to_string()))
        }
        None => {
            shown.message = format!("{}: {}", finding.file.name, shown.message);
            Report::new(shown)
        }
    };
    let colours = std::io::IsTerminal::is_terminal(&std::io::stdout()) && std::env::var_os("NO_COLOR").is_none();
    let theme = if colours { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut text = String::new();
    let _ = GraphicalReportHandler::new_themed(theme).with_width(130).render_report(&mut text, report.as_ref());
    text
}
