//! `civilhub disaster list|view|reports|check|return|report|merge|figures`

use std::{path::PathBuf, process::ExitCode};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Global, output};
use crate::{
    clock,
    disaster::{
        self, BAD_FIGURES, NO_EVENT,
        act::{self, Act},
        figures, stem,
        view::{self, View},
        whole,
    },
    domain::division,
    error::Fault,
    store::Store,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The disasters that were reported.
    List(output::Format),
    /// A disaster as a division looks at a time: sums, who is silent, stale or late, and what other agencies say.
    View {
        /// Number of the event, 22 digits.
        event: String,
        /// Province, prefecture, county or township.
        #[arg(long, default_value = "220000")]
        division: String,
        /// RFC 3339 with a zone; now without it.
        #[arg(long)]
        as_of: Option<String>,
        #[command(flatten)]
        format: output::Format,
    },
    /// Every report of a disaster, with its state and lateness.
    Reports {
        event: String,
        #[arg(long, default_value = "220000")]
        division: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// Pass reports: they go up one level.
    Check(Doing),
    /// Give a report back to the place that entered it.
    Return(Doing),
    /// Report to the ministry; a county does so from ten dead and missing on.
    Report(Doing),
    /// Two numbers are of one disaster: the reports of the first count for the second.
    Merge {
        event: String,
        into: String,
        #[arg(long)]
        reason: String,
    },
    /// Keep figures that other agencies published, each with its source and time.
    Figures {
        /// Number of the event; without it made of the file's hazard, day and first division.
        event: Option<String>,
        #[arg(long)]
        input: PathBuf,
    },
}

#[derive(clap::Args)]
struct Doing {
    /// Keys of the reports: event, division and number with hyphens.
    #[arg(required = true)]
    reports: Vec<String>,
    /// Division code of the office that does it.
    #[arg(long)]
    by: String,
    #[arg(long, default_value = "")]
    reason: String,
    /// When it was done, RFC 3339 with a zone; now without it.
    #[arg(long)]
    at: Option<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    store.migrate().await.map_err(|error| error.fault())?;
    match args.command {
        Command::List(format) => list(&store, format).await?,
        Command::View { event, division, as_of, format } => show(&store, &event, &division, as_of.as_deref(), format).await?,
        Command::Reports { event, division, format } => reports(&store, &event, &division, format).await?,
        Command::Check(doing) => return all(&store, Act::Check, &doing).await,
        Command::Return(doing) => return all(&store, Act::Return, &doing).await,
        Command::Report(doing) => return all(&store, Act::Report, &doing).await,
        Command::Merge { event, into, reason } => {
            act::merge(&store, &event, &into, &reason).await?;
            output::say!("the reports of the first event count for the second");
        }
        Command::Figures { event, input } => keep(&store, event.as_deref(), &input).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds of a time on the command line.
fn moment(text: Option<&str>) -> Result<i64, Fault> {
    let Some(text) = text else { return Ok(clock::millis()) };
    let parsed = OffsetDateTime::parse(text, &Rfc3339).map(|moment| moment.unix_timestamp() * 1000);
    parsed.map_err(|_| Fault::new(NO_EVENT, "the time is not understood").expected("2017-07-15T10:00:00+08:00"))
}

/// Twelve digits of a division that is or was.
fn place(code: &str) -> Result<String, Fault> {
    let known = division::normalise(code).map_err(|_| Fault::new(NO_EVENT, "there is no such division"))?;
    Ok(whole(&known))
}

async fn list(store: &Store, format: output::Format) -> anyhow::Result<()> {
    let events = disaster::events(store).await.map_err(|error| error.fault())?;
    if format.is_json() {
        return output::json(&events);
    }
    let rows = events.into_iter().map(|event| {
        let (reports, places) = (event.reports.to_string(), event.places.to_string());
        [event.event_no, event.hazard, reports, places, event.newest_as_of, event.merged_into]
    });
    output::say!("{}", output::table(["event", "hazard", "reports", "places", "newest figures", "merged into"], rows));
    Ok(())
}

async fn show(store: &Store, event: &str, of: &str, as_of: Option<&str>, format: output::Format) -> anyhow::Result<()> {
    let (of, at) = (place(of)?, moment(as_of)?);
    let reports = disaster::load(store, event, stem(&of)).await.map_err(|error| error.fault())?;
    let published = figures::of(store, event, at).await.map_err(|error| error.fault())?;
    if reports.is_empty() && published.is_empty() {
        let fault =
            Fault::new(NO_EVENT, "nothing was reported of this event there").hint("`civilhub disaster list` shows the events");
        return Err(fault.into());
    }
    let view = view::roll_up(event, &reports, &of, at);
    let conflicts = figures::conflicts(&view.totals, &published);
    if format.is_json() {
        let mut line = json!(view);
        line["published"] = json!(published);
        line["conflicts"] = json!(conflicts);
        return output::json(&line);
    }
    let sources: Vec<String> = published.iter().map(|one| format!("{} as of {}", one.source, one.as_of)).collect();
    let head: Vec<String> = ["indicator".to_owned(), "hub".to_owned()].into_iter().chain(sources).collect();
    let mut codes: Vec<&String> = view.totals.keys().chain(published.iter().flat_map(|one| one.figures.keys())).collect();
    codes.sort();
    codes.dedup();
    let text = |value: Option<&Value>| {
        value.map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut table = comfy_table::Table::new();
    table.set_header(head);
    for code in codes {
        let own = std::iter::once(text(view.totals.get(code)));
        table.add_row(std::iter::once(code.clone()).chain(own).chain(published.iter().map(|one| text(one.figures.get(code)))));
    }
    output::say!("{} as of {}", view.name, view.as_of);
    output::say!("{table}");
    output::say!("{}", standing(&view));
    Ok(())
}

fn standing(view: &View) -> String {
    let places = &view.places;
    let mut text = format!(
        "{} of {} townships count; {} silent, {} stale, {} late, {} returned, {} refused",
        places.counted,
        places.townships,
        places.silent.len(),
        places.stale.len(),
        places.late.len(),
        places.returned.len(),
        places.refused.len()
    );
    if let Some(level) = view.emergency_level {
        text.push_str(&format!("; the figures are of emergency level {level}"));
    }
    for county in &view.direct {
        text.push_str(&format!("; {} reports directly: {} dead and missing", county.county, county.dead_and_missing));
    }
    text
}

async fn reports(store: &Store, event: &str, of: &str, format: output::Format) -> anyhow::Result<()> {
    let of = place(of)?;
    let reports = disaster::load(store, event, stem(&of)).await.map_err(|error| error.fault())?;
    let minutes = |seconds: i64| (seconds + 59).div_euclid(60);
    if format.is_json() {
        let lines = reports.iter().map(|report| {
            json!({
                "report": report.key, "type": report.report_type, "status": report.status, "as_of": time(report.as_of),
                "submitted_at": time(report.submitted_at), "late_minutes": minutes(report.late()), "reason": report.reason,
            })
        });
        return output::json(&lines.collect::<Vec<_>>());
    }
    let rows = reports.iter().map(|report| {
        let late = minutes(report.late()).to_string();
        [report.key.clone(), report.report_type.clone(), report.status.clone(), time(report.as_of), late, report.reason.clone()]
    });
    output::say!("{}", output::table(["report", "type", "state", "figures of", "minutes late", "reason"], rows));
    Ok(())
}

fn time(millis: i64) -> String {
    OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).map_or_else(|_| String::new(), clock::rfc3339)
}

/// Each report by itself: one that is refused does not stop the others.
async fn all(store: &Store, act: Act, doing: &Doing) -> anyhow::Result<ExitCode> {
    let at = moment(doing.at.as_deref())?;
    let (mut done, mut faults) = (Vec::new(), Vec::new());
    for key in &doing.reports {
        match act::act(store, key, act, &doing.by, &doing.reason, at).await {
            Ok(one) => done.push(one),
            Err(fault) => faults.push(fault),
        }
    }
    if doing.format.is_json() {
        output::json(&json!({ "done": done, "faults": faults }))?;
    } else {
        let rows = done.iter().map(|one| [one.report.clone(), one.status.clone(), one.late.to_string()]);
        output::say!("{}", output::table(["report", "state", "seconds late"], rows));
        output::report(&faults);
    }
    Ok(output::findings(!faults.is_empty()))
}

async fn keep(store: &Store, event: Option<&str>, input: &PathBuf) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(input).map_err(|error| {
        Fault::new(BAD_FIGURES, format!("the file cannot be read: {}", error.kind())).in_file(input.display().to_string())
    })?;
    let (event, published) = figures::read(&text, event)?;
    figures::keep(store, &event, &published).await.map_err(|error| error.fault())?;
    output::say!("{} reports of other agencies are kept for {event}", published.len());
    Ok(())
}
