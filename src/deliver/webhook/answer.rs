//! What a partner's answer says about a delivery.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{
    deliver::Outcome,
    error::{Code, Fault},
};

/// The partner asks for a pause (429 or 503).
pub const BUSY: Code = Code::new(6005);
/// The partner's service failed (408 or 5xx).
pub const SERVER_ERROR: Code = Code::new(6006);
/// The partner answered with a redirect, which is never followed.
pub const REDIRECTED: Code = Code::new(6007);
/// The partner's endpoint is gone (410).
pub const GONE: Code = Code::new(6008);
/// The partner refused this delivery (4xx).
pub const REFUSED: Code = Code::new(6009);
/// The partner answered with a status that has no meaning here.
pub const UNEXPECTED: Code = Code::new(6012);
/// The partner's endpoint takes none of our requests (401, 405 or 407).
pub const ENDPOINT: Code = Code::new(6013);

/// Longest pause that a `Retry-After` can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What a complete answer means; the table is in [`super`].
pub(super) fn judge(status: u16, headers: &HeaderMap, now: OffsetDateTime) -> Outcome {
    let says = |what: &str| format!("{what} (status {status})");
    let unavailable = |code, what: &str, hint: &str| Outcome::Unavailable {
        fault: Fault::new(code, says(what)).hint(hint),
        retry_after: retry_after(headers, now),
    };
    match status {
        200..=299 => Outcome::Delivered { receipt: format!("HTTP {status}") },
        429 | 503 => unavailable(BUSY, "the partner asks for a pause", "lower `rate_per_second` if this comes often"),
        408 | 500..=599 => unavailable(SERVER_ERROR, "the partner's service failed", "ask the partner; it is tried again"),
        300..=399 => {
            unavailable(REDIRECTED, "the partner answered with a redirect", "ask the partner for its present URL and set `url`")
        }
        410 => unavailable(GONE, "the partner's endpoint is gone", "ask the partner for its present URL, or end the agreement"),
        401 | 405 | 407 => {
            unavailable(ENDPOINT, "the partner's endpoint takes none of our requests", "check `url` and the keys on both sides")
        }
        400..=499 => Outcome::Refused(
            Fault::new(REFUSED, says("the partner refused the delivery")).hint("ask the partner why, naming the delivery id"),
        ),
        _ => unavailable(UNEXPECTED, "the partner answered with an unexpected status", "ask the partner; it is tried again"),
    }
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110, section 10.2.3), at most an hour.
fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
    }
    let until = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    let pause = Duration::try_from(until - now).unwrap_or_default();
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use time::macros::datetime;

    use super::*;

    fn headers(retry_after: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(retry_after))])
    }

    #[test]
    fn every_status_has_its_meaning() {
        let now = datetime!(2017-07-03 09:00 +8);
        let name = |status| match judge(status, &HeaderMap::new(), now) {
            Outcome::Delivered { .. } => "delivered".to_owned(),
            Outcome::Refused(fault) => format!("refused {}", fault.code),
            Outcome::Unavailable { fault, .. } => format!("unavailable {}", fault.code),
        };
        for (statuses, expected) in [
            (&[200, 202, 204][..], "delivered"),
            (&[400, 403, 404, 409, 413, 422], "refused CH-6009"),
            (&[429, 503], "unavailable CH-6005"),
            (&[408, 500, 502, 504], "unavailable CH-6006"),
            (&[301, 302, 307, 308], "unavailable CH-6007"),
            (&[410], "unavailable CH-6008"),
            (&[401, 405, 407], "unavailable CH-6013"),
            (&[101, 600, 999], "unavailable CH-6012"),
        ] {
            for status in statuses {
                assert_eq!(name(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = datetime!(2017-07-03 09:00 +8);
        for (text, expected) in [
            ("7", Some(7)),
            ("Mon, 03 Jul 2017 01:02:00 GMT", Some(120)),
            ("Mon, 03 Jul 2017 00:00:00 GMT", Some(0)),
            ("99999999999", Some(3600)),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&headers(text), now).map(|pause| pause.as_secs()), expected, "{text}");
        }
    }
}
