//! Is every field of a source mapped, or left out on purpose?

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Studied,
    fields::{self, Origin, tables},
    flow::{ANY, Path},
    study,
};
use crate::adapter::spec::AdapterSpec;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// The program uses it.
    Mapped,
    /// `[ignore]` has it with a reason.
    Ignored,
    /// The source joins or polls by it.
    Source,
    Unmapped,
}

/// One field of one object.
#[derive(Debug, Clone, Serialize)]
pub struct FieldFate {
    pub object: String,
    pub field: String,
    pub origin: Origin,
    pub fate: Fate,
}

/// How much of a system is mapped.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    pub system: String,
    pub fields: Vec<FieldFate>,
}

impl Coverage {
    /// Fields that are mapped, ignored with a reason, or used by the source.
    pub fn covered(&self) -> usize {
        self.fields.iter().filter(|field| field.fate != Fate::Unmapped).count()
    }

    /// Hundredths of the fields, rounded down; a source without fields is covered by nothing.
    pub fn percent(&self) -> usize {
        if self.fields.is_empty() { 0 } else { self.covered() * 100 / self.fields.len() }
    }

    /// As `object.field`.
    pub fn unmapped(&self) -> Vec<String> {
        let unmapped = self.fields.iter().filter(|field| field.fate == Fate::Unmapped);
        unmapped.map(|field| format!("{}: {}", field.object, field.field)).collect()
    }
}

/// Looks at every field of every object.
pub fn of(spec: &AdapterSpec) -> Coverage {
    let studied = study(spec);
    let mut found = Vec::new();
    for one in &studied {
        let samples = fields::samples(spec, one.object);
        for (path, origin) in fields::of_object(one, &samples) {
            let fate = fate(spec, &studied, one, &path);
            found.push(FieldFate { object: one.object.name.clone(), field: path.to_string(), origin, fate });
        }
    }
    Coverage { system: spec.slug.to_string(), fields: found }
}

/// What becomes of one field of one object.
pub fn fate(spec: &AdapterSpec, all: &[Studied<'_>], one: &Studied<'_>, path: &Path) -> Fate {
    if one.flow.reads(path) || child_is_mapped(all, one, path) || parent_maps_it(all, one, path) {
        Fate::Mapped
    } else if ignore_key(&spec.ignore, &one.object.name, path).is_some() {
        Fate::Ignored
    } else if used_by_source(one, path) {
        Fate::Source
    } else {
        Fate::Unmapped
    }
}

/// The entry of `[ignore]` that covers a field: its path, its last name, what it is a part of, with or without the object
/// before a colon.
pub fn ignore_key<'a>(ignore: &'a BTreeMap<String, String>, object: &str, path: &Path) -> Option<&'a str> {
    let covers = |key: &str| {
        let own = key.split_once(':').map_or(Some(key), |(of, rest)| (of.trim() == object).then_some(rest.trim()));
        own.is_some_and(|own| own == path.last() || Path::parse(own).covers(path))
    };
    ignore.iter().find(|(key, reason)| covers(key) && !reason.trim().is_empty()).map(|(key, _)| key.as_str())
}

/// A column of a child table that is an object of its own is mapped where that object maps it.
fn child_is_mapped(all: &[Studied<'_>], one: &Studied<'_>, path: &Path) -> bool {
    let [name, any, column] = &path.parts[..] else { return false };
    let children = tables(one.object.options.get("children"));
    let table = children.iter().find(|child| child.get("name").and_then(toml::Value::as_str) == Some(name));
    let Some(table) = table.and_then(|child| child.get("table")).and_then(toml::Value::as_str).filter(|_| any == ANY) else {
        return false;
    };
    let own = |other: &&Studied<'_>| other.object.options.get("table").and_then(toml::Value::as_str) == Some(table);
    all.iter().filter(own).any(|other| other.flow.reads(&Path::row(vec![column.clone()])))
}

/// A column of a table that another object reads as its child, and maps there.
fn parent_maps_it(all: &[Studied<'_>], one: &Studied<'_>, path: &Path) -> bool {
    let (Some(table), [column]) = (one.object.options.get("table").and_then(toml::Value::as_str), &path.parts[..]) else {
        return false;
    };
    all.iter().any(|other| {
        let children = tables(other.object.options.get("children"));
        let mine = children.iter().filter(|child| child.get("table").and_then(toml::Value::as_str) == Some(table));
        let mut names = mine.filter_map(|child| child.get("name").and_then(toml::Value::as_str));
        names.any(|name| other.flow.reads(&Path::row(vec![name.to_owned(), ANY.to_owned(), column.clone()])))
    })
}

/// Columns by which the source joins, polls and counts.
fn used_by_source(one: &Studied<'_>, path: &Path) -> bool {
    let option = |name: &str| one.object.options.get(name).and_then(toml::Value::as_str);
    let polled = ["watermark", "updated"].into_iter().filter_map(option).chain(one.object.sequence.as_deref());
    if polled.into_iter().any(|name| path.parts == [name]) {
        return true;
    }
    tables(one.object.options.get("children")).iter().any(|child| {
        let text = |name: &str| child.get(name).and_then(toml::Value::as_str);
        let parent = text("parent").or_else(|| text("on"));
        let on = text("name").zip(text("on")).is_some_and(|(name, on)| path.parts == [name, ANY, on]);
        on || parent.is_some_and(|parent| path.parts == [parent])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignore_entries_cover_names_paths_and_objects() {
        let ignore = |key: &str| BTreeMap::from([(key.to_owned(), "reason".to_owned())]);
        for (key, field, covered) in [
            ("FILL", "FILL", true),
            ("FILL", "%header.FILL", true),
            ("M", "M[].A", true),
            ("M[].A", "M[].A", true),
            ("A", "M[].A", true),
            ("RY: FILL", "FILL", true),
            ("XX: FILL", "FILL", false),
            ("B", "M[].A", false),
        ] {
            assert_eq!(ignore_key(&ignore(key), "RY", &Path::parse(field)).is_some(), covered, "{key} {field}");
        }
        assert!(ignore_key(&BTreeMap::from([("A".to_owned(), " ".to_owned())]), "RY", &Path::parse("A")).is_none());
    }
}
