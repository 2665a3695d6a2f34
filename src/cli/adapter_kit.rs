//! `civilhub adapter coverage`: the commands of the adapter kit.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{adapter::find, output};
use crate::{
    adapter::spec::{self, AdapterSpec},
    error::{Fault, Faults},
    kit::{self, coverage},
};

/// One system, or all of them.
#[derive(clap::Args)]
pub(super) struct Which {
    /// Slug of the system; all if not given.
    system: Option<String>,
    /// Every adapter.
    #[arg(long, conflicts_with = "system")]
    all: bool,
}

impl Which {
    /// Whether all adapters are asked for.
    pub(super) fn is_all(&self) -> bool {
        self.all || self.system.is_none()
    }

    /// The adapters; every fault of those that cannot be loaded.
    pub(super) fn load(&self, dir: &Path) -> anyhow::Result<Vec<AdapterSpec>> {
        if let Some(system) = self.system.as_deref().filter(|_| !self.is_all()) {
            return Ok(vec![find(dir, system)?]);
        }
        let (specs, faults) = spec::load_all(dir);
        if faults.is_empty() { Ok(specs) } else { Err(Faults(faults).into()) }
    }
}

/// Folders of the adapters that are asked for, whether they can be loaded or not.
pub(super) fn folders(dir: &Path, which: &Which) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(system) = which.system.as_deref().filter(|_| !which.is_all()) {
        let folder = dir.join(system);
        // The fault of an unknown name comes with the nearest one.
        return if folder.join("adapter.toml").is_file() { Ok(vec![folder]) } else { Ok(vec![find(dir, system)?.dir]) };
    }
    let entries = std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.join("adapter.toml").is_file()).collect();
    folders.sort();
    Ok(folders)
}

#[derive(clap::Args)]
pub(super) struct CoverageArgs {
    #[command(flatten)]
    which: Which,
    /// Smallest share of fields, in percent, that must be mapped or ignored with a reason.
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    min: u8,
    #[command(flatten)]
    format: output::Format,
}

pub(super) fn coverage(dir: &Path, args: &CoverageArgs) -> anyhow::Result<ExitCode> {
    let found: Vec<_> = args.which.load(dir)?.iter().map(coverage::of).collect();
    let low: Vec<Fault> = found
        .iter()
        .filter(|one| one.percent() < usize::from(args.min))
        .map(|one| {
            Fault::new(kit::COVERAGE, format!("{} % of the fields of `{}` are mapped", one.percent(), one.system))
                .expected(format!("{} % at least", args.min))
                .hint("map the fields, or list them in `[ignore]` with the reason")
        })
        .collect();
    if args.format.is_json() {
        let rows = found.iter().map(|one| {
            json!({
                "system": one.system, "fields": one.fields.len(), "covered": one.covered(), "percent": one.percent(),
                "unmapped": one.unmapped(), "detail": one.fields,
            })
        });
        output::json(&json!({ "min": args.min, "rows": rows.collect::<Vec<_>>(), "faults": low }))?;
    } else {
        let cells = found.iter().map(|one| {
            let unmapped = one.unmapped();
            let shown = if unmapped.is_empty() { "-".to_owned() } else { unmapped.join(", ") };
            [one.system.clone(), one.fields.len().to_string(), one.covered().to_string(), format!("{} %", one.percent()), shown]
        });
        output::say!("{}", output::table(["system", "fields", "covered", "share", "unmapped"], cells));
        output::report(&low);
    }
    Ok(output::findings(!low.is_empty() || found.is_empty()))
}
