//! `civilhub schema list|validate|diff`

use std::{path::PathBuf, process::ExitCode};

use serde_json::{Value, json};

use super::{Global, output};
use crate::{
    config::keys::Keys,
    error::{Code, Fault, Faults},
    hub::{Plans, Secrets},
    json::{self, Limits},
    schema,
};

/// The new version of a schema refuses what the old one accepted, or takes away what receivers rely on.
pub const INCOMPATIBLE: Code = Code::new(1010);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every dataset with its version, fields and persons.
    List(output::Format),
    /// Check records (NDJSON) against a schema; every fault as a JSON line on standard error.
    Validate {
        /// Dataset and major version, e.g. person/v1
        schema: String,
        /// NDJSON file, one record a line.
        input: PathBuf,
    },
    /// Compare two versions of a schema file: what changed, and is the new one compatible.
    Diff {
        old: PathBuf,
        new: PathBuf,
        #[command(flatten)]
        format: output::Format,
    },
}

pub(super) fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Diff { old, new, format } => diff(global, &old, &new, format),
        Command::List(format) => list(&plans(global)?, format),
        Command::Validate { schema, input } => validate(&plans(global)?, &schema, &input),
    }
}

fn plans(global: &Global) -> anyhow::Result<Plans> {
    Ok(Plans::load(&global.config()?, &Keys::dry_run(), Secrets::Optional).map_err(Faults)?)
}

fn list(plans: &Plans, format: output::Format) -> anyhow::Result<ExitCode> {
    let rows: Vec<Value> = plans
        .registry
        .iter()
        .map(|schema| json!({ "schema": schema.id(), "title": schema.title, "fields": schema.fields.len(), "persons": schema.persons.len() }))
        .collect();
    if format.is_json() {
        output::json(&rows)?;
    } else {
        let text = |row: &Value, field: &str| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned);
        let cells = rows.iter().map(|row| [text(row, "schema"), text(row, "title"), text(row, "fields"), text(row, "persons")]);
        output::say!("{}", output::table(["schema", "title", "fields", "person references"], cells));
    }
    Ok(ExitCode::SUCCESS)
}

fn validate(plans: &Plans, schema: &str, input: &PathBuf) -> anyhow::Result<ExitCode> {
    let schema = plans.registry.require(schema)?;
    let (mut good, mut bad) = (0_u64, 0_u64);
    for (index, line) in std::fs::read_to_string(input)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let faults = match json::strict(line.as_bytes(), &Limits::default()) {
            Ok(record) => schema.validate(&record),
            Err(faults) => faults,
        };
        if faults.is_empty() {
            good += 1
        } else {
            bad += 1
        }
        output::fault_lines(&faults.into_iter().map(|fault| fault.at_row(index as u64 + 1)).collect::<Vec<_>>());
    }
    output::say!("{good} good, {bad} bad");
    Ok(output::findings(bad > 0))
}

fn diff(global: &Global, old: &PathBuf, new: &PathBuf, format: output::Format) -> anyhow::Result<ExitCode> {
    let read = |path: &PathBuf| -> anyhow::Result<Value> {
        Ok(json::strict(&std::fs::read(path)?, &Limits::default())
            .map_err(|faults| Faults(faults.into_iter().map(|fault| fault.in_file(path.display().to_string())).collect()))?)
    };
    let (before, after) = (read(old)?, read(new)?);
    let changes = schema::diff(&before, &after);
    let dataset = before["$id"].as_str().and_then(|id| id.split('/').next()).unwrap_or_default().to_owned();
    let touched = touched(&plans(global)?, &dataset);
    if format.is_json() {
        output::json(&json!({ "dataset": dataset, "changes": changes, "adapters": touched.0, "partners": touched.1 }))?;
    } else {
        for change in &changes {
            output::say!("{}", serde_json::to_string(change)?);
        }
        output::say!("adapters: {}; partners: {}", touched.0.join(", "), touched.1.join(", "));
    }
    if changes.iter().all(|change| change.compatible) {
        return Ok(ExitCode::SUCCESS);
    }
    let hint = "make it a new major version: a released schema never changes";
    output::report(&[Fault::new(INCOMPATIBLE, "the new schema refuses what the old one accepted").hint(hint)]);
    Ok(ExitCode::FAILURE)
}

/// Which adapters write the dataset and which partners get it.
fn touched(plans: &Plans, dataset: &str) -> (Vec<String>, Vec<String>) {
    let adapters = plans
        .adapters
        .iter()
        .filter(|spec| spec.objects.iter().any(|object| object.datasets.iter().any(|name| name.as_str() == dataset)));
    let partners = plans
        .agreements
        .partners()
        .iter()
        .filter(|partner| partner.agreements.iter().any(|agreement| agreement.dataset == dataset));
    (adapters.map(|spec| spec.slug.to_string()).collect(), partners.map(|partner| partner.slug.clone()).collect())
}
