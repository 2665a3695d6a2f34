//! Rules about what lies beside `adapter.toml`.

use std::path::Path;

use super::{FEW_CASES, Finding, MIN_CASES, MISSING_FILE};
use crate::{adapter::spec::AdapterSpec, error::Fault, kit::fields::Sample};

/// The README is there and says something.
pub(super) fn readme(dir: &Path) -> Vec<Finding> {
    let file = dir.join("README.md");
    let told = std::fs::read_to_string(&file).is_ok_and(|text| text.lines().filter(|line| !line.trim().is_empty()).count() > 1);
    if told {
        return vec![];
    }
    let fault = Fault::new(MISSING_FILE, "the adapter has no README.md, or an empty one");
    let hint = "ten to twenty lines: what the system is, its quirks, how the samples were made";
    vec![Finding::of_file(file.display().to_string(), fault.hint(hint))]
}

/// Every object has samples, and the adapter has cases enough.
pub(super) fn cases(spec: &AdapterSpec, samples: &[Vec<Sample>]) -> Vec<Finding> {
    let dir = spec.dir.join("samples").display().to_string();
    let mut found = Vec::new();
    for (object, _) in spec.objects.iter().zip(samples).filter(|(_, samples)| samples.is_empty()) {
        let fault = Fault::new(MISSING_FILE, format!("the object `{}` has no sample", object.name));
        let hint = format!(
            "add `{}.<case>.<ending>` and run `civilhub adapter test {} --accept`",
            object.name.to_lowercase(),
            spec.slug
        );
        found.push(Finding::of_file(dir.clone(), fault.hint(hint)));
    }
    let count: usize = samples.iter().map(Vec::len).sum();
    if count < MIN_CASES {
        found.push(Finding::of_file(dir, few(count)));
    }
    found
}

/// The fault of an adapter with so few golden cases.
pub fn few(count: usize) -> Fault {
    Fault::new(FEW_CASES, format!("the adapter has {count} golden cases"))
        .expected(format!("{MIN_CASES} at least"))
        .hint("have one for the typical row, one for the quirks of the system, one for faulty rows")
}
