//! The lake target.
