//! A file in a folder, with the files that have the same name but another ending.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Input;

/// Endings of files that belong to another file and are never read by themselves.
pub const COMPANIONS: [&str; 1] = ["fpt"];

/// An open file that knows where it lies.
pub struct InFolder {
    file: File,
    path: PathBuf,
}

impl InFolder {
    pub fn new(file: File, path: PathBuf) -> Self {
        Self { file, path }
    }
}

impl Read for InFolder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for InFolder {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Input for InFolder {
    fn beside(&self, ending: &str) -> io::Result<Option<Box<dyn Input>>> {
        let Some((folder, name)) = self.path.parent().zip(self.path.file_name().and_then(|name| name.to_str())) else {
            return Ok(None);
        };
        let Some(found) = companion(folder, name, ending)? else { return Ok(None) };
        let path = folder.join(found);
        let looked = fs::symlink_metadata(&path)?;
        let file = File::open(&path)?;
        let opened = file.metadata()?;
        // A link put there by whoever may write into the folder is not followed.
        if !looked.is_file() || (looked.dev(), looked.ino()) != (opened.dev(), opened.ino()) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(Some(Box::new(file)))
    }
}

/// The name of a file of the folder that differs from `name` in its ending only; case does not matter, DOS programs
/// write it as they please.
///
/// # Errors
/// When the folder cannot be listed.
pub fn companion(folder: &Path, name: &str, ending: &str) -> io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Ok(other) = entry.file_name().into_string()
            && belongs(&other, name, ending)
            && entry.file_type()?.is_file()
        {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Whether `other` is `name` with the ending `ending`.
pub fn belongs(other: &str, name: &str, ending: &str) -> bool {
    let split = |name: &str| name.rsplit_once('.').map(|(stem, ending)| (stem.to_lowercase(), ending.to_lowercase()));
    split(other).zip(split(name)).is_some_and(|(other, name)| other.0 == name.0 && other.1 == ending && name.1 != ending)
}
