//! Zip containers that may be hostile: whatever their headers say, only what really comes out is counted.
//!
//! Used for archives of files and for workbooks, which are archives of XML.

use std::io::{Cursor, Read, Seek, SeekFrom};

use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::Input;
use crate::error::{Code, Fault};

/// The container is no zip archive, is damaged, or contradicts itself.
pub const BROKEN: Code = Code::new(3410);
/// The container holds more than the limits of the adapter allow.
pub const LIMIT: Code = Code::new(3411);

/// Below so many bytes any ratio is taken: small texts of one character repeated are harmless.
const RATIO_FREE: u64 = 1 << 20;
/// An end record and the longest comment behind it.
const TAIL: u64 = 22 + 65_535;
const END_RECORD: &[u8] = b"PK\x05\x06";
const END_LOCATOR_64: &[u8] = b"PK\x06\x07";

/// What may come out of one container.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub entries: usize,
    /// Bytes of one entry.
    pub entry: u64,
    /// Bytes of all entries that are read.
    pub total: u64,
    /// Bytes that may come out of one byte.
    pub ratio: u64,
}

/// What is left of the limits of one container.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    left: u64,
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self { limits, left: limits.total }
    }

    /// Inflates one entry into memory. Its checksum is compared at its end.
    ///
    /// # Errors
    /// [`LIMIT`] as soon as a limit is passed, [`BROKEN`] for an entry that cannot be read to its end.
    pub fn inflate<R: Read + Seek>(&mut self, entry: &mut ZipFile<'_, R>) -> Result<Vec<u8>, Fault> {
        if entry.encrypted() {
            return Err(broken("an entry is encrypted").hint("send it without a password"));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(broken("an entry is compressed in a way that is not read").expected("stored or deflated entries"));
        }
        let packed = entry.compressed_size().max(1);
        let most = packed.saturating_mul(self.limits.ratio).max(RATIO_FREE);
        // A header is believed when it says too much; and an honest one saves the copies of a growing buffer.
        self.check(entry.size(), 0, most)?;
        let (mut bytes, mut chunk) = (Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0)), vec![0; 64 * 1024]);
        loop {
            let read = entry.read(&mut chunk).map_err(|_| damaged())?;
            if read == 0 {
                break;
            }
            bytes.extend_from_slice(&chunk[..read]);
            self.check(bytes.len() as u64, read as u64, most)?;
        }
        if bytes.len() as u64 != entry.size() {
            return Err(
                broken("an entry has another length than its header says").hint("the archive is damaged or was tampered with")
            );
        }
        Ok(bytes)
    }

    fn check(&mut self, entry: u64, read: u64, most: u64) -> Result<(), Fault> {
        if entry > self.limits.entry {
            return Err(too_much("an entry inflates to more", self.limits.entry, "bytes"));
        }
        if entry > most {
            return Err(too_much("an entry inflates to more than", self.limits.ratio, "times its size"));
        }
        self.left = self
            .left
            .checked_sub(read)
            .ok_or_else(|| too_much("the entries inflate to more", self.limits.total, "bytes in all"))?;
        Ok(())
    }
}

/// Opens a container after a look at its end record, so that no table of millions of entries is built.
///
/// # Errors
/// [`BROKEN`] and [`LIMIT`].
pub fn open<R: Read + Seek>(mut input: R, limits: &Limits) -> Result<ZipArchive<R>, Fault> {
    let unreadable = |error: std::io::Error| super::unreadable(&error);
    let size = input.seek(SeekFrom::End(0)).map_err(unreadable)?;
    input.seek(SeekFrom::Start(size.saturating_sub(TAIL))).map_err(unreadable)?;
    let mut tail = Vec::new();
    input.by_ref().take(TAIL).read_to_end(&mut tail).map_err(unreadable)?;
    let ends: Vec<usize> = find(&tail, END_RECORD).collect();
    if ends.is_empty() {
        return Err(broken("there is no end record").expected("a zip archive").hint("the file is cut off or has the wrong name"));
    }
    if find(&tail, END_LOCATOR_64).next().is_some() {
        return Err(broken("the archive is in the form for more than 4 GiB").expected("an archive of the plain form"));
    }
    let entries = ends.iter().filter_map(|at| Some(usize::from(u16::from_le_bytes([*tail.get(at + 10)?, *tail.get(at + 11)?]))));
    if entries.max().unwrap_or(0) > limits.entries {
        return Err(too_much("there are more entries", limits.entries as u64, "entries"));
    }
    input.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let archive = ZipArchive::new(input).map_err(|_| damaged())?;
    if archive.has_duplicate_names() {
        return Err(broken("two entries have the same name").hint("it cannot be told which of them is meant"));
    }
    if archive.len() > limits.entries {
        return Err(too_much("there are more entries", limits.entries as u64, "entries"));
    }
    Ok(archive)
}

fn find<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(mark.len()).enumerate().filter(move |(_, window)| *window == mark).map(|(at, _)| at)
}

/// A whole file in memory, at most `limit` bytes.
///
/// # Errors
/// [`LIMIT`], or a failed read.
pub fn whole(input: &mut dyn Input, limit: u64) -> Result<Cursor<Vec<u8>>, Fault> {
    let unreadable = |error: std::io::Error| super::unreadable(&error);
    input.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut bytes = Vec::new();
    input.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(too_much("the file is larger", limit, "bytes"));
    }
    Ok(Cursor::new(bytes))
}

pub fn broken(what: &str) -> Fault {
    Fault::new(BROKEN, what)
}

fn damaged() -> Fault {
    broken("the archive is damaged")
        .expected("a whole zip archive")
        .hint("the transfer was cut off or not binary; ask for it again")
}

pub fn too_much(what: &str, limit: u64, unit: &str) -> Fault {
    Fault::new(LIMIT, what)
        .expected(format!("at most {limit} {unit}"))
        .hint("an honest file of this kind is far smaller; raise the limit in adapter.toml if this one is")
}
