//! What polled web systems share: a patient client, tokens, and the sweep over pages that do not stand still.

pub mod client;
pub mod sweep;
pub mod token;
