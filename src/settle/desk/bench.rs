//! Load for the desk: two hospitals at a time settle for the same persons, some reverse, all is counted afterwards.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Desk, Error, Request, Settlement,
    recon::{Outcome, SiteLine},
};
use crate::error::Fault;

/// What is asked of the desk.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Settlements a second that are offered.
    pub rate: u64,
    pub seconds: u64,
    /// Few persons race for their caps more often.
    pub persons: u64,
    /// Callers at once.
    pub callers: u64,
    /// The run was begun before and killed: what became of a key is asked, before anything is sent.
    pub resumed: bool,
}

/// Every so many-th settlement is given up within this, at some moment before, in or after its commit.
const ABANDONED: u64 = 23;
const PATIENCE: Duration = Duration::from_millis(6);
/// Day of all settlements, and the two hospitals.
const DAY: &str = "2017-07-03";
const HOSPITALS: [&str; 2] = ["220105H00001", "220105H00002"];

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    pub settlements: u64,
    pub reversals: u64,
    pub rate: f64,
    pub quote_p50_ms: f64,
    pub quote_p99_ms: f64,
    pub settle_p50_ms: f64,
    pub settle_p99_ms: f64,
    /// Settlements that the cap cut.
    pub capped: u64,
    /// Settlements whose caller gave up waiting, and asked by the key.
    pub abandoned: u64,
    /// Visits that have not exactly one settlement. Must be 0.
    pub not_once: i64,
    /// Differences planted in the files of the hospitals, and those that reconciliation found.
    pub planted: usize,
    pub found: usize,
    /// Planted and not found, or found and not planted. Must be 0.
    pub unexpected: usize,
    /// Persons whose settlements exceed their cap, or differ from what the year's row says. Must be 0.
    pub wrong: i64,
}

/// Runs the load.
///
/// # Errors
/// The first refusal or failure: none is expected.
pub async fn run(desk: &Desk, load: Load, run_no: &str) -> Result<Measured, Fault> {
    // What was settled before is asked as fast as it goes, only the rest is offered at the rate.
    let before = if load.resumed { once(desk, run_no).await.map_err(Error::fault)? } else { 0 };
    let pace = Pace { started: Instant::now(), before: u64::try_from(before).unwrap_or(0) };
    let (next, started) = (Arc::new(AtomicU64::new(0)), pace.started);
    let mut tasks = JoinSet::new();
    for _ in 0..load.callers {
        tasks.spawn(caller(desk.clone(), load, run_no.to_owned(), Arc::clone(&next), pace));
    }
    let mut all = Times::default();
    while let Some(done) = tasks.join_next().await {
        let times = done.map_err(|_| Fault::new(super::BAD_REQUEST, "a caller of the bench crashed"))?.map_err(Error::fault)?;
        all.quotes.extend(times.quotes);
        all.settles.extend(times.settles);
        all.reversals += times.reversals;
        all.capped += times.capped;
        all.abandoned += times.abandoned;
    }
    let took = started.elapsed().as_secs_f64();
    let wrong = wrong(desk).await.map_err(Error::fault)?;
    let once = once(desk, run_no).await.map_err(Error::fault)?;
    let total = i64::try_from(load.rate * load.seconds).unwrap_or(i64::MAX);
    let (planted, found, unexpected) = reconciled(desk).await.map_err(Error::fault)?;
    all.quotes.sort_unstable();
    all.settles.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "counts of a bench are small")]
    let rate = all.settles.len() as f64 / took;
    Ok(Measured {
        settlements: all.settles.len() as u64,
        reversals: all.reversals,
        rate,
        quote_p50_ms: at(&all.quotes, 50),
        quote_p99_ms: at(&all.quotes, 99),
        settle_p50_ms: at(&all.settles, 50),
        settle_p99_ms: at(&all.settles, 99),
        capped: all.capped,
        abandoned: all.abandoned,
        not_once: total - once,
        planted,
        found,
        unexpected,
        wrong,
    })
}

/// When a request is due.
#[derive(Clone, Copy)]
struct Pace {
    started: Instant,
    before: u64,
}

#[derive(Default)]
struct Times {
    quotes: Vec<Duration>,
    settles: Vec<Duration>,
    reversals: u64,
    capped: u64,
    abandoned: u64,
}

async fn caller(desk: Desk, load: Load, run_no: String, next: Arc<AtomicU64>, pace: Pace) -> Result<Times, Error> {
    let mut times = Times::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.rate * load.seconds {
            return Ok(times);
        }
        let due = Duration::from_micros(number.saturating_sub(pace.before) * 1_000_000 / load.rate.max(1));
        tokio::time::sleep(due.saturating_sub(pace.started.elapsed())).await;
        let request = request(number, load.persons, &run_no)?;
        let began = Instant::now();
        times.capped += u64::from(desk.quote(&request).await?.capped);
        times.quotes.push(began.elapsed());
        let known = if load.resumed { desk.query(&request.idem_key()).await? } else { None };
        let settlement = match known {
            Some(known) => known,
            None => settle(&desk, &request, number, &mut times).await?,
        };
        if number % 20 == 7 {
            desk.reverse(&settlement.settle_no, "bench", false).await?;
            times.reversals += 1;
        }
    }
}

/// Settles, or gives up waiting and asks: only where nothing was done the same request is sent again.
async fn settle(desk: &Desk, request: &Request, number: u64, times: &mut Times) -> Result<Settlement, Error> {
    if number % ABANDONED == 11 {
        let patience = PATIENCE * u32::try_from(number / ABANDONED % 16).unwrap_or(0) / 16;
        if let Ok(done) = tokio::time::timeout(patience, desk.settle(request)).await {
            return done;
        }
        times.abandoned += 1;
        if let Some(known) = desk.query(&request.idem_key()).await? {
            return Ok(known);
        }
    }
    let began = Instant::now();
    let settlement = desk.settle(request).await?;
    times.settles.push(began.elapsed());
    Ok(settlement)
}

/// Neighbours in the load are of the same person, at two hospitals.
fn request(number: u64, persons: u64, run_no: &str) -> Result<Request, Fault> {
    let amount = 4_000 + number * 7_919 % 30_000;
    let object = json!({
        "institution": HOSPITALS[usize::from(number % 2 == 1)], "visit_no": format!("{run_no}-{number}"),
        "id_number": format!("bench-{run_no}-{}", number / 2 % persons.max(1)), "category": "DB", "service": "outpatient_chronic",
        "division": "220105", "admit_date": DAY, "settled_on": DAY,
        "total": format!("{}.{:02}", amount / 100, amount % 100), "in_scope": format!("{}.{:02}", amount / 100, amount % 100),
    });
    Request::read(&object.as_object().cloned().unwrap_or_default())
}

/// Persons above the cap of chronic outpatients, and rows that do not equal the sum of their settlements.
async fn wrong(desk: &Desk) -> Result<i64, Error> {
    let sql = "SELECT COUNT(*) FROM aid_year y WHERE y.aid > 200000 AND y.service = 'outpatient_chronic' \
               OR y.aid <> (SELECT COALESCE(SUM(s.aid), 0) FROM settlement s WHERE s.person = y.person AND s.year = y.year AND s.service = y.service)";
    Ok(desk.store.read(sql, &[]).await?.first().map_or(0, |row| row.int(0)))
}

/// Visits of the run that have exactly one settlement.
async fn once(desk: &Desk, run_no: &str) -> Result<i64, Error> {
    let sql = "SELECT COUNT(*) FROM (SELECT visit_no FROM settlement WHERE reverses = '' AND substr(visit_no, 1, length($1)) = $1 \
               GROUP BY institution, visit_no HAVING COUNT(*) = 1) AS visits";
    Ok(desk.store.read(sql, &[format!("{run_no}-").into()]).await?.first().map_or(0, |row| row.int(0)))
}

/// Reconciles both hospitals with files in which lines are missing, invented and changed. Planted, found, and what of them
/// is not the same.
async fn reconciled(desk: &Desk) -> Result<(usize, usize, usize), Error> {
    let (mut planted, mut found) = (BTreeSet::new(), BTreeSet::new());
    for hospital in HOSPITALS {
        let mut site = Vec::new();
        let sql = "SELECT idem_key, aid, status FROM settlement WHERE institution = $1 AND settled_on = $2 ORDER BY idem_key";
        for (place, row) in desk.store.read(sql, &[hospital.into(), DAY.into()]).await?.iter().enumerate() {
            let mut line = SiteLine { idem_key: row.text(0), aid_pay: row.int(1), status: row.text(2) };
            let result = match place % 211 {
                17 => Outcome::HubOnly,
                41 => Outcome::AmountDiff,
                83 => Outcome::StatusDiff,
                127 => Outcome::SiteOnly,
                _ => Outcome::Match,
            };
            match result {
                Outcome::AmountDiff => line.aid_pay += 1,
                Outcome::StatusDiff if line.status == "REVERSED" => "SETTLED".clone_into(&mut line.status),
                Outcome::StatusDiff => "REVERSED".clone_into(&mut line.status),
                Outcome::SiteOnly => {
                    let invented = SiteLine { idem_key: format!("{}-none", line.idem_key), ..line.clone() };
                    planted.insert((invented.idem_key.clone(), result));
                    site.push(invented);
                }
                Outcome::Match | Outcome::HubOnly => {}
            }
            if !matches!(result, Outcome::Match | Outcome::SiteOnly) {
                planted.insert((line.idem_key.clone(), result));
            }
            if result != Outcome::HubOnly {
                site.push(line);
            }
        }
        let report = desk.reconcile(hospital, DAY, &site).await?;
        found.extend(report.differences.into_iter().map(|line| (line.idem_key, line.result)));
    }
    Ok((planted.len(), found.len(), planted.symmetric_difference(&found).count()))
}

fn at(times: &[Duration], percent: usize) -> f64 {
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
