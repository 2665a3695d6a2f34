//! Writers of legacy formats, each as small as the simulation needs and independent of the hub's readers, so that a
//! mistake of a reader cannot hide behind the same mistake of a writer.

pub mod charset;
pub mod dbf;
pub mod dump;
pub mod fixed;
pub mod gb18030;
pub mod lines;
pub mod soap;
pub mod sqlite;
pub mod tables;
pub mod xlsx;
pub mod zip;
