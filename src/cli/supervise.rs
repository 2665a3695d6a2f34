//! `civilhub supervise list|run|backtest|alerts|score|suppress`

use std::{path::PathBuf, process::ExitCode};

use serde_json::json;

use super::{Global, output};
use crate::{
    config::keys::Keys,
    error::{Fault, Faults},
    facts::alert::{self, Alert, Filter},
    supervise::{
        BAD_RULE, NO_ALERT,
        engine::{Engine, Found},
        rule::{self, Rule},
        score,
    },
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The rules, and how many alerts each has.
    List(output::Format),
    /// Hold the rules against what has changed and was not looked at yet.
    Run,
    /// Run a rule over all that is stored: its hits, and the money concerned. Files no alert.
    Backtest {
        /// The rule file, TOML with a condition in VRL.
        #[arg(long)]
        rule: PathBuf,
        #[command(flatten)]
        format: output::Format,
    },
    /// What the rules have found, the newest first.
    Alerts {
        /// Only of this rule.
        #[arg(long)]
        rule: Option<String>,
        /// open, suppressed or gone; all without it.
        #[arg(long)]
        state: Option<String>,
        /// Only of this division and those below: leading digits of its code.
        #[arg(long)]
        division: Option<String>,
        #[arg(long, default_value_t = 1_000_000)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
    /// Hold the alerts against what a simulated province has planted: precision and recall of each rule.
    Score {
        /// The folder that `civilhub simulate` wrote.
        #[arg(long)]
        truth: PathBuf,
        #[command(flatten)]
        format: output::Format,
    },
    /// Set an alert aside. It stays so, whatever the rule finds.
    Suppress {
        /// The alert, as `supervise alerts` names it.
        id: String,
        /// Why it needs no work.
        #[arg(long)]
        reason: String,
    },
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List(format) => list(global, format).await?,
        Command::Run => {
            let rules = rule::load(&global.config()?.paths.rules).map_err(Faults)?;
            engine(global, rules).await?.drain().await.map_err(|error| error.fault())?;
            output::say!("the rules have looked at everything");
        }
        Command::Backtest { rule, format } => return backtest(global, &rule, format).await,
        Command::Alerts { rule, state, division, limit, format } => {
            let (_, store) = global.store().await?;
            let filter = Filter { rule, state, division, limit };
            let alerts = alert::list(&store, &filter).await.map_err(|error| error.fault())?;
            if format.is_json() { output::json(&alerts)? } else { output::say!("{}", table(&alerts)) }
        }
        Command::Score { truth, format } => return score(global, &truth, format).await,
        Command::Suppress { id, reason } => suppress(global, &id, &reason).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn engine(global: &Global, rules: Vec<Rule>) -> anyhow::Result<Engine> {
    let (config, store) = global.store().await?;
    let keys = Keys::load(&config.key_file())?;
    Ok(Engine::new(store, keys, rules))
}

async fn list(global: &Global, format: output::Format) -> anyhow::Result<()> {
    let rules = rule::load(&global.config()?.paths.rules).map_err(Faults)?;
    // Rules are listed with or without a store.
    let counts = match global.store().await {
        Ok((_, store)) => alert::counts(&store).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let count = |rule: &str, state: &str| {
        counts.iter().filter(|(of, is, ..)| of == rule && is == state).map(|(_, _, count, _)| *count).sum::<i64>()
    };
    if format.is_json() {
        let rules = rules.iter().map(|rule| {
            let mut line = json!(rule.form);
            line["open"] = json!(count(&rule.form.id, "open"));
            line["suppressed"] = json!(count(&rule.form.id, "suppressed"));
            line
        });
        return output::json(&rules.collect::<Vec<_>>());
    }
    let rows = rules.iter().map(|rule| {
        let form = &rule.form;
        [
            form.id.clone(),
            form.name.clone(),
            word(&form.severity),
            word(&form.owner),
            form.of.clone(),
            count(&form.id, "open").to_string(),
            count(&form.id, "suppressed").to_string(),
        ]
    });
    output::say!("{}", output::table(["rule", "what it finds", "severity", "owner", "of", "open", "suppressed"], rows));
    Ok(())
}

/// The word of an enum as rule files have it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

async fn backtest(global: &Global, file: &PathBuf, format: output::Format) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Fault::new(BAD_RULE, format!("the rule cannot be read: {}", error.kind())).in_file(file.display().to_string())
    })?;
    let rule = Rule::parse(&text, &file.display().to_string()).map_err(Faults)?;
    let id = rule.form.id.clone();
    let Found { alerts, failed, looked } = engine(global, vec![rule]).await?.backtest().await.map_err(|error| error.fault())?;
    let alerts: Vec<Alert> = alerts.into_values().collect();
    let money: i64 = alerts.iter().map(|alert| alert.amount).sum();
    let failed: Vec<&Fault> = failed.values().collect();
    if format.is_json() {
        output::json(&json!({
            "rule": id, "looked_at": looked, "hits": alerts.len(), "money": yuan(money), "alerts": alerts, "faults": failed
        }))?;
    } else {
        output::say!("{}", table(&alerts));
        output::say!("rule {id}: {} hits in {looked} records, {} yuan concerned", alerts.len(), yuan(money));
        output::report(&failed.iter().map(|fault| (*fault).clone()).collect::<Vec<_>>());
    }
    Ok(output::findings(!failed.is_empty()))
}

async fn score(global: &Global, truth: &std::path::Path, format: output::Format) -> anyhow::Result<ExitCode> {
    let (_, store) = global.store().await?;
    let filter = Filter { limit: i64::MAX, ..Filter::default() };
    let mut alerts = alert::list(&store, &filter).await.map_err(|error| error.fault())?;
    alerts.retain(|alert| alert.state != "gone");
    let scores = score::score(&alerts, truth)?;
    if format.is_json() {
        output::json(&scores)?;
    } else {
        let rows = scores.iter().map(|score| {
            let (precision, recall) = (format!("{:.3}", score.precision), format!("{:.3}", score.recall));
            [score.rule.clone(), score.planted.to_string(), score.found.to_string(), precision, recall]
        });
        output::say!("{}", output::table(["rule", "planted", "found", "precision", "recall"], rows));
    }
    Ok(output::findings(!scores.iter().all(score::Score::is_good)))
}

async fn suppress(global: &Global, id: &str, reason: &str) -> anyhow::Result<()> {
    if reason.trim().is_empty() {
        return Err(Fault::new(NO_ALERT, "an alert is suppressed with a reason only").hint("say why with --reason").into());
    }
    let (_, store) = global.store().await?;
    if !alert::suppress(&store, id, reason.trim()).await.map_err(|error| error.fault())? {
        let fault = Fault::new(NO_ALERT, "there is no open alert of this id").hint("`civilhub supervise alerts` shows them");
        return Err(fault.into());
    }
    output::say!("the alert is suppressed");
    Ok(())
}

fn table(alerts: &[Alert]) -> comfy_table::Table {
    let rows = alerts.iter().map(|alert| {
        [
            alert.id.clone(),
            alert.rule.clone(),
            alert.severity.clone(),
            alert.state.clone(),
            alert.owner.clone(),
            format!("{} {}", alert.system, alert.subject),
            yuan(alert.amount),
        ]
    });
    output::table(["alert", "rule", "severity", "state", "owner", "record", "yuan"], rows)
}

fn yuan(fen: i64) -> String {
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100)
}
