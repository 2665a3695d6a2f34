//! Adapters: a folder per legacy system, read -> decode -> map -> publish.
//!
//! `source` takes batches of raw rows with a position, `decode` turns bytes into rows, `map` runs the adapter's VRL
//! program. No Rust is needed for a new system of a known kind.

pub mod decode;
pub mod event;
pub mod golden;
pub mod load;
pub mod map;
pub mod run;
pub mod sample;
pub mod source;
pub mod spec;
