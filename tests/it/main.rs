//! The integration suite: one binary, real servers. `make test` starts them; without their addresses in the
//! environment each test that needs one starts its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines, reason = "a test fails by panicking, and so do its helpers")]

mod bus;
mod crash;
mod deliver;
mod identity;
mod lake;
mod simulate;
mod sources;
mod support;
