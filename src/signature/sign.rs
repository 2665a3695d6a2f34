//! Signing a request so that the partner API takes it: for the sandbox, the command line and tests.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::RngCore;

use super::{
    Error,
    algorithm::{Algorithm, Sign},
    base::Message,
    digest,
    structured::{Bare, Item, Parameters, write_list},
};

/// Who signs, when, and what is signed besides the target.
pub struct Signer<'a> {
    pub key: &'a dyn Sign,
    pub keyid: &'a str,
}

/// A nonce that does not come twice.
pub fn nonce() -> String {
    let mut bytes = [0_u8; 18];
    rand::rng().fill_bytes(&mut bytes);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer<'_> {
    /// Adds `content-digest` (if there is a body), `signature-input` and `signature` to the headers of a request.
    pub fn sign(&self, url: &url::Url, method: &str, body: &[u8], created: i64, headers: &mut HeaderMap) -> Result<(), Error> {
        if !body.is_empty() {
            set(headers, digest::FIELD, &digest::of(body, self.key.algorithm() == Algorithm::Sm2));
        }
        let mut names = vec!["@method", "@target-uri"];
        if !body.is_empty() {
            names.push(digest::FIELD);
        }
        let authority = match (url.host_str().unwrap_or_default(), url.port()) {
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let message = Message {
            method,
            scheme: url.scheme(),
            authority: &authority,
            path: url.path(),
            query: url.query(),
            headers,
            status: None,
        };
        let items: Vec<Item> =
            names.iter().map(|name| Item { bare: Bare::String((*name).to_owned()), parameters: Parameters::new() }).collect();
        let parameters = vec![
            ("created".to_owned(), Bare::Integer(created)),
            ("keyid".to_owned(), Bare::String(self.keyid.to_owned())),
            ("nonce".to_owned(), Bare::String(nonce())),
            ("alg".to_owned(), Bare::String(self.key.algorithm().as_str().to_owned())),
        ];
        let base = message.base(&items, &parameters)?;
        let signature = self.key.sign(base.as_bytes()).map_err(|_| Error::Key)?;
        set(headers, "signature-input", &format!("sig1={}", write_list(&items, &parameters)));
        set(headers, "signature", &format!("sig1=:{}:", STANDARD.encode(signature)));
        Ok(())
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
