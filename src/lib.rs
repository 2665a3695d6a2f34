//! civilhub joins the business systems of a provincial Department of Civil Affairs.
//!
//! The modules are the steps of a record's road: [`adapter`] reads a legacy system and publishes
//! CloudEvents ([`envelope`]) to the [`bus`]; the [`router`] checks them against [`schema`],
//! finds the citizen ([`identity`]), applies the agreements ([`govern`]) and hands one delivery per
//! receiver to [`deliver`]; the [`ledger`] proves all of it. ARCHITECTURE.md tells the whole story.

pub mod adapter;
pub mod api;
pub mod attempt;
pub mod bench;
pub mod bus;
pub mod cases;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod correction;
pub mod dead;
pub mod deliver;
pub mod demo;
pub mod desk;
pub mod disaster;
pub mod disclosure;
pub mod doctor;
pub mod domain;
pub mod envelope;
pub mod error;
pub mod exchange;
pub mod facts;
pub mod fuzz;
pub mod govern;
pub mod hub;
pub mod identity;
pub mod json;
pub mod kit;
pub mod ledger;
pub mod router;
pub mod schema;
pub mod servers;
pub mod settle;
pub mod signature;
pub mod simulate;
pub mod store;
pub mod supervise;
pub mod telemetry;
