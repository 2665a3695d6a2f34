//! The mailbox target.
