//! `civilhub check`: everything that can be wrong before anything runs, off line, all at once.

use std::process::ExitCode;

use serde_json::json;

use super::{Global, output};
use crate::{
    clock,
    config::keys::Keys,
    error::Fault,
    hub::{Plans, Secrets},
    settle::policy::Policy,
    supervise::rule,
};

/// Faults of the policy and the rules.
fn tables(global: &Global) -> Vec<Fault> {
    let Ok(config) = global.config() else { return Vec::new() };
    let mut faults = rule::load(&config.paths.rules).err().unwrap_or_default();
    faults.extend(Policy::load(&config.paths.policies.join("medical-aid.json")).err());
    faults
}

pub(super) fn run(global: &Global, format: output::Format) -> anyhow::Result<ExitCode> {
    let mut warnings = Vec::new();
    let (summary, faults) = match global.config() {
        Err(faults) => (json!({}), faults.0),
        // Fixed keys: a check leaves nothing behind.
        Ok(config) => match Plans::load(&config, &Keys::dry_run(), Secrets::Optional) {
            Err(faults) => (json!({}), faults),
            Ok(plans) => {
                warnings = self::warnings(&plans);
                let counts = json!({ "schemas": plans.registry.iter().count(), "adapters": plans.adapters.len(), "partners": plans.agreements.partners().len() });
                (counts, Vec::new())
            }
        },
    };
    let faults: Vec<Fault> = faults.into_iter().chain(tables(global)).collect();
    if format.is_json() {
        output::json(&json!({ "checked": summary, "faults": faults, "warnings": warnings }))?;
    } else if faults.is_empty() {
        output::say!("good: {summary}");
    } else {
        output::report(&faults);
    }
    if !format.is_json() {
        warnings.iter().for_each(|warning| eprintln!("warning {warning}"));
    }
    Ok(output::findings(!faults.is_empty()))
}

/// What is no fault yet: agreements that run out, partners that nothing reaches.
fn warnings(plans: &Plans) -> Vec<String> {
    let (today, partners) = (clock::today(), plans.agreements.partners());
    partners.iter().flat_map(|partner| super::partner::warnings(partner, today)).collect()
}
