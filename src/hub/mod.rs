//! The hub as a running thing: opens everything that the configuration names, starts roles, drains, stops.

mod boxes;
mod build;
mod exchange;
mod query_xml;
mod registered;
mod resend;
mod roles;
mod upkeep;
mod watch;

pub use build::{Hub, Plans, Secrets, person_index};
pub(crate) use build::{agreements, connected, registry};
pub use roles::{Role, Running, depths};
