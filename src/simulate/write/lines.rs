//! Bodies one a line: JSON documents, or XML ones without line breaks.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use encoding_rs::GBK;

use crate::simulate::error::Error;

/// A file of lines under way.
pub struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
    gbk: bool,
    count: u64,
}

impl Lines {
    /// Opens the file `name` in a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(folder: &Path, name: &'static str) -> Result<Self, Error> {
        let path = folder.join(name);
        let out = BufWriter::new(File::create(&path).map_err(Error::file(&path))?);
        Ok(Self { path, out, gbk: false, count: 0 })
    }

    /// The same for bodies in GBK, whose second bytes never are a line end.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_gbk(folder: &Path, name: &'static str) -> Result<Self, Error> {
        Ok(Self { gbk: true, ..Self::create(folder, name)? })
    }

    /// Adds a line and gives its number from 1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, body: &impl std::fmt::Display) -> Result<u64, Error> {
        let text = format!("{body}\n");
        let written = if self.gbk { self.out.write_all(&GBK.encode(&text).0) } else { self.out.write_all(text.as_bytes()) };
        written.map_err(Error::file(&self.path))?;
        self.count += 1;
        Ok(self.count)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.out.flush().map_err(Error::file(&self.path))
    }
}
