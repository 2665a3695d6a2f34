//! Partners: signed requests to the API, and verifications over the 17 simulated banks.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::json;

use super::meter::{Measure, Meter};
use crate::{
    api::v1::keys,
    clock,
    config::Config,
    error::Fault,
    exchange::{UNREADABLE, authorisation, banks, request},
    hub::{Hub, Role, Running},
    signature::{
        algorithm::{self, Algorithm, Sign},
        sign::Signer,
    },
    simulate::serve::queries::{self, Speech},
};

/// The partner of the signed requests.
const PARTNER: &str = "bench";
/// Clients side by side.
const CLIENTS: usize = 8;

/// Signed requests and how long the slowest of a hundred took.
#[derive(Debug, Clone, Serialize)]
pub struct Signed {
    pub algorithm: &'static str,
    pub measure: Measure,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Verifications from the first query to the last report.
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    pub requests: u64,
    pub reports: u64,
    /// Bank queries a second; its `seconds` is the time of the load.
    pub measure: Measure,
}

fn failed(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(UNREADABLE, format!("the measurement cannot be made: {error}"))
}

/// Folders, partner files and simulated banks of one measurement.
///
/// # Errors
/// When the folder cannot be written or a bank cannot listen.
pub async fn prepare(config: &mut Config, folder: &Path) -> Result<(), Fault> {
    let partners = folder.join("partners");
    config.hub.data = folder.join("data");
    config.hub.systems.clear();
    config.paths.adapters = folder.join("adapters");
    for made in [&partners, &config.paths.adapters] {
        std::fs::create_dir_all(made).map_err(|error| failed(&error))?;
    }
    for bank in banks() {
        let name = format!("{}.toml", request::partner(&bank.code));
        std::fs::copy(config.paths.partners.join(&name), partners.join(&name)).map_err(|error| failed(&error))?;
        let speech = Speech::of(&bank.transport);
        let url = queries::start(&folder.join("banks"), &bank.code, speech, Arc::default()).await;
        config.env.insert(format!("BANK_{}_QUERY_URL", bank.code), url.map_err(|error| failed(&error))?);
    }
    let text = format!("slug = \"{PARTNER}\"\nname = \"bench\"\nrequests_per_second = 10000\n[transport]\nkind = \"mailbox\"\n");
    std::fs::write(partners.join(format!("{PARTNER}.toml")), text).map_err(|error| failed(&error))?;
    config.paths.partners = partners;
    "127.0.0.1:0".clone_into(&mut config.http.listen);
    Ok(())
}

/// `count` signed requests to a running API, by clients that keep their connections.
///
/// # Errors
/// When the API cannot be started or refuses one of them.
pub async fn signed(running: &Running, name: Algorithm, count: usize) -> Result<Signed, Fault> {
    let (secret, public) = algorithm::generate(name)?;
    let added = keys::add(&running.hub.store, PARTNER, public.as_ref(), "bench").await.map_err(|error| error.fault())?;
    let keyid = added.ok_or_else(|| failed(&"no key"))?.id();
    let listen = running.listen.ok_or_else(|| failed(&"no address"))?;
    let url: url::Url = format!("http://{listen}/v1/keys").parse().map_err(|error| failed(&error))?;
    let left = Arc::new(AtomicUsize::new(count));
    let meter = Meter::start();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (key, keyid, url, left) = (algorithm::secret(&secret)?, keyid.clone(), url.clone(), Arc::clone(&left));
        clients.spawn(async move { client(key.as_ref(), &keyid, &url, &left).await });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(done) = clients.join_next().await {
        times.extend(done.map_err(|error| failed(&error))??);
    }
    let measure = meter.stop(times.len() as u64);
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let millis = |time: Option<&Duration>| time.map(Duration::as_secs_f64).unwrap_or_default() * 1000.0;
    Ok(Signed { algorithm: name.as_str(), measure, p50_ms: millis(at(50)), p99_ms: millis(at(99)) })
}

async fn client(key: &dyn Sign, keyid: &str, url: &url::Url, left: &AtomicUsize) -> Result<Vec<Duration>, Fault> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build();
    let client = client.map_err(|error| failed(&error))?;
    let mut times = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let began = Instant::now();
        let mut headers = HeaderMap::new();
        let signer = Signer { key, keyid };
        signer.sign(url, "GET", b"", clock::now().unix_timestamp(), &mut headers).map_err(|error| failed(&error))?;
        let answer = client.get(url.clone()).headers(headers).send().await.map_err(|error| failed(&error))?;
        let status = answer.status();
        answer.bytes().await.map_err(|error| failed(&error))?;
        if !status.is_success() {
            return Err(failed(&format!("a signed request was answered {status}")));
        }
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Households of one person each, asked at all banks, until every report is issued.
///
/// # Errors
/// When the exchange cannot be started or does not end.
pub async fn verified(hub: &Arc<Hub>, requests: usize) -> Result<Verified, Fault> {
    let books = hub.books();
    for place in 0..requests {
        let member = json!({ "name": "测试", "id_type": "99", "id_number": format!("B{place:012}"), "signed": true });
        let paper =
            serde_json::from_value(json!({ "no": format!("SQ{place}"), "division": "220102003001", "signed_at": "2017-06-28",
            "valid_to": "2099-12-31", "scope": ["DEPOSIT", "WEALTH"], "image_sha256": "ab".repeat(32), "members": [member] }));
        authorisation::put(&books, &paper.map_err(|error| failed(&error))?).await.map_err(|error| error.fault())??;
        let ask = serde_json::from_value(
            json!({ "request_no": format!("HD{place}"), "authorisation": format!("SQ{place}"), "purpose": "UD-REVIEW",
            "division": "220102000000", "operator": "bench", "as_of": "2017-06-30",
            "members": [{ "name": "测试", "id_type": "99", "id_number": format!("B{place:012}") }], "standard_month": "480.00" }),
        );
        request::begin(&books, &ask.map_err(|error| failed(&error))?, "bench").await?;
    }
    let meter = Meter::start();
    let running = hub.start(Role::Exchange).await.map_err(|faults| failed(&crate::error::Faults(faults)))?;
    let wanted = i64::try_from(requests).unwrap_or(i64::MAX);
    let mut reports = 0;
    while reports < wanted {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let rows = hub.store.read("SELECT COUNT(*) FROM verification_report", &[]).await.map_err(|error| error.fault())?;
        reports = rows.first().map_or(0, |row| row.int(0));
    }
    let measure = meter.stop((requests * banks().len()) as u64);
    let sql = "SELECT COUNT(*) FROM verification_query WHERE state <> 'ANSWERED'";
    let open = hub.store.read(sql, &[]).await.map_err(|error| error.fault())?.first().map_or(0, |row| row.int(0));
    running.stop().await;
    if open > 0 {
        return Err(failed(&format!("{open} queries have no answer")));
    }
    Ok(Verified { requests: requests as u64, reports: u64::try_from(reports).unwrap_or_default(), measure })
}
