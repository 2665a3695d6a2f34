//! Files outside the drop folder: golden samples and `civilhub adapter run`, through the same decoders as in production.

use std::{fs::File, io::Read, path::Path, sync::Arc, vec::IntoIter};

use serde_json::Value;

use super::{
    decode::{self, Format, Input, RowReader, beside::InFolder},
    load,
    source::{
        BadRow, ObjectOptions, Row,
        file::{files_of, folder::matches},
        http_push, soap,
    },
    spec::{AdapterSpec, ObjectSpec, SourceKind},
};
use crate::error::{Code, Fault};

/// The sample or input file cannot be opened.
pub const INPUT_UNREADABLE: Code = Code::new(3041);

/// Longest answer of a service, as in production.
const ANSWER_LIMIT: u64 = 8 << 20;

/// Opens an input from its start.
pub type Opener<'a> = dyn Fn() -> Result<Box<dyn Input>, Vec<Fault>> + 'a;

/// The object whose `files` pattern fits the name; the only object of an adapter fits every name.
pub fn object_of<'a>(spec: &'a AdapterSpec, name: &str) -> Option<&'a ObjectSpec> {
    let fits = |object: &&ObjectSpec| {
        let globs = object.options.get("archive").or_else(|| object.options.get("files"));
        let texts = globs.and_then(toml::Value::as_array).map(|globs| globs.iter().filter_map(toml::Value::as_str).collect());
        let globs: Vec<&str> = texts.or_else(|| Some(vec![globs?.as_str()?])).unwrap_or_default();
        let sample = name.to_lowercase().starts_with(&format!("{}.", object.name.to_lowercase()));
        sample || globs.iter().any(|glob| matches(glob, &name.to_lowercase()))
    };
    spec.objects.iter().find(fits).or_else(|| spec.objects.first().filter(|_| spec.objects.len() == 1))
}

/// Decodes a file and hands on row after row, in order; memory is bounded by one row.
///
/// # Errors
/// The faults for which the file is refused whole.
pub fn stream(
    spec: &AdapterSpec,
    object: &ObjectSpec,
    path: &Path,
    mut each: impl FnMut(Result<Row, Vec<Fault>>),
) -> Result<(), Vec<Fault>> {
    read(spec, object, path, &mut |row| each(row.map_err(|bad| bad.faults)))
}

/// All rows of a golden sample.
pub fn rows_of(spec: &AdapterSpec, object: &ObjectSpec, path: &Path) -> Result<(Vec<Row>, Vec<BadRow>), Vec<Fault>> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    rows_in(spec, object, path, &|| open(path, &file))
}

/// All rows of a sample that lies elsewhere than in the file `path`; `input` opens it, twice.
pub fn rows_in(
    spec: &AdapterSpec,
    object: &ObjectSpec,
    path: &Path,
    input: &Opener<'_>,
) -> Result<(Vec<Row>, Vec<BadRow>), Vec<Fault>> {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    read_from(spec, object, path, input, &mut |row| match row {
        Ok(row) => rows.push(row),
        Err(refused) => bad.push(refused),
    })?;
    Ok((rows, bad))
}

fn read(
    spec: &AdapterSpec,
    object: &ObjectSpec,
    path: &Path,
    each: &mut dyn FnMut(Result<Row, BadRow>),
) -> Result<(), Vec<Fault>> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    read_from(spec, object, path, &|| open(path, &file), each)
}

fn read_from(
    spec: &AdapterSpec,
    object: &ObjectSpec,
    path: &Path,
    input: &Opener<'_>,
    each: &mut dyn FnMut(Result<Row, BadRow>),
) -> Result<(), Vec<Fault>> {
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let here = |faults: Vec<Fault>| -> Vec<Fault> { faults.into_iter().map(|fault| fault.in_file(file.as_str())).collect() };
    let mut rows = rows(spec, object, path, input).map_err(here)?;
    while let Some(decoded) = rows.next() {
        let file = rows.member().map_or_else(|| file.clone(), |(_, name)| format!("{file}/{name}"));
        let here = |faults: Vec<Fault>| -> Vec<Fault> { faults.into_iter().map(|fault| fault.in_file(file.as_str())).collect() };
        let origin = |number: u64| format!("{file}#{number}");
        each(match decoded {
            Ok(row) => Ok(Row {
                object: object.name.clone(),
                origin: origin(row.number),
                file: file.clone(),
                number: row.number,
                data: row.data,
                meta: Value::Object(row.meta),
            }),
            Err(bad) => Err(BadRow {
                object: object.name.clone(),
                origin: origin(bad.number),
                faults: here(bad.faults),
                raw: String::new(),
            }),
        });
    }
    Ok(())
}

/// The rows of a sample: an answer of a SOAP service, or a file of a format.
fn rows(spec: &AdapterSpec, object: &ObjectSpec, path: &Path, input: &Opener<'_>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
    if spec.kind == SourceKind::Soap && is(path, "xml") {
        let unreadable = |error| vec![decode::unreadable(&error)];
        let mut bytes = Vec::new();
        input()?.take(ANSWER_LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
        let options = ObjectOptions { name: object.name.clone(), key: object.key.clone(), options: object.options.clone() };
        return Ok(Box::new(Answer(soap::rows_of(&options, &bytes)?.into_iter())));
    }
    let format = format_of(spec, object, path)?;
    format.verify(&mut *input()?)?;
    format.rows(input()?)
}

fn is(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// Rows that are in memory.
struct Answer(IntoIter<Result<decode::Decoded, decode::BadRow>>);

impl RowReader for Answer {
    fn next(&mut self) -> Option<Result<decode::Decoded, decode::BadRow>> {
        self.0.next()
    }
}

/// Files are read in their own format; samples of databases and web systems are JSON, or XML where the object is.
fn format_of(spec: &AdapterSpec, object: &ObjectSpec, path: &Path) -> Result<Arc<dyn Format>, Vec<Fault>> {
    if spec.kind == SourceKind::File {
        let mut options = object.options.clone();
        load::strip(&mut options);
        return Ok(files_of(&options)?.format);
    }
    if spec.kind == SourceKind::HttpPush && is(path, "xml") {
        return decode::open("xml", &http_push::xml_options(&object.options)).map(Arc::from);
    }
    let lines = is(path, "ndjson");
    let mut options = toml::Table::new();
    if let (false, Some(items)) = (lines, object.options.get("items")) {
        options.insert("items".to_owned(), items.clone());
    }
    decode::open(if lines { "ndjson" } else { "json" }, &options).map(Arc::from)
}

fn open(path: &Path, name: &str) -> Result<Box<dyn Input>, Vec<Fault>> {
    match File::open(path) {
        Ok(file) => Ok(Box::new(std::io::BufReader::new(InFolder::new(file, path.to_owned())))),
        Err(error) => Err(vec![Fault::new(INPUT_UNREADABLE, format!("cannot open the file: {}", error.kind())).in_file(name)]),
    }
}
