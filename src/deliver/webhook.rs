//! The webhook target.
