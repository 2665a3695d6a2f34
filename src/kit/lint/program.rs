//! Rules about mapping programs: what they write, against the schema; what they read, against the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{File, Finding, NEVER_WRITTEN, UNKNOWN_FIELD, UNKNOWN_SOURCE, WARNING, document::place_fault, spec::meant};
use crate::{
    error::Fault,
    kit::{
        Studied,
        fields::Origin,
        flow::{Path, Shape},
    },
    schema::{DatasetSchema, Kind, SchemaRegistry},
};

fn file(one: &Studied<'_>) -> File {
    File { name: one.object.program.display().to_string(), text: one.text.as_str().into() }
}

/// What the compiler found suspicious.
pub(super) fn warnings(one: &Studied<'_>) -> Vec<Finding> {
    let own_code = |fault: &Fault| Fault { code: WARNING, ..fault.clone() };
    one.object.mapper.warnings().iter().map(|fault| place_fault(own_code(fault))).collect()
}

/// Fields of records against the schemas of their datasets.
pub(super) fn records(one: &Studied<'_>, registry: &SchemaRegistry) -> Vec<Finding> {
    let file = file(one);
    let mut found = Vec::new();
    let datasets: BTreeSet<&String> = one.flow.outputs.iter().flat_map(|output| &output.datasets).collect();
    for dataset in datasets {
        let Some(schema) = registry.latest(&dataset.as_str().into()) else { continue };
        let mut whole = Shape::default();
        let mut place = 0..0;
        // An output that may be of several datasets tells nothing of one.
        for output in one.flow.outputs.iter().filter(|output| output.datasets.len() == 1 && output.datasets.contains(dataset)) {
            whole.join(&output.shape.field("record"));
            place = span_of(&output.shape, "dataset").unwrap_or(place);
        }
        unknown(&file, schema, &whole, "", &mut found);
        never_written(&file, schema, &whole, &place, &mut found);
    }
    found
}

fn span_of(shape: &Shape, field: &str) -> Option<Range<usize>> {
    shape.fields.get(field).and_then(|member| member.spans.first()).map(|(start, end)| *start..*end)
}

/// Fields that the schema does not have, or that others fill.
fn unknown(file: &File, schema: &DatasetSchema, shape: &Shape, pointer: &str, found: &mut Vec<Finding>) {
    for item in &shape.items {
        unknown(file, schema, item, &format!("{pointer}/*"), found);
    }
    for (name, member) in &shape.fields {
        let here = format!("{pointer}/{name}");
        let spans = || member.spans.iter().map(|(start, end)| *start..*end);
        match schema.fields.iter().find(|field| field.pointer == here) {
            Some(field) if field.filled_by.is_some() => found.extend(spans().map(|span| {
                let by = field.filled_by.as_deref().unwrap_or_default();
                let fault = Fault::new(UNKNOWN_FIELD, format!("`{name}` of `{}` is filled by the {by}", schema.id()));
                Finding::at(file, span, fault.hint("take the line away: an adapter never writes it"))
            })),
            Some(_) => unknown(file, schema, &member.shape, &here, found),
            None if free(schema, pointer) => {}
            None => {
                let siblings = siblings(schema, pointer);
                let known: Vec<&str> = siblings.iter().map(String::as_str).collect();
                found.extend(spans().map(|span| {
                    let fault = Fault::new(UNKNOWN_FIELD, format!("`{}` has no field `{here}`", schema.id()));
                    let fault = fault.expected(format!("one of {}", known.join(", ")));
                    Finding::at(file, span, fault.hint(meant(name, &known, "see the schema of the dataset")))
                }));
            }
        }
    }
}

/// Whether the schema lists no fields below this place, so that any may stand there.
fn free(schema: &DatasetSchema, pointer: &str) -> bool {
    let place = pointer.trim_end_matches("/*");
    schema.fields.iter().any(|field| field.pointer == place && field.leaf && matches!(field.kind, Kind::Object | Kind::Array))
}

fn siblings(schema: &DatasetSchema, pointer: &str) -> Vec<String> {
    let below = format!("{pointer}/");
    let names = schema.fields.iter().filter(|field| field.filled_by.is_none());
    let names = names.filter_map(|field| field.pointer.strip_prefix(&below)).filter(|name| !name.contains('/'));
    names.map(str::to_owned).collect()
}

/// Fields that every record must have.
fn never_written(file: &File, schema: &DatasetSchema, record: &Shape, place: &Range<usize>, found: &mut Vec<Finding>) {
    if record.open || !record.is.is_empty() || record.fields.is_empty() {
        return;
    }
    let required = schema.fields.iter().filter(|field| field.required && field.filled_by.is_none());
    for field in required.filter(|field| field.pointer.matches('/').count() == 1) {
        if !record.fields.contains_key(field.name()) {
            let title = if field.name_zh.is_empty() { String::new() } else { format!(" ({})", field.name_zh) };
            let message = format!("the program never writes `{}`{title}, which `{}` demands", field.name(), schema.id());
            found.push(Finding::at(file, place.clone(), Fault::new(NEVER_WRITTEN, message).hint("add it to the record")));
        }
    }
}

/// Fields that the program reads and no object that has this program has, as far as the sources are known.
pub(super) fn reads(one: &Studied<'_>, own: &BTreeMap<Path, Origin>, sharing: &[&BTreeMap<Path, Origin>]) -> Vec<Finding> {
    let known = sharing.iter().flat_map(|fields| fields.iter()).filter(|(_, origin)| **origin != Origin::Program);
    let known: Vec<&Path> = known.map(|(path, _)| path).collect();
    if known.is_empty() {
        return vec![];
    }
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let file = file(one);
    let lost = own.iter().filter(|(path, origin)| **origin == Origin::Program && !known.iter().any(|known| known.meets(path)));
    lost.filter_map(|(path, _)| Some((path, one.flow.reads.get(path)?.clone())))
        .map(|(path, span)| {
            let sign = if path.meta { "" } else { "." };
            let message = format!("the program reads `{sign}{path}`, which no sample and no list of columns has");
            let hint = meant(&path.to_string(), &names, "add a sample that shows the field");
            Finding::at(&file, span, Fault::new(UNKNOWN_SOURCE, message).hint(hint))
        })
        .collect()
}
