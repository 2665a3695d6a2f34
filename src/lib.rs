//! civilhub joins the business systems of a provincial Department of Civil Affairs.
//!
//! The modules are the steps of a record's road: [`adapter`] reads a legacy system and publishes
//! CloudEvents ([`envelope`]) to the [`bus`]; the [`router`] checks them against [`schema`],
//! finds the citizen ([`identity`]), applies the agreements ([`govern`]) and hands one delivery per
//! receiver to [`deliver`]; the [`ledger`] proves all of it. ARCHITECTURE.md tells the whole story.

pub mod adapter;
pub mod bus;
pub mod clock;
pub mod deliver;
pub mod domain;
pub mod envelope;
pub mod error;
pub mod govern;
pub mod identity;
pub mod schema;
pub mod simulate;
pub mod store;
