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
    sync::{Arc, LazyLock},
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
use url::{Host, Url};

use crate::{
    error::{Code, Fault},
    govern::network::Network,
};

/// The partner's name has no address inside its networks.
pub const ADDRESS_REFUSED: Code = Code::new(6001);
/// No connection to the partner: refused, reset, no route, or TLS failed.
pub const NO_CONNECTION: Code = Code::new(6002);
/// The partner did not answer within the time limit.
pub const TIMED_OUT: Code = Code::new(6003);
/// The partner's answer broke off.
pub const BROKEN_ANSWER: Code = Code::new(6004);
/// The URL of the partner cannot be used.
pub const URL_REFUSED: Code = Code::new(6020);
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
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most [`Limits::answer`] bytes.
    pub body: Bytes,
}

/// Why there is no answer. None of them says anything about the message: all are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the partner's name has no address inside its networks")]
    AddressRefused,
    #[error("no connection to the partner")]
    NoConnection,
    #[error("the partner did not answer within the time limit")]
    TimedOut,
    #[error("the partner's answer broke off")]
    BrokenAnswer,
}

impl Error {
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
    /// A client for this URL and these networks; `ca` is a PEM bundle of further authorities.
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
            let certificates =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|_| no_client("`ca_file` holds no PEM certificate"))?;
            builder = builder.tls_certs_merge(certificates);
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

/// Checks how a URL is written and, where its host is an address, that it lies in the networks.
///
/// `http` is for loopback alone (tests, a sidecar that does TLS): personal data do not travel in the clear.
pub fn check_url(text: &str, allow: &[Network]) -> Result<Url, Fault> {
    let refuse = |message: &str, expected: &str| Err(Fault::new(URL_REFUSED, message).expected(expected));
    let Ok(url) = Url::parse(text) else { return refuse("the URL cannot be read", "https://host/path") };
    let loopback_only = !allow.is_empty() && allow.iter().all(is_loopback);
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback_only) {
        return refuse("the URL has the wrong scheme", "https");
    }
    // `https:host`, `https:\\host`: readers of URLs disagree about where the host is.
    let authority = text.strip_prefix(url.scheme()).and_then(|rest| rest.strip_prefix("://"));
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next()).filter(|host| !host.is_empty());
    let Some(authority) = authority.filter(|_| !text.contains(|c: char| c.is_whitespace() || c.is_control())) else {
        return refuse("the URL is written in an unusual way", "https://host/path");
    };
    if !url.username().is_empty() || url.password().is_some() || authority.contains(['@', '\\']) {
        return refuse("the URL holds user information", "a host without `user@`");
    }
    if url.fragment().is_some() {
        return refuse("the URL holds a fragment", "a URL without `#`");
    }
    let address = match url.host() {
        // 2130706433, 0x7f.1, 0177.0.0.1 and full-width digits are addresses in disguise.
        Some(Host::Ipv4(address)) if !written_as(authority, &address.to_string()) => {
            return refuse("the address in the URL is not written as four decimal numbers", "like 10.1.2.3");
        }
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(url),
        None => return refuse("the URL has no host", "https://host/path"),
    };
    match permit(address, allow) {
        Some(_) => Ok(url),
        None => refuse("the address in the URL is not inside the partner's networks", "an address in `allow`"),
    }
}

fn written_as(authority: &str, host: &str) -> bool {
    authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
}

fn is_loopback(network: &Network) -> bool {
    LOOPBACK.iter().any(|range| network.is_within(range))
}

/// RFC 6890 and its registry: this machine.
static LOOPBACK: LazyLock<Vec<Network>> = LazyLock::new(|| ranges(&["127.0.0.0/8", "::1/128"]));

/// Never a partner: "this network", link-local, multicast, reserved and broadcast, and IPv6 forms that carry an IPv4
/// address of their own (compatible, NAT64, Teredo, 6to4).
static NEVER: LazyLock<Vec<Network>> = LazyLock::new(|| {
    ranges(&[
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "fe80::/10",
        "ff00::/8",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    ])
});

fn ranges(texts: &[&str]) -> Vec<Network> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The address as it may be connected to, or `None`. IPv4-mapped IPv6 is judged, and used, as IPv4.
pub fn permit(address: IpAddr, allow: &[Network]) -> Option<IpAddr> {
    let address = address.to_canonical();
    let within = |ranges: &[Network]| ranges.iter().any(|range| range.contains(address));
    let permitted = if within(&LOOPBACK) {
        // 0.0.0.0/0 does not mean this machine: loopback must be named.
        allow.iter().any(|network| is_loopback(network) && network.contains(address))
    } else {
        within(allow) && !within(&NEVER)
    };
    permitted.then_some(address)
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

    #[test]
    fn every_range_of_the_guard_is_read() {
        assert_eq!((LOOPBACK.len(), NEVER.len()), (2, 11));
    }

    #[test]
    fn tricks_in_urls_are_refused() {
        let allow = networks(&["0.0.0.0/0", "::/0"]);
        for url in [
            "http://partner.example/",
            "ftp://partner.example/",
            "file:///etc/passwd",
            "https:partner.example/",
            "https:\\\\partner.example/",
            "https://user@partner.example/",
            "https://10.1.0.1@169.254.169.254/",
            "https://@partner.example/",
            "https://partner.example\\@10.0.0.1/",
            "https://partner.example/#x",
            "https://2130706433/",
            "https://3232235521/",
            "https://0x0a.1.2.3/",
            "https://012.1.2.3/",
            "https://10.1/",
            "https://１０.1.2.3/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https:///path",
            "https://10.1.2\t.3/",
            " https://partner.example/",
            "not a url",
        ] {
            assert_eq!(check_url(url, &allow).map(|url| url.to_string()).unwrap_err().code, URL_REFUSED, "{url}");
        }
        for url in ["https://partner.example/events?a=b", "https://10.1.2.3:8443/", "https://[2400:3200::1]/"] {
            assert!(check_url(url, &allow).is_ok(), "{url}");
        }
        assert!(check_url("https://10.2.0.1/", &networks(&["10.1.0.0/16"])).is_err());
        assert!(check_url("http://127.0.0.1:9/", &networks(&["127.0.0.0/8"])).is_ok());
        assert!(check_url("http://127.0.0.1:9/", &networks(&["127.0.0.0/8", "10.0.0.0/8"])).is_err());
        assert!(check_url("https://169.254.169.254/", &networks(&["169.254.0.0/16"])).is_err(), "link-local is never allowed");
    }

    #[test]
    fn mapped_addresses_are_judged_as_what_they_carry() {
        let allow = networks(&["10.0.0.0/8", "::/0"]);
        assert_eq!(permit("::ffff:10.1.2.3".parse().unwrap(), &allow), Some("10.1.2.3".parse().unwrap()));
        assert_eq!(permit("::ffff:127.0.0.1".parse().unwrap(), &allow), None);
        assert_eq!(permit("::ffff:192.0.2.1".parse().unwrap(), &allow), None);
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
    async fn redirects_are_answers() {
        let (port, _) =
            server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        assert_eq!(post(&client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"]])).await, Ok(302));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_no_answer() {
        let (port, _) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        let client = client(&format!("http://partner.example:{port}/"), vec![vec!["127.0.0.1"]]);
        assert_eq!(post(&client).await, Err(Error::BrokenAnswer));
    }
}
