//! `civilhub citizen <key>`

use std::process::ExitCode;

use super::{Global, output, trace::moment};
use crate::desk::citizen::{Citizen, Record};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Any key that the person has or had.
    key: String,
    /// Personal values as they are, not masked.
    #[arg(long)]
    plain: bool,
    /// Also what each record said before.
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let desk = global.desk().await?;
    let citizen = desk.citizen(&args.key.as_str().into(), args.plain).await?;
    if args.format.is_json() {
        output::json(&citizen)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::say!("{}", heading(&citizen));
    output::say!("\nWhat we hold\n{}", golden(&citizen));
    output::say!("\nFrom whom\n{}", records(&citizen.records));
    if args.history {
        output::say!("\nWhat was said when\n{}", history(&citizen.records));
    }
    if !citizen.households.is_empty() {
        output::say!("\nHouseholds\n{}", households(&citizen));
    }
    output::say!("\nAgreements that let it out\n{}", agreements(&citizen));
    output::say!("\nWho received it\n{}", deliveries(&citizen));
    Ok(ExitCode::SUCCESS)
}

fn heading(citizen: &Citizen) -> String {
    let keys = |keys: &[crate::envelope::PersonKey]| keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("Person {}", citizen.person_key)];
    if !citizen.former_keys.is_empty() {
        lines.push(format!("Former keys: {}", keys(&citizen.former_keys)));
    }
    if !citizen.told_apart.is_empty() {
        lines.push(format!("Told apart from: {}", keys(&citizen.told_apart)));
    }
    if !citizen.open_reviews.is_empty() {
        lines.push(format!("Open reviews: {}", citizen.open_reviews.join(", ")));
    }
    lines.join("\n")
}

fn golden(citizen: &Citizen) -> comfy_table::Table {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let rows = citizen.golden.iter().map(|(field, word)| {
        let at = moment(word["at"].as_i64().unwrap_or_default());
        [field.clone(), text(&word["value"]), text(&word["system"]), at]
    });
    output::table(["field", "value", "by", "heard"], rows)
}

/// Records, a row each.
pub(super) fn records(records: &[Record]) -> comfy_table::Table {
    let row = |record: &Record| {
        let says = record.says.iter().map(|(field, value)| format!("{field} {value}")).collect::<Vec<_>>().join("\n");
        let (evidence, remarks) = (record.evidence.to_string().replace('"', ""), record.remarks.join("\n"));
        [record.id.clone(), record.system.clone(), record.reference.clone(), says, evidence, remarks, moment(record.since)]
    };
    output::table(["record", "system", "reference", "says", "evidence", "doubts", "since"], records.iter().map(row))
}

fn history(records: &[Record]) -> comfy_table::Table {
    let words = records.iter().flat_map(|record| record.history.iter().map(move |word| (record, word)));
    let row = |(record, word): (&Record, &crate::desk::citizen::Word)| {
        let says = word.says.iter().map(|(field, value)| format!("{field} {value}")).collect::<Vec<_>>().join("\n");
        [moment(word.at), record.system.clone(), record.id.clone(), says]
    };
    output::table(["at", "system", "record", "said"], words.map(row))
}

fn households(citizen: &Citizen) -> comfy_table::Table {
    let rows = citizen.households.iter().map(|home| {
        let members = home.members.iter().map(|member| format!("{} {}", member.relation, member.person_key));
        let members = members.collect::<Vec<_>>().join("\n");
        [home.household_key.clone(), home.division.clone(), home.head.clone(), members, home.systems.join(", ")]
    });
    output::table(["household", "division", "head", "members", "by"], rows)
}

fn agreements(citizen: &Citizen) -> comfy_table::Table {
    let rows = citizen.agreements.iter().map(|agreement| {
        let datasets = agreement.datasets.iter().cloned().collect::<Vec<_>>().join(", ");
        [
            agreement.receiver.clone(),
            agreement.agreement.clone(),
            agreement.purpose.clone(),
            datasets,
            agreement.records.to_string(),
        ]
    });
    output::table(["receiver", "agreement", "purpose", "datasets", "records"], rows)
}

fn deliveries(citizen: &Citizen) -> comfy_table::Table {
    let rows = citizen.deliveries.iter().map(|delivery| {
        let (at, receiver, purpose) = (moment(delivery.at), delivery.receiver.clone(), delivery.purpose.clone());
        [
            at,
            receiver,
            purpose,
            delivery.dataset.clone(),
            delivery.system.clone(),
            delivery.event_id.clone(),
            delivery.proof.clone(),
        ]
    });
    output::table(["at", "receiver", "purpose", "dataset", "from", "event", "proof"], rows)
}
