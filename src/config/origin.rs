//! Every value with the layer it comes from, secrets hidden.

use std::{collections::BTreeMap, fmt, path::Path};

use config::{File, FileFormat, Value, ValueKind};
use serde::Serialize;

use super::{DEFAULTS, bad, environment, merged, unknown};
use crate::error::Fault;

/// Shown instead of a secret.
pub const HIDDEN: &str = "(hidden)";

/// The layer a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Default,
    File,
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// One value that holds.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// `bus.url`
    pub key: String,
    /// As JSON, or [`HIDDEN`] where it is a secret.
    pub value: serde_json::Value,
    pub origin: Origin,
    /// The path of the file, the name of the variable or of the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The values of all layers together, in the order of their keys.
pub fn entries(file: Option<&Path>, data: Option<&Path>) -> Result<Vec<Entry>, Vec<Fault>> {
    let merged = merged(file)?;
    let faults = unknown::faults(&merged, file);
    if !faults.is_empty() {
        return Err(faults);
    }
    let layer = |source: config::ConfigBuilder<config::builder::DefaultState>| {
        source.build().map(|layer| flat(&layer.cache)).map_err(|error| vec![bad(&error.to_string(), file)])
    };
    let of_file = match file {
        Some(path) => layer(config::Config::builder().add_source(File::from(path).format(FileFormat::Toml)))?,
        None => BTreeMap::new(),
    };
    let of_environment = layer(config::Config::builder().add_source(environment()))?;
    let of_defaults = layer(config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)))?;
    let origin = |key: &str| {
        if key == "hub.data" && data.is_some() {
            (Origin::Flag, Some("--data".to_owned()))
        } else if of_environment.contains_key(key) {
            (Origin::Environment, Some(variable(key)))
        } else if of_file.contains_key(key) {
            (Origin::File, file.map(|path| path.display().to_string()))
        } else {
            debug_assert!(of_defaults.contains_key(key), "{key}");
            (Origin::Default, None)
        }
    };
    let values = flat(&merged.cache).into_iter().map(|(key, value)| {
        let (origin, from) = origin(&key);
        let value = match (origin, data) {
            (Origin::Flag, Some(data)) => data.display().to_string().into(),
            _ => shown(&key, value),
        };
        Entry { key, value, origin, from }
    });
    Ok(values.collect())
}

/// The variable that sets a key.
fn variable(key: &str) -> String {
    format!("CIVILHUB__{}", key.to_uppercase().replace('.', "__"))
}

/// `section.key` to value.
fn flat(value: &Value) -> BTreeMap<String, serde_json::Value> {
    let mut found = BTreeMap::new();
    walk("", value, &mut found);
    found
}

fn walk(key: &str, value: &Value, found: &mut BTreeMap<String, serde_json::Value>) {
    if let ValueKind::Table(table) = &value.kind {
        for (name, inner) in table {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            walk(&key, inner, found);
        }
    } else {
        found.insert(key.to_owned(), json(value));
    }
}

fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Nil | ValueKind::Table(_) => serde_json::Value::Null,
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::U64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::Array(values) => values.iter().map(json).collect(),
        other => other.to_string().into(),
    }
}

/// What may be shown of a value: nothing of `[env]` and of what is named like a secret, of a URL all but its secrets.
fn shown(key: &str, value: serde_json::Value) -> serde_json::Value {
    let secret = |name: &str| ["password", "passwd", "secret", "token"].iter().any(|word| name.contains(word));
    let empty = value.as_str().is_some_and(str::is_empty);
    if !empty && (key.starts_with("env.") || secret(&key.to_lowercase())) {
        return HIDDEN.into();
    }
    match value.as_str().map(without_secrets) {
        Some(text) => text.into(),
        None => value,
    }
}

/// A URL with its password hidden, and every parameter: they hold passwords in some dialects.
pub fn without_secrets(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // The last `@`: a password may hold one that is not escaped.
    let at = rest.rfind('@').filter(|at| *at < end || rest[..*at].contains(':'));
    let (user, place) = at.map_or((None, rest), |at| (Some(&rest[..at]), &rest[at + 1..]));
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@"),
        None => format!("{user}@"),
    });
    let place = place.split_once('?').map_or_else(|| place.to_owned(), |(place, _)| format!("{place}?{HIDDEN}"));
    format!("{scheme}://{}{place}", user.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_show_no_secret() {
        for (url, expected) in [
            ("amqp://u:p@h:5672/v", "amqp://u:(hidden)@h:5672/v"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("postgres://h/db?password=x&user=u", "postgres://h/db?(hidden)"),
            ("postgres://u:p@ss/w@h/db", "postgres://u:(hidden)@h/db"),
            ("sqlite://data/hub.db", "sqlite://data/hub.db"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), expected);
        }
    }

    #[test]
    fn each_value_has_its_layer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.toml");
        std::fs::write(&path, "[bus]\nkind = \"rabbitmq\"\nurl = \"amqp://u:p@h/v\"\n[env]\nBANK_SECRET = \"s\"").unwrap();
        let entries = entries(Some(&path), Some(Path::new("/d"))).unwrap();
        let of = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap();
        assert_eq!((of("bus.url").origin, of("bus.url").value.as_str()), (Origin::File, Some("amqp://u:(hidden)@h/v")));
        assert_eq!((of("env.BANK_SECRET").value.as_str(), of("bus.prefetch").origin), (Some(HIDDEN), Origin::Default));
        assert_eq!((of("hub.data").value.as_str(), of("hub.data").origin), (Some("/d"), Origin::Flag));
        assert!(!serde_json::to_string(&entries).unwrap().contains(":p@"));
    }
}
