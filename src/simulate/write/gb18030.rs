//! Delimited text in GB18030 with the trailer of the Delphi exporter: `EOF,<rows>,<md5 of all bytes before it>`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use encoding_rs::GB18030;
use md5::{Digest, Md5};

use crate::simulate::error::Error;
use crate::simulate::random::Random;

/// A file under way.
pub struct TrailerFile {
    path: PathBuf,
    out: BufWriter<File>,
    digest: Md5,
    delimiter: char,
    rows: u64,
}

/// How the trailer of a file lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// Count and digest hold.
    Right,
    /// As after a transfer that changed a byte.
    WrongDigest,
    /// As after a transfer that lost a line.
    WrongCount,
    /// The exporter of this system writes none.
    None,
}

impl TrailerFile {
    /// Opens the file and writes the header line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, delimiter: char, header: &[&str]) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::file(path))?;
        let out = BufWriter::new(file);
        let mut this = Self { path: path.to_owned(), out, digest: Md5::new(), delimiter, rows: 0 };
        this.write(header)?;
        Ok(this)
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Adds a row and gives its line number; the header is line 1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push<T: AsRef<str>>(&mut self, fields: &[T]) -> Result<u64, Error> {
        self.write(fields)?;
        self.rows += 1;
        Ok(self.rows + 1)
    }

    /// Writes the trailer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, trailer: Trailer) -> Result<(), Error> {
        if trailer == Trailer::None {
            return self.out.flush().map_err(Error::file(&self.path));
        }
        let mut digest = hex::encode(self.digest.finalize());
        if trailer == Trailer::WrongDigest {
            digest = digest.chars().rev().collect();
        }
        let rows = self.rows + u64::from(trailer == Trailer::WrongCount);
        let line = format!("EOF,{rows},{digest}\r\n");
        self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()).map_err(Error::file(&self.path))
    }

    fn write<T: AsRef<str>>(&mut self, fields: &[T]) -> Result<(), Error> {
        let mut line = String::new();
        for (place, field) in fields.iter().enumerate() {
            if place > 0 {
                line.push(self.delimiter);
            }
            line.push_str(field.as_ref());
        }
        line.push_str("\r\n");
        let (bytes, _, _) = GB18030.encode(&line);
        self.digest.update(&bytes);
        self.out.write_all(&bytes).map_err(Error::file(&self.path))
    }
}

/// How Excel was kept from eating digits: mostly `="…"`, sometimes an apostrophe, sometimes not at all.
pub fn excel(digits: &str, random: &mut Random) -> String {
    match random.below(10) {
        _ if digits.is_empty() => String::new(),
        0..6 => format!("=\"{digits}\""),
        6..8 => format!("'{digits}"),
        _ => digits.to_owned(),
    }
}
