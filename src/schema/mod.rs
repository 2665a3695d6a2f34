//! JSON Schemas of the canonical datasets, with the own keywords, compiled once.
//!
//! A dataset is the folder `schemas/<dataset>/` with one file per major version (`v1.json`); shared definitions are in
//! `schemas/common/`. [`SchemaRegistry::load`] reads the folder, checks every file against the meta-schema (JSON Schema
//! 2020-12 plus our keywords), replaces every reference by its target and compiles what comes out. Nothing is
//! fetched: a reference is a relative path inside the folder, or it is a fault.
//!
//! Own keywords:
//!
//! | keyword | on | meaning |
//! |---|---|---|
//! | `x-sensitivity` | every leaf property | 0 public, 1 internal, 2 personal, 3 sensitive personal |
//! | `x-name` | any property | its Chinese name |
//! | `x-codes` | a string | the code list its value is taken from |
//! | `x-person` | an object | which of its fields identify a person, and where the person key goes |
//! | `x-filled-by` | a property | who fills it after the adapter; required only in delivered records |
//!
//! [`DatasetSchema::validate`] reports every fault of a record and never a value of it.

pub mod codes;
pub mod dataset;
pub mod diff;
pub mod fault;
pub mod field;
pub mod formats;
pub mod inline;
pub mod meta;
pub mod person;
pub mod registry;
#[cfg(test)]
mod tests;

pub use codes::CodeSource;
pub use dataset::DatasetSchema;
pub use diff::{Change, diff};
pub use fault::code_of_keyword;
pub use field::{Field, Kind};
pub use person::PersonSlot;
pub use registry::SchemaRegistry;
