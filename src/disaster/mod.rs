//! Disaster reporting over four levels: what the townships reported, rolled up for any division and any time.
//!
//! A report is stored with the router's batch ([`note`]), so the view has it as soon as it has passed. Roll-up is a pure
//! function over the reports of an event ([`view`]): nothing is summed in the store, so a report that comes late, again,
//! or in the wrong order changes exactly what it should. Offices check, return and report ([`act`]); the clocks of the
//! statistics rules are in [`due`]; figures of other agencies stand beside the hub's own ([`figures`]).

pub mod act;
pub mod due;
pub mod figures;
mod report;
pub mod view;

pub use report::{Report, events, load, note};

use crate::error::Code;

/// There is no disaster report of this key.
pub const NO_REPORT: Code = Code::new(7510);
/// The report is not in a state from which this step is legal.
pub const ILLEGAL_ACT: Code = Code::new(7511);
/// Only the level above may do this.
pub const NOT_ABOVE: Code = Code::new(7512);
/// A return or a merge needs a reason.
pub const NO_REASON: Code = Code::new(7513);
/// A county reports directly from ten dead and missing on.
pub const BELOW_THRESHOLD: Code = Code::new(7514);
/// A file of published figures cannot be read.
pub const BAD_FIGURES: Code = Code::new(7515);
/// There are no reports of this event, or its number is none.
pub const NO_EVENT: Code = Code::new(7516);

/// Dead and missing of a county from which on it reports to province and ministry at once.
pub const DIRECT: i64 = 10;

/// 1 province, 2 prefecture, 3 county, 4 township, 5 village.
pub fn level(division: &str) -> u8 {
    let at = |from: usize, to: usize| division.get(from..to).is_some_and(|part| part.bytes().any(|digit| digit != b'0'));
    match (at(2, 4), at(4, 6), at(6, 9), at(9, 12)) {
        (.., true) => 5,
        (_, _, true, _) => 4,
        (_, true, ..) => 3,
        (true, ..) => 2,
        _ => 1,
    }
}

/// The digits that a division and all below it begin with.
pub fn stem(division: &str) -> &str {
    let length = match level(division) {
        1 => 2,
        2 => 4,
        3 => 6,
        4 => 9,
        _ => 12,
    };
    division.get(..length).unwrap_or(division)
}

/// Twelve digits of a code that may have fewer.
pub fn whole(code: &str) -> String {
    format!("{code:0<12}")
}

#[cfg(test)]
mod tests;
