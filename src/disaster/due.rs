//! The clocks: until when each level has to pass a report on.

use time::{Duration, OffsetDateTime, Time, macros::time};

use crate::clock::CHINA;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// A first report goes up one level within this.
const INITIAL: i64 = 2 * HOUR;
/// Main type of droughts, which are reported every ten days.
const DROUGHT: &str = "0101";

/// Who passes a report on: the county to the prefecture, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    County,
    Prefecture,
    Province,
}

impl Level {
    /// The daily clock.
    fn daily(self) -> Time {
        match self {
            Self::County => time!(9:00),
            Self::Prefecture => time!(10:00),
            Self::Province => time!(12:00),
        }
    }

    /// Days for verified figures.
    fn verified(self) -> i64 {
        match self {
            Self::County => 5,
            Self::Prefecture => 3,
            Self::Province => 10,
        }
    }
}

/// Until when a level has to pass a report on; none where no clock runs. `since` is when the level got it: the disaster
/// itself for a county's first report, the time of the figures for verified ones of a county.
pub fn due(report_type: &str, level: Level, as_of: i64, since: i64) -> Option<i64> {
    match report_type {
        "INITIAL" => Some(since + INITIAL),
        "CONTINUING" | "ZERO" => Some(next(as_of, level.daily())),
        "FINAL" => Some(since + level.verified() * DAY),
        _ => None,
    }
}

/// Seconds after the clock, 0 in time.
pub fn late(due: Option<i64>, done: i64) -> i64 {
    due.map_or(0, |due| ((done - due) / 1000).max(0))
}

/// Whether figures of this time are old news at another: a daily report is missing since. 24:00 is the day's last moment.
pub fn is_stale(report_type: &str, hazard: &str, as_of: i64, at: i64) -> bool {
    let days = if hazard.starts_with(DROUGHT) { 10 } else { 1 };
    report_type != "FINAL" && at >= next(as_of, Level::County.daily()) + days * DAY
}

/// The next moment with this time of day, in China.
fn next(after: i64, clock: Time) -> i64 {
    let moment =
        OffsetDateTime::from_unix_timestamp(after.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH).to_offset(CHINA);
    let today = moment.replace_time(clock);
    let due = if today > moment { today } else { today + Duration::days(1) };
    due.unix_timestamp() * 1000
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn at(moment: OffsetDateTime) -> i64 {
        moment.unix_timestamp() * 1000
    }

    #[test]
    fn two_hours_and_nine_ten_and_twelve() {
        let began = at(datetime!(2017-07-13 18:00 +8));
        assert_eq!(due("INITIAL", Level::County, began + HOUR, began), Some(began + 2 * HOUR));
        let midnight = at(datetime!(2017-07-15 0:00 +8));
        for (level, hour) in [(Level::County, 9), (Level::Prefecture, 10), (Level::Province, 12)] {
            assert_eq!(due("ZERO", level, midnight, 0), Some(midnight + hour * HOUR));
            assert_eq!(late(due("CONTINUING", level, midnight, 0), midnight + hour * HOUR + 61_000), 61);
        }
        assert_eq!(due("FINAL", Level::Prefecture, 0, midnight), Some(midnight + 3 * DAY));
        assert_eq!(late(due("CORRECTION", Level::County, 0, 0), midnight), 0);
    }

    #[test]
    fn figures_go_stale_when_the_next_daily_report_is_missing() {
        let midnight = at(datetime!(2017-07-15 0:00 +8));
        assert!(!is_stale("CONTINUING", "010200", midnight, midnight + 33 * HOUR - 1));
        assert!(is_stale("CONTINUING", "010200", midnight, midnight + 33 * HOUR));
        assert!(!is_stale("FINAL", "010200", midnight, midnight + 99 * DAY));
        assert!(!is_stale("CONTINUING", "010100", midnight, midnight + 9 * DAY));
    }
}
