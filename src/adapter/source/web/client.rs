//! The HTTP client of polled sources: limits on time and size, no redirects, patient with busy servers.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use url::Url;

use super::token::Grant;
use crate::{
    adapter::{
        decode::options,
        source::{Error, UNREACHABLE},
    },
    error::{Code, Fault},
};

/// The server answered with a status that no retry mends.
pub const STATUS: Code = Code::new(2080);
/// The answer is larger than the limit.
pub const ANSWER_TOO_LARGE: Code = Code::new(2081);

/// Largest page.
pub const BODY_LIMIT: usize = 8 << 20;
/// Tries of one page, and the longest pause a server may ask for.
const TRIES: usize = 5;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest time limit of one answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);

/// The header that opens the server's door.
#[derive(Clone, PartialEq, Eq)]
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

/// How the client shows who it is.
#[derive(Clone)]
pub enum Key {
    None,
    Fixed(Token),
    /// Tokens of a token endpoint, renewed as they run out.
    Granted(Arc<Grant>),
}

/// One request.
pub struct Ask<'a> {
    pub url: Url,
    /// Names the request in faults (the query may hold a token).
    pub shown: &'a str,
    /// Headers and body of a POST; without it a GET.
    pub post: Option<(HeaderMap, String)>,
    /// Statuses whose body is read.
    pub reads: &'a [u16],
}

/// What a body turned out to be.
pub enum Verdict<T> {
    Done(T),
    /// No retry mends it.
    Lasting(Fault),
    /// Again after a pause.
    Passing(Fault),
}

/// Reads a body by its status; there is none when it is larger than [`BODY_LIMIT`].
pub type Reader<'a, T> = dyn Fn(u16, Option<Vec<u8>>) -> Verdict<T> + Send + Sync + 'a;

/// A client for one system.
#[derive(Clone)]
pub struct Client {
    line: Line,
    key: Key,
}

impl Client {
    pub fn new(line: Line, key: Key) -> Self {
        Self { line, key }
    }

    /// What `read` makes of the answer.
    ///
    /// # Errors
    /// Unreachable after five tries; refused at once for a status or a body that stays as it is. A token that the server
    /// does not take any more is renewed once.
    pub async fn fetch<T>(&self, ask: &Ask<'_>, read: &Reader<'_, T>) -> Result<T, Error> {
        if let Key::Granted(grant) = &self.key {
            let token = grant.token(&self.line).await?;
            if let Reply::Read(value) = self.line.ask(ask, Some(&token), read).await? {
                return Ok(value);
            }
            grant.forget(&token).await;
            let token = grant.token(&self.line).await?;
            return self.line.ask(ask, Some(&token), read).await?.or_refused(ask);
        }
        let token = if let Key::Fixed(token) = &self.key { Some(token) } else { None };
        self.line.ask(ask, token, read).await?.or_refused(ask)
    }
}

/// An answer, as far as the key is concerned.
pub enum Reply<T> {
    Read(T),
    /// Status 401.
    Unauthorized,
}

impl<T> Reply<T> {
    fn or_refused(self, ask: &Ask<'_>) -> Result<T, Error> {
        match self {
            Self::Read(value) => Ok(value),
            Self::Unauthorized => Err(Error::Refused(refused(StatusCode::UNAUTHORIZED, ask.shown))),
        }
    }
}

/// How one try ended.
enum Try<T> {
    Done(Reply<T>),
    /// Again after the pause the server asked for, or our own.
    Again(Option<Duration>, Fault),
}

/// Requests with retries, without a key.
#[derive(Clone)]
pub struct Line(reqwest::Client);

impl Line {
    /// `timeout` is the time limit of a whole answer, such as `90s`; a minute without it.
    pub fn new(timeout: Option<&str>) -> Result<Self, Fault> {
        let given = timeout.map_or(Some(60_000), options::millis).and_then(|millis| u64::try_from(millis).ok());
        let limit = given.map(Duration::from_millis).filter(|limit| !limit.is_zero() && *limit <= LONGEST_ANSWER);
        let limit = limit.ok_or_else(|| options::bad("timeout", "must be a time of at most ten minutes"))?;
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10).min(limit))
            // A server that gathers its answer is silent meanwhile.
            .read_timeout(Duration::from_secs(20).max(limit / 2).min(limit))
            .timeout(limit)
            .build()
            .map_err(|_| options::bad("base", "no HTTP client can be made"))?;
        Ok(Self(http))
    }

    /// Asks up to five times.
    pub async fn ask<T>(&self, ask: &Ask<'_>, token: Option<&Token>, read: &Reader<'_, T>) -> Result<Reply<T>, Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(8))
            .with_max_times(TRIES - 1)
            .with_jitter()
            .build();
        loop {
            let (asked, fault) = match self.once(ask, token, read).await? {
                Try::Done(reply) => return Ok(reply),
                Try::Again(asked, fault) => (asked, fault),
            };
            let Some(own) = pauses.next() else {
                let hint = fault.hint.clone().unwrap_or_else(|| "check the address, the network and that the system runs".into());
                let fault = Fault { message: format!("{}, {TRIES} times", fault.message), ..fault };
                return Err(Error::Unreachable(fault.in_file(ask.shown).hint(hint)));
            };
            tokio::time::sleep(asked.map_or(own, |asked| asked.clamp(own, LONGEST_PAUSE))).await;
        }
    }

    async fn once<T>(&self, ask: &Ask<'_>, token: Option<&Token>, read: &Reader<'_, T>) -> Result<Try<T>, Error> {
        let again = |pause, why: &str| Ok(Try::Again(pause, Fault::new(UNREACHABLE, why)));
        let Ok(response) = self.request(ask, token).send().await else { return again(None, "the server did not answer") };
        let status = response.status();
        let pause = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let pause = pause.map(Duration::from_secs);
        if ask.reads.contains(&status.as_u16()) {
            let Ok(bytes) = body(response).await else { return again(None, "the answer broke off") };
            return match read(status.as_u16(), bytes) {
                Verdict::Done(value) => Ok(Try::Done(Reply::Read(value))),
                Verdict::Lasting(fault) => Err(Error::Refused(fault.in_file(ask.shown))),
                Verdict::Passing(fault) => Ok(Try::Again(pause, fault)),
            };
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS => again(pause, "the server asked for a pause"),
            _ if status.is_server_error() => again(pause, "the server failed"),
            StatusCode::UNAUTHORIZED => Ok(Try::Done(Reply::Unauthorized)),
            _ => Err(Error::Refused(refused(status, ask.shown))),
        }
    }

    fn request(&self, ask: &Ask<'_>, token: Option<&Token>) -> reqwest::RequestBuilder {
        let mut request = match &ask.post {
            None => self.0.get(ask.url.clone()).header("accept", "application/json"),
            Some((headers, body)) => self.0.post(ask.url.clone()).headers(headers.clone()).body(body.clone()),
        };
        if let Some(Token(name, value)) = token {
            request = request.header(name, value);
        }
        request
    }
}

fn refused(status: StatusCode, shown: &str) -> Fault {
    of_no_use(status.as_u16()).in_file(shown)
}

/// The fault of a status that no retry mends.
pub fn of_no_use(status: u16) -> Fault {
    let hint = match status {
        401 | 403 => "check `token`, or `client_id` and `client_secret`",
        300..=399 => "redirects are not followed: set the address itself",
        _ => "check the address and the parameters",
    };
    let fault = Fault::new(STATUS, format!("the server answered with status {status}"));
    fault.expected("status 200").hint(hint)
}

/// The fault of an answer beyond [`BODY_LIMIT`].
pub fn too_large() -> Fault {
    let fault = Fault::new(ANSWER_TOO_LARGE, format!("the answer is larger than {BODY_LIMIT} bytes"));
    fault.hint("ask for smaller pages: `page_size`")
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

/// An address of options.
pub fn address(option: &str, text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.ok_or_else(|| options::bad(option, "is no address").expected("a URL with `http` or `https`"))
}
