//! `civilhub adapter run|test|list`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{Global, load, output};
use crate::{
    adapter::{
        event::EventMaker,
        golden::{self, CaseResult, Outcome},
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
    /// Run golden samples: what comes out against what is expected.
    Test {
        system: Option<String>,
        #[arg(long)]
        all: bool,
        /// Write what comes out as what is expected from now on.
        #[arg(long)]
        accept: bool,
        #[command(flatten)]
        format: output::Format,
    },
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
        Command::Test { system, all, accept, format } => test(&dir, system.filter(|_| !all).as_deref(), accept, format),
    }
}

fn find(dir: &Path, system: &str) -> anyhow::Result<AdapterSpec> {
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
fn choose<'a>(spec: &'a AdapterSpec, input: &Path, object: Option<&str>) -> anyhow::Result<&'a ObjectSpec> {
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

fn test(dir: &Path, system: Option<&str>, accept: bool, format: output::Format) -> anyhow::Result<ExitCode> {
    let mut folders: Vec<PathBuf> = match system {
        Some(system) => vec![find(dir, system)?.dir],
        None => std::fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("adapter.toml").is_file())
            .collect(),
    };
    folders.sort();
    let mut rows = Vec::new();
    for folder in &folders {
        let system = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match golden::run_golden(folder, &sample::rows_of, accept) {
            Ok(cases) => rows.extend(cases.iter().map(|case| case_row(&system, case))),
            Err(faults) => rows.push(json!({ "system": system, "object": "", "case": "", "passed": false, "faults": faults })),
        }
    }
    let failed = rows.iter().filter(|row| row["passed"] == false).count();
    if format.is_json() {
        output::json(&json!({ "adapters": folders.len(), "cases": rows.len(), "failed": failed, "rows": rows }))?;
    } else {
        for row in rows.iter().filter(|row| row["passed"] == false) {
            output::say!("{}", serde_json::to_string_pretty(row)?);
        }
        output::say!("{} adapters, {} cases, {failed} failed", folders.len(), rows.len());
    }
    Ok(output::findings(failed > 0 || rows.is_empty()))
}

fn case_row(system: &str, case: &CaseResult) -> serde_json::Value {
    let mut row = json!({ "system": system, "object": case.object, "case": case.case, "passed": case.passed() });
    match &case.outcome {
        Outcome::Same | Outcome::Accepted => {}
        Outcome::Differs(differences) => {
            let lines = differences.iter().map(
                |difference| json!({ "line": difference.line, "expected": difference.expected, "actual": difference.actual }),
            );
            row["differences"] = lines.collect();
        }
        Outcome::Failed(faults) => row["faults"] = json!(faults),
    }
    row
}
