//! Load for the desk: two hospitals at a time settle for the same persons, some reverse, all is counted afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Desk, Error, Request};
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
}

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
    /// Persons whose settlements exceed their cap, or differ from what the year's row says. Must be 0.
    pub wrong: i64,
}

/// Runs the load.
///
/// # Errors
/// The first refusal or failure: none is expected.
pub async fn run(desk: &Desk, load: Load, run_no: &str) -> Result<Measured, Fault> {
    let (next, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut tasks = JoinSet::new();
    for _ in 0..load.callers {
        tasks.spawn(caller(desk.clone(), load, run_no.to_owned(), Arc::clone(&next), started));
    }
    let mut all = Times::default();
    while let Some(done) = tasks.join_next().await {
        let times = done.map_err(|_| Fault::new(super::BAD_REQUEST, "a caller of the bench crashed"))?.map_err(Error::fault)?;
        all.quotes.extend(times.quotes);
        all.settles.extend(times.settles);
        all.reversals += times.reversals;
        all.capped += times.capped;
    }
    let took = started.elapsed().as_secs_f64();
    let wrong = wrong(desk).await.map_err(Error::fault)?;
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
        wrong,
    })
}

#[derive(Default)]
struct Times {
    quotes: Vec<Duration>,
    settles: Vec<Duration>,
    reversals: u64,
    capped: u64,
}

async fn caller(desk: Desk, load: Load, run_no: String, next: Arc<AtomicU64>, started: Instant) -> Result<Times, Error> {
    let mut times = Times::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= load.rate * load.seconds {
            return Ok(times);
        }
        let due = Duration::from_micros(number * 1_000_000 / load.rate.max(1));
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        let request = request(number, load.persons, &run_no)?;
        let began = Instant::now();
        times.capped += u64::from(desk.quote(&request).await?.capped);
        times.quotes.push(began.elapsed());
        let began = Instant::now();
        let settlement = desk.settle(&request).await?;
        times.settles.push(began.elapsed());
        if number % 20 == 7 {
            desk.reverse(&settlement.settle_no, "bench", false).await?;
            times.reversals += 1;
        }
    }
}

/// Neighbours in the load are of the same person, at two hospitals.
fn request(number: u64, persons: u64, run_no: &str) -> Result<Request, Fault> {
    let amount = 4_000 + number * 7_919 % 30_000;
    let object = json!({
        "institution": format!("220105H{:05}", number % 2 + 1), "visit_no": format!("{run_no}-{number}"),
        "id_number": format!("bench-{run_no}-{}", number / 2 % persons.max(1)), "category": "DB", "service": "outpatient_chronic",
        "division": "220105", "admit_date": "2017-07-03", "settled_on": "2017-07-03",
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

fn at(times: &[Duration], percent: usize) -> f64 {
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
