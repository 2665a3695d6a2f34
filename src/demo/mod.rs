//! The demo: a simulated province, its legacy systems, a stub bank and the hub, all in one process.

pub mod bank;
pub mod province;
pub mod sources;
pub mod verdict;
