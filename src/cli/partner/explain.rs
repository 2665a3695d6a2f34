//! `civilhub partner explain`: what would leave of a record, in which form, and why each other field stays.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::{Map, Value, json};
use time::{Date, macros::format_description};

use super::{NOT_EXPLAINED, no_such_partner, output};
use crate::{
    clock,
    envelope::{ContentHash, Data, Dataset, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
    error::Fault,
    govern::{
        Outgoing,
        agreement::{Agreement, Verdict},
        partner::Partner,
        plan::Reason,
    },
    hub::Plans,
    schema::{DatasetSchema, Field},
};

/// What was asked.
pub(super) struct Question {
    pub partner: String,
    pub record: PathBuf,
    pub dataset: Option<String>,
    pub on: Option<String>,
}

/// Longest file that is explained.
const MOST_BYTES: u64 = 8 << 20;

/// The code of the whole province: a record that names no division may be of any.
const PROVINCE: &str = "220000000000";

pub(super) fn run(plans: &Plans, question: &Question, format: output::Format) -> anyhow::Result<ExitCode> {
    let Some(partner) = plans.agreements.partner(&question.partner) else {
        return Err(no_such_partner(&question.partner, &plans.agreements).into());
    };
    let day = question.on.as_deref().and_then(|day| Date::parse(day, format_description!("[year]-[month]-[day]")).ok());
    let today = day.unwrap_or_else(clock::today);
    let records = records(&question.record)?;
    let explained: Vec<Value> = records
        .into_iter()
        .map(|record| {
            event(plans, partner, record, question.dataset.as_deref()).map(|event| explain(plans, partner, &event, today))
        })
        .collect::<Result<_, Fault>>()?;
    if format.is_json() {
        // One record, one object; lines of records, a list.
        output::json(&if explained.len() == 1 { explained[0].clone() } else { Value::Array(explained) })?;
    } else {
        explained.iter().for_each(print);
    }
    Ok(ExitCode::SUCCESS)
}

/// The JSON values of the file: one, or one a line.
fn records(path: &Path) -> Result<Vec<Value>, Fault> {
    let fault = |message: String| Fault::new(NOT_EXPLAINED, message).in_file(path.display().to_string());
    let mut text = String::new();
    let mut read = |source: &mut dyn Read| source.take(MOST_BYTES + 1).read_to_string(&mut text);
    let done = if path.as_os_str() == "-" {
        read(&mut std::io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(|mut file| read(&mut file))
    };
    done.map_err(|error| fault(format!("the record cannot be read: {}", error.kind())))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(fault("the file is too long".to_owned()).expected(format!("at most {MOST_BYTES} bytes")));
    }
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter() {
        let value: Value = value.map_err(|error| fault("the file is not JSON".to_owned()).at_row(error.line() as u64))?;
        match value {
            Value::Array(items) => records.extend(items),
            value => records.push(value),
        }
    }
    if records.is_empty() {
        return Err(fault("the file holds no record".to_owned()).expected("a CloudEvent or a record, as JSON"));
    }
    Ok(records)
}

/// The record as an event, if it is not one already.
fn event(plans: &Plans, partner: &Partner, value: Value, dataset: Option<&str>) -> Result<Event, Fault> {
    let fault = |message: &str| Fault::new(NOT_EXPLAINED, message);
    if value.get("specversion").is_some() {
        let wrong = |_| fault("the CloudEvent cannot be read").hint("docs/partners.md shows one");
        return serde_json::from_value(value).map_err(wrong);
    }
    let named = value.get("dataset").and_then(Value::as_str).map(str::to_owned);
    let record = match value {
        Value::Object(mut object) if named.is_some() && object.contains_key("record") => {
            object.remove("record").unwrap_or_default()
        }
        value @ Value::Object(_) => value,
        _ => return Err(fault("a record is a JSON object")),
    };
    let dataset = match dataset.map(str::to_owned).or(named) {
        Some(dataset) => dataset,
        None => guess(plans, partner, &record).ok_or_else(|| {
            fault("the dataset of the record is not clear").hint("name it with --dataset; `civilhub schema list` shows them")
        })?,
    };
    let Some(schema) = plans.registry.latest(&Dataset::from(dataset.as_str())) else {
        return Err(fault("there is no such dataset").hint("`civilhub schema list` shows them"));
    };
    Ok(as_event(schema.id(), &dataset, record))
}

fn as_event(dataschema: String, dataset: &str, record: Value) -> Event {
    let content = ContentHash::of(&record);
    let id = EventId::derive(&System::from("explain"), dataset, "record", &content, 1);
    let division = ["division_code", "division", "office_division"].iter().find_map(|field| record[*field].as_str());
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "explain"),
        id,
        source: "/systems/explain".to_owned(),
        kind: format!("{dataset}.upsert"),
        subject: "record".to_owned(),
        time: clock::rfc3339(clock::now()),
        dataschema,
        datacontenttype: "application/json".to_owned(),
        division: division.unwrap_or(PROVINCE).to_owned(),
        sequence: 1,
        partitionkey: PartitionKey::from("explain"),
        contenthash: content,
        bookdate: clock::iso_date(clock::today()),
        purpose: None,
        authorization: None,
        traceparent: None,
        deliveryid: None,
        subscription: None,
        data: Data { record, quality: Vec::new() },
    }
}

/// The dataset whose schema the record satisfies, those of the partner first; else the one that knows most of its fields.
fn guess(plans: &Plans, partner: &Partner, record: &Value) -> Option<String> {
    let schemas: Vec<_> = plans.registry.iter().collect();
    let agreed = |name: &str| partner.agreements.iter().any(|agreement| agreement.dataset == name);
    let valid: Vec<&str> =
        schemas.iter().filter(|schema| schema.validate(record).is_empty()).map(|schema| schema.dataset.as_str()).collect();
    if let Some(name) = valid.iter().find(|name| agreed(name)).or_else(|| valid.first()) {
        return Some((*name).to_owned());
    }
    let names: Vec<&String> = record.as_object()?.keys().collect();
    let known = |schema: &&DatasetSchema| {
        let has = |name: &str| schema.fields.iter().any(|field| field.pointer == format!("/{name}"));
        names.iter().filter(|name| has(name)).count()
    };
    let best = schemas.iter().max_by_key(|schema| (known(schema), agreed(schema.dataset.as_str())))?;
    (known(best) * 2 > names.len()).then(|| best.dataset.as_str().to_owned())
}

fn explain(plans: &Plans, partner: &Partner, event: &Event, today: Date) -> Value {
    let (outgoing, judged) = plans.agreements.preview(&partner.slug, event, today);
    let dataset = event.dataset().as_str().to_owned();
    let of_dataset: Vec<_> = judged.iter().filter(|(_, verdict)| *verdict != Verdict::OtherDataset).collect();
    let chosen = outgoing.as_ref().and_then(|outgoing| judged.iter().find(|(agreement, _)| agreement.id == outgoing.agreement));
    let verdicts: Vec<Value> =
        of_dataset.iter().map(|(agreement, verdict)| json!({ "agreement": agreement.id, "verdict": verdict.as_str() })).collect();
    let mut answer = json!({
        "partner": partner.slug,
        "endpoint": partner.endpoint().as_str(),
        "dataset": dataset,
        "on": clock::iso_date(today),
        "leaves": chosen.is_some(),
        "when": chosen.map(|(agreement, _)| agreement.when.as_str()),
        "agreement": chosen.map(|(agreement, _)| agreement.id.clone()),
        "purpose": chosen.map(|(agreement, _)| agreement.purpose.clone()),
        "legal_basis": chosen.map(|(agreement, _)| agreement.legal_basis.clone()),
        "agreements": verdicts,
    });
    let refusal = refusal(&of_dataset, &dataset);
    let (shown, withheld) = match (&outgoing, chosen) {
        (Some(outgoing), Some((agreement, _))) => told(plans, &dataset, outgoing, agreement),
        _ => (Vec::new(), all_withheld(plans, &dataset, &event.data.record, &refusal)),
    };
    answer["fields"] = Value::Array(shown);
    answer["withheld"] = Value::Array(withheld);
    answer["record"] = outgoing.map_or(Value::Null, |outgoing| outgoing.event.data.record);
    if chosen.is_none() {
        answer["reason"] = refusal.into();
    }
    answer
}

/// Why nothing leaves.
fn refusal(judged: &[&(&Agreement, Verdict)], dataset: &str) -> String {
    match judged {
        [] => format!("the partner has no agreement on `{dataset}`"),
        judged => judged
            .iter()
            .map(|(agreement, verdict)| format!("agreement `{}` does not apply: {}", agreement.id, verdict.as_str()))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// The fields that leave with form and value, and those that stay with the reason.
fn told(plans: &Plans, dataset: &str, outgoing: &Outgoing, agreement: &Agreement) -> (Vec<Value>, Vec<Value>) {
    let record = &outgoing.event.data.record;
    let shown = agreement.fields.iter().filter_map(|(field, form)| {
        let value = look_up(record, field)?;
        Some(json!({ "field": field, "name": name_zh(plans, dataset, field), "form": form.as_str(), "value": value }))
    });
    let withheld = outgoing.withheld.iter().map(|(field, reason)| {
        let because = match reason {
            Reason::NotListed => format!("agreement `{}` does not list it", agreement.id),
            other => other.as_str().to_owned(),
        };
        stays(plans, dataset, field, &because)
    });
    (shown.collect(), withheld.collect())
}

fn all_withheld(plans: &Plans, dataset: &str, record: &Value, reason: &str) -> Vec<Value> {
    let fields = record.as_object().into_iter().flatten().map(|(field, _)| field);
    fields.map(|field| stays(plans, dataset, field, reason)).collect()
}

fn stays(plans: &Plans, dataset: &str, field: &str, reason: &str) -> Value {
    let sensitivity = schema_field(plans, dataset, field).map(|found| format!("S{}", found.sensitivity));
    json!({ "field": field, "name": name_zh(plans, dataset, field), "sensitivity": sensitivity, "reason": reason })
}

fn schema_field<'a>(plans: &'a Plans, dataset: &str, field: &str) -> Option<&'a Field> {
    let schema = plans.registry.latest(&Dataset::from(dataset))?;
    schema.fields.iter().find(|found| found.pointer.trim_start_matches('/').replace("/*/", ".").replace('/', ".") == field)
}

fn name_zh(plans: &Plans, dataset: &str, field: &str) -> Option<String> {
    schema_field(plans, dataset, field).map(|found| found.name_zh.clone()).filter(|name| !name.is_empty())
}

/// The value under a dotted name; of lists all of them.
fn look_up(record: &Value, field: &str) -> Option<Value> {
    if let Value::Array(items) = record {
        let found: Vec<Value> = items.iter().filter_map(|item| look_up(item, field)).collect();
        return (!found.is_empty()).then_some(Value::Array(found));
    }
    match field.split_once('.') {
        Some((head, rest)) => look_up(record.get(head)?, rest),
        None => record.get(field).cloned(),
    }
}

fn print(explained: &Value) {
    let text = |value: &Value| {
        value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
    };
    let (partner, dataset) = (text(&explained["partner"]), text(&explained["dataset"]));
    if explained["leaves"] == true {
        let occasion = if explained["when"] == "requested" { "on a request only" } else { "with every record" };
        output::say!(
            "{dataset} to {partner}: leaves {occasion}, under agreement {} for {} ({})",
            text(&explained["agreement"]),
            text(&explained["purpose"]),
            text(&explained["legal_basis"])
        );
    } else {
        output::say!("{dataset} to {partner}: nothing leaves: {}", text(&explained["reason"]));
    }
    let empty = Vec::new();
    let list = |name: &str| explained[name].as_array().unwrap_or(&empty).clone();
    let field = |row: &Map<String, Value>| format!("{} {}", text(&row["field"]), text(&row["name"])).trim_end().to_owned();
    let rows = |name: &str| list(name).into_iter().filter_map(|row| row.as_object().cloned());
    let shown: Vec<[String; 3]> = rows("fields").map(|row| [field(&row), text(&row["form"]), text(&row["value"])]).collect();
    if !shown.is_empty() {
        output::say!("{}", output::table(["leaves", "form", "as the partner sees it"], shown));
    }
    let withheld: Vec<[String; 3]> =
        rows("withheld").map(|row| [field(&row), text(&row["sensitivity"]), text(&row["reason"])]).collect();
    if !withheld.is_empty() {
        output::say!("{}", output::table(["stays", "class", "because"], withheld));
    }
}
