//! Telemetry: what the hub says about itself, and never about a citizen.
//!
//! [`metric`] names every number of `/metrics`, [`record`] is the only way to change one, [`stage`] measures and marks a step
//! of the road, [`trace`] carries W3C trace contexts across the bus, [`export`] sends the spans to a collector, [`age`] derives how old a queue's oldest message is, and
//! [`log`] lets through the fields on its list.

pub mod age;
pub mod export;
pub mod label;
pub mod log;
mod meter;
pub mod metric;
mod process;
pub mod record;
pub mod stage;
#[cfg(test)]
mod tidy;
pub mod trace;

pub use meter::text;
