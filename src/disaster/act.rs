//! What offices do with a report: check it, return it, report it to the ministry; and that two events are one.

use super::{
    BELOW_THRESHOLD, DIRECT, ILLEGAL_ACT, NO_EVENT, NO_REASON, NO_REPORT, NOT_ABOVE, Report,
    due::{self, Level},
    level, report, stem,
    view::roll_up,
    whole,
};
use crate::{
    cases, clock,
    error::Fault,
    store::{Store, Tx},
};

/// One thing an office does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Good: goes up one level.
    Check,
    /// Back to the place that entered it.
    Return,
    /// To the ministry; by a county only above the threshold.
    Report,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Return => "return",
            Self::Report => "report",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    pub report: String,
    pub status: String,
    /// Seconds after the office's clock; 0 in time.
    pub late: i64,
}

/// Does it, as the office with this division code.
///
/// # Errors
/// The report is unknown, the office is not the level above, the step is not legal, or the store fails.
pub async fn act(store: &Store, key: &str, act: Act, office: &str, reason: &str, at: i64) -> Result<Done, Fault> {
    let office = whole(office);
    if act == Act::Return && reason.trim().is_empty() {
        return Err(Fault::new(NO_REASON, "a report is returned with a reason only").hint("say with --reason what is wrong"));
    }
    let mut tx = store.begin().await.map_err(|error| error.fault())?;
    let found = report::find(&mut tx, key).await.map_err(|error| error.fault())?;
    let report = found.ok_or_else(|| {
        Fault::new(NO_REPORT, "there is no disaster report of this key").hint("`civilhub disaster reports EVENT` shows them")
    })?;
    let to = next(&report, act, &office)?;
    if act == Act::Report && level(&office) == 3 {
        drop(tx);
        above_threshold(store, &report, &office).await?;
        tx = store.begin().await.map_err(|error| error.fault())?;
    }
    let late = lateness(&report, act, &office, at);
    keep(&mut tx, &report, act, to, &office, reason, at, late).await.map_err(|error| error.fault())?;
    tx.commit().await.map_err(|error| error.fault())?;
    Ok(Done { report: report.key, status: to.to_owned(), late })
}

/// The state after the act, if the office may do it and the table of steps has it.
fn next(report: &Report, act: Act, office: &str) -> Result<&'static str, Fault> {
    let above = report.division.starts_with(stem(office)) && level(office) < 4;
    let to = match (act, level(office)) {
        (Act::Check, 3) => "COUNTY_CHECKED",
        (Act::Check, 2) => "PREF_CHECKED",
        (Act::Check, 1) => "PROV_CHECKED",
        (Act::Return, _) => "RETURNED",
        _ => "REPORTED",
    };
    // A report is at the office of the level above the one that checked it last.
    let holder = match report.status.as_str() {
        "ENTERED" => 3,
        "COUNTY_CHECKED" => 2,
        _ => 1,
    };
    let direct = act == Act::Report && level(office) == 3 && report.status == "COUNTY_CHECKED";
    if !above || (level(office) != holder && !direct) {
        let fault = Fault::new(NOT_ABOVE, "the report does not lie with this office");
        return Err(fault.expected("the office above the level that checked it last, of the report's own area"));
    }
    let legal = cases::machines().get("disaster").map(|machine| machine.judge(&report.status, to));
    if matches!(legal, Some(cases::Verdict::Legal(_))) {
        return Ok(to);
    }
    Err(Fault::new(ILLEGAL_ACT, format!("a report in the state {} cannot become {to}", report.status))
        .hint("docs/disaster.md has the steps"))
}

async fn above_threshold(store: &Store, report: &Report, office: &str) -> Result<(), Fault> {
    let reports = report::load(store, &report.event_no, stem(office)).await.map_err(|error| error.fault())?;
    let view = roll_up(&report.event_no, &reports, office, report.as_of);
    if view.direct.iter().any(|county| county.county == office) {
        return Ok(());
    }
    let fault = Fault::new(BELOW_THRESHOLD, "the county has fewer dead and missing than a direct report takes");
    Err(fault.expected(format!("{DIRECT} or more")).hint("the prefecture checks it"))
}

fn lateness(report: &Report, act: Act, office: &str, at: i64) -> i64 {
    let (level, since) = match (act, level(office)) {
        (Act::Return, _) => return 0,
        (_, 3) if report.report_type == "FINAL" => (Level::County, report.as_of),
        (_, 3) => (Level::County, report.occurred_at),
        (_, 2) => (Level::Prefecture, report.county_at),
        _ => (Level::Province, report.pref_at),
    };
    due::late(due::due(&report.report_type, level, report.as_of, since), at)
}

#[allow(clippy::too_many_arguments, reason = "one row of the journal")]
async fn keep(
    tx: &mut Tx,
    report: &Report,
    act: Act,
    to: &str,
    office: &str,
    reason: &str,
    at: i64,
    late: i64,
) -> Result<(), crate::store::Error> {
    let sql = "UPDATE disaster_report SET status = $2, reason = $3, \
               county_at = CASE WHEN $2 = 'COUNTY_CHECKED' THEN $4 ELSE county_at END, \
               pref_at = CASE WHEN $2 = 'PREF_CHECKED' THEN $4 ELSE pref_at END, \
               prov_at = CASE WHEN $2 = 'PROV_CHECKED' THEN $4 ELSE prov_at END WHERE report_key = $1";
    tx.execute(sql, &[report.key.as_str().into(), to.into(), reason.into(), at.into()]).await?;
    let sql =
        "INSERT INTO disaster_act (report_key, revision, act, office, reason, at, late) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let args = [
        report.key.as_str().into(),
        report.revision.into(),
        act.word().into(),
        office.into(),
        reason.into(),
        at.into(),
        late.into(),
    ];
    tx.execute(sql, &args).await?;
    Ok(())
}

/// Two numbers of one disaster: the reports of the first count for the second from now on.
///
/// # Errors
/// No reason, an event merged into itself or into one that is merged away, or the store fails.
pub async fn merge(store: &Store, from: &str, into: &str, reason: &str) -> Result<(), Fault> {
    if reason.trim().is_empty() {
        return Err(Fault::new(NO_REASON, "events are merged with a reason only").hint("say with --reason why they are one"));
    }
    let sql = "SELECT (SELECT COUNT(*) FROM disaster_report WHERE event_no = $1), \
               (SELECT COUNT(*) FROM disaster_merge WHERE event_no = $2 OR into_event = $1)";
    let rows = store.read(sql, &[from.into(), into.into()]).await.map_err(|error| error.fault())?;
    let (reports, chained) = rows.first().map_or((0, 0), |row| (row.int(0), row.int(1)));
    if reports == 0 || from == into || chained > 0 {
        let fault = Fault::new(NO_EVENT, "these two events cannot be merged");
        return Err(fault.expected("two events, the first with reports, neither of them merged the other way before"));
    }
    let sql = "INSERT INTO disaster_merge (event_no, into_event, reason, at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (event_no) DO UPDATE SET into_event = excluded.into_event, reason = excluded.reason, at = excluded.at";
    let args = [from.into(), into.into(), reason.trim().into(), clock::millis().into()];
    store.write(sql, &args).await.map_err(|error| error.fault())?;
    Ok(())
}
