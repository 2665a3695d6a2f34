//! What the page asks for: the state of the folder, a run of a program over a sample, and saving.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use encoding_rs::GB18030;
use serde_json::{Value, json};
use time::macros::datetime;

use super::{REFUSED, Run};
use crate::{
    adapter::{
        decode::Input,
        map::{MapContext, MapRuntime, Mapper},
        sample,
        spec::{AdapterSpec, ObjectSpec, SourceKind},
    },
    domain::keyed_hash::KeyedHash,
    envelope::Op,
    error::Fault,
    kit::{fields, scaffold::unwritten},
    schema::SchemaRegistry,
};

/// Most rows of a sample that are mapped.
const MAX_ROWS: usize = 200;
/// Longest sample that is shown and longest program that is saved.
const MAX_TEXT: u64 = 1 << 20;

/// Objects with their programs and samples.
pub(super) fn state(dir: &Path) -> Result<Value, Vec<Fault>> {
    let spec = AdapterSpec::load(dir)?;
    let objects: Vec<Value> = spec
        .objects
        .iter()
        .map(|object| {
            let samples: Vec<Value> =
                fields::samples(&spec, object).iter().map(|sample| shown(&spec, object, &sample.file)).collect();
            let program = fs::read_to_string(&object.program).unwrap_or_default();
            json!({ "name": object.name, "program": program, "samples": samples })
        })
        .collect();
    Ok(json!({ "system": spec.slug, "title": spec.name, "objects": objects }))
}

/// A sample as text, if it is text.
fn shown(spec: &AdapterSpec, object: &ObjectSpec, file: &Path) -> Value {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let small = fs::metadata(file).is_ok_and(|data| data.len() <= MAX_TEXT);
    let bytes = fs::read(file).ok().filter(|_| small && is_text(spec, object));
    let text = bytes.and_then(|bytes| match encoding_of(spec, object) {
        "UTF-8" => String::from_utf8(bytes).ok(),
        _ => Some(GB18030.decode_without_bom_handling(&bytes).0.into_owned()),
    });
    json!({ "name": name, "text": text })
}

fn option<'a>(object: &'a ObjectSpec, name: &str) -> Option<&'a str> {
    object.options.get(name).and_then(toml::Value::as_str)
}

fn is_text(spec: &AdapterSpec, object: &ObjectSpec) -> bool {
    spec.kind != SourceKind::File || matches!(option(object, "format"), Some("csv" | "fixed" | "json" | "ndjson" | "xml"))
}

/// JSON is UTF-8; other text is in the declared encoding, or GB18030.
fn encoding_of<'a>(spec: &AdapterSpec, object: &'a ObjectSpec) -> &'a str {
    let json = spec.kind != SourceKind::File || matches!(option(object, "format"), Some("json" | "ndjson"));
    let named = option(object, "encoding").unwrap_or("GB18030");
    if json || named.to_ascii_uppercase().starts_with("UTF") { "UTF-8" } else { named }
}

fn object_of<'a>(spec: &'a AdapterSpec, name: &str) -> Result<&'a ObjectSpec, Vec<Fault>> {
    spec.object(name).ok_or_else(|| vec![Fault::new(REFUSED, "the adapter has no such object")])
}

/// Runs a program over a sample, row by row.
pub(super) fn run(dir: &Path, registry: &SchemaRegistry, run: &Run) -> Result<Value, Vec<Fault>> {
    let spec = AdapterSpec::load(dir)?;
    let object = object_of(&spec, &run.object)?;
    let file = sample_file(dir, &run.sample)?;
    let context = MapContext { system: spec.slug.to_string(), datasets: object.datasets.clone(), codes: spec.codes.clone() };
    let name = object.program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mapper = match Mapper::compile(&run.program, &name, &context) {
        Ok(mapper) => mapper,
        Err(faults) => return Ok(json!({ "rows": [], "faults": faults, "warnings": [] })),
    };
    let (rows, bad) = match &run.text {
        Some(text) => {
            let bytes = if encoding_of(&spec, object) == "UTF-8" {
                text.clone().into_bytes()
            } else {
                GB18030.encode(text).0.into_owned()
            };
            let open = || Ok(Box::new(Cursor::new(bytes.clone())) as Box<dyn Input>);
            sample::rows_in(&spec, object, &file, &open)?
        }
        None => sample::rows_of(&spec, object, &file)?,
    };
    let mut runtime = MapRuntime::new(&KeyedHash::new(b"golden"), datetime!(2017-07-03 09:00 +8));
    let mut told = Vec::new();
    for row in rows.iter().take(MAX_ROWS) {
        let mut line = json!({ "row": row.number, "input": row.data });
        match mapper.run(&mut runtime, row) {
            Ok(outputs) => {
                let faults: Vec<Fault> = outputs
                    .iter()
                    .filter(|output| output.op != Op::Delete)
                    .filter_map(|output| registry.latest(&output.dataset).map(|schema| schema.validate(&output.record)))
                    .flatten()
                    .collect();
                line["outputs"] = outputs.iter().map(|output| output.to_json()).collect();
                line["faults"] = json!(faults);
            }
            Err(faults) => line["faults"] = json!(faults),
        }
        told.push(line);
    }
    let bad: Vec<&Fault> = bad.iter().flat_map(|bad| &bad.faults).collect();
    Ok(json!({ "rows": told, "more": rows.len().saturating_sub(MAX_ROWS), "faults": bad, "warnings": mapper.warnings() }))
}

/// A file of the samples, by its plain name.
fn sample_file(dir: &Path, name: &str) -> Result<PathBuf, Vec<Fault>> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if plain {
        Ok(dir.join("samples").join(name))
    } else {
        Err(vec![Fault::new(REFUSED, "a sample is a file of the folder `samples`")])
    }
}

/// Writes the program of an object; its name comes from `adapter.toml`, never from the page.
pub(super) fn save(dir: &Path, object: &str, program: &str) -> Result<String, Vec<Fault>> {
    let spec = AdapterSpec::load(dir)?;
    let object = object_of(&spec, object)?;
    if program.len() as u64 > MAX_TEXT {
        return Err(vec![Fault::new(REFUSED, "the program is too long")]);
    }
    let file = &object.program;
    // A program that does not compile would leave an adapter that cannot be loaded, here or in the hub.
    let context = MapContext { system: spec.slug.to_string(), datasets: object.datasets.clone(), codes: spec.codes.clone() };
    Mapper::compile(program, &file.display().to_string(), &context)?;
    // A link would lead out of the folder.
    let linked = fs::symlink_metadata(file).is_ok_and(|data| data.file_type().is_symlink());
    if linked || file.parent() != Some(dir) {
        return Err(vec![Fault::new(REFUSED, "the program does not lie in the adapter's folder")]);
    }
    fs::write(file, program).map_err(|error| vec![unwritten(file, &error)])?;
    Ok(file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}
