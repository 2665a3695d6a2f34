//! Servers at which the doctor knocks.

use std::{net::SocketAddr, sync::Arc};

use time::{Duration, OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// A partner over plain HTTP whose clock is so many seconds ahead.
pub async fn http(ahead: i64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, ahead));
        }
    });
    address
}

/// A partner behind TLS with this certificate.
pub async fn tls(pem: &[u8], key: &[u8]) -> SocketAddr {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem).map(|one| one.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = builder.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    answer(socket, 0).await;
                }
            });
        }
    });
    address
}

async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin, ahead: i64) {
    let mut buffer = [0; 4096];
    let _ = socket.read(&mut buffer).await;
    let now = OffsetDateTime::from_unix_timestamp(civilhub::clock::millis() / 1000).unwrap() + Duration::seconds(ahead);
    let date = now.format(&Rfc2822).unwrap().replace("+0000", "GMT");
    let _ = socket
        .write_all(
            format!("HTTP/1.1 405 Method Not Allowed\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await;
    let _ = socket.shutdown().await;
}
