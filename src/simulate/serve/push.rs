//! Pushes simulated bodies into the hub, signed, as the systems with webhooks do.
//!
//! Eight senders work at once; all bodies of one thing (a township in a flood, a call, a request) go through the same sender, so what the
//! file has in order stays in order. A body is sent again until the hub has answered, with the same delivery id.

use std::path::Path;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, StatusCode, redirect};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock;
use crate::error::Fault;
use crate::simulate::Error;
use crate::simulate::error::{PUSH_FAILED, PUSH_REFUSED, RECORD_BROKEN};
use crate::simulate::systems::{community_platform, disaster_report, hotline, smart_community};

/// A webhook of the hub and who posts to it.
#[derive(Debug, Clone, Copy)]
pub struct Webhook {
    /// The system's slug.
    pub slug: &'static str,
    /// The bodies in its folder, one a line.
    pub file: &'static str,
    /// Last part of the hub's address.
    pub path: &'static str,
    /// Names the secret in the adapter: `HOTLINE` for `HOTLINE_SECRET`.
    pub secret: &'static str,
    /// Headers of signature, time and delivery.
    pub headers: [&'static str; 3],
    /// What stands before the texts that tell which thing a body is about.
    pub about: &'static [&'static str],
}

/// The headers most senders use.
const HEADERS: [&str; 3] = ["x-signature", "x-timestamp", "x-delivery-id"];

/// Reports of townships in floods.
pub const DISASTER_REPORT: Webhook = Webhook {
    slug: disaster_report::SLUG,
    file: disaster_report::FILE,
    path: "report",
    secret: "DISASTER_REPORT",
    headers: HEADERS,
    about: &["\"eventNo\":\"", "\"divisionCode\":\""],
};

/// All webhooks, that of the disaster reports first.
pub const WEBHOOKS: [Webhook; 7] = [
    DISASTER_REPORT,
    Webhook {
        slug: hotline::SLUG,
        file: hotline::FILE,
        path: "event",
        secret: "HOTLINE",
        headers: HEADERS,
        about: &["\"callId\":\""],
    },
    Webhook {
        slug: community_platform::SLUG,
        file: community_platform::FILE,
        path: "status",
        secret: "COMMUNITY_PLATFORM",
        headers: HEADERS,
        about: &["\"requestNo\":\""],
    },
    smart(0, "SMART_COMMUNITY_DONGZHAN", HEADERS, &["\"eventId\":\""]),
    smart(1, "SMART_COMMUNITY_JIANGUO", HEADERS, &["\"事件编号\":\""]),
    smart(2, "SMART_COMMUNITY_FENGMAN", ["x-hub-signature", "x-hub-timestamp", "x-request-id"], &["\"id\":\""]),
    smart(3, "SMART_COMMUNITY_CHUANYING", ["x-cy-sign", "x-cy-time", "x-cy-id"], &["<ID>"]),
];

const fn smart(dialect: usize, secret: &'static str, headers: [&'static str; 3], about: &'static [&'static str]) -> Webhook {
    let (file, path) = (smart_community::FILES[dialect], smart_community::DIALECTS[dialect]);
    Webhook { slug: smart_community::SLUG, file, path, secret, headers, about }
}

/// Senders at once.
const SENDERS: usize = 8;
/// Bodies waiting for one sender.
const WAITING: usize = 16;
/// Sends of one body before the push gives up.
const ATTEMPTS: u32 = 8;
/// Time for one request, answer included.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// First pause before a retry; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause, also when the hub asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What became of the bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// Answered with 2xx.
    pub accepted: u64,
    /// Answered with 4xx for their content; sending again would not help.
    pub refused: u64,
    /// Sends beyond the first of a body.
    pub retries: u64,
}

/// What every sender needs.
#[derive(Clone)]
struct Target {
    client: Client,
    url: String,
    secret: String,
    headers: [&'static str; 3],
}

/// Pushes a webhook's bodies in `dir` to `base_url` (scheme, host and port). `progress` is called with the number of bodies
/// handed to the senders.
///
/// # Errors
/// When the file cannot be read, when the hub refuses the signature or the address, or fails all attempts of a body.
pub async fn push(
    dir: &Path,
    webhook: Webhook,
    base_url: &str,
    secret: &str,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Pushed, Error> {
    let url = format!("{}/in/{}/{}", base_url.trim_end_matches('/'), webhook.slug, webhook.path);
    let target = Target { client: client()?, url, secret: secret.to_owned(), headers: webhook.headers };
    let mut senders = JoinSet::new();
    let mut queues = Vec::new();
    for _ in 0..SENDERS {
        let (queue, reports) = mpsc::channel(WAITING);
        senders.spawn(sender(target.clone(), reports));
        queues.push(queue);
    }
    let fed = feed(&dir.join(webhook.slug).join(webhook.file), webhook.about, &queues, progress).await;
    drop(queues);
    let mut total = Pushed::default();
    while let Some(joined) = senders.join_next().await {
        let pushed = joined.map_err(|_| failed("a sender stopped"))??;
        total.accepted += pushed.accepted;
        total.refused += pushed.refused;
        total.retries += pushed.retries;
    }
    fed.map(|()| total)
}

fn client() -> Result<Client, Error> {
    let builder = Client::builder().timeout(REQUEST_LIMIT).connect_timeout(CONNECT_LIMIT).redirect(redirect::Policy::none());
    builder.no_proxy().build().map_err(|_| failed("the HTTP client cannot be made"))
}

/// Reads the file line by line; a full queue holds the reading back, a dead sender ends it.
async fn feed(
    path: &Path,
    about: &[&str],
    queues: &[mpsc::Sender<Vec<u8>>],
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Error> {
    let file = tokio::fs::File::open(path).await.map_err(Error::file(path))?;
    let mut lines = BufReader::new(file).split(b'\n');
    let mut read = 0;
    while let Some(line) = lines.next_segment().await.map_err(Error::file(path))? {
        read += 1;
        let lane = lane(&line, about, queues.len()).ok_or_else(|| broken(path, read))?;
        if queues[lane].send(line).await.is_err() {
            // The sender has given up; its error is the one to tell.
            return Ok(());
        }
        progress(read);
    }
    Ok(())
}

/// The sender of a body, by the texts that stand behind the marks; nothing where a mark is missing.
fn lane(body: &[u8], about: &[&str], lanes: usize) -> Option<usize> {
    let body = String::from_utf8_lossy(body);
    let mut digest = Sha256::new();
    for mark in about {
        let rest = &body[body.find(mark)? + mark.len()..];
        digest.update(rest.split(['"', '<']).next()?);
        digest.update("/");
    }
    Some(usize::from(digest.finalize()[0]) % lanes)
}

async fn sender(target: Target, mut reports: mpsc::Receiver<Vec<u8>>) -> Result<Pushed, Error> {
    let mut pushed = Pushed::default();
    while let Some(body) = reports.recv().await {
        let (accepted, retries) = deliver(&target, &body).await?;
        pushed.retries += u64::from(retries);
        pushed.accepted += u64::from(accepted);
        pushed.refused += u64::from(!accepted);
    }
    Ok(pushed)
}

/// Sends one body until it is answered. Gives whether it was accepted, and the retries.
async fn deliver(target: &Target, body: &[u8]) -> Result<(bool, u32), Error> {
    let delivery = hex::encode(&Sha256::digest(body)[..16]);
    let mut pause = FIRST_PAUSE;
    for retries in 0..ATTEMPTS {
        let mut wait = pause;
        match attempt(target, body, &delivery).await {
            Ok(answer) if answer.status.is_success() => return Ok((true, retries)),
            Ok(answer) if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {
                return Err(refused(answer.status));
            }
            Ok(answer) if answer.status.is_client_error() && !again(answer.status) => return Ok((false, retries)),
            Ok(answer) => wait = answer.retry_after.unwrap_or(pause).min(LONGEST_PAUSE),
            Err(error) => {
                tracing::debug!(timeout = error.is_timeout(), connect = error.is_connect(), "push failed, trying again")
            }
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Err(failed("the hub did not take a body"))
}

struct Reply {
    status: StatusCode,
    retry_after: Option<Duration>,
}

async fn attempt(target: &Target, body: &[u8], delivery: &str) -> Result<Reply, reqwest::Error> {
    let [signature, time, id] = target.headers;
    let timestamp = clock::now().unix_timestamp().to_string();
    let request = target
        .client
        .post(&target.url)
        .header("content-type", if body.starts_with(b"<") { "application/xml" } else { "application/json" })
        .header(signature, sign(&target.secret, &timestamp, body))
        .header(time, timestamp)
        .header(id, delivery)
        .body(body.to_owned());
    let response = request.send().await?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Reply { status: response.status(), retry_after: retry_after.map(Duration::from_secs) })
}

/// HMAC-SHA256 in hex over `<timestamp>.<body>`.
pub fn sign(secret: &str, timestamp: &str, body: impl AsRef<[u8]>) -> String {
    // HMAC takes keys of any length (RFC 2104); the error of the trait cannot occur.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_ref());
    hex::encode(mac.finalize().into_bytes())
}

fn again(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY)
}

fn broken(path: &Path, row: u64) -> Error {
    let fault = Fault::new(RECORD_BROKEN, "the line is no simulated body").in_file(path.display().to_string()).at_row(row);
    Error::refused(fault.expected("a body that names what it is about").hint("write the export again"))
}

fn failed(message: &str) -> Error {
    Error::refused(Fault::new(PUSH_FAILED, message).hint("check that the hub runs and its webhook listens on the given address"))
}

fn refused(status: StatusCode) -> Error {
    let fault = Fault::new(PUSH_REFUSED, format!("the hub answered `{}` to a signed body", status.as_u16()));
    Error::refused(fault.hint("check the shared secret, the clocks, and that the system is configured"))
}
