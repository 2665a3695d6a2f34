//! The living side of the simulation: systems that answer, and systems that push.

pub mod mock;
pub mod pull;
pub mod push;
pub mod queries;
mod query_files;
mod query_http;
pub mod soap;
