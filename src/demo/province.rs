//! The province of the demo: its exports are written once and put where the adapters look for them.

use std::{fs, io, path::Path};

use crate::{
    clock,
    simulate::{self, Options, Summary},
};

/// Marker that the exports are complete.
const COMPLETE: &str = "truth/summary.json";

/// Systems that drop files.
const FILES: [&str; 10] = [
    "funeral",
    "senior-allowance",
    "fund-payment",
    "disclosure",
    "veterans-placement",
    "veterans-benefit",
    "tekun",
    "assist-oversight",
    "rural-welfare",
    "grassroots-registry",
];

/// Writes the exports under `dir`, unless an earlier run of the same size and seed has done so.
pub async fn write(
    dir: &Path,
    persons: u64,
    seed: u64,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Option<Summary>, simulate::Error> {
    let stamp = dir.join(format!("persons-{persons}-seed-{seed}"));
    if stamp.is_file() && dir.join(COMPLETE).is_file() {
        return Ok(None);
    }
    let options = Options { persons, seed, out: dir.to_owned(), today: clock::today() };
    let summary = simulate::write(&options, progress).await?;
    // The stamp comes last: a run that was killed while writing starts over.
    let _ = fs::write(stamp, "");
    Ok(Some(summary))
}

/// Copies the files of the file systems into their drop folders, each under its name only when it is complete.
pub fn hand_in(dir: &Path, inbox: &Path) -> io::Result<()> {
    for system in FILES {
        if !dir.join(system).is_dir() {
            continue;
        }
        let folder = inbox.join(system);
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(dir.join(system))? {
            let entry = entry?;
            let name = entry.file_name();
            let done = folder.join(".done").join(&name);
            if folder.join(&name).exists() || done.exists() || folder.join(".quarantine").join(&name).exists() {
                continue;
            }
            let fresh = folder.join(format!(".{}.tmp", name.to_string_lossy()));
            fs::copy(entry.path(), &fresh)?;
            fs::rename(&fresh, folder.join(&name))?;
        }
    }
    Ok(())
}
