//! The exchange role: passes of the verification, with the transports of its providers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Hub, boxes, query_xml};
use crate::{
    clock,
    deliver::{
        Delivery,
        guard::{Client, Limits},
        mailbox::Mailboxes,
        signing::Signer,
    },
    envelope::{DeliveryId, Event, SubscriptionId},
    error::Fault,
    exchange::{
        Bank, Provider, Reply, UNAVAILABLE, banks,
        book::Books,
        drive::{self, Providers},
        partner_of, report,
    },
    govern::partner::{QueryEndpoint, Signing},
};

const EVERY: Duration = Duration::from_secs(1);

/// A mailbox takes no more queries than this before some are fetched.
const CAPACITY: u32 = 1_000_000;

impl Hub {
    /// The mailboxes of all partners.
    pub fn mailboxes(&self) -> Mailboxes {
        Mailboxes::new(self.store.clone(), self.keys.clone())
    }

    /// What exchanges write to.
    pub fn books(&self) -> Books {
        Books { store: self.store.clone(), keys: self.keys.clone() }
    }

    /// The banks, each behind its own transport: called where its file names an address, else by its mailbox.
    pub fn providers(&self) -> Result<Providers, Vec<Fault>> {
        let (mut providers, mut faults) = (Providers::new(), Vec::new());
        for bank in banks() {
            let slug = partner_of(&bank.code);
            let Some(partner) = self.agreements.partner(&slug) else { continue };
            let provider: Arc<dyn Provider> = match &partner.query {
                Some(endpoint) => match open(self, &bank, &slug, endpoint) {
                    Ok(provider) => provider,
                    Err(more) => {
                        faults.extend(more.into_iter().map(|fault| fault.in_file(format!("{slug}.toml"))));
                        continue;
                    }
                },
                None => Arc::new(Fetched { boxes: self.mailboxes(), partner: slug }),
            };
            providers.insert(bank.code, provider);
        }
        if faults.is_empty() { Ok(providers) } else { Err(faults) }
    }
}

/// Runs until cancelled: a lane for each bank, so that a slow one holds up its own queries only, and the house beside them.
pub(super) async fn run(hub: Arc<Hub>, providers: Providers, cancel: CancellationToken) {
    let mut lanes = JoinSet::new();
    for bank in banks() {
        let provider = providers.get(&bank.code).cloned();
        lanes.spawn(lane(Arc::clone(&hub), bank.code, provider, cancel.clone()));
    }
    let books = hub.books();
    while !cancel.is_cancelled() {
        if let Err(error) = drive::house(&books, clock::millis()).await {
            tracing::warn!(code = %error.fault().code, "the reports of the exchange are tried again");
        }
        if let Err(error) = report::destroy(&books, clock::millis(), hub.config.exchange.detail_days).await {
            tracing::warn!(code = %error.fault().code, "details whose time is over are destroyed later");
        }
        pause(&cancel).await;
    }
    while lanes.join_next().await.is_some() {}
}

async fn lane(hub: Arc<Hub>, code: String, provider: Option<Arc<dyn Provider>>, cancel: CancellationToken) {
    let books = hub.books();
    while !cancel.is_cancelled() {
        match drive::lane(&books, &hub.agreements, &code, provider.clone(), clock::millis()).await {
            // There may be more.
            Ok(counts) if counts.sent + counts.answered > 0 => {}
            Ok(_) => pause(&cancel).await,
            Err(error) => {
                tracing::warn!(code = %error.fault().code, "a lane of the exchange is tried again");
                pause(&cancel).await;
            }
        }
    }
}

async fn pause(cancel: &CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

/// A bank behind an address of its own, spoken to as its file or the list of banks says.
fn open(hub: &Hub, bank: &Bank, slug: &str, endpoint: &QueryEndpoint) -> Result<Arc<dyn Provider>, Vec<Fault>> {
    let format = endpoint.format.as_deref().unwrap_or(&bank.transport);
    let seed = hub.keys.derive(&format!("exchange/{slug}"));
    if endpoint.url.starts_with("file:") || endpoint.url.starts_with("sftp:") {
        return Ok(Arc::new(boxes::open(endpoint, boxes::form(format), seed)?));
    }
    let client =
        Client::new(&endpoint.url, &endpoint.allow, Limits::within(endpoint.timeout), None).map_err(|fault| vec![fault])?;
    let secret = SecretString::from(format!("whsk_{}", STANDARD.encode(seed)));
    let signer = Signer::new(Signing::Ed25519, &[secret]).map_err(|fault| vec![fault])?;
    Ok(Arc::new(Called { client, signer, xml: format == "xml" || format == "xml_https" }))
}

/// A bank that is called: JSON or XML over HTTPS, signed with a key of its own.
struct Called {
    client: Client,
    signer: Signer,
    xml: bool,
}

#[async_trait]
impl Provider for Called {
    async fn ask(&self, query: &Event) -> Reply {
        let record = &query.data.record;
        let (body, kind) = if self.xml {
            (query_xml::query(record), "application/xml; charset=utf-8")
        } else {
            (record.to_string(), "application/json")
        };
        let number = record["query_no"].as_str().unwrap_or_default();
        let mut headers: HeaderMap = self.signer.headers(number, clock::now().unix_timestamp(), body.as_bytes());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let away = |text: &str| Reply::Unavailable(Fault::new(UNAVAILABLE, text));
        let Ok(answer) = self.client.post(headers, body.into()).await else { return away("the provider cannot be reached") };
        match answer.status.as_u16() {
            202 => Reply::Acknowledged,
            200 => {
                let read =
                    if self.xml { query_xml::answer(&answer.body).ok() } else { serde_json::from_slice(&answer.body).ok() };
                read.map_or_else(|| away("the answer cannot be read"), Reply::Answer)
            }
            status @ (400 | 403 | 404 | 409 | 422) => Reply::Refused(format!("status {status}")),
            _ => away("the provider cannot answer now"),
        }
    }
}

/// A bank that comes and fetches: the query waits in its mailbox, and the answer comes to `/v1/answers`.
struct Fetched {
    boxes: Mailboxes,
    partner: String,
}

#[async_trait]
impl Provider for Fetched {
    async fn ask(&self, query: &Event) -> Reply {
        let id = query
            .deliveryid
            .clone()
            .unwrap_or_else(|| DeliveryId::derive(&query.occurrence, &SubscriptionId::from(self.partner.as_str())));
        let delivery = Delivery { id, event: query.clone() };
        match self.boxes.append(&self.partner, &[delivery], CAPACITY).await {
            Ok(Some(_)) => Reply::Acknowledged,
            Ok(None) => Reply::Unavailable(Fault::new(UNAVAILABLE, "the mailbox of the provider is full")),
            Err(error) => Reply::Unavailable(error.fault()),
        }
    }
}
