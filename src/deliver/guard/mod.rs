//! The only way out to a partner: an HTTP client that goes nowhere but into the partner's networks.
//!
//! - Names are resolved here, every address is checked, and the checked addresses are the ones that are connected to:
//!   a name that answers differently the next time (DNS rebinding) gains nothing.
//! - Addresses inside addresses (IPv4-mapped, 6to4, Teredo, NAT64) are unwrapped or refused; loopback needs a network of
//!   its own in the allow-list, link-local (where clouds keep their metadata) is never allowed.
//! - Redirects are not followed, proxies of the environment are not used, answers are read up to a limit.
//! - Every phase has a time limit.

use std::{
    error::Error as _,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::{
    StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
    redirect::Policy,
};
use url::Url;

use crate::{
    error::{Code, Fault},
    govern::network::Network,
};

pub mod address;

use address::{check_url, permit};

/// The partner's name has no address inside its networks.
pub const ADDRESS_REFUSED: Code = Code::new(6001);
/// No connection to the partner: refused, reset, no route, or TLS failed.
pub const NO_CONNECTION: Code = Code::new(6002);
/// The partner did not answer within the time limit.
pub const TIMED_OUT: Code = Code::new(6003);
/// The partner's answer broke off.
pub const BROKEN_ANSWER: Code = Code::new(6004);
/// The HTTP client cannot be made: the certificate file is unreadable, or TLS cannot start.
pub const NO_CLIENT: Code = Code::new(6023);

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Resolving, connecting and TLS.
    pub connect: Duration,
    /// Silence while reading.
    pub read: Duration,
    /// From the first step to the last byte of the answer.
    pub total: Duration,
    /// Bytes of an answer that are read; the rest is not waited for.
    pub answer: usize,
}

impl Limits {
    /// Limits that fit a total time: half of it to connect.
    pub fn within(total: Duration) -> Self {
        Self { connect: (total / 2).max(Duration::from_millis(1)), read: total, total, answer: 64 * 1024 }
    }
}

/// An answer. Its body is for the partner's own account of itself; it never goes into a fault or a log.
#[derive(Debug)]
pub struct Answer {
    /// As the partner gave it; redirects are not followed.
    pub status: StatusCode,
    /// All headers of the answer.
    pub headers: HeaderMap,
    /// At most [`Limits::answer`] bytes.
    pub body: Bytes,
}

/// Why there is no answer. None of them says anything about the message: all are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No address of the name lies in the partner's networks.
    #[error("the partner's name has no address inside its networks")]
    AddressRefused,
    /// Refused, reset, no route, or TLS failed.
    #[error("no connection to the partner")]
    NoConnection,
    /// One of the time limits ran out; whether the partner has acted is not known.
    #[error("the partner did not answer within the time limit")]
    TimedOut,
    /// The answer ended too early; whether the partner has acted is not known.
    #[error("the partner's answer broke off")]
    BrokenAnswer,
}

impl Error {
    /// With code and hint; names no host and no content.
    pub fn fault(self) -> Fault {
        let (code, hint) = match self {
            Self::AddressRefused => (ADDRESS_REFUSED, "compare `allow` of the partner with the addresses of its name"),
            Self::NoConnection => (NO_CONNECTION, "check the partner's service, the route to it and its certificate"),
            Self::TimedOut => (TIMED_OUT, "check the partner's service, or raise `timeout` of the partner"),
            Self::BrokenAnswer => (BROKEN_ANSWER, "the partner's service or a proxy before it closes connections early"),
        };
        Fault::new(code, self.to_string()).hint(hint)
    }
}

/// Resolves names; the machine's resolver, or another one in tests.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The machine's own resolver.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// An HTTP client for one partner.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    limits: Limits,
}

impl Client {
    /// A client for this URL and these networks. `ca` is a PEM bundle: if given, its authorities are the only ones trusted.
    pub fn new(url: &str, allow: &[Network], limits: Limits, ca: Option<&[u8]>) -> Result<Self, Fault> {
        Self::with_lookup(url, allow, limits, ca, system_lookup())
    }

    /// As [`Client::new`] with another resolver.
    pub fn with_lookup(url: &str, allow: &[Network], limits: Limits, ca: Option<&[u8]>, lookup: Lookup) -> Result<Self, Fault> {
        let url = check_url(url, allow)?;
        let no_client = |reason: &str| Fault::new(NO_CLIENT, format!("the HTTP client cannot be made: {reason}"));
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Resolver { allow: allow.into(), lookup })
            .connect_timeout(limits.connect)
            .read_timeout(limits.read)
            .timeout(limits.total)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(64)
            .user_agent(concat!("civilhub/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(no_client("`ca_file` holds no PEM certificate"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(|_| no_client("TLS cannot start"))?;
        Ok(Self { http, url, limits })
    }

    /// One POST, one answer. Nothing is tried again here.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Error> {
        let request = self.http.post(self.url.clone()).headers(headers).body(body);
        let exchange = async {
            let mut response = request.send().await.map_err(|error| classify(&error))?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let mut body = Vec::new();
            // A longer answer is left unread and its connection closed: the status already says what we need.
            while body.len() < self.limits.answer {
                let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? else { break };
                let room = self.limits.answer - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            Ok(Answer { status, headers, body: body.into() })
        };
        // The client has the same limit; this one holds even if a phase escapes it.
        let total = self.limits.total + Duration::from_millis(200);
        tokio::time::timeout(total, exchange).await.unwrap_or(Err(Error::TimedOut))
    }
}

fn classify(error: &reqwest::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<Refused>() {
            return Error::AddressRefused;
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        Error::TimedOut
    } else if error.is_body() || error.is_decode() {
        Error::BrokenAnswer
    } else {
        Error::NoConnection
    }
}

/// No address of a name was inside the networks.
#[derive(Debug, thiserror::Error)]
#[error("no address of the name is allowed")]
struct Refused;

struct Resolver {
    allow: Arc<[Network]>,
    lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, found) = (Arc::clone(&self.allow), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found = found.await?;
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .filter_map(|address| permit(address, &allow))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn server(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer).await;
            }
        });
        (port, calls)
    }

    fn client(url: &str, addresses: Vec<Vec<&'static str>>) -> Client {
        let turn = Arc::new(AtomicUsize::new(0));
        let lookup: Lookup = Arc::new(move |_| {
            let turn = turn.fetch_add(1, Ordering::SeqCst);
            let answer = addresses[turn.min(addresses.len() - 1)].iter().map(|text| text.parse().unwrap()).collect();
            Box::pin(async move { Ok(answer) })
        });
        Client::with_lookup(url, &networks(&["127.0.0.1/32"]), Limits::within(Duration::from_secs(3)), None, lookup).unwrap()
    }

    async fn post(client: &Client) -> Result<u16, Error> {
        client.post(HeaderMap::new(), Bytes::from_static(b"{}")).await.map(|answer| answer.status.as_u16())
    }

    const CLOSING: &[u8] = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_name_is_only_reached_in_its_networks() {
        let (port, calls) = server(CLOSING).await;
        let url = format!("http://partner.example:{port}/");
        assert_eq!(post(&client(&url, vec![vec!["127.0.0.2"]])).await, Err(Error::AddressRefused));
        assert_eq!(post(&client(&url, vec![vec!["169.254.169.254", "::1"]])).await, Err(Error::AddressRefused));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        assert_eq!(post(&client(&url, vec![vec!["10.0.0.1", "127.0.0.1"]])).await, Ok(204), "only the allowed one is used");
    }

    #[tokio::test]
    async fn a_changing_answer_makes_no_difference() {
        let (port, calls) = server(CLOSING).await;
        let client = client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"], vec!["127.0.0.2"]]);
        assert_eq!(post(&client).await, Ok(204));
        assert_eq!(post(&client).await, Err(Error::AddressRefused));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_resolver_that_never_answers_is_a_time_out() {
        let lookup: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
        let limits = Limits::within(Duration::from_millis(300));
        let client =
            Client::with_lookup("http://partner.example:9/", &networks(&["127.0.0.1/32"]), limits, None, lookup).unwrap();
        assert_eq!(post(&client).await, Err(Error::TimedOut));
    }

    #[test]
    fn a_certificate_file_must_hold_one() {
        let client = |pem: &str| {
            Client::new(
                "https://partner.example/",
                &networks(&["10.0.0.0/8"]),
                Limits::within(Duration::from_secs(1)),
                Some(pem.as_bytes()),
            )
        };
        assert_eq!(client("").unwrap_err().code, NO_CLIENT);
        assert!(client(include_str!("testdata/ca.pem")).is_ok());
    }

    #[tokio::test]
    async fn redirects_are_answers() {
        let (port, _) =
            server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        assert_eq!(post(&client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"]])).await, Ok(302));
    }

    #[tokio::test]
    async fn a_redirect_to_loopback_makes_no_connection() {
        let (inner, calls) = server(CLOSING).await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let (port, _) = server(Box::leak(answer.into_boxed_str()).as_bytes()).await;
        assert_eq!(post(&client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"]])).await, Ok(307));
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_no_answer() {
        let (port, _) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        let client = client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"]]);
        assert_eq!(post(&client).await, Err(Error::BrokenAnswer));
    }
}
