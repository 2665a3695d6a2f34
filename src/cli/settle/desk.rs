//! `civilhub settle run|reconcile|clearing`: the desk from the command line.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    super::{Global, output},
    quote::read,
};
use crate::{
    config::keys::Keys,
    domain::date,
    error::{Fault, Faults},
    json::{self, Limits},
    settle::{
        desk::{BAD_REQUEST, Desk, NOT_FOUND, Request, recon::SiteLine},
        policy::Policy,
    },
    store::Store,
};

const LIMITS: Limits = Limits { bytes: 256 << 20, depth: 64, faults: 1_000, memory: 2 << 30 };

#[derive(clap::Args)]
pub(super) struct Run {
    /// Requests: one JSON object, an array, or one object a line. Each has `op`: checkEligibility, quote, preSettle, settle, reverse or query.
    /// `-` is standard input.
    #[arg(long)]
    input: PathBuf,
}

#[derive(clap::Args)]
pub(super) struct Reconcile {
    /// Code of the institution.
    #[arg(long)]
    institution: String,
    /// The day, yyyy-mm-dd.
    #[arg(long, value_parser = output::day)]
    date: String,
    /// The institution's day file: an array of objects with idem_key, aid_pay and status. `-` is standard input.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    format: output::Format,
}

#[derive(clap::Args)]
pub(super) struct Clearing {
    /// The month, yyyy-mm.
    #[arg(long, value_parser = month)]
    month: String,
    /// The county has approved: the lines become cleared.
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    format: output::Format,
}

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    request: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

fn month(text: &str) -> Result<String, String> {
    output::day(&format!("{text}-01")).map(|day| day[..7].to_owned()).map_err(|_| "not a month such as 2017-07".to_owned())
}

pub(super) fn policy(global: &Global) -> anyhow::Result<Policy> {
    Ok(Policy::load(&global.config()?.paths.policies.join("medical-aid.json"))?)
}

/// The desk of this hub; its store is made where there is none.
async fn open(global: &Global) -> anyhow::Result<Desk> {
    let config = global.config()?;
    std::fs::create_dir_all(&config.hub.data)?;
    let keys = Keys::load_or_create(&config.key_file())?;
    let store = Store::open(&config.store_url()).await.map_err(|error| error.fault())?;
    store.migrate().await.map_err(|error| error.fault())?;
    Ok(Desk::new(store, keys, Arc::new(policy(global)?)))
}

pub(super) async fn run(global: &Global, args: &Run) -> anyhow::Result<ExitCode> {
    let requests = requests(&read(&args.input)?)?;
    let desk = open(global).await?;
    let mut bad = false;
    for (index, request) in requests.iter().enumerate() {
        let done = one(&desk, request).await;
        bad |= done.is_err();
        let (answer, error) = done.map_or_else(|fault| (None, Some(fault)), |answer| (Some(answer), None));
        output::say!("{}", serde_json::to_string(&Line { request: index + 1, answer, error })?);
    }
    Ok(output::findings(bad))
}

/// An array or object, else a line each.
fn requests(bytes: &[u8]) -> Result<Vec<Value>, Faults> {
    match json::strict(bytes, &LIMITS) {
        Ok(Value::Array(list)) => Ok(list),
        Ok(value) => Ok(vec![value]),
        Err(faults) => {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            let read: Result<Vec<Value>, _> = lines.map(|line| json::strict(line, &LIMITS)).collect();
            read.map_err(|_| Faults(faults))
        }
    }
}

fn shown(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

async fn one(desk: &Desk, request: &Value) -> Result<Value, Fault> {
    let object = request.as_object().ok_or_else(|| Fault::new(BAD_REQUEST, "the request is not an object"))?;
    let text = |field: &str| text(object, field);
    Ok(match object.get("op").and_then(Value::as_str).unwrap_or_default() {
        "quote" => shown(&desk.quote(&Request::read(object)?).await.map_err(|error| error.fault())?),
        "preSettle" | "presettle" => shown(&desk.presettle(&Request::read(object)?).await.map_err(|error| error.fault())?),
        "settle" => shown(&desk.settle(&Request::read(object)?).await.map_err(|error| error.fault())?),
        "reverse" => {
            let approved = object.get("approved") == Some(&Value::Bool(true));
            let twin = desk.reverse(&text("settle_no")?, &text("reason")?, approved).await;
            shown(&twin.map_err(|error| error.fault())?)
        }
        "checkEligibility" => {
            let day = date::cn_date(&text("date")?).map_err(|refusal| {
                Fault::new(crate::settle::BAD_DAY, refusal.message).at_pointer("/date").expected(refusal.expected)
            })?;
            shown(&desk.eligibility(&text("id_number")?, day).await.map_err(|error| error.fault())?)
        }
        "query" => {
            let found = desk.query(&text("idem_key")?).await.map_err(|error| error.fault())?;
            shown(&found.ok_or_else(|| {
                Fault::new(NOT_FOUND, "nothing was done under this key")
                    .at_pointer("/idem_key")
                    .hint("send the same request again")
            })?)
        }
        _ => {
            let fault = Fault::new(BAD_REQUEST, "the operation is not known").at_pointer("/op");
            return Err(fault.expected("checkEligibility, quote, preSettle, settle, reverse or query"));
        }
    })
}

fn text(object: &Map<String, Value>, field: &str) -> Result<String, Fault> {
    let given = object.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    given
        .map(str::to_owned)
        .ok_or_else(|| Fault::new(crate::settle::MISSING, "a needed field is missing").at_pointer(format!("/{field}")))
}

pub(super) async fn reconcile(global: &Global, args: &Reconcile) -> anyhow::Result<ExitCode> {
    let value = json::strict(&read(&args.input)?, &LIMITS).map_err(Faults)?;
    // The text of serde_json may quote a value: only the place is told.
    let site: Vec<SiteLine> = serde_json::from_value(value).map_err(|_| {
        Fault::new(BAD_REQUEST, "the day file is not understood").expected("an array of {idem_key, aid_pay, status}")
    })?;
    let desk = open(global).await?;
    let report = desk.reconcile(&args.institution, &args.date, &site).await.map_err(|error| error.fault())?;
    if args.format.is_json() {
        output::json(&report)?;
    } else {
        let rows = report.differences.iter().map(|line| {
            let result = serde_json::to_value(line.result).unwrap_or_default();
            [line.idem_key.clone(), result.as_str().unwrap_or_default().to_owned(), line.hub_aid.clone(), line.site_aid.clone()]
        });
        output::say!("{}", output::table(["line", "result", "hub", "site"], rows));
        output::say!(
            "{} of {}: {} lines, {} yuan here; {} lines, {} yuan there",
            report.institution,
            report.date,
            report.hub_lines,
            report.hub_aid,
            report.site_lines,
            report.site_aid
        );
    }
    Ok(output::findings(!report.differences.is_empty()))
}

pub(super) async fn clearing(global: &Global, args: &Clearing) -> anyhow::Result<ExitCode> {
    let lines = open(global).await?.clearing(&args.month, args.clear).await.map_err(|error| error.fault())?;
    if args.format.is_json() {
        output::json(&lines)?;
    } else {
        let rows = lines.into_iter().map(|line| {
            [
                line.clearing_no,
                line.institution,
                line.county,
                line.lines.to_string(),
                line.aid,
                line.waiting.to_string(),
                line.waiting_aid,
            ]
        });
        let headings = ["statement", "institution", "county that pays", "lines", "aid", "waiting", "aid of these"];
        output::say!("{}", output::table(headings, rows));
    }
    Ok(ExitCode::SUCCESS)
}
