//! Workdays of China: weekends, public holidays and the weekend days worked in exchange for them.
//!
//! The list of exceptions is the State Council's, year by year; beyond it only weekends are known.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use time::{Date, Month, Weekday};

const EXCEPTIONS: &str = include_str!("../../config/codes/workday_exceptions.csv");

static TABLE: LazyLock<FxHashMap<Date, bool>> = LazyLock::new(|| EXCEPTIONS.lines().skip(1).filter_map(exception).collect());

fn exception(line: &str) -> Option<(Date, bool)> {
    let mut fields = line.split(',');
    let mut day = fields.next()?.split('-').map(str::parse::<i32>);
    let (year, month, day) = (day.next()?.ok()?, day.next()?.ok()?, day.next()?.ok()?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let day = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    Some((day, fields.next()? == "Y"))
}

/// Whether offices are open.
pub fn is_workday(day: Date) -> bool {
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    TABLE.get(&day).copied().unwrap_or(!weekend)
}

/// The day `count` workdays after `day`, which itself does not count: the rule of administrative deadlines.
pub fn add_workdays(day: Date, count: u32) -> Date {
    let mut at = day;
    let mut left = count;
    while left > 0 {
        let Some(next) = at.next_day() else { return at };
        at = next;
        if is_workday(at) {
            left -= 1;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn every_line_is_read() {
        assert_eq!(TABLE.len(), EXCEPTIONS.lines().count() - 1);
    }

    #[test]
    fn holidays_and_make_up_days() {
        assert!(!is_workday(date!(2015 - 01 - 01)) && is_workday(date!(2015 - 01 - 04)));
        assert!(is_workday(date!(2017 - 07 - 03)) && !is_workday(date!(2017 - 07 - 02)));
        // The National Day week of 2017: 1 to 8 October off, 30 September (a Saturday) worked.
        assert_eq!(add_workdays(date!(2017 - 09 - 29), 2), date!(2017 - 10 - 09));
        assert_eq!(add_workdays(date!(2017 - 09 - 29), 0), date!(2017 - 09 - 29));
    }
}
