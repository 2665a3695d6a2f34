//! The desk of those who decide about persons: reviews, merges and splits, each with its row in the ledger; what a citizen
//! may ask; and telling those who hold a key that it changed.

pub mod citizen;
pub mod decide;
pub mod notify;

pub use decide::Desk;

/// The system that speaks of persons' keys, in events, books and the ledger.
pub const SYSTEM: &str = "person-index";
