//! `civilhub partner list`

use std::{collections::BTreeSet, process::ExitCode};

use serde_json::{Value, json};
use time::Date;

use super::output;
use crate::{
    clock,
    govern::{agreement::Agreement, partner::Partner},
    hub::Plans,
};

pub(super) fn run(plans: &Plans, format: output::Format) -> anyhow::Result<ExitCode> {
    let today = clock::today();
    let partners = plans.agreements.partners();
    if format.is_json() {
        output::json(&partners.iter().map(|partner| row(partner, today)).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let heads = ["partner", "name", "endpoint", "datasets", "agreements", "runs out"];
    output::say!("{}", output::table(heads, partners.iter().map(|partner| cells(partner, today))));
    for partner in partners {
        for warning in warnings(partner, today) {
            eprintln!("warning {warning}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One sentence for each agreement that ran out or runs out within thirty days.
pub(in crate::cli) fn warnings(partner: &Partner, today: Date) -> Vec<String> {
    let sentence = |agreement: &Agreement| {
        let (left, last) = (agreement.days_left(today), clock::iso_date(agreement.valid_to));
        let name = format!("{}: agreement `{}`", partner.slug, agreement.id);
        if left < 0 {
            return Some(format!("{name} ran out on {last}; nothing is delivered under it"));
        }
        agreement.warning(today)?;
        Some(match left {
            0 => format!("{name} runs out today ({last})"),
            1 => format!("{name} runs out in 1 day ({last})"),
            _ => format!("{name} runs out in {left} days ({last})"),
        })
    };
    partner.agreements.iter().filter_map(sentence).collect()
}

/// The next end of an agreement that is in force or yet to come.
fn next_end(partner: &Partner, today: Date) -> Option<&Agreement> {
    let lasting = partner.agreements.iter().filter(|agreement| agreement.days_left(today) >= 0);
    lasting.min_by_key(|agreement| agreement.valid_to)
}

fn cells(partner: &Partner, today: Date) -> [String; 6] {
    let datasets: BTreeSet<&str> = partner.agreements.iter().map(|agreement| agreement.dataset.as_str()).collect();
    let shown = if datasets.len() > 4 {
        format!("{} datasets", datasets.len())
    } else {
        datasets.into_iter().collect::<Vec<_>>().join(", ")
    };
    let end = next_end(partner, today).map_or_else(
        || "nothing in force".to_owned(),
        |agreement| format!("{} ({} days)", clock::iso_date(agreement.valid_to), agreement.days_left(today)),
    );
    let endpoint = partner.endpoint().as_str().to_owned();
    [partner.slug.clone(), partner.name.clone(), endpoint, shown, partner.agreements.len().to_string(), end]
}

fn row(partner: &Partner, today: Date) -> Value {
    let agreements: Vec<Value> = partner.agreements.iter().map(|agreement| agreement_row(agreement, today)).collect();
    json!({
        "partner": partner.slug,
        "name": partner.name,
        "endpoint": partner.endpoint().as_str(),
        "endpoint_missing": partner.unreachable,
        "rate_per_second": partner.rate_per_second,
        "requests_per_second": partner.requests_per_second,
        "days_left": next_end(partner, today).map(|agreement| agreement.days_left(today)),
        "warnings": warnings(partner, today),
        "agreements": agreements,
    })
}

fn agreement_row(agreement: &Agreement, today: Date) -> Value {
    json!({
        "id": agreement.id,
        "dataset": agreement.dataset,
        "purpose": agreement.purpose,
        "legal_basis": agreement.legal_basis,
        "when": agreement.when.as_str(),
        "valid_from": clock::iso_date(agreement.valid_from),
        "valid_to": clock::iso_date(agreement.valid_to),
        "in_force": agreement.is_valid(today),
        "days_left": agreement.days_left(today),
        "warning": agreement.warning(today),
        "divisions": agreement.divisions,
        "fields": agreement.fields.iter().map(|(field, form)| (field.clone(), Value::from(form.as_str()))).collect::<serde_json::Map<_, _>>(),
    })
}
