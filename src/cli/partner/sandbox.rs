//! `civilhub partner sandbox`: a hub of its own with invented citizens, for a partner to try everything before it has a key
//! that counts.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde_json::{Value, json};

use super::{Global, no_such_partner, output};
use crate::{
    api::v1::keys,
    bus::{Message, Route},
    clock,
    config::Config,
    envelope::{ContentHash, Data, Dataset, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
    error::{Code, Fault, Faults},
    exchange::{authorisation, banks, partner_of, request},
    govern::agreement::{Agreement, When},
    hub::{Hub, Plans, Role, Secrets},
    signature::algorithm,
    simulate::serve::queries::{self, Speech},
    telemetry,
};

/// The sandbox could not write its folder or start its banks.
pub const NO_SANDBOX: Code = Code::new(6605);

#[derive(clap::Args)]
pub(super) struct Args {
    /// The partner that tries.
    #[arg(default_value = "bank-icbc")]
    partner: String,
    /// Its public key: the text that `partner keygen` printed, or a file with it.
    #[arg(long)]
    public: String,
    /// Where the sandbox listens.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: String,
}

fn failed(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(NO_SANDBOX, format!("the sandbox cannot start: {error}"))
        .hint("give an empty folder with --data and a free --listen")
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let mut config = global.config()?;
    if global.data.is_none() && config.hub.data == Path::new("data") {
        config.hub.data = PathBuf::from("data/sandbox");
    }
    telemetry::log::init(&config.log)?;
    prepare(&mut config, &args).await?;
    let text = std::fs::read_to_string(&args.public).unwrap_or_else(|_| args.public.clone());
    let public = algorithm::public(&text)?;
    let hub = Hub::open(config, None).await.map_err(Faults)?;
    let key = keys::add(&hub.store, &args.partner, public.as_ref(), "sandbox").await.map_err(|error| error.fault())?;
    let key = key.ok_or_else(|| failed(&"the key was retired, or four keys are good already"))?;
    let running = hub.start(Role::All).await.map_err(Faults)?;
    household(&hub).await?;
    records(&hub, &args.partner).await?;
    let listen = running.listen.map(|listen| listen.to_string()).unwrap_or_default();
    output::say!(
        "{}",
        json!({ "url": format!("http://{listen}"), "keyid": key.id(), "docs": format!("http://{listen}/v1/docs") })
    );
    crate::cli::serve::stop_signal().await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Folders of its own, simulators for all other banks, and the right to ask for verifications.
async fn prepare(config: &mut Config, args: &Args) -> anyhow::Result<()> {
    let data = std::path::absolute(&config.hub.data).map_err(|error| failed(&error))?;
    let (adapters, partners) = (data.join("adapters"), data.join("partners"));
    for folder in [&adapters, &partners] {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    config.paths.adapters = adapters;
    let plans = Plans::load(config, &crate::config::keys::Keys::dry_run(), Secrets::Optional).map_err(Faults)?;
    if plans.agreements.partner(&args.partner).is_none() {
        return Err(no_such_partner(&args.partner, &plans.agreements).into());
    }
    for entry in std::fs::read_dir(&config.paths.partners).map_err(|error| failed(&error))?.flatten() {
        let mut text = std::fs::read_to_string(entry.path()).map_err(|error| failed(&error))?;
        if entry.path().file_stem().is_some_and(|stem| stem == args.partner.as_str()) {
            text = format!("may = [\"verification\"]\n{text}");
        }
        std::fs::write(partners.join(entry.file_name()), text).map_err(|error| failed(&error))?;
    }
    config.hub.systems.clear();
    config.http.listen.clone_from(&args.listen);
    config.paths.partners = partners;
    for bank in banks().into_iter().filter(|bank| partner_of(&bank.code) != args.partner) {
        let (folder, speech) = (data.join("banks"), Speech::of(&bank.transport));
        let started = queries::start(&folder, &bank.code, speech, Arc::default()).await;
        config.env.insert(format!("BANK_{}_QUERY_URL", bank.code), started.map_err(|error| failed(&error))?);
    }
    Ok(())
}

/// The invented household: its authorisation is stored, and it is verified at every bank.
async fn household(hub: &Hub) -> anyhow::Result<()> {
    let books = hub.books();
    let paper = serde_json::from_value(json!({
        "no": "SQ-SANDBOX-1", "division": "220102003001", "signed_at": "2017-06-28", "valid_to": "2099-12-31",
        "scope": ["DEPOSIT", "WEALTH"], "image_sha256": "ab".repeat(32), "members": MEMBERS.map(|(name, number)| json!({
            "name": name, "id_number": number, "signed": true })),
    }))?;
    authorisation::put(&books, &paper).await.map_err(|error| error.fault())??;
    let ask = serde_json::from_value(json!({
        "request_no": "HD-SANDBOX-1", "authorisation": "SQ-SANDBOX-1", "purpose": "UD-NEW", "division": "220102000000",
        "operator": "sandbox", "as_of": "2017-06-30", "standard_month": "480.00",
        "members": [{ "name": MEMBERS[0].0, "id_number": MEMBERS[0].1 }],
    }))?;
    request::begin(&books, &ask, "sandbox").await?;
    Ok(())
}

/// The invented citizens; the last three digits before the check digit force an outcome at the simulated banks.
const MEMBERS: [(&str, &str); 10] = [
    ("王建国", "220171197001010053"),
    ("李无", "220171197001019015"),
    ("张错", "220171197001019023"),
    ("赵他", "220171197001019031"),
    ("钱外", "22017119700101904X"),
    ("孙停", "220171197001019058"),
    ("周慢", "220171197001019066"),
    ("吴拒", "220171197001019074"),
    ("郑迟", "220171197001019082"),
    ("冯乱", "220171197001019090"),
];

/// One record of each dataset that the partner gets by itself, from the examples of the schemas, made to fit its agreements.
async fn records(hub: &Hub, partner: &str) -> anyhow::Result<()> {
    let Some(partner) = hub.agreements.partner(partner) else { return Ok(()) };
    let mut messages = Vec::new();
    for agreement in partner.agreements.iter().filter(|agreement| agreement.when == When::Recorded) {
        let Some(record) = example(hub, agreement, &partner.codes) else { continue };
        let event = event(hub, agreement, record);
        messages.push(Message {
            route: Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() },
            id: event.id.to_string(),
            body: event.to_bytes().into(),
        });
    }
    hub.bus.publish(messages).await;
    Ok(())
}

fn example(hub: &Hub, agreement: &Agreement, codes: &[String]) -> Option<Value> {
    let folder = hub.config.paths.schemas.join(&agreement.dataset).join("examples/valid");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut record: Value = serde_json::from_str(&std::fs::read_to_string(files.first()?).ok()?).ok()?;
    for (field, value) in agreement.filter.iter().filter(|(field, _)| !field.contains('.')) {
        record[field.as_str()] = value.clone();
    }
    if let Some(own) = &agreement.own {
        record[own.as_str()] = codes.first()?.as_str().into();
    }
    Some(record)
}

fn event(hub: &Hub, agreement: &Agreement, record: Value) -> Event {
    let schema = hub.registry.latest(&Dataset::from(agreement.dataset.as_str())).map(|schema| schema.id());
    let content = ContentHash::of(&record);
    let id = EventId::derive(&System::from("sandbox"), &agreement.dataset, &agreement.id, &content, 1);
    let division = record["division_code"].as_str().filter(|code| code.starts_with("22")).unwrap_or("220102003001").to_owned();
    Event {
        specversion: SpecVersion::V1,
        occurrence: Occurrence::derive(&id, "sandbox"),
        partitionkey: PartitionKey::new(id.as_str()),
        id,
        source: "/systems/sandbox".to_owned(),
        kind: format!("{}.upsert", agreement.dataset),
        subject: agreement.id.clone(),
        time: clock::rfc3339(clock::now()),
        dataschema: schema.unwrap_or_default(),
        datacontenttype: "application/json".to_owned(),
        division,
        sequence: 1,
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
