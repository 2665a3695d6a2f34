//! Why the lake failed, with its codes.

use deltalake_core::DeltaTableError;

use crate::{
    error::{Code, Fault, Faults},
    store,
};

/// The root of the lake is neither a folder nor an address this build can open.
pub const LOCATION: Code = Code::new(6300);
/// A dataset's schema cannot become the columns of a table.
pub const SCHEMA: Code = Code::new(6301);
/// A table in the lake has a column of another type than the schema asks for.
pub const INCOMPATIBLE: Code = Code::new(6302);
/// A delivery is of a dataset for which the lake has no table.
pub const UNKNOWN_DATASET: Code = Code::new(6310);
/// A value does not fit the column of its field.
pub const MISFIT: Code = Code::new(6311);
/// The lake's storage failed.
pub const UNREACHABLE: Code = Code::new(6320);
/// The lake's storage did not answer within the time limit.
pub const TIMED_OUT: Code = Code::new(6321);
/// Other writers of the table were faster, again and again.
pub const CONFLICT: Code = Code::new(6322);
/// The writer was stopped between two steps.
pub const STOPPED: Code = Code::new(6323);

/// Why a call on the lake failed as a whole. None of them loses a delivery: send the same again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration, a schema or an existing table does not fit; trying again does not help.
    #[error(transparent)]
    Faults(#[from] Faults),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The table or its storage failed.
    #[error("the table of `{dataset}` failed: {reason}")]
    Table { dataset: String, reason: String },
    #[error("the table of `{dataset}` did not answer within {seconds} s")]
    TimedOut { dataset: String, seconds: u64 },
    /// Another writer committed first more often than this one tries.
    #[error("the table of `{dataset}` is being changed by another writer")]
    Conflict { dataset: String },
    /// See [`super::step::Watch`].
    #[error("stopped between two steps")]
    Stopped,
}

impl Error {
    pub(super) fn table(dataset: &str, error: impl Into<DeltaTableError>) -> Self {
        Self::Table { dataset: dataset.to_owned(), reason: error.into().to_string() }
    }

    pub(super) fn reason(dataset: &str, reason: impl ToString) -> Self {
        Self::Table { dataset: dataset.to_owned(), reason: reason.to_string() }
    }

    /// The fault to show: of several, the first.
    pub fn fault(&self) -> Fault {
        let (code, hint) = match self {
            Self::Faults(Faults(faults)) => {
                return faults.first().cloned().unwrap_or_else(|| Fault::new(SCHEMA, "no schema was given"));
            }
            Self::Store(error) => return error.fault(),
            Self::Table { .. } => (UNREACHABLE, "check `lake.url`: space, permissions, network; the deliveries come again"),
            Self::TimedOut { .. } => (TIMED_OUT, "check the network to the object store, or raise the lake's time limit"),
            Self::Conflict { .. } => (CONFLICT, "run fewer lake writers, or let each wait longer for bigger batches"),
            Self::Stopped => (STOPPED, "start the process again: the open batch is then finished or forgotten"),
        };
        Fault::new(code, self.to_string()).hint(hint)
    }
}
