//! `civilhub identity review`

use std::{
    io::{BufRead, IsTerminal, Write},
    process::ExitCode,
};

use serde_json::json;

use super::super::{Global, citizen, output, trace::moment};
use crate::{
    desk::{Desk, citizen::record},
    identity::review::{Answer, Item, Sides},
};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Args)]
struct List {
    /// open, closed or all
    #[arg(long, default_value = "open", value_parser = ["open", "closed", "all"])]
    state: String,
    /// Only questions of this kind, such as uncertain-match.
    #[arg(long)]
    about: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: i64,
    /// Never ask, also on a terminal.
    #[arg(long)]
    list: bool,
    /// Personal values as they are, not masked, when asking on a terminal.
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    format: output::Format,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The questions, without any value of a person.
    List(List),
    /// One question: both sides, and the bits of each field.
    Show {
        id: String,
        /// Personal values as they are, not masked.
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        format: output::Format,
    },
    /// They are one; or the record that contradicts its person is right.
    Accept(Decision),
    /// They are two, and stay two; or the record is wrong.
    Reject(Decision),
    /// To the end of the queue.
    Later(Decision),
}

#[derive(clap::Args)]
struct Decision {
    id: String,
    /// Why; goes into the ledger.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let desk = global.desk().await?;
    match args.command {
        None => {
            let asks = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
            if asks && !args.list.list && !args.list.format.is_json() {
                return ask(&desk, args.list.plain).await;
            }
            list(&desk, &args.list).await
        }
        Some(Command::List(args)) => list(&desk, &args).await,
        Some(Command::Show { id, plain, format }) => show(&desk, &id, plain, format).await,
        Some(Command::Accept(decision)) => decide(&desk, decision, Answer::Accept).await,
        Some(Command::Reject(decision)) => decide(&desk, decision, Answer::Reject).await,
        Some(Command::Later(decision)) => decide(&desk, decision, Answer::Later).await,
    }
}

async fn list(desk: &Desk, args: &List) -> anyhow::Result<ExitCode> {
    let state = (args.state != "all").then_some(args.state.as_str());
    let items = desk.index.reviews(state, args.about.as_deref(), args.limit).await.map_err(|error| error.fault())?;
    if args.format.is_json() {
        output::json(&items)?;
    } else {
        output::say!("{}", table(&items));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(items: &[Item]) -> comfy_table::Table {
    let row = |item: &Item| {
        let state = if item.decision.is_empty() { item.state.clone() } else { item.decision.clone() };
        let keys = [item.person_key.as_str().to_owned(), item.other_key.as_str().to_owned()].join("\n");
        [
            item.id.clone(),
            item.reason.clone(),
            format!("{:.1}", item.bits),
            keys,
            item.system.clone(),
            state,
            moment(item.opened_at),
        ]
    };
    output::table(["id", "about", "bits", "persons", "by", "state", "opened"], items.iter().map(row))
}

async fn show(desk: &Desk, id: &str, plain: bool, format: output::Format) -> anyhow::Result<ExitCode> {
    let sides = desk.index.review(id).await?;
    if format.is_json() {
        let records = |side: &[crate::identity::person::Filed]| side.iter().map(|filed| record(filed, plain)).collect::<Vec<_>>();
        output::json(&json!({"review": sides.item, "person": records(&sides.person), "other": records(&sides.other)}))?;
    } else {
        print(&sides, plain);
    }
    Ok(ExitCode::SUCCESS)
}

/// Tenths of a bit with a sign, as bits.
fn tenths(tenths: i64) -> String {
    let sign = if tenths < 0 { '-' } else { '+' };
    format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
}

/// Field by field: what the one says, what the other says, how they compare and what that weighs.
fn print(sides: &Sides, plain: bool) {
    let item = &sides.item;
    output::say!("Review {}: {}, {:.1} bits ({})", item.id, item.reason, item.bits, item.model);
    let rows = sides.compare(plain).into_iter().map(|one| {
        let bits = one.tenths.map_or(String::new(), tenths);
        [one.field.to_owned(), one.person.join("\n"), one.other.join("\n"), one.level, bits]
    });
    let names = [
        item.person_key.as_str().to_owned(),
        if item.is_about_one() { "its record".to_owned() } else { item.other_key.as_str().to_owned() },
    ];
    output::say!("{}", output::table(["field", &names[0], &names[1], "comparison", "bits"], rows));
    for (name, side) in names.iter().zip([&sides.person, &sides.other]) {
        let records: Vec<_> = side.iter().map(|filed| record(filed, plain)).collect();
        output::say!("{name}\n{}", citizen::records(&records));
    }
}

async fn decide(desk: &Desk, decision: Decision, answer: Answer) -> anyhow::Result<ExitCode> {
    desk.answer(&decision.id, answer, &decision.reason).await?;
    output::say!("the review is {}", answer.as_str());
    Ok(ExitCode::SUCCESS)
}

/// One question after the other.
async fn ask(desk: &Desk, plain: bool) -> anyhow::Result<ExitCode> {
    let items = desk.index.reviews(Some("open"), None, i64::MAX).await.map_err(|error| error.fault())?;
    output::say!("{} questions are open", items.len());
    for item in items {
        let sides = desk.index.review(&item.id).await?;
        // Another answer may have settled it meanwhile.
        if sides.item.state != "open" {
            continue;
        }
        print(&sides, plain);
        let answer = match line("(a)ccept: one person, (r)eject: two, (l)ater, (s)kip, (q)uit? ")?.as_deref() {
            Some("a" | "accept") => Answer::Accept,
            Some("r" | "reject") => Answer::Reject,
            Some("l" | "later") => Answer::Later,
            None | Some("q" | "quit") => break,
            Some(_) => continue,
        };
        let Some(reason) = line("reason: ")? else { break };
        match desk.answer(&item.id, answer, &reason).await {
            Ok(_) => output::say!("{}", answer.as_str()),
            Err(fault) => output::report(&[fault]),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of the user; nothing at the end of the input.
fn line(prompt: &str) -> anyhow::Result<Option<String>> {
    let mut out = std::io::stdout().lock();
    write!(out, "{prompt}").and_then(|()| out.flush())?;
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text)?;
    Ok((read > 0).then(|| text.trim().to_owned()))
}
