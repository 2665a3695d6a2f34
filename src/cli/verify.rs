//! `civilhub verify authorise|revoke|request|status|report|run`

use std::{path::PathBuf, process::ExitCode};

use serde_json::{Value, json};

use super::{Global, output};
use crate::{
    clock,
    error::{Fault, Faults},
    exchange::{
        NO_REQUEST, UNREADABLE,
        authorisation::{self, Authorisation},
        book::Books,
        drive, report,
        request::{self, Begun, Request},
    },
    hub::Hub,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Store what a household has signed.
    Authorise {
        /// JSON file; docs/verification.md shows one.
        #[arg(long)]
        input: PathBuf,
    },
    /// A household takes its authorisation back: what is not sent is not sent any more.
    Revoke {
        no: String,
        #[arg(long)]
        reason: String,
    },
    /// Ask for a household's verification: one query per person and bank, or a refusal and no packet.
    Request {
        /// JSON file; docs/verification.md shows one. It may hold the authorisation itself.
        #[arg(long)]
        input: PathBuf,
        #[command(flatten)]
        format: output::Format,
    },
    /// How far a request is, and who has not answered.
    Status {
        request: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// The newest report of a request.
    Report {
        request: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// Send what is due and issue what can be issued, once. A running hub does this by itself.
    Run {
        #[command(flatten)]
        format: output::Format,
    },
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    if let Command::Run { format } = args.command {
        return pass(global, format).await;
    }
    let (config, store) = global.store().await?;
    store.migrate().await.map_err(|error| error.fault())?;
    let books = Books { store, keys: crate::config::keys::Keys::load(&config.key_file())? };
    match args.command {
        Command::Authorise { input } => {
            let authorisation: Authorisation = read(&input)?;
            put(&books, &authorisation).await?;
            output::say!("{}", authorisation.no);
            Ok(ExitCode::SUCCESS)
        }
        Command::Revoke { no, reason } => {
            let revoked = authorisation::revoke(&books, &no, &reason).await.map_err(|error| error.fault())?;
            if !revoked {
                eprintln!("there is no authorisation of this number that stands");
            }
            Ok(output::findings(!revoked))
        }
        Command::Request { input, format } => ask(&books, &input, format).await,
        Command::Status { request, format } => {
            let status = report::status(&books, &request).await.map_err(|error| error.fault())?;
            show(&status.ok_or_else(no_request)?, format)
        }
        Command::Report { request, format } => {
            let newest = report::newest(&books, &request).await.map_err(|error| error.fault())?;
            show(&newest.ok_or_else(no_request)?, format)
        }
        Command::Run { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn no_request() -> Fault {
    Fault::new(NO_REQUEST, "there is no request of this number, or no report of it yet")
        .hint("`civilhub verify status` tells how far it is")
}

fn read<T: serde::de::DeserializeOwned>(input: &PathBuf) -> Result<T, Fault> {
    let fault = |message: String| Fault::new(UNREADABLE, message).in_file(input.display().to_string());
    let text = std::fs::read_to_string(input).map_err(|error| fault(format!("the file cannot be read: {}", error.kind())))?;
    serde_json::from_str(&text).map_err(|error| {
        // What serde says of a wrong type may quote the value; the names of fields do not.
        let field = error.to_string().split('`').nth(1).filter(|_| error.to_string().contains("field")).map(str::to_owned);
        let fault = fault("the file is not of the expected form".to_owned()).at_row(error.line() as u64);
        match field {
            Some(field) => fault.at_column(field).hint("docs/verification.md shows all fields"),
            None => fault.hint("docs/verification.md shows one"),
        }
    })
}

async fn put(books: &Books, authorisation: &Authorisation) -> anyhow::Result<()> {
    authorisation::put(books, authorisation).await.map_err(|error| error.fault())??;
    Ok(())
}

async fn ask(books: &Books, input: &PathBuf, format: output::Format) -> anyhow::Result<ExitCode> {
    let mut value: Value = read(input)?;
    // The authorisation may come with the request.
    if value["authorisation"].is_object() {
        let inner: Authorisation = serde_json::from_value(value["authorisation"].clone())
            .map_err(|_| Fault::new(UNREADABLE, "the authorisation is not of the expected form").at_pointer("/authorisation"))?;
        put(books, &inner).await?;
        value["authorisation"] = inner.no.into();
    }
    let request: Request = serde_json::from_value(value).map_err(|_| {
        Fault::new(UNREADABLE, "the request is not of the expected form").hint("docs/verification.md shows all fields")
    })?;
    let begun = request::begin(books, &request, "operator").await?;
    let answer = match &begun {
        Begun::Open { request_no, queries } => json!({ "request_no": request_no, "state": "OPEN", "queries": queries }),
        Begun::Known { request_no } => json!({ "request_no": request_no, "state": "KNOWN" }),
        Begun::Refused { request_no, fault } => {
            json!({ "request_no": request_no, "state": "REFUSED", "code": fault.code, "message": fault.message, "queries": 0 })
        }
    };
    if format.is_json() {
        output::json(&answer)?;
    } else if let Begun::Refused { request_no, fault } = &begun {
        output::say!("{request_no} refused: {fault}");
    } else {
        output::say!("{}", answer["request_no"].as_str().unwrap_or_default());
    }
    Ok(output::findings(matches!(begun, Begun::Refused { .. })))
}

fn show(value: &Value, format: output::Format) -> anyhow::Result<ExitCode> {
    if format.is_json() {
        output::json(value)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    output::say!("{}", output::table(["field", "value"], rows.map(|(name, value)| [name.clone(), text(value)])));
    Ok(ExitCode::SUCCESS)
}

async fn pass(global: &Global, format: output::Format) -> anyhow::Result<ExitCode> {
    let hub = Hub::open(global.config()?, None).await.map_err(Faults)?;
    let providers = hub.providers().map_err(Faults)?;
    let done = drive::pass(&hub.books(), &hub.agreements, &providers, clock::millis()).await.map_err(|error| error.fault())?;
    let answer = json!({ "sent": done.sent, "answered": done.answered, "refused": done.refused, "expired": done.expired,
        "cancelled": done.cancelled, "reports": done.reports });
    hub.bus.close().await;
    hub.store.close().await;
    show(&answer, format)
}
