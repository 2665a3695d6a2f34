//! `civilhub partner call`: one signed request, as a partner's program would send it.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::SecretString;

use super::output;
use crate::{
    clock,
    error::{Code, Fault},
    signature::{
        algorithm,
        sign::{Signer, nonce},
    },
};

/// The partner API could not be called.
pub const NOT_CALLED: Code = Code::new(6604);

#[derive(clap::Args)]
pub(super) struct Args {
    /// GET, POST, PUT or DELETE
    method: String,
    /// Address of the operation, like http://127.0.0.1:8080/v1/events
    url: url::Url,
    /// File with the secret key that `partner keygen` made.
    #[arg(long)]
    key: PathBuf,
    /// Name of the key, like bank-icbc/1.
    #[arg(long)]
    keyid: String,
    /// Body: the text itself, or @ and a file.
    #[arg(long, default_value = "")]
    body: String,
    /// Idempotency-Key of a POST; drawn if not given.
    #[arg(long)]
    idempotency_key: Option<String>,
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(NOT_CALLED, message)
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let secret =
        std::fs::read_to_string(&args.key).map_err(|error| fault(format!("the key cannot be read: {}", error.kind())))?;
    let key = algorithm::secret(&SecretString::from(secret))?;
    let body = match args.body.strip_prefix('@') {
        Some(file) => std::fs::read(file).map_err(|error| fault(format!("the body cannot be read: {}", error.kind())))?,
        None => args.body.clone().into_bytes(),
    };
    let method = args.method.to_ascii_uppercase();
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if method == "POST" {
        let own = args.idempotency_key.unwrap_or_else(nonce);
        headers.insert("idempotency-key", HeaderValue::from_str(&own).map_err(|_| fault("the Idempotency-Key is no header"))?);
    }
    let signer = Signer { key: key.as_ref(), keyid: &args.keyid };
    signer
        .sign(&args.url, &method, &body, clock::now().unix_timestamp(), &mut headers)
        .map_err(|error| fault(error.to_string()))?;
    send(&method, args.url, headers, body).await
}

async fn send(method: &str, url: url::Url, headers: HeaderMap, body: Vec<u8>) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|_| fault("there is no HTTP client"))?;
    let method = reqwest::Method::from_bytes(method.as_bytes()).map_err(|_| fault("there is no such method"))?;
    let response = client
        .request(method, url)
        .headers(headers)
        .body(body)
        .send()
        .await
        .map_err(|_| fault("the hub cannot be reached").hint("check the address and that the hub runs"))?;
    let status = response.status();
    let text = response.text().await.map_err(|_| fault("the answer broke off"))?;
    eprintln!("{status}");
    let pretty =
        serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
    output::say!("{}", pretty.unwrap_or(text));
    Ok(output::findings(!status.is_success()))
}
