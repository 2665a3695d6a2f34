//! `civilhub adapter run|test|list`; the further commands of the kit are in `adapter_kit`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{
    Global, adapter_docs as docs, adapter_kit as kit, adapter_lint as lint, adapter_new as new, adapter_test as test, load,
    output,
};
use crate::{
    adapter::{
        event::EventMaker,
        map::MapRuntime,
        sample,
        spec::{self, AdapterSpec, ObjectSpec},
    },
    clock,
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    error::{Code, Fault, Faults},
};

/// The name is not that of an adapter, or the file fits none of its objects.
pub const NO_SUCH_ADAPTER: Code = Code::new(1011);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Every adapter with its source, objects and datasets.
    List(output::Format),
    /// Decode and map one file: CloudEvents as NDJSON on standard output, faults as JSON lines on standard error.
    Run {
        system: String,
        #[arg(long)]
        input: PathBuf,
        /// Object of the adapter; found by the file's name if not given.
        #[arg(long)]
        object: Option<String>,
    },
    /// Full loads: what vanished, and held loads that wait for a decision.
    Load(load::Args),
    /// Run golden samples and the checks made from them: schema, idempotence, order of rows, spoiled rows.
    Test(test::Args),
    /// Make a first adapter from a sample file.
    New(new::NewArgs),
    /// Compare a file with what its adapter declares; exit code 1 if they differ.
    Infer(new::InferArgs),
    /// Is every field of a source mapped, or ignored with a reason.
    Coverage(kit::CoverageArgs),
    /// What is wrong with an adapter folder: file, line, caret and what to do.
    Lint(lint::Args),
    /// Write a page per adapter with the lineage of its fields, and the catalogue of datasets, sources and receivers.
    Docs(docs::DocsArgs),
    /// A local page: sample, mapping and output side by side, live.
    Play(docs::PlayArgs),
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let dir = global.config()?.paths.adapters;
    match args.command {
        Command::Load(args) => load::run(global, args).await,
        Command::List(format) => list(&dir, format),
        Command::Run { system, input, object } => {
            let keys = global.config().map(|config| config.key_file()).ok().filter(|file| file.is_file());
            let keys = keys.map_or_else(|| Ok(Keys::dry_run()), |file| Keys::load(&file))?;
            let spec = find(&dir, &system)?;
            tokio::task::spawn_blocking(move || map_file(&spec, &input, object.as_deref(), &keys)).await?
        }
        Command::New(args) => new::new(global, &dir, &args),
        Command::Infer(args) => new::infer(&dir, &args),
        Command::Coverage(args) => kit::coverage(&dir, &args),
        Command::Docs(args) => docs::docs(global, &args),
        Command::Play(args) => docs::play(global, &dir, &args).await,
        Command::Lint(args) => lint::run(global, &dir, args).await,
        Command::Test(args) => test::run(global, &dir, &args),
    }
}

/// The adapter with this name, or the fault with the nearest name.
pub(super) fn find(dir: &Path, system: &str) -> anyhow::Result<AdapterSpec> {
    let folder = dir.join(system);
    if folder.join("adapter.toml").is_file() {
        return Ok(AdapterSpec::load(&folder).map_err(Faults)?);
    }
    let known: Vec<String> = spec::load_all(dir).0.iter().map(|spec| spec.slug.to_string()).collect();
    let fault =
        Fault::new(NO_SUCH_ADAPTER, format!("there is no adapter `{system}`")).expected(format!("one of {}", known.join(", ")));
    Err(match crate::config::nearest(system, known.iter()) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("give the folder with paths.adapters"),
    }
    .into())
}

fn list(dir: &Path, format: output::Format) -> anyhow::Result<ExitCode> {
    let (specs, faults) = spec::load_all(dir);
    let rows: Vec<_> = specs
        .iter()
        .map(|spec| {
            let objects: BTreeMap<&str, Vec<&str>> = spec
                .objects
                .iter()
                .map(|object| (object.name.as_str(), object.datasets.iter().map(|name| name.as_str()).collect()))
                .collect();
            json!({ "system": spec.slug, "name": spec.name, "owner": spec.owner, "kind": spec.kind.as_str(), "objects": objects })
        })
        .collect();
    if format.is_json() {
        output::json(&rows)?;
    } else {
        let cell = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let cells = rows.iter().map(|row| [cell(&row["system"]), cell(&row["name"]), cell(&row["kind"]), cell(&row["objects"])]);
        output::say!("{}", output::table(["system", "name", "source", "objects and datasets"], cells));
    }
    output::report(&faults);
    Ok(output::findings(!faults.is_empty()))
}

fn map_file(spec: &AdapterSpec, input: &Path, object: Option<&str>, keys: &Keys) -> anyhow::Result<ExitCode> {
    let object = choose(spec, input, object)?;
    let hash = KeyedHash::new(&keys.hmac);
    let (maker, mut runtime) = (EventMaker::new(spec.slug.clone(), hash.clone()), MapRuntime::new(&hash, clock::now()));
    let bookdate = clock::iso_date(clock::today());
    let mut faulty = false;
    let mut line = |faults: Vec<Fault>| {
        faulty = true;
        output::fault_lines(&faults);
    };
    let each = |row: Result<crate::adapter::source::Row, Vec<Fault>>| match row
        .and_then(|row| Ok((object.mapper.run(&mut runtime, &row)?, row)))
    {
        Ok((outputs, row)) => outputs
            .into_iter()
            .for_each(|output| output::say!("{}", String::from_utf8_lossy(&maker.make(output, &row, &bookdate).to_bytes()))),
        Err(faults) => line(faults),
    };
    if let Err(faults) = sample::stream(spec, object, input, each) {
        faulty = true;
        output::fault_lines(&faults);
    }
    Ok(output::findings(faulty))
}

/// The object named, or the one whose files the input is one of.
pub(super) fn choose<'a>(spec: &'a AdapterSpec, input: &Path, object: Option<&str>) -> anyhow::Result<&'a ObjectSpec> {
    let name = input.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let found = match object {
        Some(object) => spec.object(object),
        None => sample::object_of(spec, name),
    };
    let known: Vec<&str> = spec.objects.iter().map(|object| object.name.as_str()).collect();
    found.ok_or_else(|| {
        Fault::new(NO_SUCH_ADAPTER, format!("`{name}` fits no object of `{}`", spec.slug))
            .hint(format!("give --object, one of {}", known.join(", ")))
            .into()
    })
}
