//! China Standard Time, the only clock of the hub.
//!
//! Legacy systems write local time without a zone; China has had no summer time since 1991, so a fixed
//! offset is right for everything the hub stamps itself.

use time::{Date, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::offset};

/// UTC+8.
pub const CHINA: UtcOffset = offset!(+8);

/// The present moment in China Standard Time.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().to_offset(CHINA)
}

/// The present calendar day in China.
pub fn today() -> Date {
    now().date()
}

/// RFC 3339 with seconds and offset, e.g. `2017-07-03T09:00:00+08:00`.
pub fn rfc3339(moment: OffsetDateTime) -> String {
    let moment = moment.to_offset(CHINA).replace_nanosecond(moment.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_default()
}

/// `yyyy-mm-dd`, the day of the books.
pub fn iso_date(day: Date) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}

/// Milliseconds since 1970, for the time columns of the store.
pub fn millis() -> i64 {
    i64::try_from(now().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
