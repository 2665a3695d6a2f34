//! The adapter kit: everything a developer needs to connect one more system without writing Rust.
//!
//! [`flow`] reads mapping programs, [`fields`] finds the fields of a source. On them stand [`coverage`] (is every field mapped),
//! [`lint`] (what is wrong, where, what to do), [`proof`] (tests that every adapter passes), [`infer`] and [`scaffold`] (a first
//! adapter from a sample), [`docs`] (field lineage) and [`play`] (a local page). Nothing here runs in production; all of it uses the
//! decoders, mapping programs and schemas that do.

use std::fs;

use crate::{
    adapter::spec::{AdapterSpec, ObjectSpec},
    error::Code,
};

pub mod coverage;
pub mod docs;
pub mod fields;
pub mod flow;
pub mod infer;
pub mod lint;
pub mod play;
pub mod proof;
pub mod scaffold;
pub mod sniff;

use flow::Flow;

/// Less of a source's fields is mapped than demanded.
pub const COVERAGE: Code = Code::new(1020);

/// An object of an adapter with what its program does.
pub struct Studied<'a> {
    pub object: &'a ObjectSpec,
    /// Text of the program.
    pub text: String,
    pub flow: Flow,
}

/// Reads the programs of an adapter, in the order of its objects.
pub fn study(spec: &AdapterSpec) -> Vec<Studied<'_>> {
    let mut studied = Vec::with_capacity(spec.objects.len());
    for object in &spec.objects {
        // A spec that was loaded has its programs; one that vanished since has no fields.
        let text = fs::read_to_string(&object.program).unwrap_or_default();
        studied.push(Studied { object, flow: Flow::of(&text).unwrap_or_default(), text });
    }
    studied
}
