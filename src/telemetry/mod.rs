//! Telemetry: structured logs by an allow-list of fields.

pub mod log;
