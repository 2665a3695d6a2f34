//! `civilhub doctor`: looks at everything a hub stands on and says what is wrong, by code and with what to do.
//!
//! All checks run side by side, each with a time limit of its own, so one broken thing hides no other. A check changes
//! nothing that stays: it makes no tables, no keys and no folders.

mod advice;
mod broker;
mod clock;
mod database;
mod folders;
mod http;
mod keys;
mod pem;
mod plans;
mod process;
mod reach;
mod sources;
mod wire;

use std::{future::Future, path::Path, pin::Pin, time::Duration};

use serde::Serialize;

use crate::{
    config::Config,
    error::{Code, Fault},
};

pub use clock::Reading;

/// Nothing is wrong with what a check looked at.
pub const IN_ORDER: Code = Code::new(8200);
/// A check did not end within its time limit.
pub const TOO_SLOW: Code = Code::new(8299);

/// What a check thinks of what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    Warn,
    Fail,
}

/// What is looked at; findings are shown in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    Configuration,
    Keys,
    Disk,
    Process,
    Http,
    Database,
    Broker,
    Clock,
    Certificate,
    Schemas,
    Adapters,
    Agreements,
    Partners,
    Sources,
}

/// One finding. Texts hold names of the configuration, never a secret and nothing of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub code: Code,
    pub category: Category,
    pub status: Status,
    pub message: String,
    /// What to do; empty when all is well.
    pub hint: String,
}

impl Finding {
    fn new(category: Category, status: Status, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, category, status, message: message.into(), hint: hint.into() }
    }

    fn ok(category: Category, message: impl Into<String>) -> Self {
        Self::new(category, Status::Ok, IN_ORDER, message, "")
    }

    fn warn(category: Category, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(category, Status::Warn, code, message, hint)
    }

    fn fail(category: Category, code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(category, Status::Fail, code, message, hint)
    }

    /// A fault that another part of the hub has found.
    fn fault(category: Category, fault: &Fault) -> Self {
        let place = Fault { expected: fault.expected.clone(), hint: None, ..fault.clone() };
        let text = place.to_string();
        let message = text.strip_prefix(&format!("{}", fault.code)).unwrap_or(&text).trim_start_matches([':', ' ']).to_owned();
        let hint = fault.hint.clone().unwrap_or_else(|| advice::what_to_do(fault.code));
        Self::fail(category, fault.code, message, hint)
    }
}

/// What checks bring home.
#[derive(Debug, Default)]
struct Seen {
    findings: Vec<Finding>,
    /// Clocks of others.
    clocks: Vec<Reading>,
}

impl From<Finding> for Seen {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

impl From<Vec<Finding>> for Seen {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::default() }
    }
}

/// One check: what it is about, how long it may take, the work.
struct Check {
    category: Category,
    what: String,
    limit: Duration,
    work: Pin<Box<dyn Future<Output = Seen> + Send>>,
}

impl Check {
    fn new<S: Into<Seen>>(
        category: Category,
        what: impl Into<String>,
        seconds: u64,
        work: impl Future<Output = S> + Send + 'static,
    ) -> Self {
        let work = Box::pin(async move { work.await.into() });
        Self { category, what: what.into(), limit: Duration::from_secs(seconds), work }
    }

    /// Work that waits for nothing but the disk.
    fn local<S: Into<Seen> + Send + 'static>(
        category: Category,
        what: impl Into<String>,
        work: impl FnOnce() -> S + Send + 'static,
    ) -> Self {
        Self::new(category, what, 20, async move { tokio::task::spawn_blocking(move || work().into()).await.unwrap_or_default() })
    }

    async fn run(self) -> Seen {
        match tokio::time::timeout(self.limit, self.work).await {
            Ok(seen) => seen,
            Err(_) => {
                let message = format!("{}: no answer within {} s", self.what, self.limit.as_secs());
                Finding::fail(self.category, TOO_SLOW, message, "see whether it hangs: disk, network, or the service behind it")
                    .into()
            }
        }
    }
}

/// Looks at everything. `pre` is the look before the hub is installed: tables, keys and queues need not be there yet.
pub async fn examine(file: Option<&Path>, data: Option<&Path>, pre: bool) -> Vec<Finding> {
    let (config, faults) = Config::load_known(file, data);
    let mut findings: Vec<Finding> = faults.iter().map(|fault| Finding::fault(Category::Configuration, fault)).collect();
    if let Some(config) = config {
        if faults.is_empty() {
            findings.push(Finding::ok(Category::Configuration, "every key is known and has a value of its kind"));
        }
        let seen = run(checks(&config, file, pre)).await;
        findings.extend(seen.findings);
        findings.extend(clock::judge(&seen.clocks));
    }
    findings.sort_by(|a, b| {
        (a.category, std::cmp::Reverse(a.status), a.code, &a.message).cmp(&(
            b.category,
            std::cmp::Reverse(b.status),
            b.code,
            &b.message,
        ))
    });
    findings.dedup();
    findings
}

fn checks(config: &Config, file: Option<&Path>, pre: bool) -> Vec<Check> {
    let mut checks = vec![keys::check(config, pre), process::check(), http::check(config, pre), database::check(config, pre)];
    checks.extend(folders::checks(config, pre));
    let plans = plans::read(config, file);
    checks.extend(broker::check(config, &plans.queues(config), pre));
    checks.extend(reach::checks(&plans.partners));
    checks.extend(sources::checks(config, &plans.adapters));
    checks.push(pem::check(config, &plans.partners));
    checks.push(Check::new(Category::Schemas, "schemas, adapters and agreements", 20, std::future::ready(plans.findings)));
    checks
}

async fn run(checks: Vec<Check>) -> Seen {
    let mut tasks = tokio::task::JoinSet::new();
    for check in checks {
        tasks.spawn(check.run());
    }
    let mut all = Seen::default();
    while let Some(done) = tasks.join_next().await {
        let seen = done.unwrap_or_default();
        all.findings.extend(seen.findings);
        all.clocks.extend(seen.clocks);
    }
    all
}
