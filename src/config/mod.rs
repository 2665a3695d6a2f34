//! Configuration in layers: the embedded `config/civilhub.toml`, a file, `CIVILHUB__` variables, flags.

pub mod keys;
mod unknown;

pub(crate) use unknown::nearest;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Environment, File, FileFormat};
use serde::Deserialize;

use crate::error::{Code, Fault};

/// A configuration file or variable cannot be read, or has an unknown key or a value of the wrong kind.
pub const BAD_CONFIG: Code = Code::new(1001);

/// The reference page of all keys, and the lowest layer.
pub const DEFAULTS: &str = include_str!("../../config/civilhub.toml");

/// The whole configuration; `config/civilhub.toml` describes each key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub hub: Hub,
    pub bus: Bus,
    pub store: Url,
    pub lake: Lake,
    pub http: Http,
    pub paths: Paths,
    pub keys: KeyFile,
    pub router: Router,
    pub log: Log,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    pub data: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BusKind {
    Embedded,
    Rabbitmq,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    pub kind: BusKind,
    pub url: String,
    pub prefix: String,
    pub partitions: u16,
    pub prefetch: u16,
    #[serde(deserialize_with = "duration")]
    pub confirm_timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Url {
    pub url: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lake {
    pub url: String,
    pub batch: usize,
    #[serde(deserialize_with = "duration")]
    pub linger: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    pub adapters: PathBuf,
    pub schemas: PathBuf,
    pub partners: PathBuf,
    pub inbox: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    pub file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    pub batch: usize,
    #[serde(deserialize_with = "duration")]
    pub linger: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: String,
}

impl Config {
    /// Reads all layers. `data` is the `--data` flag.
    pub fn load(file: Option<&Path>, data: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            builder = builder.add_source(File::from(path).format(FileFormat::Toml));
        }
        builder = builder.add_source(Environment::with_prefix("CIVILHUB").prefix_separator("__").separator("__").try_parsing(true));
        let merged = builder.build().map_err(|error| vec![bad(&error.to_string(), file)])?;
        let faults = unknown::faults(&merged, file);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut config: Self = merged.try_deserialize().map_err(|error| vec![bad(&error.to_string(), file)])?;
        if let Some(data) = data {
            config.hub.data = data.to_owned();
        }
        Ok(config)
    }

    /// URL of the store, with the default filled in.
    pub fn store_url(&self) -> String {
        if self.store.url.is_empty() { format!("sqlite://{}", self.hub.data.join("hub.db").display()) } else { self.store.url.clone() }
    }

    /// Folder or URL of the lake, with the default filled in.
    pub fn lake_url(&self) -> String {
        if self.lake.url.is_empty() { self.hub.data.join("lake").display().to_string() } else { self.lake.url.clone() }
    }

    pub fn inbox(&self) -> PathBuf {
        if self.paths.inbox.as_os_str().is_empty() { self.hub.data.join("inbox") } else { self.paths.inbox.clone() }
    }

    pub fn bus_dir(&self) -> PathBuf {
        self.hub.data.join("bus")
    }

    pub fn key_file(&self) -> PathBuf {
        if self.keys.file.as_os_str().is_empty() { self.hub.data.join("keys.toml") } else { self.keys.file.clone() }
    }
}

fn bad(message: &str, file: Option<&Path>) -> Fault {
    let fault = Fault::new(BAD_CONFIG, message).hint("config/civilhub.toml lists every key with its default");
    match file {
        Some(path) => fault.in_file(path.display().to_string()),
        None => fault,
    }
}

/// Accepts `500ms`, `20s`, `5m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    match text[split..].trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "d" => Some(Duration::from_secs(number.checked_mul(86_400)?)),
        _ => None,
    }
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a duration such as 500ms, 20s or 5m")))
}
