//! The store: reached, let in, tables as this program needs them, clock.

use std::time::Duration;

use super::{Category::Database, Check, Finding, Reading, Seen};
use crate::{
    clock,
    config::{Config, origin::without_secrets},
    error::Code,
    store::health::{self, State, Step, Trouble},
};

/// The database cannot be reached.
pub const UNREACHABLE: Code = Code::new(8201);
/// The database does not let the user in.
pub const CREDENTIALS: Code = Code::new(8202);
/// There is no such database.
pub const NO_DATABASE: Code = Code::new(8203);
/// The tables are older than the program.
pub const OLD_TABLES: Code = Code::new(8204);
/// The tables are newer than the program.
pub const NEW_TABLES: Code = Code::new(8205);
/// A step of the tables broke off, or is not the program's.
pub const BROKEN_TABLES: Code = Code::new(8206);
/// The database refuses for another reason.
pub const REFUSED: Code = Code::new(8207);

const LIMIT: Duration = Duration::from_secs(8);

pub(super) fn check(config: &Config, pre: bool) -> Check {
    let url = config.store_url();
    Check::new(Database, "the database", 20, async move { look(&url, pre).await })
}

async fn look(url: &str, pre: bool) -> Seen {
    let shown = without_secrets(url);
    let before = clock::millis();
    match health::look(url, LIMIT).await {
        Err(Trouble::NoFile) if pre => {
            Finding::ok(Database, format!("there is no `{shown}` yet; the first start makes it")).into()
        }
        Err(trouble) => refused(&trouble, &shown).into(),
        Ok(look) => {
            let here = before.midpoint(clock::millis());
            let clocks = look.clock.map(|there| Reading { of: "the database".to_owned(), ahead: here - there, own: true });
            Seen { findings: tables(&look.steps, &shown, pre), clocks: clocks.into_iter().collect() }
        }
    }
}

fn refused(trouble: &Trouble, shown: &str) -> Finding {
    let (code, hint) = match trouble {
        Trouble::Url => {
            (UNREACHABLE, "write `store.url` as `postgres://user:password@host:5432/database`; escape special characters with %")
        }
        Trouble::NoFile => (NO_DATABASE, "`civilhub migrate` or the first start makes it; else check `hub.data` and `store.url`"),
        Trouble::Unreachable => {
            (UNREACHABLE, "check host and port of `store.url`, that the server runs, and that no network policy is between")
        }
        Trouble::Credentials => {
            (CREDENTIALS, "check user and password in `store.url` (CIVILHUB__STORE__URL) and the server's pg_hba.conf")
        }
        Trouble::NoDatabase => (NO_DATABASE, "make the database (`createdb`), or correct its name in `store.url`"),
        Trouble::Refused(_) if shown.starts_with("sqlite") => {
            (REFUSED, "check free space and rights of its folder; if those are well the file is damaged: restore its copy")
        }
        Trouble::Refused(_) => (REFUSED, "look into the server's log; the user needs the right to make tables in its schema"),
    };
    Finding::fail(Database, code, format!("`{shown}`: {trouble}"), hint)
}

fn tables(steps: &[Step], shown: &str, pre: bool) -> Vec<Finding> {
    let of = |state: State| steps.iter().filter(move |step| step.state == state).collect::<Vec<_>>();
    let numbers = |steps: &[&Step]| steps.iter().map(|step| step.version.to_string()).collect::<Vec<_>>().join(", ");
    let (pending, newer) = (of(State::Pending), of(State::Newer));
    let broken = [of(State::Broken), of(State::Changed)].concat();
    let mut findings = Vec::new();
    if !newer.is_empty() {
        let message =
            format!("the tables of `{shown}` are newer than this program: it does not know the steps {}", numbers(&newer));
        findings.push(Finding::fail(
            Database,
            NEW_TABLES,
            message,
            "start the newer program again, or restore the copy of the store made before the upgrade",
        ));
    }
    if !broken.is_empty() {
        let message = format!("steps of the tables broke off or differ from this program's: {}", numbers(&broken));
        findings.push(Finding::fail(
            Database,
            BROKEN_TABLES,
            message,
            "restore the copy of the store made before the upgrade and run `civilhub migrate`; never edit a released step",
        ));
    }
    if !pending.is_empty() {
        let message = format!("{} steps of the tables of `{shown}` are not done: {}", pending.len(), numbers(&pending));
        let hint = "run `civilhub migrate` (`civilhub migrate plan` shows what it would do)";
        findings.push(match (pre, pending.len() == steps.len()) {
            (true, true) => Finding::ok(Database, format!("`{shown}` answers; the tables are made on installation")),
            (true, false) => Finding::warn(Database, OLD_TABLES, message, hint),
            (false, _) => Finding::fail(Database, OLD_TABLES, message, hint),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Database, format!("`{shown}` answers and its tables are up to date")));
    }
    findings
}
