//! Dates and times as legacy systems write them: compact, with dashes, slashes or Chinese characters, as spreadsheet
//! serials; always China Standard Time unless a zone is written.

use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, macros::date};

use super::{Refusal, text};
use crate::{clock::CHINA, error::Code};

/// A date, time or month has a wrong form or does not exist in the calendar.
pub const DATE: Code = Code::new(3108);

const EXPECTED_DATE: &str = "a date such as 20170703, 2017-7-3, 2017/7/3, 2017年7月3日 or a spreadsheet serial";
const EXPECTED_TIME: &str = "a time such as 20170703090000, 2017-07-03 09:00:00, with or without zone, or a date";
const EXPECTED_MONTH: &str = "a month such as 201707, 2017-07 or 2017年7月";
/// Longest text that can be a time; anything longer is refused unread.
const LONGEST: usize = 48;
/// Day 0 of spreadsheet serials. Right for serials from 61 on: earlier ones suffer from a leap day that never was.
const SERIAL_ZERO: Date = date!(1899 - 12 - 30);

/// A calendar day. Of a text with date and time the date is taken.
pub fn cn_date(value: &str) -> Result<Date, Refusal> {
    let text = tidy(value);
    if let Some(day) = serial(&text) {
        return Ok(day);
    }
    parse_time(&text).map(|moment| moment.date()).ok_or(Refusal::new(
        DATE,
        "the date has a wrong form or does not exist",
        EXPECTED_DATE,
    ))
}

/// A moment; without a zone it is China Standard Time, a date alone is its midnight.
pub fn cn_time(value: &str) -> Result<OffsetDateTime, Refusal> {
    let text = tidy(value);
    unix(&text).or_else(|| parse_time(&text)).ok_or(Refusal::new(
        DATE,
        "the time has a wrong form or does not exist",
        EXPECTED_TIME,
    ))
}

/// A month as `yyyymm`; of a date its month is taken.
pub fn yyyymm(value: &str) -> Result<String, Refusal> {
    let text = tidy(value);
    let month = match digits(&text) {
        Some(6) => number(&text[..4]).zip(number(&text[4..])),
        Some(_) => None,
        None => month_parts(&text),
    };
    let whole = || parse_time(&text).map(|moment| (moment.year().unsigned_abs(), u32::from(u8::from(moment.month()))));
    let (year, month) = month
        .or_else(whole)
        .filter(|(year, month)| (1900..2100).contains(year) && (1..=12).contains(month))
        .ok_or(Refusal::new(DATE, "the month has a wrong form or does not exist", EXPECTED_MONTH))?;
    Ok(format!("{year:04}{month:02}"))
}

/// Half width, trimmed, Chinese units as dashes and colons, bounded.
fn tidy(value: &str) -> String {
    let text: String = value.trim().chars().take(LONGEST + 1).map(text::half_width).collect();
    if text.is_ascii() {
        return text;
    }
    let text = text.replace(['年', '月'], "-").replace('日', " ").replace(['时', '分'], ":").replace('秒', "");
    text.trim_end_matches(['-', ':', ' ']).to_owned()
}

/// `yyyy-mm` and nothing more.
fn month_parts(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['-', '/', '.']);
    let month = number(parts.next().filter(|year| year.len() == 4)?).zip(number(parts.next()?));
    month.filter(|_| parts.next().is_none())
}

fn serial(text: &str) -> Option<Date> {
    let whole = text.split_once('.').filter(|(_, rest)| digits(rest).is_some()).map_or(text, |(whole, _)| whole);
    let days = number(whole).filter(|days| whole.len() == 5 && (10_000..=80_000).contains(days))?;
    SERIAL_ZERO.checked_add(Duration::days(i64::from(days)))
}

/// Seconds or milliseconds since 1970, as web systems write them; ten or thirteen digits beginning with 1.
fn unix(text: &str) -> Option<OffsetDateTime> {
    let millis: i64 = match digits(text).filter(|_| text.starts_with('1'))? {
        10 => text.parse::<i64>().ok()? * 1000,
        13 => text.parse().ok()?,
        _ => return None,
    };
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok().map(|moment| moment.to_offset(CHINA))
}

fn parse_time(text: &str) -> Option<OffsetDateTime> {
    if let Some(length) = digits(text) {
        return compact(text, length);
    }
    let (day, clock) = match text.find([' ', 'T', 't']) {
        Some(place) => (&text[..place], text[place + 1..].trim()),
        None => (text, ""),
    };
    let day = separated(day)
        .or_else(|| digits(day).filter(|length| *length == 8).and_then(|_| ymd(&day[..4], &day[4..6], &day[6..])))?;
    if clock.is_empty() {
        return Some(day.midnight().assume_offset(CHINA));
    }
    let (clock, zone) = split_zone(clock)?;
    Some(PrimitiveDateTime::new(day, clock_time(clock)?).assume_offset(zone).to_offset(CHINA))
}

/// `yyyymmdd`, `yyyymmddhhmm`, `yyyymmddhhmmss`.
fn compact(text: &str, length: usize) -> Option<OffsetDateTime> {
    if !matches!(length, 8 | 12 | 14) {
        return None;
    }
    let day = ymd(&text[..4], &text[4..6], &text[6..8])?;
    let part = |from: usize| text.get(from..from + 2).map_or(Some(0), |part| part.parse().ok());
    let clock = Time::from_hms(part(8)?, part(10)?, part(12)?).ok()?;
    Some(PrimitiveDateTime::new(day, clock).assume_offset(CHINA))
}

/// Year, month, day between dashes, slashes or points; one or two digits each but the year.
fn separated(text: &str) -> Option<Date> {
    let mut parts = text.split(['-', '/', '.']);
    let day = ymd(parts.next()?, parts.next()?, parts.next()?);
    day.filter(|_| parts.next().is_none())
}

fn ymd(year: &str, month: &str, day: &str) -> Option<Date> {
    if year.len() != 4 || month.len() > 2 || day.len() > 2 {
        return None;
    }
    let year = number(year).filter(|year| (1800..2200).contains(year))?;
    let month = Month::try_from(u8::try_from(number(month)?).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(number(day)?).ok()?).ok()
}

/// `Z`, `+08:00`, `+0800` or nothing at the end.
fn split_zone(clock: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock.trim(), UtcOffset::UTC));
    }
    let Some(place) = clock.rfind(['+', '-']) else { return Some((clock, CHINA)) };
    let zone: String = clock[place + 1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits(&zone)? {
        2 => (number(&zone)?, 0),
        4 => (number(&zone[..2])?, number(&zone[2..])?),
        _ => return None,
    };
    let sign: i8 = if clock.as_bytes()[place] == b'-' { -1 } else { 1 };
    let (hours, minutes) = (i8::try_from(hours).ok()?, i8::try_from(minutes).ok()?);
    Some((clock[..place].trim(), UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?))
}

/// `h:mm`, `hh:mm:ss`, with decimals of the second.
fn clock_time(text: &str) -> Option<Time> {
    let (whole, decimals) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let mut part =
        || parts.next().map_or(Some(0), |part| number(part).filter(|_| part.len() <= 2).and_then(|part| u8::try_from(part).ok()));
    let (hour, minute, second) = (part()?, part()?, part()?);
    if parts.next().is_some() || !whole.contains(':') {
        return None;
    }
    let millis = match decimals {
        "" => 0,
        decimals => number(&format!("{:0<3}", decimals.get(..decimals.len().min(3))?)).filter(|_| digits(decimals).is_some())?,
    };
    Time::from_hms_milli(hour, minute, second, u16::try_from(millis).ok()?).ok()
}

/// The length of a text of nothing but ASCII digits.
fn digits(text: &str) -> Option<usize> {
    (!text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())).then_some(text.len())
}

fn number(text: &str) -> Option<u32> {
    digits(text).and_then(|_| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{iso_date, rfc3339};

    #[test]
    fn dates() {
        for text in [
            "20170703",
            "2017/7/3",
            "2017-7-3",
            "2017-07-03",
            "2017年7月3日",
            "2017.7.3",
            "42919",
            "42919.0",
            "2017-07-03 00:00:00",
            "20170703090000",
            "２０１７－７－３",
            " 2017-07-03T23:59:59+08:00 ",
        ] {
            assert_eq!(iso_date(cn_date(text).unwrap()), "2017-07-03", "{text}");
        }
        for text in [
            "",
            "0000-00-00",
            "20170230",
            "2017-13-01",
            "17-7-3",
            "2017",
            "201707",
            "99999",
            "3/7/2017",
            "2017-7",
            "2017-7-3-1",
            "吉林",
            "2017--3",
            "-2017-7-3",
            &"2".repeat(9999),
        ] {
            assert!(cn_date(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let cases = [
            ("20170703090005", "2017-07-03T09:00:05+08:00"),
            ("201707030900", "2017-07-03T09:00:00+08:00"),
            ("2017-07-03 09:00:05", "2017-07-03T09:00:05+08:00"),
            ("2017/7/3 9:00", "2017-07-03T09:00:00+08:00"),
            ("2017-07-03T01:00:05Z", "2017-07-03T09:00:05+08:00"),
            ("2017-07-03T10:00:05.250+0900", "2017-07-03T09:00:05.25+08:00"),
            ("2017-07-03T09:00:05+08:00", "2017-07-03T09:00:05+08:00"),
            ("2017年7月3日 9时5分", "2017-07-03T09:05:00+08:00"),
            ("20170703 09:00:05", "2017-07-03T09:00:05+08:00"),
            ("2017-07-03", "2017-07-03T00:00:00+08:00"),
            ("1499043605", "2017-07-03T09:00:05+08:00"),
            ("1499043605000", "2017-07-03T09:00:05+08:00"),
        ];
        for (from, to) in cases {
            assert_eq!(rfc3339(cn_time(from).unwrap()), to, "{from}");
        }
        for text in [
            "",
            "2017-07-03 25:00:00",
            "2017-07-03 09",
            "20170703090",
            "2017-07-03 09:00:00+99:00",
            "2017-07-03 09:00:00.x",
            "0000-00-00 00:00:00",
            "9时",
        ] {
            assert!(cn_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn months() {
        for text in ["201707", "2017-07", "2017/7", "2017年7月", "2017-07-31", "20170703"] {
            assert_eq!(yyyymm(text).unwrap(), "201707", "{text}");
        }
        for text in ["", "201713", "2017", "07-2017", "201700", "2017年"] {
            assert!(yyyymm(text).is_err(), "{text}");
        }
    }
}
