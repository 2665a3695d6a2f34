//! One connection to somebody's door: TCP, TLS where the address says so, and a `HEAD /` for the time of day.
//!
//! The TLS handshake takes any certificate, because a wrong one is what is looked for: nothing is sent over it but that one
//! line, and no secret.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::{Reading, pem::Validity};
use crate::clock;

/// Longest wait for a connection, for the handshake, for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Where to knock.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// Speaks HTTP after that.
    pub http: bool,
}

/// What was seen there.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub certificate: Option<Validity>,
    pub clock: Option<Reading>,
}

/// Why nobody opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The name has no address.
    Name,
    /// Refused, reset, or no answer.
    Connection,
    /// The handshake failed.
    Tls,
}

impl Closed {
    pub fn why(self) -> &'static str {
        match self {
            Self::Name => "its name has no address",
            Self::Connection => "no connection: refused, or no answer",
            Self::Tls => "the TLS handshake failed",
        }
    }
}

/// Knocks at the first of these addresses that answers.
pub(super) async fn knock(door: &Door, addresses: &[SocketAddr]) -> Result<Sight, Closed> {
    let mut stream = None;
    for address in addresses {
        if let Ok(Ok(open)) = timeout(LIMIT, TcpStream::connect(address)).await {
            stream = Some(open);
            break;
        }
    }
    let Some(mut stream) = stream else { return Err(Closed::Connection) };
    let mut sight = Sight::default();
    if door.tls {
        let name = ServerName::try_from(door.host.clone()).map_err(|_| Closed::Name)?;
        let mut secured = match timeout(LIMIT, connector()?.connect(name, stream)).await {
            Ok(Ok(secured)) => secured,
            _ => return Err(Closed::Tls),
        };
        let certificates = secured.get_ref().1.peer_certificates().unwrap_or_default();
        sight.certificate = certificates.first().and_then(|certificate| Validity::of(certificate));
        if door.http {
            sight.clock = ask(&mut secured, &door.host).await;
        }
    } else if door.http {
        sight.clock = ask(&mut stream, &door.host).await;
    }
    Ok(sight)
}

/// The addresses of a door.
pub(super) async fn resolve(door: &Door) -> Result<Vec<SocketAddr>, Closed> {
    let host = door.host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match timeout(LIMIT, tokio::net::lookup_host((host, door.port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        _ => Err(Closed::Name),
    }
}

/// Asks for nothing but the headers; the reading of `Date`, which is right to a second.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), host: &str) -> Option<Reading> {
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: civilhub-doctor\r\nConnection: close\r\n\r\n");
    timeout(LIMIT, stream.write_all(request.as_bytes())).await.ok()?.ok()?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 2048]);
    while answer.len() < 16 << 10 && !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match timeout(LIMIT, stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    let here = clock::millis();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let date = text.lines().find_map(|line| {
        line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("date")).map(|(_, date)| date.trim().to_owned())
    })?;
    let there = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(Reading { of: host.to_owned(), ahead: here - there.unix_timestamp() * 1000, own: false })
}

fn connector() -> Result<TlsConnector, Closed> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|_| Closed::Tls)?;
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes every certificate, to look at it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
