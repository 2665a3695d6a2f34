//! Formats: bytes to JSON rows, with the limits of every parser.
