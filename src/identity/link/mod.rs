//! The linking engine: which records speak of one person, from evidence that is weighed.
//!
//! ```text
//! texts -> record (standard form) -> blocking keys -> candidates -> levels by field -> bits -> link, ask or new
//! ```
//!
//! It is pure: no store, no clock, no chance. What is compared, how, and what it weighs is configuration: [`Rules`] from
//! `config/identity.toml`, [`Model`] fitted by [`train`](train::train). Weights are those of Fellegi and Sunter:
//! log2(m/u), where m is how often a level appears among two records of one person, u among those of two.
//!
//! Two strong numbers never become one person; brothers and sisters born together are told apart by name and number;
//! a household is never evidence that two of its members are one.

pub mod batch;
pub mod blocks;
pub mod compare;
pub mod engine;
pub mod input;
pub mod keys;
mod known;
pub mod model;
pub mod profile;
pub mod record;
mod refine;
pub mod rules;
pub mod score;
pub mod train;
pub mod value;

pub use engine::{Engine, Linked, PersonNo, Question, Reason, Way};
pub use input::Names;
pub use model::{Model, Weights};
pub use record::{Raw, Record};
pub use rules::Rules;

#[cfg(test)]
mod tests;
