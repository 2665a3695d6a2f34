//! Benchmarks that a user can run: the hub beside a bare relay, in the same run, on the same bus; linking of people with
//! the truth at hand; every format beside the bare library that reads it.

pub mod adapters;
pub mod indexing;
pub mod linking;
pub mod meter;
pub mod partners;
pub mod people;
pub mod pipeline;
pub mod relay;
pub mod soak;
