//! Days and months as legacy systems write them.

use time::{Date, Duration, Month as Name};

/// A calendar month, counted from the year 0 so that arithmetic is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i32);

impl Month {
    /// The month of a day.
    pub fn of(day: Date) -> Self {
        Self(day.year() * 12 + i32::from(u8::from(day.month())) - 1)
    }

    /// `months` before this one.
    pub fn before(self, months: i32) -> Self {
        Self(self.0 - months)
    }

    /// The `day` of the month, 1 to 28.
    pub fn day(self, day: u8) -> Date {
        let number = u8::try_from(self.0.rem_euclid(12) + 1).unwrap_or(1);
        let name = Name::try_from(number).unwrap_or(Name::January);
        Date::from_calendar_date(self.0.div_euclid(12), name, day.clamp(1, 28)).unwrap_or(Date::MIN)
    }

    /// `yyyymm`.
    pub fn text(self) -> String {
        format!("{:04}{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// `yyyymmdd`.
pub fn compact(day: Date) -> String {
    format!("{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

/// `days` before `day`; stops at the first day the calendar knows.
pub fn days_before(day: Date, days: i64) -> Date {
    day.checked_sub(Duration::days(days)).unwrap_or(Date::MIN)
}

/// Whole years between a birth and a day.
pub fn age(birth: Date, day: Date) -> i32 {
    let before_birthday = (u8::from(day.month()), day.day()) < (u8::from(birth.month()), birth.day());
    day.year() - birth.year() - i32::from(before_birthday)
}

/// `hh:mm:ss` of a second of the day.
pub fn clock(second: i64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60)
}

/// `yyyy-mm-dd hh:mm:ss`.
pub fn moment(day: Date, second: i64) -> String {
    format!("{} {}", crate::clock::iso_date(day), clock(second))
}

/// A working hour: a second of the day between eight and five.
pub fn working_hour(random: &mut super::random::Random) -> i64 {
    random.between(8 * 3_600, 17 * 3_600)
}

/// The same day, or the Monday after a weekend.
pub fn weekday(day: Date) -> Date {
    match day.weekday() {
        time::Weekday::Saturday => days_before(day, -2),
        time::Weekday::Sunday => days_before(day, -1),
        _ => day,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn months_cross_the_year() {
        let month = Month::of(date!(2017 - 01 - 31));
        assert_eq!(month.before(1).text(), "201612");
        assert_eq!(month.before(-12).text(), "201801");
        assert_eq!(month.day(10), date!(2017 - 01 - 10));
    }

    #[test]
    fn age_counts_birthdays() {
        assert_eq!(age(date!(1937 - 07 - 04), date!(2017 - 07 - 03)), 79);
        assert_eq!(age(date!(1937 - 07 - 03), date!(2017 - 07 - 03)), 80);
        assert_eq!(clock(3_661), "01:01:01");
    }
}
