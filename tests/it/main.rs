//! The integration suite: one binary, real servers. `make test` starts them; without their addresses in the
//! environment each test that needs one starts its own.
#![allow(clippy::disallowed_methods, reason = "the clients of the tests talk to servers of their own on loopback")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod alerts;
mod banks;
mod bench;
mod browser;
mod bus;
mod cli;
mod correction;
mod crash;
mod daytwo;
mod deliver;
mod demo;
mod disaster;
mod disclosure;
mod doctor;
mod fuzz;
mod hostile;
mod identity;
mod kit;
mod lake;
mod ledger;
mod loads;
mod partner_api;
mod privacy;
mod road;
mod samples;
mod settle;
mod simulate;
mod slow_partner;
mod sources;
mod store;
mod supervise;
mod support;
mod telemetry;
mod tidy;
mod traces;
