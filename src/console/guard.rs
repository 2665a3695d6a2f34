//! What stands before every page: headers for the browser, and how often a session may ask.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Console, TOO_MANY};
use crate::error::Fault;

/// Logins of all accounts together: a guess costs the guesser time and the hub little.
pub(super) const LOGINS_PER_SECOND: u32 = 2;
pub(super) const LOGINS_AT_ONCE: u32 = 10;
/// Pages of one session.
const PAGES_PER_SECOND: u32 = 10;
const PAGES_AT_ONCE: u32 = 60;

/// No script, nothing from elsewhere, in no frame. Forms go back to where they came from.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

static HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// So many a second, and so many at once.
pub(super) fn limiter(per_second: u32, at_once: u32) -> DefaultDirectRateLimiter {
    let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(number(per_second)).allow_burst(number(at_once)))
}

impl Console {
    /// Whether this session may ask once more now.
    pub(super) fn admit(&self, session: &str) -> Result<(), Fault> {
        let limiter = self.limits.get_with(session.to_owned(), || Arc::new(limiter(PAGES_PER_SECOND, PAGES_AT_ONCE)));
        limiter.check().map_err(|_| slower())
    }

    /// Whether one more login may be tried now.
    pub(super) fn admit_login(&self) -> Result<(), Fault> {
        self.logins.check().map_err(|_| slower())
    }
}

fn slower() -> Fault {
    Fault::new(TOO_MANY, "too many requests").hint("wait a few seconds")
}

/// Puts the headers on every answer; pages are kept nowhere.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert_with(|| HeaderValue::from_static("no-store"));
    response
}

/// One cookie of the request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut parts = all.flat_map(|text| text.split(';')).filter_map(|part| part.trim().split_once('='));
    parts.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// `; Secure` unless the browser is on this machine and speaks plain HTTP.
pub(super) fn secure(headers: &HeaderMap) -> &'static str {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = text("host");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let here = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    if here && text("x-forwarded-proto") != "https" { "" } else { "; Secure" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let headers = with("cookie", "xcivilhub=1; civilhub=2; other=civilhub=3");
        assert_eq!(cookie(&headers, "civilhub"), Some("2"));
        assert_eq!(cookie(&headers, "civil"), None);
    }

    #[test]
    fn only_a_browser_on_this_machine_gets_a_cookie_without_tls() {
        for (host, expected) in
            [("127.0.0.1:8080", ""), ("localhost", ""), ("hub.example", "; Secure"), ("127.0.0.1.example:80", "; Secure")]
        {
            assert_eq!(secure(&with("host", host)), expected, "{host}");
        }
        let mut headers = with("host", "127.0.0.1");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert_eq!(secure(&headers), "; Secure");
    }

    #[test]
    fn a_limiter_lets_so_many_at_once() {
        let limiter = limiter(1, 3);
        assert_eq!((0..10).filter(|_| limiter.check().is_ok()).count(), 3);
    }
}
