//! Days, as sources write them.

use time::{Date, Month};

use super::{half_width, lunar};

/// Further from one another than this, two birth dates are not two calendars' names of one day.
pub const FAR_DAYS: i64 = 60;

/// Year, month and day; month and day 0 when only the year is known. The day need not exist: digits may be swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Day {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    /// Lunar year, month and day of the solar day, 0 if there is none.
    lunar: (u16, u8, u8),
}

impl Day {
    /// Reads `1953-08-05`, `19530805`, `1953/8/5`, `1953年8月5日`, `1953`.
    pub fn read(text: &str) -> Option<Self> {
        let mut groups: Vec<(u32, usize)> = Vec::with_capacity(3);
        let mut open = false;
        for c in text.chars().map(half_width) {
            // What follows the day is the time of day.
            if c == 'T' || (c == ' ' && groups.len() == 3) {
                break;
            }
            match (c.to_digit(10), open) {
                (Some(digit), true) => {
                    let (value, length) = groups.last_mut()?;
                    (*value, *length) = (value.checked_mul(10)?.checked_add(digit)?, *length + 1);
                }
                (Some(digit), false) => groups.push((digit, 1)),
                (None, _) => {}
            }
            open = c.is_ascii_digit();
        }
        let (year, month, day) = match groups[..] {
            [(value, 8)] => (value / 10_000, value / 100 % 100, value % 100),
            [(value, 6)] => (value / 100, value % 100, 0),
            [(year, 4)] => (year, 0, 0),
            [(year, 4), (month, _)] => (year, month, 0),
            [(year, 4), (month, _), (day, _)] => (year, month, day),
            _ => return None,
        };
        let [month, day] = [month, day].map(|part| u8::try_from(part).unwrap_or(0));
        (year > 0).then(|| Self::new(u16::try_from(year).unwrap_or(0), month, day))
    }

    fn new(year: u16, month: u8, day: u8) -> Self {
        let lunar = date(year, month, day).and_then(lunar::of);
        let lunar = lunar.map_or((0, 0, 0), |(year, month, day)| (u16::try_from(year).unwrap_or(0), month, day));
        Self { year, month, day, lunar }
    }

    pub fn of(date: Date) -> Self {
        Self::new(u16::try_from(date.year()).unwrap_or(0), date.month().into(), date.day())
    }

    /// The day of the calendar, if there is one.
    pub fn date(self) -> Option<Date> {
        date(self.year, self.month, self.day)
    }

    /// `yyyymmdd`.
    pub fn packed(self) -> u32 {
        u32::from(self.year) * 10_000 + u32::from(self.month) * 100 + u32::from(self.day)
    }

    /// Only the year is known, or a register's filling for that.
    pub fn is_vague(self) -> bool {
        self.day == 0 || (self.month, self.day) == (1, 1)
    }

    /// Lunar year, month and day as one number; 0 when unknown.
    pub fn lunar(self) -> u32 {
        u32::from(self.lunar.0) * 10_000 + u32::from(self.lunar.1) * 100 + u32::from(self.lunar.2)
    }

    /// Whether `other` is this day by the lunar calendar: same month and day there, and the year is the lunar one.
    pub fn is_lunar_of(self, other: Self) -> bool {
        let years = self.year.abs_diff(other.year);
        other.lunar.1 != 0 && (self.month, self.day) == (other.lunar.1, other.lunar.2) && years <= 1
    }
}

/// What the lunar calendar calls a day, if our calendar has a day of that name.
pub fn lunar_day(day: Date) -> Option<Date> {
    let (year, month, day) = lunar::of(day)?;
    date(u16::try_from(year).ok()?, month, day)
}

fn date(year: u16, month: u8, day: u8) -> Option<Date> {
    Date::from_calendar_date(i32::from(year), Month::try_from(month).ok()?, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_day() {
        for text in [
            "1953-08-05",
            "19530805",
            "1953/8/5",
            "1953年8月5日",
            "１９５３．８．５",
            "1953-08-05T00:00:00+08:00",
            "1953-08-05 00:00:00",
        ] {
            assert_eq!(Day::read(text).unwrap().packed(), 19_530_805, "{text}");
        }
        assert!(Day::read("1953").unwrap().is_vague() && Day::read("1953-01-01").unwrap().is_vague());
        assert_eq!(Day::read("19482025").unwrap().packed(), 19_482_025);
        assert!(Day::read("unknown").is_none() && Day::read("5.8.53").is_none());
    }

    #[test]
    fn lunar_days() {
        let (solar, lunar) = (Day::read("2017-10-04").unwrap(), Day::read("2017-08-15").unwrap());
        assert!(lunar.is_lunar_of(solar) && !solar.is_lunar_of(lunar));
    }
}
