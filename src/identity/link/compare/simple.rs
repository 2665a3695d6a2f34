//! Dates, addresses, telephone numbers.

use super::Level;
use crate::identity::link::value::{Address, Day, Phone, date::FAR_DAYS};

/// Levels of dates.
pub const DATE: [&str; 8] = ["equal", "lunar", "swapped", "one-digit", "vague", "near", "year", "none"];
/// Levels of addresses.
pub const ADDRESS: [&str; 5] = ["equal", "door", "place", "district", "none"];
/// Levels of telephone numbers.
pub const PHONE: [&str; 3] = ["equal", "one-digit", "none"];
/// Levels of categories.
pub const CATEGORY: [&str; 2] = ["equal", "differs"];

pub(super) fn dates(one: Day, other: Day) -> Level {
    if one == other {
        // The same filling for an unknown day proves a year.
        return if one.day == 0 { 4 } else { 0 };
    }
    let same_year = one.year == other.year;
    if one.is_lunar_of(other) || other.is_lunar_of(one) {
        1
    } else if same_year && (one.month, one.day) == (other.day, other.month) {
        2
    } else if differ(one.packed(), other.packed()) {
        3
    } else if same_year && (one.is_vague() || other.is_vague()) {
        4
    } else if is_near(one, other) {
        5
    } else if same_year {
        6
    } else {
        7
    }
}

/// One digit differs, or two neighbours are swapped.
fn differ(one: u32, other: u32) -> bool {
    Phone(u64::from(one)).is_near(Phone(u64::from(other)))
}

/// Days of two calendars that are not exactly each other's, or a birthday in a neighbouring year.
fn is_near(one: Day, other: Day) -> bool {
    let close = one.date().zip(other.date()).is_some_and(|(one, other)| (one - other).whole_days().abs() <= FAR_DAYS);
    close || ((one.month, one.day) == (other.month, other.day) && one.year.abs_diff(other.year) <= 2)
}

pub(super) fn addresses(one: &Address, other: &Address) -> Option<Level> {
    if one.full == other.full {
        return Some(0);
    }
    let same = |one: u64, other: u64| one != 0 && one == other;
    Some(match () {
        () if same(one.door, other.door) => 1,
        () if same(one.place, other.place) => 2,
        () if same(one.district, other.district) => 3,
        () => 4,
    })
}

pub(super) fn phones(one: Phone, other: Phone) -> Level {
    match (one == other, one.is_near(other)) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_dates() {
        let level = |one, other| {
            let (one, other) = (Day::read(one).unwrap(), Day::read(other).unwrap());
            assert_eq!(dates(one, other), dates(other, one));
            DATE[usize::from(dates(one, other))]
        };
        assert_eq!(level("1953-08-05", "19530805"), "equal");
        assert_eq!(level("2017-10-04", "2017-08-15"), "lunar");
        assert_eq!(level("1953-08-05", "1953-05-08"), "swapped");
        assert_eq!(level("1953-08-05", "1958-08-05"), "one-digit");
        assert_eq!(level("1953-08-05", "1953-01-01"), "vague");
        assert_eq!(level("1953-08-25", "1953-09-11"), "near");
        assert_eq!(level("1953-08-25", "1953-12-11"), "year");
        assert_eq!(level("1953-08-25", "1966-12-11"), "none");
    }
}
