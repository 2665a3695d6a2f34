//! Tokens of a token endpoint (OAuth 2.0, client credentials, RFC 6749 section 4.4).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};
use url::{Url, form_urlencoded};

use super::client::{Ask, Key, Line, Reply, Token, Verdict, address};
use crate::{
    adapter::{decode::options, source::Error},
    error::{Code, Fault},
    json::{self, Limits},
};

/// The token endpoint does not know the client.
pub const REFUSED: Code = Code::new(3470);
/// The answer of the token endpoint has no token.
pub const UNUSABLE: Code = Code::new(3471);

/// A token lives five minutes when the endpoint does not say, and is renewed before its last minute or fifth.
const DEFAULT_LIFE: u64 = 300;
const MARGIN: Duration = Duration::from_secs(60);
const SHOWN: &str = "token endpoint";

/// Options of a source that say how it opens the door.
#[derive(Deserialize, Default)]
pub struct KeyOptions {
    pub token: Option<String>,
    pub token_header: Option<String>,
    pub token_url: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    pub client_auth: Option<String>,
    pub scope: Option<String>,
}

impl KeyOptions {
    /// # Errors
    /// Options that contradict each other or are missing.
    pub fn key(self) -> Result<Key, Fault> {
        let Some(url) = &self.token_url else {
            for (name, given) in [("client_id", &self.client_id), ("client_secret", &self.client_secret), ("scope", &self.scope)]
            {
                if given.is_some() {
                    return Err(options::bad(name, "is of use with `token_url` only"));
                }
            }
            return match self.token {
                Some(token) => Token::new(self.token_header.as_deref(), &token).map(Key::Fixed),
                None => Ok(Key::None),
            };
        };
        if self.token.is_some() {
            return Err(options::bad("token", "and `token_url` exclude each other"));
        }
        let url = address("token_url", url)?;
        let (Some(id), Some(secret)) = (self.client_id, self.client_secret) else {
            return Err(options::bad("token_url", "needs `client_id` and `client_secret`"));
        };
        let in_body = match self.client_auth.as_deref() {
            None | Some("basic") => false,
            Some("body") => true,
            Some(_) => return Err(options::bad("client_auth", "is neither `basic` nor `body`")),
        };
        let grant = Grant { url, id, secret, scope: self.scope, in_body, header: self.token_header, held: Mutex::new(None) };
        Ok(Key::Granted(std::sync::Arc::new(grant)))
    }
}

/// The tokens of one client.
pub struct Grant {
    url: Url,
    id: String,
    secret: String,
    scope: Option<String>,
    /// Id and secret go into the form, not into the header.
    in_body: bool,
    header: Option<String>,
    /// Objects of a system share the token; who comes first fetches it.
    held: Mutex<Option<Held>>,
}

struct Held {
    token: Token,
    renew: Instant,
}

impl Grant {
    /// The token held, or a new one when it is about to run out.
    ///
    /// # Errors
    /// As [`Line::ask`]; refused when the endpoint does not know the client or gives no token.
    pub async fn token(&self, line: &Line) -> Result<Token, Error> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.renew) {
            return Ok(held.token.clone());
        }
        let (text, life) = self.fetch(line).await?;
        let token = Token::new(self.header.as_deref(), &text)
            .map_err(|_| Error::Refused(unusable("the token has characters no header may have")))?;
        let life = Duration::from_secs(life);
        let renew = Instant::now() + (life - MARGIN.min(life / 5));
        *held = Some(Held { token: token.clone(), renew });
        Ok(token)
    }

    /// The server did not take this token: it is not given again. Another may have come meanwhile.
    pub async fn forget(&self, token: &Token) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token == *token) {
            *held = None;
        }
    }

    async fn fetch(&self, line: &Line) -> Result<(String, u64), Error> {
        let ask = Ask { url: self.url.clone(), shown: SHOWN, post: Some(self.form()?), reads: &[200, 400, 401, 403] };
        match line.ask(&ask, None, &read).await? {
            Reply::Read(token) => Ok(token),
            Reply::Unauthorized => Err(Error::Refused(refused())),
        }
    }

    fn form(&self) -> Result<(HeaderMap, String), Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if let Some(scope) = &self.scope {
            form.append_pair("scope", scope);
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        if self.in_body {
            form.append_pair("client_id", &self.id).append_pair("client_secret", &self.secret);
        } else {
            // Both are form-encoded first (RFC 6749 section 2.3.1).
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encode(&self.id), encode(&self.secret)));
            let mut value = HeaderValue::try_from(format!("Basic {pair}")).map_err(|_| Error::Refused(refused()))?;
            value.set_sensitive(true);
            headers.insert("authorization", value);
        }
        Ok((headers, form.finish()))
    }
}

fn read(status: u16, bytes: Option<Vec<u8>>) -> Verdict<(String, u64)> {
    if status != 200 {
        return Verdict::Lasting(refused());
    }
    let limits = Limits { bytes: 64 << 10, ..Limits::default() };
    let Some(answer) = bytes.and_then(|bytes| json::strict(&bytes, &limits).ok()) else {
        return Verdict::Lasting(unusable("the answer is no JSON object"));
    };
    let bearer = answer["token_type"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let token = answer["access_token"].as_str().filter(|token| !token.is_empty());
    let life = match &answer["expires_in"] {
        Value::Number(seconds) => seconds.as_u64(),
        Value::String(seconds) => seconds.parse().ok(),
        _ => Some(DEFAULT_LIFE),
    };
    match (token, life) {
        (Some(token), Some(life)) if bearer => Verdict::Done((token.to_owned(), life.min(86_400))),
        (None, _) => Verdict::Lasting(unusable("the answer has no `access_token`")),
        _ => Verdict::Lasting(unusable("`token_type` or `expires_in` is of no use")),
    }
}

fn refused() -> Fault {
    let fault = Fault::new(REFUSED, "the token endpoint does not take the client");
    fault.in_file(SHOWN).hint("check `client_id`, `client_secret`, `scope` and `client_auth`")
}

fn unusable(why: &str) -> Fault {
    let fault = Fault::new(UNUSABLE, format!("the token endpoint gave no token of use: {why}"));
    fault.in_file(SHOWN).expected("`access_token` of type Bearer and `expires_in` in seconds")
}
