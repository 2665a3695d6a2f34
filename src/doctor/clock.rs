//! The clock of this machine, beside those of others.

use super::{Category::Clock, Finding, Status};
use crate::error::Code;

/// The clock differs from those of others.
pub const WRONG_CLOCK: Code = Code::new(8221);

/// Seconds of difference that are a fault: signed requests are refused beyond some minutes, and orders of records are judged
/// by times.
const MOST: i64 = 120;
/// Seconds of difference that are a warning.
const GOOD: i64 = 30;

/// How far this machine's clock is ahead of another.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Whose clock.
    pub of: String,
    /// Milliseconds; negative when this one is behind.
    pub ahead: i64,
    /// It is a clock of the hub's own servers, kept like this one.
    pub own: bool,
}

pub(super) fn judge(readings: &[Reading]) -> Vec<Finding> {
    if readings.is_empty() {
        return vec![Finding::ok(Clock, "no other clock is in reach to compare with")];
    }
    let agrees = |reading: &Reading| reading.ahead.abs() <= GOOD * 1000;
    let confirmed = readings.iter().any(agrees);
    readings.iter().map(|reading| one(reading, confirmed)).collect()
}

/// `confirmed`: another clock says what ours says, so a stranger's that differs is wrong itself.
fn one(reading: &Reading, confirmed: bool) -> Finding {
    let seconds = (reading.ahead + reading.ahead.signum() * 500) / 1000;
    let way = if seconds < 0 { "behind" } else { "ahead of" };
    let message = format!("this machine's clock is {} s {way} that of {}", seconds.abs(), reading.of);
    let hint = "let NTP set the clock (`timedatectl`, chrony); if only one of several differs, that one is wrong";
    let status = match seconds.abs() {
        apart if apart <= GOOD => return Finding::ok(Clock, message),
        apart if apart <= MOST || (confirmed && !reading.own) => Status::Warn,
        _ => Status::Fail,
    };
    Finding::new(Clock, status, WRONG_CLOCK, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: i64, own: bool) -> Reading {
        Reading { of: "x".to_owned(), ahead: seconds * 1000, own }
    }

    #[test]
    fn the_odd_one_out_is_wrong() {
        let status = |readings: &[Reading]| judge(readings).iter().map(|finding| finding.status).max();
        assert_eq!(status(&[]), Some(Status::Ok));
        assert_eq!(status(&[reading(600, false)]), Some(Status::Fail));
        assert_eq!(status(&[reading(-600, true), reading(0, false)]), Some(Status::Fail));
        assert_eq!(status(&[reading(0, true), reading(600, false)]), Some(Status::Warn));
        assert_eq!(status(&[reading(2, true)]), Some(Status::Ok));
        assert_eq!(status(&[reading(60, true)]), Some(Status::Warn));
    }
}
