//! Mapping: the VRL program of an adapter, one raw row to any number of canonical records.
