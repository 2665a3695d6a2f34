//! `civilhub dispute open|list|show|answer|waive`

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Global, output, trace::moment};
use crate::{
    config::{Config, keys::Keys},
    correction::{
        Books, Claim, NO_WORDS, NOT_RECEIVED, What, Who,
        answer::{self, Answer, Done},
        list::{self, Dispute, Filter, Receiver},
        open,
    },
    error::{Fault, Faults},
    govern::Agreements,
    hub::{self, Secrets},
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Dispute a field: of a delivery, or of a record by the key that its system has for it.
    Open {
        #[arg(long, conflicts_with_all = ["system", "dataset", "subject", "event"])]
        delivery: Option<String>,
        /// The owning system.
        #[arg(long, requires_all = ["dataset", "subject"])]
        system: Option<String>,
        #[arg(long)]
        dataset: Option<String>,
        #[arg(long)]
        subject: Option<String>,
        /// The event that is wrong; the newest one of the record without it.
        #[arg(long)]
        event: Option<String>,
        /// JSON pointer into the record, like /amount.
        #[arg(long)]
        field: String,
        /// What is wrong, in words; sealed in the store.
        #[arg(long)]
        problem: String,
        /// What it should be, as JSON or plain text; sealed in the store.
        #[arg(long)]
        proposed: Option<String>,
        #[command(flatten)]
        format: output::Format,
    },
    /// The queue of a system's desk, the most urgent first. Exit code 1 when something is overdue.
    List {
        #[arg(long)]
        system: Option<String>,
        /// opened, sent, answered, closed; or open for all that are not closed, or all
        #[arg(long, default_value = "open", value_parser = ["open", "opened", "sent", "answered", "closed", "all"])]
        state: String,
        /// Only those whose owner has let its time go by.
        #[arg(long)]
        overdue: bool,
        #[arg(long, default_value_t = 200)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
    /// One dispute, and who of the receivers has the right value.
    Show {
        id: String,
        /// Also what is said to be wrong and what it should be; noted in the ledger.
        #[arg(long, requires = "reason")]
        plain: bool,
        /// Why it is looked at in plain.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        format: output::Format,
    },
    /// Answer a dispute, as the desk of the owning system.
    Answer {
        id: String,
        /// The value is wrong: a corrected record comes, or has come.
        #[arg(long, required_unless_present = "reject", conflicts_with = "reject")]
        uphold: bool,
        /// The value is right.
        #[arg(long, requires = "reason")]
        reject: bool,
        /// Why it is rejected; the partner reads it.
        #[arg(long)]
        reason: Option<String>,
        /// The office that answers.
        #[arg(long)]
        by: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// Give up a receiver that cannot be reached any more.
    Waive {
        id: String,
        #[arg(long)]
        receiver: String,
        #[arg(long)]
        reason: String,
    },
}

/// What the commands work with.
struct Desk {
    config: Config,
    books: Books,
    keys: Keys,
}

impl Desk {
    fn agreements(&self) -> anyhow::Result<Agreements> {
        let registry = hub::registry(&self.config).map_err(Faults)?;
        Ok(hub::agreements(&self.config, &self.keys, Secrets::Optional, &registry).map_err(Faults)?)
    }
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (config, store) = global.store().await?;
    let keys = Keys::load(&config.key_file())?;
    store.migrate().await.map_err(|error| error.fault())?;
    let desk = Desk { config, books: Books { store, keys: keys.clone() }, keys };
    match args.command {
        Command::Open { delivery, system, dataset, subject, event, field, problem, proposed, format } => {
            let what = match (delivery, system.zip(dataset).zip(subject)) {
                (Some(delivery), _) => What::Delivery(delivery),
                (None, Some(((system, dataset), subject))) => record(&desk, &system, &dataset, subject, event)?,
                _ => {
                    return Err(Fault::new(NO_WORDS, "nothing is named")
                        .expected("--delivery, or --system, --dataset and --subject")
                        .into());
                }
            };
            let proposed = proposed.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
            begin(&desk, &what, &Claim { pointer: field, problem, proposed }, format).await
        }
        Command::List { system, state, overdue, limit, format } => {
            let state = (state != "all").then_some(state);
            queue(&desk, &Filter { system, state, overdue, limit }, format).await
        }
        Command::Show { id, plain, reason, format } => show(&desk, &id, plain.then(|| reason.unwrap_or_default()), format).await,
        Command::Answer { id, uphold, reason, by, format, .. } => {
            let said = if uphold { Answer::Upheld } else { Answer::Rejected };
            answered(&desk, &id, said, &by, &reason.unwrap_or_default(), format).await
        }
        Command::Waive { id, receiver, reason } => {
            answer::waive(&desk.books, &id, &receiver, &reason).await?;
            output::say!("the dispute does not wait for `{receiver}` any more");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The record by its system's key, under the newest schema of its dataset.
fn record(desk: &Desk, system: &str, dataset: &str, subject: String, event: Option<String>) -> anyhow::Result<What> {
    let registry = hub::registry(&desk.config).map_err(Faults)?;
    let schema = registry
        .latest(&dataset.into())
        .ok_or_else(|| Fault::new(NOT_RECEIVED, "there is no such dataset").hint("`civilhub schema list` shows them"))?;
    Ok(What::Record { source: format!("/systems/{system}"), dataschema: schema.id(), subject, event })
}

async fn begin(desk: &Desk, what: &What, claim: &Claim, format: output::Format) -> anyhow::Result<ExitCode> {
    let days = desk.config.exchange.dispute_workdays;
    let opened = open::open(&desk.books, &desk.agreements()?, &Who::Office, what, claim, days).await?;
    let dispute = list::find(&desk.books.store, &opened.id).await?;
    if format.is_json() {
        output::json(&shown(&dispute))?;
    } else if opened.fresh {
        output::say!("{} lies with the desk of {} until {}", dispute.id, dispute.system, dispute.due_on);
    } else {
        output::say!("{} is there already: {}", dispute.id, dispute.state);
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(dispute: &Dispute) -> Value {
    let mut line = json!(dispute);
    line["overdue"] = json!(dispute.is_overdue());
    line["workdays_left"] = json!(dispute.workdays_left());
    line
}

async fn queue(desk: &Desk, filter: &Filter, format: output::Format) -> anyhow::Result<ExitCode> {
    let disputes = list::list(&desk.books.store, filter).await.map_err(|error| error.fault())?;
    let overdue = disputes.iter().any(Dispute::is_overdue);
    if format.is_json() {
        output::json(&disputes.iter().map(shown).collect::<Vec<_>>())?;
        return Ok(output::findings(overdue));
    }
    let rows = disputes.iter().map(|one| {
        let time = match one.state.as_str() {
            "opened" | "sent" if one.is_overdue() => format!("OVERDUE by {}", -one.workdays_left()),
            "opened" | "sent" => format!("{} workdays", one.workdays_left()),
            _ => String::new(),
        };
        let (system, record) = (one.system.clone(), format!("{} {}", one.dataset, one.subject));
        [one.id.clone(), system, record, one.pointer.clone(), one.opened_by.clone(), state(one), one.due_on.clone(), time]
    });
    output::say!("{}", output::table(["dispute", "owner", "record", "field", "opened by", "state", "due", "left"], rows));
    Ok(output::findings(overdue))
}

fn state(dispute: &Dispute) -> String {
    let note = match (dispute.state.as_str(), dispute.promised_at > 0, dispute.newer_record.as_str()) {
        ("answered" | "closed", ..) => dispute.outcome.as_str(),
        (_, _, "unchanged") => "a newer record says the same",
        (_, _, "unknown") => "a newer record cannot be compared: answer it",
        (_, true, _) => "upheld, record awaited",
        _ => "",
    };
    if note.is_empty() { dispute.state.clone() } else { format!("{}, {note}", dispute.state) }
}

async fn show(desk: &Desk, id: &str, why: Option<String>, format: output::Format) -> anyhow::Result<ExitCode> {
    let dispute = list::find(&desk.books.store, id).await?;
    let receivers = list::receivers(&desk.books.store, id).await.map_err(|error| error.fault())?;
    let plain = match why {
        Some(why) => Some(list::plain(&desk.books, id, &why).await?),
        None => None,
    };
    if format.is_json() {
        let mut line = shown(&dispute);
        line["receivers"] = json!(receivers);
        if let Some(plain) = plain {
            line["claim"] = plain;
        }
        output::json(&line)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::say!("{} of {}: {} {} {}", dispute.id, dispute.opened_by, dispute.system, dispute.dataset, dispute.subject);
    output::say!("field {} of event {}, {}, due {}", dispute.pointer, dispute.event_id, state(&dispute), dispute.due_on);
    if !dispute.fix_event.is_empty() {
        output::say!("corrected by event {}", dispute.fix_event);
    }
    if let Some(plain) = plain {
        output::say!("{}", serde_json::to_string_pretty(&plain)?);
    }
    let rows = receivers.iter().map(|one: &Receiver| {
        let at = if one.state == "received" { moment(one.at) } else { String::new() };
        [one.subscription.clone(), one.kind.clone(), one.state.clone(), at, one.delivery_id.clone()]
    });
    output::say!("{}", output::table(["receiver", "gets", "state", "receipt of", "delivery"], rows));
    Ok(ExitCode::SUCCESS)
}

async fn answered(
    desk: &Desk,
    id: &str,
    said: Answer,
    by: &str,
    reason: &str,
    format: output::Format,
) -> anyhow::Result<ExitCode> {
    let done = answer::answer(&desk.books, &desk.agreements()?, id, said, by, reason).await?;
    if format.is_json() {
        output::json(&json!({ "dispute": id, "done": done }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match done {
        Done::Answered => output::say!("{id} is answered"),
        Done::Awaited => output::say!("{id} is upheld: it is answered when the corrected record has come"),
        Done::Unchanged => {
            output::say!("{id} is upheld, but the newest record says the same: it is answered when one comes that does not")
        }
    }
    Ok(ExitCode::SUCCESS)
}
