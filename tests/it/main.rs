//! The integration suite: one binary, real servers. `make test` starts what it needs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines, reason = "tests")]

mod deliver;
mod identity;
mod lake;
mod simulate;
mod sources;
mod telemetry;
