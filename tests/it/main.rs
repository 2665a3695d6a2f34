//! The integration suite: one binary, real servers. `make test` starts them; without their addresses in the
//! environment each test that needs one starts its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod bus;
mod support;
