//! Folders: room, permissions, and who else is in them.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{Category::Disk, Check, Finding};
use crate::{
    config::{BusKind, Config},
    error::Code,
};

/// A file system of the hub is almost full.
pub const LITTLE_SPACE: Code = Code::new(8251);
/// A folder of the hub cannot be written.
pub const NOT_WRITABLE: Code = Code::new(8252);
/// Another process works with the data folder.
pub const IN_USE: Code = Code::new(8253);

/// Less is a fault: a batch, a merge of lake files or a journal needs it.
const LEAST: u64 = 256 << 20;
/// Less is a warning.
const GOOD: u64 = 2 << 30;

pub(super) fn checks(config: &Config, pre: bool) -> Vec<Check> {
    let mut folders = vec![("data folder", config.hub.data.clone()), ("inbox", config.inbox())];
    if !config.lake_url().contains("://") {
        folders.push(("lake", PathBuf::from(config.lake_url())));
    }
    if let Some(file) = config.store_url().strip_prefix("sqlite://") {
        let file = file.split('?').next().unwrap_or_default();
        folders.push(("folder of the store", Path::new(file).parent().map(Path::to_owned).unwrap_or_default()));
    }
    let mut checks = vec![Check::local(Disk, "the folders", move || look(&folders))];
    if config.bus.kind == BusKind::Embedded {
        let (lock, listen) = (config.bus_dir().join("lock"), config.http.listen.clone());
        checks.push(Check::new(Disk, "the lock of the data folder", 20, async move {
            let answers = !pre && super::http::answers(&listen).await;
            locked(&lock, answers)
        }));
    }
    checks
}

fn look(folders: &[(&str, PathBuf)]) -> Vec<Finding> {
    let (mut findings, mut seen) = (Vec::new(), Vec::new());
    for (name, folder) in folders {
        let Some(there) = existing(folder) else { continue };
        let Ok(meta) = there.metadata() else { continue };
        findings.extend(writable(name, folder, &there));
        if !seen.contains(&meta.dev()) {
            seen.push(meta.dev());
            findings.push(room(name, &there));
        }
    }
    findings
}

/// The folder, or what of its path is there already.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|path| path.symlink_metadata().is_ok()).map(Path::to_owned)
}

/// Tries it: rights alone do not tell about read-only file systems and full disks.
fn writable(name: &str, folder: &Path, there: &Path) -> Option<Finding> {
    let fail = |why: String| {
        let message = format!("the {name} `{}` cannot be written: {why}", folder.display());
        Some(Finding::fail(
            Disk,
            NOT_WRITABLE,
            message,
            "give the user of the hub the right to write there, or choose another folder (`hub.data`, `paths.inbox`, `lake.url`)",
        ))
    };
    let Ok(meta) = there.metadata() else { return fail("it is a link to nowhere".to_owned()) };
    if !meta.is_dir() {
        return fail(format!("`{}` is no folder", there.display()));
    }
    // Root may write all the same, and the service that runs later may not.
    if meta.permissions().mode() & 0o222 == 0 {
        return fail("nobody has the right to".to_owned());
    }
    let probe = there.join(format!(".civilhub-doctor-{}", std::process::id()));
    let written = File::create_new(&probe).and_then(|mut file| file.write_all(b"doctor").and_then(|()| file.sync_all()));
    let _ = fs::remove_file(&probe);
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists && error.kind() != std::io::ErrorKind::StorageFull => {
            fail(error.kind().to_string())
        }
        _ => None,
    }
}

fn room(name: &str, there: &Path) -> Finding {
    let hint = "make room or give it a larger disk: the hub takes nothing in that it cannot keep";
    let Ok(stat) = rustix::fs::statvfs(there) else {
        return Finding::warn(Disk, LITTLE_SPACE, format!("the free space of the {name} cannot be told"), hint);
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let message = format!("{} MiB are free for the {name} `{}`", free >> 20, there.display());
    if free < LEAST {
        return Finding::fail(Disk, LITTLE_SPACE, format!("{message}, less than {} MiB", LEAST >> 20), hint);
    }
    if stat.f_files > 0 && stat.f_ffree.saturating_mul(100) < stat.f_files {
        return Finding::fail(
            Disk,
            LITTLE_SPACE,
            format!("the file system of the {name} has room for {} more files", stat.f_ffree),
            hint,
        );
    }
    if free < GOOD {
        return Finding::warn(Disk, LITTLE_SPACE, message, hint);
    }
    Finding::ok(Disk, message)
}

/// The embedded bus belongs to one process, which holds its lock. `answers`: something listens where this hub would.
fn locked(lock: &Path, answers: bool) -> Finding {
    let Ok(file) = File::open(lock) else { return Finding::ok(Disk, "no process works with the data folder") };
    if file.try_lock().is_ok() {
        return Finding::ok(Disk, "no process works with the data folder");
    }
    let holder = holder(&file).map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let message = format!("a hub{holder} works with the data folder; a second one cannot start on it");
    if answers {
        return Finding::warn(
            Disk,
            IN_USE,
            message,
            "good if that is this hub; else stop it, or give this one another `hub.data`",
        );
    }
    Finding::fail(Disk, IN_USE, message, "stop the other hub, or give this one another `hub.data`")
}

/// Who holds the lock, as the kernel lists it.
fn holder(file: &File) -> Option<String> {
    let inode = format!(":{}", file.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let line = locks
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|parts| parts.get(5).is_some_and(|at| at.ends_with(&inode)))?;
    line.get(4).map(|pid| (*pid).to_owned()).filter(|pid| pid != "-1")
}
