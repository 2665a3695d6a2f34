//! Golden samples: what an adapter makes of the quirks of its system, kept as pairs of files.
//!
//! `samples/<object lower>.<case>.<ext>` is raw input, `samples/<object lower>.<case>.expected.ndjson` what comes out of
//! it: one line per output or fault, in the order of the rows. Decoding is the caller's, see [`RowsOf`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value as Json};
use time::macros::datetime;

use super::{
    decode::beside::COMPANIONS,
    map::{MapContext, MapRuntime, output},
    source::{BadRow, Row},
    spec::{AdapterSpec, ObjectSpec},
};
use crate::{
    domain::keyed_hash::KeyedHash,
    error::{Code, Fault},
};

/// A golden sample could not be read, or has no counterpart.
pub const GOLDEN_UNREADABLE: Code = Code::new(3030);

const EXPECTED: &str = ".expected.ndjson";
/// The parts of a fault that samples tell.
const FAULT_PARTS: [&str; 4] = ["code", "row", "column", "pointer"];

/// Reads and decodes one sample of an object: the good rows and the bad ones.
pub type RowsOf<'a> = dyn Fn(&AdapterSpec, &ObjectSpec, &Path) -> Result<(Vec<Row>, Vec<BadRow>), Vec<Fault>> + 'a;

/// A line that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Line of the expected file, from 1.
    pub line: usize,
    /// None where there should be nothing.
    pub expected: Option<Json>,
    /// None where nothing came.
    pub actual: Option<Json>,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Same,
    /// The expected file was written anew.
    Accepted,
    Differs(Vec<Difference>),
    /// The case could not be run.
    Failed(Vec<Fault>),
}

/// One pair of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    pub object: String,
    /// Name of the case, the part between object and ending.
    pub case: String,
    pub sample: PathBuf,
    pub outcome: Outcome,
}

impl CaseResult {
    /// Nothing is left to do.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Same | Outcome::Accepted)
    }
}

/// Runs every sample of the adapter in `dir`. With `accept`, what comes out is written as what is expected from now on.
/// The clock of the programs stands at 2017-07-03 09:00 and the key of `hmac` is `golden`, so that results are the same everywhere.
pub fn run_golden(dir: &Path, rows_of: &RowsOf<'_>, accept: bool) -> Result<Vec<CaseResult>, Vec<Fault>> {
    let spec = AdapterSpec::load(dir)?;
    let files = files(&dir.join("samples"))?;
    let expected: BTreeSet<String> = files.iter().filter_map(|name| name.strip_suffix(EXPECTED)).map(str::to_owned).collect();
    let mut results = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files.iter().filter(|name| !name.ends_with(EXPECTED)) {
        let (stem, _) = file.rsplit_once('.').unwrap_or((file, ""));
        seen.insert(stem.to_owned());
        results.push(run_case(&spec, file, stem, rows_of, accept));
    }
    for stem in expected.difference(&seen) {
        let fault = Fault::new(GOLDEN_UNREADABLE, "the expected file has no sample").in_file(format!("{stem}{EXPECTED}"));
        results.push(failed(&spec, stem, &format!("{stem}{EXPECTED}"), vec![fault]));
    }
    Ok(results)
}

fn run_case(spec: &AdapterSpec, file: &str, stem: &str, rows_of: &RowsOf<'_>, accept: bool) -> CaseResult {
    let (lower, case) = stem.split_once('.').unwrap_or((stem, ""));
    let Some(object) = spec.objects.iter().find(|object| object.name.to_lowercase() == lower) else {
        let known: Vec<String> = spec.objects.iter().map(|object| object.name.to_lowercase()).collect();
        let fault = Fault::new(GOLDEN_UNREADABLE, format!("the sample belongs to no object `{lower}`")).in_file(file);
        return failed(spec, stem, file, vec![fault.expected(format!("a name beginning with one of {}", known.join(", ")))]);
    };
    let sample = spec.dir.join("samples").join(file);
    let outcome = match rows_of(spec, object, &sample) {
        Ok((rows, bad)) => {
            compare(spec, object, &spec.dir.join("samples").join(format!("{stem}{EXPECTED}")), &lines(object, rows, bad), accept)
        }
        Err(faults) => Outcome::Failed(faults),
    };
    CaseResult { object: object.name.clone(), case: case.to_owned(), sample, outcome }
}

fn failed(spec: &AdapterSpec, stem: &str, file: &str, faults: Vec<Fault>) -> CaseResult {
    let (object, case) = stem.split_once('.').unwrap_or((stem, ""));
    CaseResult {
        object: object.to_owned(),
        case: case.to_owned(),
        sample: spec.dir.join("samples").join(file),
        outcome: Outcome::Failed(faults),
    }
}

/// Maps the rows; outputs and faults in the order of the rows.
fn lines(object: &ObjectSpec, rows: Vec<Row>, bad: Vec<BadRow>) -> Vec<Json> {
    let mut runtime = MapRuntime::new(&KeyedHash::new(b"golden"), datetime!(2017-07-03 09:00 +8));
    let mut numbered: Vec<((String, u64), Vec<Json>)> = Vec::new();
    for row in rows {
        let lines = match object.mapper.run(&mut runtime, &row) {
            Ok(outputs) => outputs.iter().map(output::Mapped::to_json).collect(),
            Err(faults) => faults.iter().map(fault_line).collect(),
        };
        numbered.push(((row.file, row.number), lines));
    }
    for bad in bad {
        let place = bad.faults.first().map(|fault| fault.place.clone()).unwrap_or_default();
        let row = place.row.unwrap_or(u64::MAX);
        numbered.push(((place.file.unwrap_or_default(), row), bad.faults.iter().map(fault_line).collect()));
    }
    // Stable: rows without a number keep the order in which they were read. The files of an archive come by name.
    numbered.sort_by(|(one, _), (other, _)| one.cmp(other));
    numbered.into_iter().flat_map(|(_, lines)| lines).collect()
}

fn fault_line(fault: &Fault) -> Json {
    let whole = serde_json::to_value(fault).unwrap_or_default();
    let parts: Map<String, Json> =
        FAULT_PARTS.iter().filter_map(|part| whole.get(*part).map(|value| ((*part).to_owned(), value.clone()))).collect();
    Json::Object([("fault".to_owned(), Json::Object(parts))].into_iter().collect())
}

fn compare(spec: &AdapterSpec, object: &ObjectSpec, file: &Path, actual: &[Json], accept: bool) -> Outcome {
    let unreadable =
        |what: String| Outcome::Failed(vec![Fault::new(GOLDEN_UNREADABLE, what).in_file(file.display().to_string())]);
    let old = fs::read_to_string(file);
    let differences = match &old {
        Ok(text) => match differences(spec, object, text, actual) {
            Ok(differences) => differences,
            Err(_) if accept => vec![Difference { line: 0, expected: None, actual: None }],
            Err(line) => return unreadable(format!("line {line} is not JSON")),
        },
        Err(_) if accept => vec![Difference { line: 0, expected: None, actual: None }],
        Err(error) => return unreadable(format!("the expected file could not be read: {error}; `--accept` writes it")),
    };
    if differences.is_empty() {
        return Outcome::Same;
    }
    if !accept {
        return Outcome::Differs(differences);
    }
    let text: String = actual.iter().map(|line| format!("{line}\n")).collect();
    match fs::write(file, text) {
        Ok(()) => Outcome::Accepted,
        Err(error) => unreadable(format!("the expected file could not be written: {error}")),
    }
}

/// Lines that differ, or the number of a line that is not JSON.
fn differences(spec: &AdapterSpec, object: &ObjectSpec, text: &str, actual: &[Json]) -> Result<Vec<Difference>, usize> {
    let mut expected = Vec::new();
    for (place, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        expected.push((place + 1, serde_json::from_str::<Json>(line).map_err(|_| place + 1)?));
    }
    let context = MapContext { system: spec.slug.to_string(), datasets: object.datasets.clone(), ..MapContext::default() };
    let mut differences = Vec::new();
    for place in 0..expected.len().max(actual.len()) {
        let (expected, actual) = (expected.get(place), actual.get(place));
        let same = expected.zip(actual).is_some_and(|((_, expected), actual)| matches_line(expected, actual, &context));
        if !same {
            let line = expected.map_or_else(|| text.lines().count() + 1, |(line, _)| *line);
            differences.push(Difference { line, expected: expected.map(|(_, json)| json.clone()), actual: actual.cloned() });
        }
    }
    Ok(differences)
}

/// An expected fault may tell fewer parts than the fault has; an expected output may spell out its defaults.
fn matches_line(expected: &Json, actual: &Json, context: &MapContext) -> bool {
    if let Some(parts) = expected.get("fault").and_then(Json::as_object) {
        return parts.contains_key("code") && parts.iter().all(|(part, value)| actual["fault"].get(part) == Some(value));
    }
    output::from_json(expected.clone(), 0, context).is_ok_and(|output| output.to_json() == *actual)
}

/// Names of the files in a folder, sorted; none when it does not exist.
fn files(dir: &Path) -> Result<Vec<String>, Vec<Fault>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => {
            let fault = Fault::new(GOLDEN_UNREADABLE, format!("the samples could not be listed: {error}"));
            return Err(vec![fault.in_file(dir.display().to_string())]);
        }
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let second = |name: &str| COMPANIONS.iter().any(|ending| name.to_lowercase().ends_with(&format!(".{ending}")));
    names.retain(|name| !name.starts_with('.') && !name.eq_ignore_ascii_case("README.md") && !second(name));
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const TOML: &str = "[system]\nslug = \"s\"\nname = \"名\"\nowner = \"o\"\n[source]\nkind = \"file\"\n[[object]]\nname = \"RY\"\nkey = [\"id\"]\ndatasets = [\"person\"]\n";
    const PROGRAM: &str = r#". = [{"dataset": "person", "op": "upsert", "key": string!(.id), "division": division!(.d), "occurred_at": %read_at, "record": {"name": nfkc(.name)}}]"#;
    const GOOD: &str = r#"{"dataset":"person","division":"220105000000","key":"1","occurred_at":"2017-07-03T09:00:00+08:00","op":"upsert","record":{"name":"李明"}}"#;
    const FAULT: &str = r#"{"fault":{"code":"CH-3109","column":"d","row":2}}"#;
    const BROKEN: &str = r#"{"fault":{"code":"CH-3030","row":3}}"#;

    fn adapter(samples: &[(&str, &str)]) -> (TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("s");
        fs::create_dir_all(dir.join("samples")).unwrap();
        fs::write(dir.join("adapter.toml"), TOML).unwrap();
        fs::write(dir.join("ry.vrl"), PROGRAM).unwrap();
        for (name, text) in samples {
            fs::write(dir.join("samples").join(name), text).unwrap();
        }
        (root, dir)
    }

    /// A decoder of JSON lines.
    fn ndjson(_: &AdapterSpec, object: &ObjectSpec, sample: &Path) -> Result<(Vec<Row>, Vec<BadRow>), Vec<Fault>> {
        let (mut rows, mut bad) = (vec![], vec![]);
        for (place, line) in fs::read_to_string(sample).unwrap().lines().enumerate() {
            let number = place as u64 + 1;
            match serde_json::from_str(line) {
                Ok(data) => rows.push(Row {
                    object: object.name.clone(),
                    origin: format!("#{number}"),
                    file: "f".into(),
                    number,
                    data,
                    meta: Json::Null,
                }),
                Err(_) => bad.push(BadRow {
                    object: object.name.clone(),
                    origin: String::new(),
                    faults: vec![Fault::new(GOLDEN_UNREADABLE, "x").in_file("f").at_row(number)],
                    raw: String::new(),
                }),
            }
        }
        Ok((rows, bad))
    }

    const SAMPLE: &str =
        "{\"id\":\"1\",\"d\":\"220105\",\"name\":\" 李　明\"}\n{\"id\":\"2\",\"d\":\"999999\",\"name\":\"王\"}\nbroken\n";

    fn outcome(samples: &[(&str, &str)], accept: bool) -> Outcome {
        let (_root, dir) = adapter(samples);
        let mut results = run_golden(&dir, &ndjson, accept).unwrap();
        assert_eq!(results.len(), 1, "{results:?}");
        results.remove(0).outcome
    }

    #[test]
    fn a_pair_that_agrees() {
        let spelled_out = GOOD.replace("\"op\"", "\"sequence\":1499043600000,\"quality\":[],\"op\"");
        for good in [GOOD, &spelled_out] {
            let expected = format!("{good}\n{FAULT}\n{{\"fault\":{{\"code\":\"CH-3030\"}}}}\n");
            assert_eq!(outcome(&[("ry.plain.ndjson", SAMPLE), ("ry.plain.expected.ndjson", &expected)], false), Outcome::Same);
        }
    }

    #[test]
    fn differences_are_told_line_by_line() {
        let expected = format!("{}\n{FAULT}\n", GOOD.replace("李明", "李四"));
        let Outcome::Differs(found) = outcome(&[("ry.a.ndjson", SAMPLE), ("ry.a.expected.ndjson", &expected)], false) else {
            panic!()
        };
        assert_eq!(found.iter().map(|difference| difference.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(
            (found[1].expected.as_ref(), found[1].actual.as_ref().map(ToString::to_string).as_deref()),
            (None, Some(BROKEN))
        );
        for wrong in [FAULT.replace("3109", "3108"), FAULT.replace("\"d\"", "\"e\""), "{\"fault\":{}}".into(), "{}".into()] {
            let expected = format!("{GOOD}\n{wrong}\n{BROKEN}\n");
            assert!(
                matches!(outcome(&[("ry.a.ndjson", SAMPLE), ("ry.a.expected.ndjson", &expected)], false), Outcome::Differs(_)),
                "{wrong}"
            );
        }
    }

    #[test]
    fn accept_writes_what_came_and_then_it_is_the_same() {
        let (_root, dir) = adapter(&[("ry.a.ndjson", SAMPLE), ("ry.b.ndjson", ""), ("ry.b.expected.ndjson", "not json")]);
        assert!(run_golden(&dir, &ndjson, false).unwrap().iter().all(|result| matches!(result.outcome, Outcome::Failed(_))));
        assert!(run_golden(&dir, &ndjson, true).unwrap().iter().all(|result| result.outcome == Outcome::Accepted));
        assert_eq!(fs::read_to_string(dir.join("samples/ry.a.expected.ndjson")).unwrap(), format!("{GOOD}\n{FAULT}\n{BROKEN}\n"));
        let results = run_golden(&dir, &ndjson, true).unwrap();
        assert!(results.iter().all(|result| result.outcome == Outcome::Same && result.passed()));
        assert_eq!((results[0].object.as_str(), results[0].case.as_str()), ("RY", "a"));
    }

    #[test]
    fn samples_without_object_or_counterpart_fail() {
        for samples in [("xx.a.ndjson", ""), ("ry.a.expected.ndjson", "")] {
            assert!(matches!(outcome(&[samples], true), Outcome::Failed(_)), "{samples:?}");
        }
    }
}
