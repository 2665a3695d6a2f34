//! `civilhub adapter test`: golden samples, and the checks that are made from them.

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};

use super::{
    Global,
    adapter_kit::{Which, folders},
    adapter_lint::registry,
    output,
};
use crate::{
    adapter::{
        golden::{self, CaseResult, Outcome},
        sample,
        spec::AdapterSpec,
    },
    kit::proof::{self, Check},
    schema::SchemaRegistry,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Write what comes out as what is expected from now on.
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    format: output::Format,
}

pub(super) fn run(global: &Global, dir: &Path, args: &Args) -> anyhow::Result<ExitCode> {
    let registry = registry(global)?;
    let folders = folders(dir, &args.which)?;
    let (mut rows, mut checks) = (Vec::new(), Vec::new());
    for folder in &folders {
        let system = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match golden::run_golden(folder, &sample::rows_of, args.accept) {
            Ok(cases) => rows.extend(cases.iter().map(|case| case_row(&system, case))),
            Err(faults) => rows.push(json!({ "system": system, "object": "", "case": "", "passed": false, "faults": faults })),
        }
        checks.extend(checked(folder, &registry, args.which.is_all()).iter().map(|check| check_row(&system, check)));
    }
    let failed = rows.iter().chain(&checks).filter(|row| row["passed"] == false).count();
    if args.format.is_json() {
        let counts = json!({ "adapters": folders.len(), "cases": rows.len(), "failed": failed, "rows": rows, "checks": checks });
        output::json(&counts)?;
    } else {
        for row in rows.iter().chain(&checks).filter(|row| row["passed"] == false) {
            output::say!("{}", serde_json::to_string_pretty(row)?);
        }
        output::say!("{} adapters, {} cases, {} checks, {failed} failed", folders.len(), rows.len(), checks.len());
    }
    Ok(output::findings(failed > 0 || rows.is_empty()))
}

/// The checks of a folder that can be loaded; golden samples tell why another cannot.
fn checked(folder: &Path, registry: &SchemaRegistry, all: bool) -> Vec<Check> {
    let Ok(spec) = AdapterSpec::load(folder) else { return vec![] };
    let mut checks = proof::prove(&spec, registry);
    if all {
        checks.push(proof::enough(&spec));
    }
    checks
}

fn check_row(system: &str, check: &Check) -> Value {
    let mut row = json!(check);
    row["system"] = system.into();
    row
}

fn case_row(system: &str, case: &CaseResult) -> serde_json::Value {
    let mut row = json!({ "system": system, "object": case.object, "case": case.case, "passed": case.passed() });
    match &case.outcome {
        Outcome::Same | Outcome::Accepted => {}
        Outcome::Differs(differences) => {
            let lines = differences.iter().map(
                |difference| json!({ "line": difference.line, "expected": difference.expected, "actual": difference.actual }),
            );
            row["differences"] = lines.collect();
        }
        Outcome::Failed(faults) => row["faults"] = json!(faults),
    }
    row
}
