//! What changed between two versions of a schema, and whether everybody can live with it.
//!
//! A change is compatible when a record that was valid stays valid (adapters need no change) and what a receiver could
//! rely on still holds (no field vanishes, changes its meaning or may now be missing). A wider list of values counts as
//! compatible: receivers must bear codes they do not know. Compare the inlined schemas, so that a change in a shared
//! definition shows up wherever it is used.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Field pattern, `*` for list items; empty for the record itself.
    pub pointer: String,
    pub kind: ChangeKind,
    pub compatible: bool,
}

/// The kinds of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    PropertyAdded,
    PropertyRemoved,
    TypeChanged,
    TypeWidened,
    RequiredAdded,
    RequiredRemoved,
    ValuesNarrowed,
    ValuesWidened,
    CodesChanged,
    PatternChanged,
    FormatChanged,
    BoundTightened,
    BoundLoosened,
    Closed,
    Opened,
    CombinationChanged,
    SensitivityChanged,
    PersonChanged,
    Renamed,
}

impl ChangeKind {
    fn is_compatible(self) -> bool {
        matches!(
            self,
            Self::PropertyAdded | Self::TypeWidened | Self::ValuesWidened | Self::BoundLoosened | Self::Opened | Self::Renamed
        )
    }
}

/// Keywords of which a larger value is stricter, and those of which a smaller one is.
const LOWER_BOUNDS: [&str; 6] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"];
const UPPER_BOUNDS: [&str; 6] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"];
/// Keywords of which any change may refuse what was valid.
const COMBINATIONS: [&str; 15] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "contains",
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "multipleOf",
    "uniqueItems",
];

/// Every difference between two schemas of one dataset.
pub fn diff(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    schema(old, new, "", &mut changes);
    changes
}

fn schema(old: &Value, new: &Value, pointer: &str, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let none = Map::new();
    let old = old.as_object().unwrap_or(&none);
    let new = new.as_object().unwrap_or(&none);
    let mut note =
        |kind: ChangeKind| changes.push(Change { pointer: pointer.to_owned(), kind, compatible: kind.is_compatible() });
    types(old, new, &mut note);
    values(old, new, &mut note);
    bounds(old, new, &mut note);
    closed(old, new, &mut note);
    let same = |keyword: &str| old.get(keyword) == new.get(keyword);
    let fixed: [(&[&str], ChangeKind); 7] = [
        (&["x-codes"], ChangeKind::CodesChanged),
        (&["pattern"], ChangeKind::PatternChanged),
        (&["format"], ChangeKind::FormatChanged),
        (&["x-sensitivity"], ChangeKind::SensitivityChanged),
        (&["x-person", "x-filled-by"], ChangeKind::PersonChanged),
        (&["title", "x-name"], ChangeKind::Renamed),
        (&COMBINATIONS, ChangeKind::CombinationChanged),
    ];
    for (keywords, kind) in fixed {
        if !keywords.iter().all(|keyword| same(keyword)) {
            note(kind);
        }
    }
    properties(old, new, pointer, changes);
    if let (Some(old), Some(new)) = (old.get("items"), new.get("items")) {
        schema(old, new, &format!("{pointer}/*"), changes);
    }
}

fn properties(old: &Map<String, Value>, new: &Map<String, Value>, pointer: &str, changes: &mut Vec<Change>) {
    let none = Map::new();
    let fields = |schema: &Map<String, Value>| schema.get("properties").and_then(Value::as_object).unwrap_or(&none).clone();
    let (before, after) = (fields(old), fields(new));
    let (was_required, is_required) = (texts(old.get("required")), texts(new.get("required")));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let pointer = format!("{pointer}/{name}");
        let mut note =
            |kind: ChangeKind| changes.push(Change { pointer: pointer.clone(), kind, compatible: kind.is_compatible() });
        match (before.get(name), after.get(name)) {
            (Some(_), None) => note(ChangeKind::PropertyRemoved),
            (None, Some(_)) => note(ChangeKind::PropertyAdded),
            _ => {}
        }
        match (was_required.contains(name.as_str()), is_required.contains(name.as_str())) {
            (false, true) => note(ChangeKind::RequiredAdded),
            (true, false) if after.contains_key(name) => note(ChangeKind::RequiredRemoved),
            _ => {}
        }
        if let (Some(old), Some(new)) = (before.get(name), after.get(name)) {
            schema(old, new, &pointer, changes);
        }
    }
}

fn types(old: &Map<String, Value>, new: &Map<String, Value>, note: &mut impl FnMut(ChangeKind)) {
    let (before, after) = (texts(old.get("type")), texts(new.get("type")));
    if before == after {
        return;
    }
    let wider = !before.is_empty() && (after.is_empty() || before.is_subset(&after));
    note(if wider { ChangeKind::TypeWidened } else { ChangeKind::TypeChanged });
}

/// `enum` and `const` as one set of allowed values; no set means all.
fn values(old: &Map<String, Value>, new: &Map<String, Value>, note: &mut impl FnMut(ChangeKind)) {
    let allowed = |schema: &Map<String, Value>| -> Option<BTreeSet<String>> {
        match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => Some(values.iter().map(Value::to_string).collect()),
            (_, Some(value)) => Some(BTreeSet::from([value.to_string()])),
            _ => None,
        }
    };
    match (allowed(old), allowed(new)) {
        (before, after) if before == after => {}
        (Some(_), None) => note(ChangeKind::ValuesWidened),
        (Some(before), Some(after)) if before.is_subset(&after) => note(ChangeKind::ValuesWidened),
        _ => note(ChangeKind::ValuesNarrowed),
    }
}

fn bounds(old: &Map<String, Value>, new: &Map<String, Value>, note: &mut impl FnMut(ChangeKind)) {
    for (keywords, sign) in [(LOWER_BOUNDS, 1), (UPPER_BOUNDS, -1)] {
        for keyword in keywords {
            let bound = |schema: &Map<String, Value>| schema.get(keyword).and_then(Value::as_i64).map(|bound| bound * sign);
            match (bound(old), bound(new)) {
                // A bound that is no integer is rare: any change of it is taken as a tightening.
                (None, None) if old.get(keyword) != new.get(keyword) => note(ChangeKind::BoundTightened),
                // None is the loosest: it is less than any bound.
                (before, after) if after > before => note(ChangeKind::BoundTightened),
                (before, after) if after < before => note(ChangeKind::BoundLoosened),
                _ => {}
            }
        }
    }
}

fn closed(old: &Map<String, Value>, new: &Map<String, Value>, note: &mut impl FnMut(ChangeKind)) {
    let is_open = |value: Option<&Value>| value.is_none() || value == Some(&Value::Bool(true));
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        let (before, after) = (old.get(keyword), new.get(keyword));
        if before != after {
            match (is_open(before), is_open(after)) {
                (true, true) => {}
                (_, true) => note(ChangeKind::Opened),
                _ => note(ChangeKind::Closed),
            }
        }
    }
}

/// A text or a list of texts as a set.
fn texts(value: Option<&Value>) -> BTreeSet<&str> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Value {
        json!({
            "type": "object", "title": "t", "additionalProperties": false, "required": ["a"],
            "properties": {
                "a": {"type": "string", "maxLength": 10, "pattern": "^a"},
                "b": {"type": "string", "enum": ["1", "2"]},
                "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "integer", "minimum": 0}}}}
            }
        })
    }

    /// Changes `base` at a pointer and says what `diff` finds.
    #[track_caller]
    fn check(pointer: &str, value: Value, expected: &[(&str, ChangeKind, bool)]) {
        let mut new = base();
        *new.pointer_mut(pointer).unwrap() = value;
        let found = diff(&base(), &new);
        let found: Vec<_> = found.iter().map(|change| (change.pointer.as_str(), change.kind, change.compatible)).collect();
        assert_eq!(found, expected, "{pointer}");
    }

    #[test]
    fn tells_what_breaks_and_what_does_not() {
        use ChangeKind as K;
        check("/title", json!("u"), &[("", K::Renamed, true)]);
        check("/required", json!(["a", "b"]), &[("/b", K::RequiredAdded, false)]);
        check("/required", json!([]), &[("/a", K::RequiredRemoved, false)]);
        check("/additionalProperties", json!(true), &[("", K::Opened, true)]);
        check("/properties/a/maxLength", json!(20), &[("/a", K::BoundLoosened, true)]);
        check("/properties/a/maxLength", json!(5), &[("/a", K::BoundTightened, false)]);
        check("/properties/a/pattern", json!("^b"), &[("/a", K::PatternChanged, false)]);
        check("/properties/a/type", json!(["string", "null"]), &[("/a", K::TypeWidened, true)]);
        check("/properties/a/type", json!("integer"), &[("/a", K::TypeChanged, false)]);
        check("/properties/b/enum", json!(["1", "2", "3"]), &[("/b", K::ValuesWidened, true)]);
        check("/properties/b/enum", json!(["1", "3"]), &[("/b", K::ValuesNarrowed, false)]);
        check("/properties/list/items/properties/c/minimum", json!(1), &[("/list/*/c", K::BoundTightened, false)]);
        check("/properties/list/items/properties", json!({}), &[("/list/*/c", K::PropertyRemoved, false)]);
    }

    #[test]
    fn a_new_optional_field_is_compatible_and_a_vanished_bound_is_looser() {
        let mut new = base();
        new["properties"]["d"] = json!({"type": "string"});
        new["properties"]["a"].as_object_mut().unwrap().remove("maxLength");
        let found = diff(&base(), &new);
        assert!(found.iter().all(|change| change.compatible), "{found:?}");
        assert_eq!(found.len(), 2);
        assert!(diff(&base(), &base()).is_empty());
    }
}
