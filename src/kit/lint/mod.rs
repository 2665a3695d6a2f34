//! What is wrong with an adapter folder: every finding with file, place and what to do.
//!
//! The rules: [`spec`] looks at `adapter.toml` and its options, [`program`] at the mapping programs against schemas and source
//! fields, [`folder`] at README and samples. Unknown names come with the nearest known one.

use std::{fs, ops::Range, path::Path as FilePath, sync::Arc};

use super::{fields, study};
use crate::{
    adapter::spec::AdapterSpec,
    error::{Code, Fault},
    schema::SchemaRegistry,
    store::Store,
};

mod document;
pub mod folder;
mod program;
mod spec;

/// A program writes a field that the dataset does not have, or that the hub fills.
pub const UNKNOWN_FIELD: Code = Code::new(3550);
/// An object declares a dataset that the hub does not have.
pub const UNKNOWN_DATASET: Code = Code::new(3551);
/// A code table of the adapter is used by no program.
pub const UNUSED_CODES: Code = Code::new(3552);
/// `[ignore]` has a field that the program reads, an unknown field, or no reason.
pub const IGNORE: Code = Code::new(3553);
/// A program reads a field that neither `adapter.toml` nor a sample has.
pub const UNKNOWN_SOURCE: Code = Code::new(3554);
/// A field that the dataset demands is never written.
pub const NEVER_WRITTEN: Code = Code::new(3555);
/// The folder lacks its README, or an object its samples.
pub const MISSING_FILE: Code = Code::new(3556);
/// An adapter has fewer golden cases than demanded.
pub const FEW_CASES: Code = Code::new(3557);

/// The compiler of mapping programs warns.
pub const WARNING: Code = Code::new(3558);

/// Golden cases that every adapter must have.
pub const MIN_CASES: usize = 3;

/// A file that findings point into.
#[derive(Debug, Clone)]
pub struct File {
    pub name: String,
    pub text: Arc<str>,
}

impl File {
    /// Reads a file for its findings; a file that cannot be read has no text.
    pub fn read(path: &FilePath) -> Self {
        Self { name: path.display().to_string(), text: fs::read_to_string(path).unwrap_or_default().into() }
    }

    /// Line and column of a byte, from 1.
    pub fn line_column(&self, byte: usize) -> (u64, usize) {
        let before = self.text.get(..byte).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() as u64 + 1, column)
    }
}

/// One thing to mend.
#[derive(Debug, Clone)]
pub struct Finding {
    pub fault: Fault,
    pub file: File,
    /// Bytes of the file; none for the file as a whole.
    pub span: Option<Range<usize>>,
}

impl Finding {
    /// A finding at these bytes; line and column go into the fault.
    pub fn at(file: &File, span: Range<usize>, fault: Fault) -> Self {
        let (line, column) = file.line_column(span.start);
        let fault = fault.in_file(file.name.as_str()).at_row(line).at_column(column.to_string());
        Self { fault, file: file.clone(), span: Some(span) }
    }

    /// A finding about a file or folder as a whole.
    pub fn of_file(name: String, fault: Fault) -> Self {
        Self { fault: fault.in_file(name.as_str()), file: File { name, text: "".into() }, span: None }
    }
}

/// Every finding of one adapter folder. `store` is any store: sources are opened to read their options, not to work.
pub fn lint(dir: &FilePath, registry: &SchemaRegistry, store: &Store) -> Vec<Finding> {
    let loaded = match AdapterSpec::load(dir) {
        Ok(loaded) => loaded,
        // Without a spec that can be loaded only the folder can be judged.
        Err(faults) => {
            let mut found: Vec<Finding> = faults.into_iter().map(document::place_fault).collect();
            found.extend(folder::readme(dir));
            return found;
        }
    };
    let file = File::read(&dir.join("adapter.toml"));
    let studied = study(&loaded);
    let samples: Vec<_> = studied.iter().map(|one| fields::samples(&loaded, one.object)).collect();
    let sources: Vec<_> = studied.iter().zip(&samples).map(|(one, samples)| fields::of_object(one, samples)).collect();
    let mut found = spec::options(&loaded, &file, store);
    found.extend(spec::datasets(&loaded, &file, registry));
    found.extend(spec::codes(&loaded, &file, &studied));
    found.extend(spec::ignore(&loaded, &file, &studied, &sources));
    for (place, one) in studied.iter().enumerate() {
        found.extend(program::warnings(one));
        found.extend(program::records(one, registry));
        // Objects may share a program: a field of one of them is no misspelt one.
        let sharing = studied.iter().zip(&sources).filter(|(other, _)| other.object.program == one.object.program);
        let sharing: Vec<_> = sharing.map(|(_, sources)| sources).collect();
        found.extend(program::reads(one, &sources[place], &sharing));
    }
    found.extend(folder::readme(dir));
    found.extend(folder::cases(&loaded, &samples));
    let mut told: Vec<Fault> = Vec::new();
    found.retain(|finding| {
        let new = !told.contains(&finding.fault);
        told.extend(new.then(|| finding.fault.clone()));
        new
    });
    found
}
