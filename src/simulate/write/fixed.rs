//! Fixed-width batch files of the banks: 100-byte GBK records, counts and sums in the header.
//!
//! Hundreds of batches grow side by side, so each keeps a small buffer and no open file. The header
//! is known last and written over its place.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use encoding_rs::GBK;

use crate::simulate::error::Error;

/// Bytes of a record with its CR LF.
pub const RECORD: usize = 100;
/// A batch goes to disk when it has gathered this much.
const FLUSH: usize = 32 * 1024;

/// One record under construction.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
}

impl Record {
    /// A record of a type: `H`, `D` or `R`.
    pub fn new(kind: char) -> Self {
        Self::default().text(&kind.to_string(), 1)
    }

    /// Text, left, padded with spaces, cut at the byte. See [`cuts_character`].
    pub fn text(mut self, value: &str, width: usize) -> Self {
        let (bytes, _, _) = GBK.encode(value);
        let end = self.bytes.len() + width;
        self.bytes.extend(bytes.iter().take(width));
        self.bytes.resize(end, b' ');
        self
    }

    /// A number, right, padded with zeros.
    pub fn number(self, value: u64, width: usize) -> Self {
        self.text(&format!("{value:0width$}"), width)
    }

    /// Fills up with spaces and ends the line of a batch.
    pub fn end(self) -> Vec<u8> {
        self.line(RECORD - 2)
    }

    fn line(mut self, width: usize) -> Vec<u8> {
        self.bytes.resize(width, b' ');
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes
    }
}

/// True when a field of `width` bytes would end between the two bytes of a character.
pub fn cuts_character(value: &str, width: usize) -> bool {
    let mut length = 0;
    for character in value.chars() {
        let bytes = if character.is_ascii() { 1 } else { 2 };
        if length < width && length + bytes > width {
            return true;
        }
        length += bytes;
    }
    false
}

/// A batch file that grows.
#[derive(Debug)]
pub struct BatchFile {
    path: PathBuf,
    buffer: Vec<u8>,
    /// Details so far.
    pub details: u64,
    /// Their sum in fen.
    pub fen: u64,
}

impl BatchFile {
    /// A batch that will be written to `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, buffer: vec![b' '; RECORD], details: 0, fen: 0 }
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Adds a detail and gives its line number in the file; the header is line 1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, record: Record, fen: u64) -> Result<u64, Error> {
        self.buffer.extend_from_slice(&record.end());
        self.details += 1;
        self.fen += fen;
        if self.buffer.len() >= FLUSH {
            self.flush()?;
        }
        Ok(self.details + 1)
    }

    /// Writes what is left and the header over its place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, header: Record) -> Result<(), Error> {
        self.flush()?;
        let mut file = OpenOptions::new().write(true).open(&self.path).map_err(Error::file(&self.path))?;
        overwrite(&mut file, &header.end()).map_err(Error::file(&self.path))
    }

    fn flush(&mut self) -> Result<(), Error> {
        append(&self.path, &mut self.buffer)
    }
}

fn overwrite(file: &mut File, header: &[u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(header)
}

/// A file of details alone, which grows like a batch.
#[derive(Debug)]
pub struct PlainFile {
    path: PathBuf,
    width: usize,
    buffer: Vec<u8>,
    lines: u64,
}

impl PlainFile {
    /// A file that will be written to `path`; its records have `width` bytes and CR LF.
    pub fn new(path: PathBuf, width: usize) -> Self {
        Self { path, width, buffer: Vec::new(), lines: 0 }
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Adds a record and gives its line number from 1.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, record: Record) -> Result<u64, Error> {
        self.buffer.extend_from_slice(&record.line(self.width));
        self.lines += 1;
        if self.buffer.len() >= FLUSH {
            append(&self.path, &mut self.buffer)?;
        }
        Ok(self.lines)
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        append(&self.path, &mut self.buffer)
    }
}

fn append(path: &Path, buffer: &mut Vec<u8>) -> Result<(), Error> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(buffer)).map_err(Error::file(path))?;
    buffer.clear();
    Ok(())
}

/// The path of a batch in a folder.
pub fn batch_path(folder: &Path, prefix: &str, batch: &str) -> PathBuf {
    folder.join(format!("{prefix}{batch}.txt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_padded_as_the_published_vector() {
        let bytes = Record::default().text("金哲洙", 20).bytes;
        assert_eq!(hex::encode(bytes), "bdf0d5dce4a82020202020202020202020202020");
    }

    #[test]
    fn a_cut_inside_a_character_is_seen() {
        assert!(cuts_character("李(明", 4));
        assert!(!cuts_character("李明", 4));
        assert!(!cuts_character("李明德", 4));
        assert_eq!(Record::new('D').number(7, 4).end().len(), RECORD);
    }
}
