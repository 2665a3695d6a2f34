//! The master person index: which citizen a record speaks of.
