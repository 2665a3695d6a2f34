//! What can go wrong while simulating, each with a code for `docs/errors.md`.

use std::path::Path;

use crate::error::{Code, Fault, Faults};

/// An option of the simulation is out of range.
pub const OPTION_OUT_OF_RANGE: Code = Code::new(1900);
/// The output folder is not empty; exports of two runs must not mix.
pub const OUTPUT_NOT_EMPTY: Code = Code::new(1901);
/// A file of the simulation cannot be read or written.
pub const FILE_FAILED: Code = Code::new(1902);
/// The simulated database cannot be written.
pub const DATABASE_FAILED: Code = Code::new(1903);
/// A line of a simulated file is not what the simulator wrote.
pub const RECORD_BROKEN: Code = Code::new(1904);
/// The mock server cannot listen on its address.
pub const LISTEN_FAILED: Code = Code::new(1905);
/// The hub cannot be reached, or keeps failing, while reports are pushed.
pub const PUSH_FAILED: Code = Code::new(1906);
/// The hub refuses the signature or the address of pushed reports.
pub const PUSH_REFUSED: Code = Code::new(1907);

/// An error of the simulation. Faults are boxed: errors are rare, and every `Result` carries their size.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that cannot be followed, all at once.
    #[error(transparent)]
    Options(Faults),
    /// A file could not be read or written.
    #[error("{fault}")]
    File {
        /// What to show, with the path.
        fault: Box<Fault>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The simulated database could not be written.
    #[error("{fault}")]
    Database {
        /// What to show, with the path.
        fault: Box<Fault>,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// Input of the mock or the push is broken, or the other side says no.
    #[error(transparent)]
    Refused(Box<Fault>),
}

impl Error {
    /// Wraps an input or output error with the path it happened at.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<'_> {
        move |source| {
            let fault = Fault::new(FILE_FAILED, format!("file failed: {source}"))
                .in_file(path.display().to_string())
                .hint("check that the folder exists, is writable and has space");
            Self::File { fault: Box::new(fault), source }
        }
    }

    /// Wraps a database error. Its text is left out of the fault: it could quote a row.
    pub fn database(path: &Path) -> impl FnOnce(sqlx::Error) -> Self + use<'_> {
        move |source| {
            let fault = Fault::new(DATABASE_FAILED, "the simulated database failed")
                .in_file(path.display().to_string())
                .hint("check that the folder is writable and has space");
            Self::Database { fault: Box::new(fault), source }
        }
    }

    /// Input of the mock or the push that is broken, or an answer that ends the work.
    pub fn refused(fault: Fault) -> Self {
        Self::Refused(Box::new(fault))
    }

    /// The faults to show.
    pub fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Options(faults) => faults.0.clone(),
            Self::File { fault, .. } | Self::Database { fault, .. } | Self::Refused(fault) => vec![(**fault).clone()],
        }
    }
}
