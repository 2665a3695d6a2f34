//! `civilhub adapter new|infer`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{
    Global,
    adapter::{choose, find},
    adapter_lint::registry,
    output,
};
use crate::{
    error::{Fault, Faults},
    kit::{infer, scaffold},
};

#[derive(clap::Args)]
pub(super) struct NewArgs {
    /// Slug of the system: the name of the new folder.
    slug: String,
    /// A file of the system. It is looked at, never copied.
    #[arg(long)]
    from: PathBuf,
    /// Dataset to map to; the one that fits best if not given.
    #[arg(long)]
    dataset: Option<String>,
    /// Layout of a file of fixed width: NAME:BYTES,NAME:BYTES
    #[arg(long, value_name = "LAYOUT")]
    fixed: Option<String>,
    /// Chinese name of the system.
    #[arg(long)]
    name: Option<String>,
    /// The division of the department that owns it.
    #[arg(long)]
    owner: Option<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) fn new(global: &Global, dir: &Path, args: &NewArgs) -> anyhow::Result<ExitCode> {
    let wish = scaffold::Wish {
        slug: &args.slug,
        from: &args.from,
        name: args.name.as_deref(),
        owner: args.owner.as_deref(),
        dataset: args.dataset.as_deref(),
        fixed: args.fixed.as_deref(),
    };
    let made = scaffold::make(dir, &registry(global)?, &wish).map_err(Faults)?;
    if args.format.is_json() {
        let columns: Vec<_> = made
            .columns
            .iter()
            .map(|column| json!({ "column": column.path.to_string(), "holds": column.sort.text(), "percent": column.share }))
            .collect();
        output::json(&json!({
            "folder": made.dir, "format": made.form.format, "options": made.form.options, "bom": made.form.bom, "dataset": made.dataset,
            "columns": columns, "missing": made.missing, "unmapped": made.left, "no_sample": made.no_sample,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let encoding = made.form.option("encoding").unwrap_or("-");
    output::say!("{}: {}, {encoding}; proposed dataset `{}`", made.dir.display(), made.form.format, made.dataset);
    let cells = made.columns.iter().map(|column| [column.path.to_string(), column.sort.text(), format!("{} %", column.share)]);
    output::say!("{}", output::table(["column", "holds", "share"], cells));
    for name in &made.missing {
        output::say!("to do: `{name}` is demanded by the dataset and no column fits");
    }
    if !made.left.is_empty() {
        output::say!("to do: not mapped yet: {}", made.left.join(", "));
    }
    if let Some(fault) = &made.no_sample {
        output::report(std::slice::from_ref(fault));
    }
    let slug = &args.slug;
    output::say!(
        "next: read the program, then `civilhub adapter lint {slug}`, `civilhub adapter play {slug}`, `civilhub adapter test {slug}`"
    );
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub(super) struct InferArgs {
    system: String,
    /// A file of the system.
    #[arg(long)]
    input: PathBuf,
    /// Object of the adapter; found by the file's name if not given.
    #[arg(long)]
    object: Option<String>,
    #[command(flatten)]
    format: output::Format,
}

pub(super) fn infer(dir: &Path, args: &InferArgs) -> anyhow::Result<ExitCode> {
    let spec = find(dir, &args.system)?;
    let object = choose(&spec, &args.input, args.object.as_deref())?;
    let drifts = infer::infer(&spec, object, &args.input).map_err(Faults)?;
    if args.format.is_json() {
        output::json(&json!({ "system": spec.slug, "object": object.name, "drift": drifts }))?;
    } else {
        output::say!("--- {} {} as declared\n+++ {}", spec.slug, object.name, args.input.display());
        for drift in &drifts {
            for (sign, value) in [('-', &drift.declared), ('+', &drift.found)] {
                if let Some(value) = value {
                    output::say!("{sign} {}: {value}", drift.what);
                }
            }
        }
    }
    if !drifts.is_empty() {
        let fault = Fault::new(infer::DRIFT, format!("the file differs from the adapter in {} points", drifts.len()));
        output::report(&[fault.hint("correct adapter.toml and the program, or ask the sender")]);
    }
    Ok(output::findings(!drifts.is_empty()))
}
