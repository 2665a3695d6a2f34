//! Rules about `adapter.toml`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use toml::Value as Toml;

use super::{
    File, Finding, IGNORE, UNKNOWN_DATASET, UNUSED_CODES,
    document::{Step, key_span},
};
use crate::{
    adapter::{
        map::diagnose::nearest,
        source::{self, ObjectOptions, SourceContext},
        spec::{AdapterSpec, SourceKind},
    },
    error::Fault,
    kit::{Studied, coverage::ignore_key, fields::Origin, flow::Path},
    schema::SchemaRegistry,
    store::Store,
};

/// Options of the source and its objects, as the source itself reads them; secrets are stood in for.
pub(super) fn options(spec: &AdapterSpec, file: &File, store: &Store) -> Vec<Finding> {
    let objects: Vec<ObjectOptions> = spec
        .objects
        .iter()
        .map(|object| ObjectOptions {
            name: object.name.clone(),
            key: object.key.clone(),
            options: stand_in(&object.options, spec.kind),
        })
        .collect();
    let context = SourceContext { store: store.clone(), inbox: PathBuf::from("inbox"), env: BTreeMap::new() };
    let opened = source::open(&spec.slug, &stand_in(&spec.source, spec.kind), &objects, &context);
    let faults = opened.err().unwrap_or_default();
    faults.into_iter().map(|fault| Finding::at(file, option_span(spec, file, &fault), fault)).collect()
}

/// The table with something in the place of every secret.
fn stand_in(table: &toml::Table, kind: SourceKind) -> toml::Table {
    let value = |name: &str| {
        Toml::String(match name {
            "url" if kind == SourceKind::Soap => "http://127.0.0.1/".to_owned(),
            "url" => "sqlite://lint.db".to_owned(),
            "base" => "http://127.0.0.1/".to_owned(),
            _ => "stand-in-for-a-secret-of-32-bytes".to_owned(),
        })
    };
    let each = |(name, old): (&String, &Toml)| {
        let secret = match old {
            Toml::String(text) => text.contains("${"),
            Toml::Table(inner) => inner.len() == 1 && inner.contains_key("file"),
            _ => false,
        };
        (name.clone(), if secret { value(name) } else { inner(old, kind) })
    };
    table.iter().map(each).collect()
}

/// What stands deeper: the parameters of a service are tables in a list.
fn inner(value: &Toml, kind: SourceKind) -> Toml {
    match value {
        Toml::Array(items) => Toml::Array(items.iter().map(|item| inner(item, kind)).collect()),
        Toml::Table(table) => Toml::Table(stand_in(table, kind)),
        other => other.clone(),
    }
}

/// The option that a fault names, in the object it names.
fn option_span(spec: &AdapterSpec, file: &File, fault: &Fault) -> Range<usize> {
    let named = fault.message.split('`').nth(1).unwrap_or_default();
    let object = fault.place.pointer.as_deref().and_then(|pointer| pointer.strip_prefix("/object/"));
    let place = object.and_then(|name| spec.objects.iter().position(|object| object.name == name));
    let span = match place {
        Some(place) => key_span(&file.text, &[Step::Key("object"), Step::Item(place), Step::Key(named)])
            .filter(|span| file.text.get(span.clone()).is_some_and(|text| text.trim_matches('"') == named))
            .or_else(|| key_span(&file.text, &[Step::Key("object"), Step::Item(place), Step::Key("name")])),
        None => key_span(&file.text, &[Step::Key("source"), Step::Key(named)]),
    };
    span.unwrap_or(0..0)
}

/// Datasets that exist.
pub(super) fn datasets(spec: &AdapterSpec, file: &File, registry: &SchemaRegistry) -> Vec<Finding> {
    let known: BTreeSet<&str> = registry.iter().map(|schema| schema.dataset.as_str()).collect();
    let known: Vec<&str> = known.into_iter().collect();
    let mut found = Vec::new();
    for (place, object) in spec.objects.iter().enumerate() {
        for (item, dataset) in object.datasets.iter().enumerate().filter(|(_, dataset)| !known.contains(&dataset.as_str())) {
            let steps = [Step::Key("object"), Step::Item(place), Step::Key("datasets"), Step::Item(item)];
            let fault = Fault::new(UNKNOWN_DATASET, format!("there is no dataset `{dataset}`"));
            let fault = fault.expected(format!("one of {}", known.join(", "))).hint(meant(
                dataset.as_str(),
                &known,
                "write its schema first",
            ));
            found.push(Finding::at(file, key_span(&file.text, &steps).unwrap_or(0..0), fault));
        }
    }
    found
}

/// `did you mean`, or something else to do.
pub(super) fn meant(name: &str, known: &[&str], otherwise: &str) -> String {
    nearest(name, known).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}

/// Code tables that some program uses.
pub(super) fn codes(spec: &AdapterSpec, file: &File, studied: &[Studied<'_>]) -> Vec<Finding> {
    let used: BTreeSet<&str> = studied.iter().flat_map(|one| &one.flow.lists_named).map(|named| named.name.as_str()).collect();
    let unused = spec.codes.keys().filter(|name| !used.contains(name.as_str()));
    unused
        .map(|name| {
            let fault = Fault::new(UNUSED_CODES, format!("no program uses the code table `{name}`"));
            let span = key_span(&file.text, &[Step::Key("codes"), Step::Key(name)]).unwrap_or(0..0);
            Finding::at(file, span, fault.hint(format!("call `code!(\"{name}\", ...)`, or take the table away")))
        })
        .collect()
}

/// Entries of `[ignore]`: fields that exist, are not read, and have a reason.
pub(super) fn ignore(
    spec: &AdapterSpec,
    file: &File,
    studied: &[Studied<'_>],
    sources: &[BTreeMap<Path, Origin>],
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut names: Vec<String> = sources.iter().flat_map(BTreeMap::keys).map(ToString::to_string).collect();
    names.extend(sources.iter().flat_map(BTreeMap::keys).map(|path| path.last().to_owned()));
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    for (key, reason) in &spec.ignore {
        let span = key_span(&file.text, &[Step::Key("ignore"), Step::Key(key)]).unwrap_or(0..0);
        let mut tell = |message: String, hint: String| {
            found.push(Finding::at(file, span.clone(), Fault::new(IGNORE, message).hint(hint)));
        };
        if reason.trim().is_empty() {
            tell(format!("`{key}` is ignored without a reason"), "say why nobody needs the field".to_owned());
        }
        let alone = BTreeMap::from([(key.clone(), "a reason".to_owned())]);
        let covered = |place: usize, path: &Path| {
            studied.get(place).is_some_and(|one| ignore_key(&alone, &one.object.name, path).is_some())
        };
        let mut fields = sources.iter().enumerate().flat_map(|(place, fields)| fields.keys().map(move |path| (place, path)));
        let used = fields.clone().find(|(place, path)| covered(*place, path) && read_itself(studied.get(*place), path));
        if let Some((place, path)) = used {
            let object = studied.get(place).map_or("", |one| one.object.name.as_str());
            tell(format!("`{key}` is ignored, and the program of `{object}` reads `{path}`"), "take the entry away".to_owned());
        } else if !fields.any(|(place, path)| covered(place, path))
            && let Some(near) = nearest(key, &known)
        {
            tell(format!("no object has a field `{key}`"), format!("did you mean `{near}`?"));
        }
    }
    found
}

/// The field itself or a part of it is read, not only the row that it is in.
fn read_itself(one: Option<&Studied<'_>>, path: &Path) -> bool {
    one.is_some_and(|one| one.flow.reads.keys().any(|read| path.covers(read)))
}
