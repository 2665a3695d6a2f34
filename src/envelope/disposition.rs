//! What a handler says about a message; one place turns it into ack, pause, parked row or dead letter.

use crate::error::Fault;

/// The verdict of a handler. A handler never acks by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Done, or nothing to do; the message may go.
    Accept,
    /// Not possible now through no fault of the message: try again after a pause.
    Retry,
    /// Set aside with its key until someone decides; later records of the key wait behind it.
    Park(Fault),
    /// Never acceptable as it is: to the dead letters, with every fault that was found.
    Reject(Vec<Fault>),
}
