//! Unknown keys: all of them at once, each with the nearest known name.

use std::path::Path;

use config::{Value, ValueKind};

use super::{BAD_CONFIG, DEFAULTS};
use crate::error::Fault;

/// One fault for each key that the defaults do not have.
pub(super) fn faults(merged: &config::Config, file: Option<&Path>) -> Vec<Fault> {
    let known: toml::Table = toml::from_str(DEFAULTS).unwrap_or_default();
    let mut faults = Vec::new();
    for (section, value) in sections(merged) {
        let Some(table) = known.get(&section).and_then(toml::Value::as_table) else {
            faults.push(fault(&section, known.keys(), file));
            continue;
        };
        if let (ValueKind::Table(keys), false) = (&value.kind, section == "env") {
            let unknown = keys.keys().filter(|key| !table.contains_key(*key));
            faults.extend(
                unknown.map(|key| fault(&format!("{section}.{key}"), table.keys().map(|k| format!("{section}.{k}")), file)),
            );
        }
    }
    faults
}

/// The values without unknown keys.
pub(super) fn without(mut values: Value) -> Value {
    let known: toml::Table = toml::from_str(DEFAULTS).unwrap_or_default();
    if let ValueKind::Table(sections) = &mut values.kind {
        sections.retain(|section, _| known.contains_key(section));
        for (section, value) in sections.iter_mut().filter(|(section, _)| *section != "env") {
            if let (ValueKind::Table(keys), Some(table)) = (&mut value.kind, known.get(section).and_then(toml::Value::as_table)) {
                keys.retain(|key, _| table.contains_key(key));
            }
        }
    }
    values
}

fn sections(merged: &config::Config) -> Vec<(String, Value)> {
    match merged.cache.clone().kind {
        ValueKind::Table(table) => {
            let mut sections: Vec<_> = table.into_iter().collect();
            sections.sort_by(|a, b| a.0.cmp(&b.0));
            sections
        }
        _ => Vec::new(),
    }
}

fn fault(key: &str, known: impl Iterator<Item = impl AsRef<str>>, file: Option<&Path>) -> Fault {
    let fault = Fault::new(BAD_CONFIG, format!("unknown key `{key}`"));
    let fault = match nearest(key, known) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("config/civilhub.toml lists every key"),
    };
    match file {
        Some(path) => fault.in_file(path.display().to_string()),
        None => fault,
    }
}

/// The known name that is most like `name`, if any is near.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = impl AsRef<str>>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate.as_ref()), candidate.as_ref().to_owned()))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
