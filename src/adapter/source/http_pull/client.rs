//! The HTTP client of polled sources: limits on time and size, no redirects, patient with busy servers.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    StatusCode,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::Value;
use url::Url;

use crate::{
    adapter::{
        decode::options,
        source::{Error, UNREACHABLE},
    },
    error::{Code, Fault},
    json::{self, Limits},
};

/// The server answered with a status that no retry mends.
pub const STATUS: Code = Code::new(2080);
/// The answer is larger than the limit.
pub const ANSWER_TOO_LARGE: Code = Code::new(2081);

/// Largest page.
const BODY_LIMIT: usize = 8 << 20;
/// Most memory that the values of a page may take.
const PAGE_MEMORY: usize = 32 << 20;
/// A page with more faults is spoiled as a whole; so many of them are told.
const FAULTS_OF_A_PAGE: usize = 2_000;
const FAULTS_SHOWN: usize = 20;
/// Tries of one page, and the longest pause a server may ask for.
const TRIES: usize = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The header that opens the server's door.
#[derive(Clone)]
pub struct Token(HeaderName, HeaderValue);

impl Token {
    /// `Authorization: Bearer <token>`, or the bare token under another header.
    pub fn new(header: Option<&str>, token: &str) -> Result<Self, Fault> {
        let name = header.unwrap_or("authorization").to_ascii_lowercase();
        let text = if name == "authorization" && !token.contains(' ') { format!("Bearer {token}") } else { token.to_owned() };
        let name = HeaderName::try_from(name).map_err(|_| options::bad("token_header", "is no header name"))?;
        let mut value = HeaderValue::try_from(text).map_err(|_| options::bad("token", "has characters no header may have"))?;
        value.set_sensitive(true);
        Ok(Self(name, value))
    }
}

/// A client for one system.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    token: Option<Token>,
}

/// What a page turned out to be.
pub enum Page {
    /// Its value, and faults that spoil single records of it.
    Good(Value, Vec<Fault>),
    /// It cannot be read at all.
    Spoiled(Vec<Fault>),
}

/// How one try ended.
enum Try {
    Done(Page),
    /// Again after the pause the server asked for, or our own.
    Again(Option<Duration>, &'static str),
}

impl Client {
    pub fn new(token: Option<Token>) -> Result<Self, Fault> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(20))
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|_| options::bad("base", "no HTTP client can be made"))?;
        Ok(Self { http, token })
    }

    /// The JSON at `url`; `shown` names it in faults (the query may hold a token).
    ///
    /// # Errors
    /// Unreachable after five tries; refused at once for a status that stays as it is.
    pub async fn get(&self, url: Url, shown: &str) -> Result<Page, Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(TRIES - 1)
            .with_jitter()
            .build();
        loop {
            let (asked, why) = match self.once(url.clone(), shown).await? {
                Try::Done(page) => return Ok(page),
                Try::Again(asked, why) => (asked, why),
            };
            let Some(own) = pauses.next() else {
                let fault = Fault::new(UNREACHABLE, format!("{why}, {TRIES} times")).in_file(shown);
                return Err(Error::Unreachable(fault.hint("check `base`, the network and that the system runs")));
            };
            tokio::time::sleep(asked.map_or(own, |asked| asked.clamp(own, LONGEST_PAUSE))).await;
        }
    }

    async fn once(&self, url: Url, shown: &str) -> Result<Try, Error> {
        let mut request = self.http.get(url).header("accept", "application/json");
        if let Some(Token(name, value)) = &self.token {
            request = request.header(name, value);
        }
        let Ok(response) = request.send().await else { return Ok(Try::Again(None, "the server did not answer")) };
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let pause = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let why = if status.is_server_error() { "the server failed" } else { "the server asked for a pause" };
            return Ok(Try::Again(pause.map(Duration::from_secs), why));
        }
        if status != StatusCode::OK {
            let hint = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "check `token`",
                _ if status.is_redirection() => "redirects are not followed: set `base` to the address itself",
                _ => "check `path` and the parameters",
            };
            let fault = Fault::new(STATUS, format!("the server answered with status {}", status.as_u16()));
            return Err(Error::Refused(fault.in_file(shown).expected("status 200").hint(hint)));
        }
        match body(response).await {
            Ok(Some(bytes)) => Ok(Try::Done(parse(&bytes))),
            Ok(None) => {
                let fault = Fault::new(ANSWER_TOO_LARGE, format!("the answer is larger than {BODY_LIMIT} bytes"));
                Ok(Try::Done(Page::Spoiled(vec![fault.hint("ask for smaller pages: `page_size`")])))
            }
            Err(_) => Ok(Try::Again(None, "the answer broke off")),
        }
    }
}

/// The body; `None` when it is larger than the limit, whatever its header promised.
async fn body(mut response: reqwest::Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > BODY_LIMIT {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn parse(bytes: &[u8]) -> Page {
    let limits = Limits { bytes: BODY_LIMIT, faults: FAULTS_OF_A_PAGE, memory: PAGE_MEMORY, ..Limits::default() };
    match json::salvage(bytes, &limits) {
        Ok((value, faults)) => Page::Good(value, faults),
        Err(faults) => Page::Spoiled(faults.into_iter().take(FAULTS_SHOWN).collect()),
    }
}
