//! The drop folder of one system: which files are ready, and where they go when they are done.
//!
//! Anyone who may write into the folder may put links there: only regular files directly in it are opened, and what was
//! opened is compared with what was looked at.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::adapter::decode::beside::{InFolder, belongs, companion};

/// Names looked at in one scan; the rest waits for the next.
const SCAN_LIMIT: usize = 50_000;

/// What changes when a file is written, replaced or renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// For the position.
    pub fn text(&self) -> String {
        let Self { device, inode, size, modified, changed } = self;
        format!("{device}-{inode}-{size}-{}.{}-{}.{}", modified.0, modified.1, changed.0, changed.1)
    }
}

/// Ready files, and how long to wait for the others.
pub struct Scan {
    /// By name.
    pub ready: Vec<String>,
    pub wait: Option<Duration>,
    /// Files that no object of the system wants.
    pub strays: usize,
}

/// One drop folder with the globs of one object.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    globs: Vec<String>,
    /// Globs of the system's other objects, in the one folder that counts strays.
    others: Option<Vec<String>>,
    settle: Duration,
    /// Ending of the file that belongs to each file, if one does.
    companion: Option<&'static str>,
    looked: BTreeMap<String, (Stamps, Instant)>,
}

/// Of a file, and of the one that belongs to it.
type Stamps = (Stamp, Option<Stamp>);

impl Folder {
    pub fn new(path: PathBuf, globs: Vec<String>, settle: Duration) -> Self {
        Self { path, globs, others: None, settle, companion: None, looked: BTreeMap::new() }
    }

    /// Files come in pairs, the second with this ending.
    pub fn in_pairs(mut self, ending: Option<&'static str>) -> Self {
        self.companion = ending;
        self
    }

    pub fn globs(&self) -> &[String] {
        &self.globs
    }

    /// The globs, and those of the files that belong to them.
    pub fn all_globs(&self) -> Vec<String> {
        let with = |ending: &str| -> Vec<String> {
            self.globs
                .iter()
                .map(|glob| format!("{}.{ending}", glob.rsplit_once('.').map_or(glob.as_str(), |(stem, _)| stem)))
                .collect()
        };
        [self.globs.clone(), self.companion.map(with).unwrap_or_default()].concat()
    }

    /// Makes this folder count the files that fit neither its own globs nor these.
    pub fn count_strays(&mut self, others: Vec<String>) {
        self.others = Some(others);
    }

    /// Looks at the folder. A file is ready when its stamp has not changed for the settle time between two looks.
    pub fn scan(&mut self) -> io::Result<Scan> {
        fs::create_dir_all(&self.path)?;
        let (mut looked, mut strays) = (BTreeMap::new(), 0);
        let names: Vec<String> =
            fs::read_dir(&self.path)?.take(SCAN_LIMIT).filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        for name in names.clone() {
            if !self.wants(&name) {
                strays += usize::from(self.is_stray(&name));
                continue;
            }
            let Ok(stamp) = self.stamp(&name) else { continue };
            let second = self.companion.and_then(|ending| names.iter().find(|other| belongs(other, &name, ending)));
            let stamp = (stamp, second.and_then(|second| self.stamp(second).ok()));
            let since = match self.looked.get(&name) {
                Some((before, since)) if *before == stamp => *since,
                _ => Instant::now(),
            };
            looked.insert(name, (stamp, since));
        }
        self.looked = looked;
        let mut scan = Scan { ready: Vec::new(), wait: None, strays };
        for (name, (_, since)) in &self.looked {
            match self.settle.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
                None => scan.ready.push(name.clone()),
                Some(left) => scan.wait = Some(scan.wait.map_or(left, |wait| wait.min(left))),
            }
        }
        Ok(scan)
    }

    fn wants(&self, name: &str) -> bool {
        finished(name) && self.globs.iter().any(|glob| matches(glob, name))
    }

    fn is_stray(&self, name: &str) -> bool {
        let Some(others) = &self.others else { return false };
        finished(name) && !others.iter().any(|glob| matches(glob, name)) && self.stamp(name).is_ok()
    }

    /// The stamp of a regular file directly in the folder.
    pub fn stamp(&self, name: &str) -> io::Result<Stamp> {
        let metadata = fs::symlink_metadata(self.inside(name)?)?;
        if metadata.is_file() { Ok(Stamp::of(&metadata)) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
    }

    /// Opens a regular file directly in the folder. A link put in its place between look and opening is noticed.
    pub fn open(&self, name: &str) -> io::Result<(File, Stamp)> {
        let looked = self.stamp(name)?;
        let file = File::open(self.inside(name)?)?;
        let opened = Stamp::of(&file.metadata()?);
        if opened == looked { Ok((file, opened)) } else { Err(io::Error::from(io::ErrorKind::InvalidInput)) }
    }

    /// As [`Folder::open`], able to find what belongs to the file.
    pub fn input(&self, name: &str) -> io::Result<(InFolder, Stamp)> {
        let (file, stamp) = self.open(name)?;
        Ok((InFolder::new(file, self.inside(name)?), stamp))
    }

    /// The name of the file that belongs to this one, if there is one.
    pub fn second(&self, name: &str) -> io::Result<Option<String>> {
        self.companion.map_or(Ok(None), |ending| companion(&self.path, name, ending))
    }

    fn inside(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(self.path.join(name))
    }

    /// Moves a file, and before it the one that belongs to it, into the subfolder `to`; under another name if the name is
    /// taken there by other content.
    pub fn put_away(&self, name: &str, to: &str, digest: &str) -> io::Result<PathBuf> {
        if let Some(second) = self.second(name)? {
            self.move_to(&second, to, digest)?;
        }
        self.move_to(name, to, digest)
    }

    fn move_to(&self, name: &str, to: &str, digest: &str) -> io::Result<PathBuf> {
        let folder = self.path.join(to);
        fs::create_dir_all(&folder)?;
        let mut target = folder.join(name);
        if fs::symlink_metadata(&target).is_ok() {
            target = folder.join(format!("{name}.{}", &digest[..16.min(digest.len())]));
        }
        fs::rename(self.inside(name)?, &target)?;
        File::open(&folder)?.sync_all()?;
        Ok(target)
    }

    /// Writes `text` as a file of the subfolder `to`.
    pub fn note(&self, to: &str, name: &str, text: &str) -> io::Result<()> {
        let folder = self.path.join(to);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), text)
    }
}

/// SHA-256 of a file's content, as 64 hex digits.
pub fn digest(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

/// Not hidden, and not named as programs name what they are still writing.
pub fn finished(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.starts_with('.') && ![".tmp", ".part", ".filepart", "~"].iter().any(|end| lower.ends_with(end))
}

/// Whether `name` fits `glob`, where `*` is any text and `?` one character. Case does not matter: DOS
/// programs write names as they please.
pub fn matches(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.to_ascii_lowercase().chars().collect();
    let name: Vec<char> = name.to_ascii_lowercase().chars().collect();
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => (g, n) = (g + 1, n + 1),
            _ => match star {
                // Let the last star swallow one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (g, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

/// A glob names files of the folder itself.
pub fn valid_glob(glob: &str) -> bool {
    !glob.is_empty() && !glob.starts_with('.') && !glob.contains('/') && Path::new(glob).components().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, name) in
            [("HH??????.DBF", "hh170703.dbf"), ("*", "x"), ("GL_full*.csv", "gl_full_201707.csv"), ("a*b*c", "aXbYbc")]
        {
            assert!(matches(glob, name), "{glob} {name}");
        }
        for (glob, name) in [("HH??????.DBF", "hh17070.dbf"), ("*.csv", "x.csv.bak"), ("?", ""), ("a*b", "ac")] {
            assert!(!matches(glob, name), "{glob} {name}");
        }
        assert!(!valid_glob("../x") && !valid_glob("a/b") && !valid_glob("") && !valid_glob(".done") && valid_glob("*.TXT"));
    }

    #[tokio::test]
    async fn only_settled_regular_files_are_ready() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        for name in ["b.csv", "a.csv", "c.csv.tmp", ".d.csv", "e.part", "f.txt"] {
            put(name, "x");
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link.csv")).unwrap();
        fs::create_dir(folder.path().join("folder.csv")).unwrap();
        let mut drop =
            Folder::new(folder.path().into(), vec!["*.csv".into(), "*.tmp".into(), "*.part".into()], Duration::from_millis(60));
        drop.count_strays(vec!["*.dbf".into()]);
        let first = drop.scan().unwrap();
        assert_eq!(first.strays, 1);
        assert!(first.ready.is_empty() && first.wait.is_some());
        tokio::time::sleep(Duration::from_millis(70)).await;
        put("b.csv", "xx");
        assert_eq!(drop.scan().unwrap().ready, ["a.csv"]);
        tokio::time::sleep(Duration::from_millis(70)).await;
        assert_eq!(drop.scan().unwrap().ready, ["a.csv", "b.csv"]);
        assert!(drop.open("link.csv").is_err() && drop.open("../x").is_err() && drop.open("a.csv").is_ok());
    }

    #[test]
    fn a_taken_name_in_the_archive_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let drop = Folder::new(folder.path().into(), vec!["*".into()], Duration::ZERO);
        for digest in ["1111111111111111", "2222222222222222"] {
            fs::write(folder.path().join("a.csv"), digest).unwrap();
            drop.put_away("a.csv", ".done", digest).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.path().join(".done/a.csv")).unwrap(), "1111111111111111");
        assert!(folder.path().join(".done/a.csv.2222222222222222").exists());
    }
}
