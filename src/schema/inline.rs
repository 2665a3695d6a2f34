//! Reads the schema folder and replaces references by their targets.
//!
//! A `$ref` is a path relative to its file, with an optional JSON pointer: `../common/types.json#/$defs/money` or
//! `#/$defs/member`. The result of [`Folder::inline`] has no reference left, so the validator has nothing to fetch.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};

use crate::error::{Code, Fault};

/// The schema folder or a file in it cannot be read.
pub const UNREADABLE: Code = Code::new(4001);
/// A schema file is not JSON.
pub const NOT_JSON: Code = Code::new(4002);
/// A reference leaves the schema folder, has a scheme, or its target is not there.
pub const BAD_REFERENCE: Code = Code::new(4004);

/// Schemas are trees a person reads: deeper nesting of references than this is a loop.
const DEEPEST: usize = 32;
/// `<dataset>/v1.json` needs one level; the limit ends a loop of links.
const DEEPEST_FOLDER: usize = 4;
/// Keywords whose value is one schema.
const SCHEMA: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map from names to schemas.
const MAP: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];

/// Every JSON file under the schema folder except examples, by its path relative to the folder.
pub(super) struct Folder {
    pub(super) files: BTreeMap<String, Value>,
}

impl Folder {
    /// Reads everything; files that fail are reported and left out.
    pub(super) fn read(dir: &Path, faults: &mut Vec<Fault>) -> Self {
        let mut folder = Self { files: BTreeMap::new() };
        folder.read_dir(dir, "", 0, faults);
        folder
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str, depth: usize, faults: &mut Vec<Fault>) {
        let unreadable = |error: std::io::Error| {
            let message = format!("the schema folder cannot be read: {error}");
            Fault::new(UNREADABLE, message).in_file(dir.display().to_string()).hint("check `paths.schemas` and its permissions")
        };
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return faults.push(unreadable(error)),
        };
        for entry in entries {
            let path = match entry {
                Ok(entry) => entry.path(),
                Err(error) => return faults.push(unreadable(error)),
            };
            // A mounted ConfigMap keeps its versions in folders that start with a dot.
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
                continue;
            };
            if path.is_dir() && name != "examples" && depth < DEEPEST_FOLDER {
                self.read_dir(&path, &format!("{prefix}{name}/"), depth + 1, faults);
            } else if name.ends_with(".json") {
                self.read_file(&path, format!("{prefix}{name}"), faults);
            }
        }
    }

    fn read_file(&mut self, path: &Path, name: String, faults: &mut Vec<Fault>) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return faults.push(Fault::new(UNREADABLE, format!("the schema cannot be read: {error}")).in_file(name));
            }
        };
        match serde_json::from_str(&text) {
            Ok(schema) => {
                self.files.insert(name, schema);
            }
            Err(error) => faults.push(Fault::new(NOT_JSON, format!("the schema is not JSON: {error}")).in_file(name)),
        }
    }

    /// The schema of one file with every reference replaced by its target.
    pub(super) fn inline(&self, file: &str, faults: &mut Vec<Fault>) -> Value {
        let Some(root) = self.files.get(file) else { return Value::Bool(true) };
        let mut inliner = Inliner { folder: self, trail: Vec::new(), faults };
        inliner.schema(root, file)
    }

    /// Follows `reference` from `file`; answers the file and the schema it names.
    fn resolve<'a>(&'a self, file: &str, reference: &str) -> Result<(String, &'a Value), &'static str> {
        let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if path.contains(':') || path.starts_with('/') || path.contains('\\') {
            return Err("has a scheme or is absolute");
        }
        let target = if path.is_empty() { file.to_owned() } else { join(file, path).ok_or("leaves the schema folder")? };
        let root = self.files.get(&target).ok_or("names a file that is not there")?;
        let schema = root.pointer(fragment).ok_or("names a definition that is not there")?;
        Ok((target, schema))
    }
}

/// `path` relative to the folder of `file`; `None` when it climbs out.
fn join(file: &str, path: &str) -> Option<String> {
    let mut segments: Vec<&str> = file.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            name => segments.push(name),
        }
    }
    Some(segments.join("/"))
}

struct Inliner<'a> {
    folder: &'a Folder,
    /// References being followed, to notice a loop.
    trail: Vec<String>,
    faults: &'a mut Vec<Fault>,
}

impl Inliner<'_> {
    fn schema(&mut self, schema: &Value, file: &str) -> Value {
        let Value::Object(keywords) = schema else { return schema.clone() };
        let mut out = Map::new();
        for (keyword, value) in keywords {
            let name = keyword.as_str();
            let value = match value {
                // Identity is the place in the folder, and definitions are only there to be referred to.
                _ if matches!(name, "$id" | "$defs" | "$ref" | "$comment") => continue,
                Value::Object(schemas) if MAP.contains(&name) => {
                    schemas.iter().map(|(name, schema)| (name.clone(), self.schema(schema, file))).collect()
                }
                Value::Array(schemas) if LIST.contains(&name) => schemas.iter().map(|schema| self.schema(schema, file)).collect(),
                Value::Object(_) if SCHEMA.contains(&name) => self.schema(value, file),
                _ => value.clone(),
            };
            out.insert(keyword.clone(), value);
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            let target = self.target(reference, file);
            return overlay(target, out);
        }
        Value::Object(out)
    }

    fn target(&mut self, reference: &str, file: &str) -> Value {
        let resolved = match self.folder.resolve(file, reference) {
            Ok(_) if self.trail.len() >= DEEPEST => Err("leads back to itself"),
            other => other,
        };
        match resolved {
            Ok((target_file, schema)) => {
                self.trail.push(reference.to_owned());
                let target = self.schema(schema, &target_file);
                self.trail.pop();
                target
            }
            Err(problem) => {
                let fault = Fault::new(BAD_REFERENCE, format!("the reference `{reference}` {problem}"))
                    .in_file(file)
                    .expected("a relative path inside the schema folder, e.g. `../common/types.json#/$defs/money`");
                if !self.faults.contains(&fault) {
                    self.faults.push(fault);
                }
                Value::Bool(true)
            }
        }
    }
}

/// What stands beside a `$ref` applies together with its target. Remarks are laid over the target; anything that
/// checks keeps the target whole under `allOf`, because `additionalProperties` must see only its own neighbours.
fn overlay(target: Value, mut beside: Map<String, Value>) -> Value {
    let only_remarks = beside.keys().all(|keyword| is_remark(keyword));
    match target {
        Value::Object(mut keywords) if only_remarks => {
            keywords.extend(beside);
            Value::Object(keywords)
        }
        target => {
            let all = beside.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(members) = all {
                members.push(target);
            }
            Value::Object(beside)
        }
    }
}

fn is_remark(keyword: &str) -> bool {
    matches!(keyword, "title" | "description" | "default" | "examples" | "deprecated" | "readOnly" | "writeOnly" | "$schema")
        || matches!(keyword, "x-sensitivity" | "x-name" | "x-filled-by")
}
