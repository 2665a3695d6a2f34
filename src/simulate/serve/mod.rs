//! The living side of the simulation: a system that answers, and one that pushes.

pub mod assist_hall;
pub mod push;
