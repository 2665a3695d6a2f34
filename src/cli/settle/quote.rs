//! `civilhub settle quote --input FILE`

use std::{io::Read, path::PathBuf, process::ExitCode};

use serde::Serialize;
use serde_json::Value;

use super::super::{Global, output};
use crate::{
    clock,
    error::{Fault, Faults},
    json::{self, Limits},
    settle::{
        BAD_CASE,
        case::{Case, Quote},
        policy::Policy,
    },
};

/// Largest input.
const LIMITS: Limits = Limits { bytes: 256 << 20, depth: 64, faults: 100_000, memory: 2 << 30 };

#[derive(clap::Args)]
pub(super) struct Args {
    /// One case, an array of cases, or an object with the array under `cases`. `-` is standard input.
    #[arg(long)]
    input: PathBuf,
    /// Policy other than config/policies/medical-aid.json.
    #[arg(long)]
    policy: Option<PathBuf>,
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    /// Place in the input, from 1.
    case: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    quote: Option<&'a Quote>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Fault>,
}

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<ExitCode> {
    let policy = match &args.policy {
        Some(path) if !path.is_file() => {
            return Err(Fault::new(crate::settle::BAD_POLICY, "there is no such file")
                .in_file(path.display().to_string())
                .into());
        }
        Some(path) => Policy::load(path)?,
        None => Policy::load(&global.config()?.paths.policies.join("medical-aid.json"))?,
    };
    let (value, faults) = json::salvage(&read(&args.input)?, &LIMITS).map_err(Faults)?;
    let (cases, at) = cases(&value);
    let today = clock::today();
    let mut bad = false;
    for (index, case) in cases.iter().enumerate() {
        let pointer = at.map_or_else(String::new, |list| format!("{list}/{index}"));
        let broken = faults.iter().find(|fault| below(fault, &pointer)).cloned().map(|fault| moved(fault, &pointer));
        let quoted = broken.map_or_else(|| Case::read(case, &policy)?.quote(&policy, today), Err);
        bad |= quoted.is_err();
        let name = case.get("name").and_then(Value::as_str);
        let line = Line { case: index + 1, name, quote: quoted.as_ref().ok(), error: quoted.as_ref().err() };
        output::say!("{}", serde_json::to_string(&line)?);
    }
    Ok(output::findings(bad))
}

/// The cases, and the pointer of their list; none where the whole text is one case.
fn cases(value: &Value) -> (Vec<&Value>, Option<&'static str>) {
    match (value, value.get("cases")) {
        (Value::Array(list), _) => (list.iter().collect(), Some("")),
        (_, Some(Value::Array(list))) => (list.iter().collect(), Some("/cases")),
        _ => (vec![value], None),
    }
}

fn below(fault: &Fault, pointer: &str) -> bool {
    let rest = fault.place.pointer.as_deref().unwrap_or_default().strip_prefix(pointer);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Pointers of a line are those of its case.
fn moved(mut fault: Fault, pointer: &str) -> Fault {
    let rest = fault.place.pointer.as_deref().and_then(|whole| whole.strip_prefix(pointer)).map(str::to_owned);
    fault.place.pointer = rest;
    fault
}

pub(super) fn read(path: &std::path::Path) -> Result<Vec<u8>, Fault> {
    let bytes = if path.to_str() == Some("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let mut bytes = bytes.map_err(|error| {
        Fault::new(BAD_CASE, format!("the cases cannot be read: {}", error.kind())).in_file(path.display().to_string())
    })?;
    // Files that went through a Windows editor begin with a byte order mark.
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}
