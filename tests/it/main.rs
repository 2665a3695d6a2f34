//! The integration suite: one binary, real servers. `make test` starts them; without their addresses in the
//! environment each test that needs one starts its own.

mod bus;
mod support;
