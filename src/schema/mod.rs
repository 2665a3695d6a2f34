//! JSON Schemas of the canonical datasets, with the own keywords, compiled once.
