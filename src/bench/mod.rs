//! Benchmarks that a user can run: the hub beside a bare relay, in the same run, on the same bus.

pub mod meter;
pub mod pipeline;
pub mod relay;
