//! Watermarks: values that grow when a row changes, and what "five minutes earlier" means for each kind.

use serde::Deserialize;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

use crate::clock;

/// How a watermark is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// Fourteen digits of local time, the form of old Oracle systems.
    #[serde(rename = "yyyymmddhh24miss")]
    Digits,
    /// A date and time of the database, or text `yyyy-MM-dd HH:mm:ss` or RFC 3339; without a zone it is local time.
    #[serde(rename = "timestamp")]
    Timestamp,
    /// A counter.
    #[serde(rename = "integer")]
    Integer,
    /// A counter as hexadecimal text, the row version of SQL Server; `0x` in front allowed.
    #[serde(rename = "rowversion")]
    RowVersion,
    /// Seconds since 1970.
    #[serde(rename = "unix")]
    Unix,
    /// Milliseconds since 1970.
    #[serde(rename = "unix_ms")]
    UnixMillis,
    /// Text without a measure; no overlap is possible.
    #[serde(rename = "text")]
    Text,
}

impl Kind {
    /// The place of `text` on the scale of this kind: milliseconds since 1970, or the counter itself.
    pub fn units(self, text: &str) -> Option<i64> {
        match self {
            Self::Digits => digits(text).map(millis),
            Self::Timestamp => timestamp(text).map(millis),
            Self::Integer | Self::UnixMillis => text.trim().parse().ok(),
            Self::RowVersion => i64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok(),
            Self::Unix => text.trim().parse::<i64>().ok()?.checked_mul(1000),
            Self::Text => None,
        }
    }

    /// Whether it counts changes and not time.
    pub fn counts(self) -> bool {
        matches!(self, Self::Integer | Self::RowVersion)
    }

    /// The text of a place on the scale, written like `like`, a text of the same source.
    pub fn text(self, units: i64, like: &str) -> Option<String> {
        match self {
            Self::Integer | Self::UnixMillis => return Some(units.to_string()),
            Self::Unix => return Some(units.div_euclid(1000).to_string()),
            Self::RowVersion if like.starts_with("0x") => return Some(format!("0x{:016X}", units.max(0))),
            Self::RowVersion => return Some(format!("{:016x}", units.max(0))),
            Self::Digits | Self::Timestamp | Self::Text => {}
        }
        let nanos = i128::from(units) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        let zone = OffsetDateTime::parse(like, &Rfc3339).map_or(clock::CHINA, OffsetDateTime::offset);
        let moment = moment.to_offset(zone);
        let whole = moment.nanosecond() == 0;
        let plain = if whole {
            format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")
        } else {
            format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]")
        };
        match self {
            Self::Digits => moment.format(format_description!("[year][month][day][hour][minute][second]")).ok(),
            Self::Timestamp if like.contains('T') && zoned(like) => moment.format(&Rfc3339).ok(),
            Self::Timestamp if like.contains('T') => moment.format(plain).ok().map(|text| text.replace(' ', "T")),
            Self::Timestamp => moment.format(plain).ok(),
            _ => None,
        }
    }
}

fn millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or_default()
}

fn digits(text: &str) -> Option<OffsetDateTime> {
    let form = format_description!("[year][month][day][hour][minute][second]");
    let local = PrimitiveDateTime::parse(text.trim(), form).ok()?;
    Some(local.assume_offset(clock::CHINA))
}

fn zoned(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok()
}

/// `yyyy-MM-dd HH:mm:ss` with an optional fraction and zone (`+08`, `+08:00`, `Z`), or a date alone.
fn timestamp(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim().replacen('T', " ", 1);
    let (stamp, zone) = split_zone(&text)?;
    let (whole, fraction) = stamp.split_once('.').unwrap_or((stamp, ""));
    let whole = if whole.len() == 10 { format!("{whole} 00:00:00") } else { whole.to_owned() };
    let local = PrimitiveDateTime::parse(&whole, format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")).ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos = digits.parse::<u32>().ok()?;
    Some(local.replace_nanosecond(nanos).ok()?.assume_offset(zone))
}

fn split_zone(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(stamp) = text.strip_suffix('Z') {
        return Some((stamp, UtcOffset::UTC));
    }
    let Some(at) = text.get(11..).and_then(|clock| clock.find(['+', '-'])) else { return Some((text, clock::CHINA)) };
    let (stamp, zone) = text.split_at(11 + at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = &zone[1..];
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let offset = UtcOffset::from_hms(sign * hours.parse::<i8>().ok()?, sign * minutes.parse::<i8>().ok()?, 0).ok()?;
    Some((stamp.trim_end(), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_earlier_in_each_form() {
        let earlier = |kind: Kind, text: &str| kind.text(kind.units(text).unwrap() - 300_000, text).unwrap();
        assert_eq!(earlier(Kind::Digits, "20170703000100"), "20170702235600");
        assert_eq!(earlier(Kind::Timestamp, "2017-07-03 00:01:00.1234"), "2017-07-02 23:56:00.123");
        assert_eq!(earlier(Kind::Timestamp, "2017-07-03T00:01:00Z"), "2017-07-02T23:56:00Z");
        assert_eq!(earlier(Kind::Timestamp, "2017-07-03T00:01:00+08:00"), "2017-07-02T23:56:00+08:00");
        assert_eq!(earlier(Kind::Timestamp, "2017-07-03T00:01:00"), "2017-07-02T23:56:00");
        assert_eq!(Kind::Integer.text(Kind::Integer.units("1000").unwrap() - 10, "1000").unwrap(), "990");
        assert_eq!(earlier(Kind::Unix, "1499043660"), "1499043360");
        assert_eq!(earlier(Kind::UnixMillis, "1499043660123"), "1499043360123");
        let version = Kind::RowVersion.units("0x00000000000007D1").unwrap();
        assert_eq!(Kind::RowVersion.text(version - 1, "0x00000000000007D1").unwrap(), "0x00000000000007D0");
        assert_eq!(Kind::RowVersion.text(Kind::RowVersion.units("00000000000007d1").unwrap(), "0").unwrap(), "00000000000007d1");
    }

    #[test]
    fn the_same_moment_has_the_same_place_in_every_zone() {
        let forms = ["2017-07-03 09:00:00", "2017-07-03T01:00:00Z", "2017-07-03 09:00:00+08", "2017-07-03T03:00:00.000+02:00"];
        for form in forms {
            assert_eq!(Kind::Timestamp.units(form), Kind::Digits.units("20170703090000"), "{form}");
        }
        assert_eq!(Kind::Timestamp.units("2017-07-03"), Kind::Digits.units("20170703000000"));
    }

    #[test]
    fn nonsense_has_no_place() {
        for text in ["", "infinity", "0000-00-00 00:00:00", "2017", "张三张三张三张三", "2017-07-03 09:00:00+99"] {
            assert_eq!((Kind::Timestamp.units(text), Kind::Digits.units(text)), (None, None), "{text}");
        }
        assert_eq!(Kind::Text.units("a"), None);
    }
}
