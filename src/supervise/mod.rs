//! Supervision: rules over what the hub knows of a person now, each hit an alert with its evidence.
//!
//! A rule is a file ([`rule`]): what it looks at, how grave a hit is, whose work it is, and a condition in VRL, the language
//! of the adapters. [`gather`] brings together the facts of persons, [`engine`] holds the rules against them: what is due
//! while records arrive, or everything that is stored for a new rule.

pub mod engine;
mod gather;
pub mod rule;
pub mod score;
#[cfg(test)]
mod tests;

use crate::error::Code;

/// A rule file is not understood.
pub const BAD_RULE: Code = Code::new(7301);
/// The condition of a rule does not compile.
pub const BAD_CONDITION: Code = Code::new(7302);
/// The condition of a rule failed on facts.
pub const CONDITION_FAILED: Code = Code::new(7303);
/// The truth of a simulated province cannot be read.
pub const BAD_TRUTH: Code = Code::new(7501);
/// There is no alert of this id that could be suppressed.
pub const NO_ALERT: Code = Code::new(7304);
