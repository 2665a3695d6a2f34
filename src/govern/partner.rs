//! [`Partner`]: who receives, and by which transport. Read from `config/partners/<slug>.toml` by [`super::file`].

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use secrecy::SecretString;

use super::{agreement::Agreement, network::Network};

/// One receiver.
#[derive(Debug, Clone)]
pub struct Partner {
    /// File name without `.toml`; names the queue and the subscription.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Its own codes (of an institution, a department), which the agreements with `own` compare with.
    pub codes: Vec<String>,
    /// How its deliveries reach it.
    pub transport: Transport,
    /// Why it has no endpoint, if it has none: its deliveries wait in its mailbox.
    pub unreachable: Option<String>,
    /// Signed requests per second to the partner API.
    pub requests_per_second: NonZeroU32,
    /// Networks in which an endpoint that the partner registers itself may lie; none: it may register none.
    pub endpoint_networks: Vec<Network>,
    /// Where its queries go, if the hub calls it for them; else they wait in its mailbox.
    pub query: Option<QueryEndpoint>,
    /// What it may ask the hub to do, such as `verification`.
    pub may: Vec<String>,
    /// Public key of the sandbox whose certificate a new key of the partner needs.
    pub conformance: Option<String>,
    /// Deliveries per second; `None` for no limit.
    pub rate_per_second: Option<NonZeroU32>,
    /// In file order: the first that applies to an event decides.
    pub agreements: Vec<Agreement>,
}

/// Where a provider takes queries.
#[derive(Debug, Clone)]
pub struct QueryEndpoint {
    /// `https:` (and `http:` on loopback), or a folder for files: `file:`, `sftp:`.
    pub url: String,
    /// `json`, `xml`, `csv` or `fixed`, where it is not what the list of banks says.
    pub format: Option<String>,
    /// For a folder on an SFTP server: the file of our secret key, and the host key that the server must show.
    pub sftp: Option<(PathBuf, String)>,
    /// The bank's public key: then its files must be signed by it.
    pub public_key: Option<String>,
    /// How often a folder on an SFTP server is looked at.
    pub every: Duration,
    pub allow: Vec<Network>,
    pub timeout: Duration,
}

/// How a partner is reached, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The lake of the hub.
    Lake,
    /// The hub calls.
    Webhook,
    /// The partner comes with a token.
    Mailbox,
    /// Neither address nor token: the mailbox keeps its deliveries, and only signed requests read it.
    None,
}

impl Endpoint {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lake => "lake",
            Self::Webhook => "webhook",
            Self::Mailbox => "mailbox",
            Self::None => "no endpoint configured",
        }
    }
}

impl Partner {
    /// How it is reached.
    pub fn endpoint(&self) -> Endpoint {
        match &self.transport {
            _ if self.unreachable.is_some() => Endpoint::None,
            Transport::Lake => Endpoint::Lake,
            Transport::Webhook(_) => Endpoint::Webhook,
            Transport::Mailbox(_) => Endpoint::Mailbox,
        }
    }
}

/// How a partner gets its deliveries.
#[derive(Debug, Clone)]
pub enum Transport {
    /// The lake of the hub itself.
    Lake,
    /// We call the partner.
    Webhook(Webhook),
    /// The partner comes and fetches.
    Mailbox(Mailbox),
}

/// A partner that is called.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// As written; checked by the guard, which also looks at how it is written.
    pub url: String,
    /// Networks the partner may be reached in; at least one.
    pub allow: Vec<Network>,
    /// The scheme of the signatures.
    pub signing: Signing,
    /// The current key, and the next while keys are changed.
    pub secrets: Vec<SecretString>,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Requests under way at once; those of one partition key follow one another.
    pub in_flight: usize,
    /// Events in one request; 1 unless `batch = true`.
    pub batch: usize,
    /// PEM file of the partner's own certificate authorities; then no other is trusted.
    pub ca_file: Option<PathBuf>,
}

/// The signature scheme of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// `v1a`: the partner holds a public key only.
    Ed25519,
    /// `v1`: both sides share a secret.
    HmacSha256,
}

/// A partner that comes and fetches.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Its bearer tokens, current and next: the token, or `sha256:` and 64 hex digits.
    pub tokens: Vec<SecretString>,
    /// Unacknowledged deliveries it may have before delivery pauses.
    pub capacity: u32,
}
