//! Archives of many files: each file in it that the object wants is read as if it lay in the drop folder.
//!
//! Nothing is unpacked to a disk. One file at a time is inflated into memory, with the file that belongs to it, under
//! limits that count what comes out. An archive that is damaged, passes a limit or has a name that leads elsewhere is
//! refused whole; a file in it that its format refuses is one fault, and the others are read.

use std::{
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    sync::Arc,
};

use bytes::Bytes;
use encoding_rs::GBK;
use serde::Deserialize;
use zip::{ZipArchive, read::ZipFile};

#[cfg(test)]
mod tests;

use super::folder::matches;
use crate::{
    adapter::decode::{
        BadRow, Decoded, Format, Input, RowReader, beside, inflate,
        inflate::{Budget, broken},
        options,
    },
    error::{Code, Fault},
};

/// An entry has a name that leads out of the archive, or is a link.
pub const NAME: Code = Code::new(3412);
/// An archive lies in the archive.
pub const NESTED: Code = Code::new(3413);
/// No file of the archive is one that the object reads.
pub const NOTHING: Code = Code::new(3414);

/// Endings of archives.
const ARCHIVES: [&str; 9] = ["zip", "rar", "7z", "gz", "tgz", "bz2", "xz", "tar", "cab"];
/// Faults of files told at most, where all of them are refused.
const MOST_FAULTS: usize = 20;

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits(inflate::Limits);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    archive_entries: Option<usize>,
    archive_member: Option<u64>,
    archive_total: Option<u64>,
    archive_ratio: Option<u64>,
}

impl Limits {
    /// Takes the options of archives out of the table of an object.
    ///
    /// # Errors
    /// A limit that is no number, or that is given where there is no `archive`.
    pub fn take(table: &mut toml::Table, wanted: bool) -> Result<Self, Vec<Fault>> {
        let names: Vec<String> = table.keys().filter(|name| name.starts_with("archive_")).cloned().collect();
        let own: toml::Table = names.into_iter().filter_map(|name| table.remove(&name).map(|value| (name, value))).collect();
        if !wanted && !own.is_empty() {
            return Err(vec![options::bad("archive", "is missing, but limits of an archive are given")]);
        }
        let given: Options = options::read(&own)?;
        Ok(Self(inflate::Limits {
            entries: given.archive_entries.unwrap_or(1000),
            entry: given.archive_member.unwrap_or(32 << 20),
            total: given.archive_total.unwrap_or(256 << 20),
            ratio: given.archive_ratio.unwrap_or(250),
        }))
    }
}

/// A format around another one.
pub struct Archive {
    inner: Arc<dyn Format>,
    files: Vec<String>,
    limits: Limits,
}

impl Archive {
    pub fn new(inner: Arc<dyn Format>, files: Vec<String>, limits: Limits) -> Self {
        Self { inner, files, limits }
    }

    fn open<R: Read + Seek>(&self, input: R) -> Result<Opened<R>, Fault> {
        let limits = self.limits.0;
        let mut zip = inflate::open(BufReader::new(input), &limits)?;
        let mut entries = Vec::new();
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(|_| broken("an entry cannot be opened"))?;
            let name = checked_name(&entry)?;
            if !entry.is_dir() {
                entries.push((name, index));
            }
        }
        // The order of the archive is that of whoever packed it: by name it is the same when it is packed anew.
        entries.sort();
        let wanted = |name: &String| self.files.iter().any(|glob| matches(glob, base(name)));
        let members = entries.iter().filter(|(name, _)| wanted(name)).cloned().collect();
        Ok(Opened { zip, entries, members, budget: Budget::new(limits), second: self.inner.companion() })
    }
}

impl Format for Archive {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        let mut archive = self.open(input).map_err(|fault| vec![fault])?;
        if archive.members.is_empty() {
            let fault = Fault::new(NOTHING, "no file of the archive is one that is read");
            return Err(vec![fault.expected(self.files.join(", ")).hint("compare the names in the archive with `files`")]);
        }
        let (mut count, mut refused, mut good) = (0, Vec::new(), false);
        for index in 0..archive.members.len() {
            let mut member = archive.load(index).map_err(|fault| vec![fault])?;
            match self.inner.verify(&mut member) {
                Ok(rows) => (count, good) = (count + rows, true),
                Err(faults) => refused.extend(faults),
            }
        }
        refused.truncate(MOST_FAULTS);
        if good { Ok(count) } else { Err(refused) }
    }

    fn rows(&self, input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        let archive = self.open(input).map_err(|fault| vec![fault])?;
        Ok(Box::new(Rows { archive, inner: Arc::clone(&self.inner), at: 0, rows: None }))
    }
}

/// An archive whose names have been looked at.
struct Opened<R> {
    zip: ZipArchive<BufReader<R>>,
    /// All files, by name.
    entries: Vec<(String, usize)>,
    /// Those that are read.
    members: Vec<(String, usize)>,
    budget: Budget,
    second: Option<&'static str>,
}

impl<R: Read + Seek> Opened<R> {
    /// Inflates a member and what belongs to it.
    fn load(&mut self, index: usize) -> Result<Member, Fault> {
        let (name, entry) = self.members[index].clone();
        let second = self.second.and_then(|ending| self.entries.iter().find(|(other, _)| beside::belongs(other, &name, ending)));
        let second = second.map(|(_, entry)| *entry);
        let bytes = Cursor::new(Bytes::from(self.inflate(entry)?));
        let second = second.map(|entry| self.inflate(entry)).transpose()?.map(Bytes::from);
        Ok(Member { bytes, second: self.second.zip(second) })
    }

    fn inflate(&mut self, entry: usize) -> Result<Vec<u8>, Fault> {
        let mut entry =
            self.zip.by_index(entry).map_err(|_| broken("an entry cannot be read").expected("stored or deflated entries"))?;
        self.budget.inflate(&mut entry)
    }
}

/// One inflated file.
struct Member {
    bytes: Cursor<Bytes>,
    second: Option<(&'static str, Bytes)>,
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Seek for Member {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl Input for Member {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        let second = self.second.as_ref().filter(|(second, _)| *second == ending);
        Ok(second.map(|(_, bytes)| Box::new(Cursor::new(bytes.clone())) as Box<dyn Input>))
    }
}

/// The rows of one member after another.
struct Rows {
    archive: Opened<Box<dyn Input>>,
    inner: Arc<dyn Format>,
    /// Members begun.
    at: usize,
    rows: Option<Box<dyn RowReader>>,
}

impl Rows {
    /// Goes to the next member; a fault if it is refused whole.
    fn begin(&mut self) -> Result<(), Vec<Fault>> {
        self.at += 1;
        let mut member = self.archive.load(self.at - 1).map_err(|fault| vec![fault])?;
        self.inner.verify(&mut member)?;
        member.bytes.set_position(0);
        self.rows = Some(self.inner.rows(Box::new(member))?);
        Ok(())
    }
}

impl RowReader for Rows {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        loop {
            if let Some(row) = self.rows.as_mut().and_then(|rows| rows.next()) {
                return Some(row);
            }
            self.rows = None;
            if self.at == self.archive.members.len() {
                return None;
            }
            if let Err(faults) = self.begin() {
                return Some(Err(BadRow { number: 0, faults, raw: Vec::new() }));
            }
        }
    }

    fn member(&self) -> Option<(u32, &str)> {
        let (name, _) = self.archive.members.get(self.at.checked_sub(1)?)?;
        Some((u32::try_from(self.at).unwrap_or(u32::MAX), name))
    }
}

/// The name of an entry with `/` between folders, when it stays inside, is no link and no archive.
fn checked_name<R: Read + Seek>(entry: &ZipFile<'_, R>) -> Result<String, Fault> {
    let refuse = |what: &str| Fault::new(NAME, what).hint("the archive was not made by an honest program; nothing of it is read");
    let name =
        decoded(entry.name_raw()).ok_or_else(|| refuse("an entry has a name that is neither UTF-8 nor GBK"))?.replace('\\', "/");
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.is_empty() || name.contains('\0') || name.starts_with('/') || drive || name.split('/').any(|part| part == "..") {
        return Err(refuse("an entry has a name that leads out of the archive"));
    }
    // The kind of a file in the upper bits: a regular one, a folder, or nothing said.
    let kind = entry.unix_mode().unwrap_or(0) & 0o170_000;
    if entry.is_symlink() || !matches!(kind, 0 | 0o100_000 | 0o040_000) {
        return Err(refuse("an entry is a link or a device"));
    }
    let ending = base(&name).rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    if ARCHIVES.contains(&ending.as_str()) {
        return Err(Fault::new(NESTED, "an archive lies in the archive").hint("pack the files themselves"));
    }
    Ok(name)
}

/// Chinese versions of Windows write names in GBK and do not say so. Two bytes of GBK may be one character of UTF-8, of an alphabet
/// (`一` is `һ`), but never a Chinese one: those take three. What is UTF-8 and has characters of an alphabet only is GBK.
fn decoded(raw: &[u8]) -> Option<String> {
    let unicode = std::str::from_utf8(raw).ok();
    if let Some(text) = unicode.filter(|text| text.is_ascii() || text.chars().any(|letter| letter >= '\u{800}')) {
        return Some(text.to_owned());
    }
    let old = GBK.decode_without_bom_handling_and_without_replacement(raw).map(|text| text.into_owned());
    old.or_else(|| unicode.map(str::to_owned))
}

fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
