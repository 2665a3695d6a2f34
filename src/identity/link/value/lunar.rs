//! The traditional calendar: village registers often hold the lunar birthday.

use time::Date;

/// First lunar year of the table.
const FIRST: i32 = 1901;

/// One entry a lunar year. Bits 0 to 12: which of its months have 30 days; bits 13 to 16: the month after which a leap
/// month comes, or 0; bits 17 to 22: how many days after 1 January the year begins.
#[rustfmt::skip]
const YEARS: [u32; 158] = [
    0x620752, 0x4c0ea5, 0x38b64a, 0x5c064b, 0x440a9b, 0x309556, 0x56056a, 0x400b59, 0x2a5752, 0x500752, 0x3adb25, 0x600b25,
    0x480a4b, 0x32b4ab, 0x5802ad, 0x42056b, 0x2c4b69, 0x520da9, 0x3efd92, 0x640e92, 0x4c0d25, 0x36ba4d, 0x5c0a56, 0x4602b6,
    0x2e95b5, 0x5606d4, 0x400ea9, 0x2c5e92, 0x500e92, 0x3acd26, 0x5e052b, 0x480a57, 0x32b2d6, 0x580b5a, 0x4406d4, 0x2e6ec9,
    0x520749, 0x3cf693, 0x620a93, 0x4c052b, 0x34ca5b, 0x5a0aad, 0x46056a, 0x309b55, 0x560ba4, 0x400b49, 0x2a5a93, 0x500a95,
    0x38f52d, 0x5e0536, 0x480aad, 0x34b5aa, 0x5805b2, 0x420ba5, 0x2e7d4a, 0x540d4a, 0x3d0a95, 0x600a97, 0x4c0556, 0x36cab5,
    0x5a0ad5, 0x4606d2, 0x308ea5, 0x560ea5, 0x40064a, 0x286c97, 0x4e0a9b, 0x3af55a, 0x5e056a, 0x480b69, 0x34b752, 0x5a0b52,
    0x420b25, 0x2c964b, 0x520a4b, 0x3d14ab, 0x6002ad, 0x4a05ad, 0x36cb69, 0x5c0da9, 0x460d92, 0x309d25, 0x560d25, 0x415a4d,
    0x640a56, 0x4e02b6, 0x38c5b5, 0x5e06d5, 0x480ea9, 0x34be92, 0x5a0e92, 0x440d26, 0x2c6a56, 0x500a57, 0x3d14d6, 0x62035a,
    0x4a06d5, 0x36b6c9, 0x5c0749, 0x460693, 0x2e952b, 0x54052b, 0x3e0a5b, 0x2a555a, 0x4e056a, 0x38fb55, 0x600ba4, 0x4a0b49,
    0x32ba93, 0x580a95, 0x42052d, 0x2c8aad, 0x500ab5, 0x3d35aa, 0x6205d2, 0x4c0da5, 0x36dd4a, 0x5c0d4a, 0x460c95, 0x30952e,
    0x540556, 0x3e0ab5, 0x2a55b2, 0x5006d2, 0x38cea5, 0x5e0725, 0x48064b, 0x32ac97, 0x560cab, 0x42055a, 0x2c6ad6, 0x520b69,
    0x3d7752, 0x620b52, 0x4c0b25, 0x36da4b, 0x5a0a4b, 0x4404ab, 0x2ea55b, 0x5405ad, 0x3e0b6a, 0x2a5b52, 0x500d92, 0x3afd25,
    0x5e0d25, 0x480a55, 0x32b4ad, 0x5804b6, 0x4005b5, 0x2c6daa, 0x520ec9, 0x3f1e92, 0x620e92, 0x4c0d26, 0x36ca56, 0x5a0a57,
    0x440556, 0x2e86d5,
];

/// Lunar year, month and day of a day from 1901 to 2058; a leap month counts as the month it repeats.
pub(super) fn of(day: Date) -> Option<(i32, u8, u8)> {
    let ordinal = i32::from(day.ordinal()) - 1;
    let mut year = day.year();
    let mut left = ordinal - begins(year)?;
    if left < 0 {
        year -= 1;
        left = ordinal + i32::from(time::util::days_in_year(year)) - begins(year)?;
    }
    let entry = entry(year)?;
    let leap = (entry >> 13 & 15) as u8;
    let mut month = 1;
    for place in 0..13 {
        let days = 29 + (entry >> place & 1) as i32;
        if left < days {
            return Some((year, month, u8::try_from(left + 1).ok()?));
        }
        left -= days;
        // The month after the leap month's namesake has the same number again.
        if leap == 0 || place + 1 != i32::from(leap) {
            month += 1;
        }
    }
    None
}

fn entry(year: i32) -> Option<u32> {
    YEARS.get(usize::try_from(year - FIRST).ok()?).copied()
}

/// Days from 1 January to the lunar new year.
fn begins(year: i32) -> Option<i32> {
    entry(year).map(|entry| (entry >> 17) as i32)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn days_of_the_calendar() {
        assert_eq!(of(date!(2017 - 01 - 28)), Some((2017, 1, 1)));
        assert_eq!(of(date!(2017 - 01 - 27)), Some((2016, 12, 30)));
        // A leap sixth month began on 23 July 2017.
        assert_eq!(of(date!(2017 - 07 - 22)), Some((2017, 6, 29)));
        assert_eq!(of(date!(2017 - 07 - 23)), Some((2017, 6, 1)));
        assert_eq!(of(date!(2017 - 10 - 04)), Some((2017, 8, 15)));
        assert_eq!(of(date!(1953 - 02 - 14)), Some((1953, 1, 1)));
        assert_eq!(of(date!(1850 - 01 - 01)), None);
    }
}
