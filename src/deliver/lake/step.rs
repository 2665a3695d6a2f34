//! The steps of one batch, named so that a test can stop the writer between any two of them.

/// What the writer has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Asked the book which deliveries it knows.
    LookedUp,
    /// Made arrow columns of the new ones.
    Encoded,
    /// Noted the batch and its delivery ids as pending.
    Claimed,
    /// Put the parquet file into the store of the lake; no table refers to it yet.
    FileWritten,
    /// Committed to the table's log.
    Committed,
    /// Marked the batch as done; only the answer is missing.
    Marked,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::LookedUp, Self::Encoded, Self::Claimed, Self::FileWritten, Self::Committed, Self::Marked];
}

/// Watches the writer; tests use it to die between two steps.
pub trait Watch: Send + Sync {
    /// Whether the writer goes on. `false` leaves everything as it is at this moment, as a killed process would.
    fn goes_on(&self, after: Step) -> bool;
}

/// Lets everything pass.
pub struct Unwatched;

impl Watch for Unwatched {
    fn goes_on(&self, _after: Step) -> bool {
        true
    }
}
