//! Configuration in layers: the embedded `config/civilhub.toml`, a file, `CIVILHUB__` variables, flags.

pub mod keys;
pub mod origin;
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
    pub exchange: Exchange,
    pub log: Log,
    pub traces: Traces,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    pub data: PathBuf,
    #[serde(deserialize_with = "names")]
    pub systems: Vec<String>,
    #[serde(deserialize_with = "names")]
    pub partners: Vec<String>,
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
    pub policies: PathBuf,
    pub rules: PathBuf,
    pub inbox: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    pub file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub detail_days: u16,
    pub dispute_workdays: u16,
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    pub url: String,
    pub share: f64,
}

impl Config {
    /// Reads all layers. `data` is the `--data` flag.
    pub fn load(file: Option<&Path>, data: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let merged = merged(file)?;
        let faults = unknown::faults(&merged, file);
        if faults.is_empty() { Self::read(merged.cache, file, data) } else { Err(faults) }
    }

    /// What can be read of layers with unknown keys: those are left out, and their faults come beside it. For looking at a
    /// hub that cannot start.
    pub fn load_known(file: Option<&Path>, data: Option<&Path>) -> (Option<Self>, Vec<Fault>) {
        let merged = match merged(file) {
            Ok(merged) => merged,
            Err(faults) => return (None, faults),
        };
        let mut faults = unknown::faults(&merged, file);
        match Self::read(unknown::without(merged.cache), file, data) {
            Ok(config) => (Some(config), faults),
            Err(more) => {
                faults.extend(more);
                (None, faults)
            }
        }
    }

    fn read(values: config::Value, file: Option<&Path>, data: Option<&Path>) -> Result<Self, Vec<Fault>> {
        let mut config: Self = values.try_deserialize().map_err(|error| vec![bad(&error.to_string(), file)])?;
        if let Some(data) = data {
            config.hub.data = data.to_owned();
        }
        let faults = config.senseless(file);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Values of the right kind with which a hub would stand still.
    fn senseless(&self, file: Option<&Path>) -> Vec<Fault> {
        let rules = [
            (self.bus.partitions == 0, "bus.partitions", "1 or more"),
            (self.bus.prefetch == 0, "bus.prefetch", "1 or more"),
            (self.bus.confirm_timeout.is_zero(), "bus.confirm_timeout", "longer than nothing, such as 30s"),
            (self.bus.kind == BusKind::Rabbitmq && self.bus.url.is_empty(), "bus.url", "amqp://user:password@host:5672/vhost"),
            (self.lake.batch == 0, "lake.batch", "1 or more"),
            (self.router.batch == 0, "router.batch", "1 or more"),
            (self.exchange.detail_days == 0, "exchange.detail_days", "at least 1"),
            (!(1..=250).contains(&self.exchange.dispute_workdays), "exchange.dispute_workdays", "1 to 250"),
            (!(0.0..=1.0).contains(&self.traces.share), "traces.share", "0 to 1"),
        ];
        let wrong = rules.into_iter().filter(|(wrong, ..)| *wrong);
        wrong.map(|(_, key, expected)| bad(&format!("`{key}` does not make sense"), file).expected(expected)).collect()
    }

    /// URL of the store, with the default filled in.
    pub fn store_url(&self) -> String {
        if self.store.url.is_empty() {
            format!("sqlite://{}", self.hub.data.join("hub.db").display())
        } else {
            self.store.url.clone()
        }
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

/// All layers but the flags, one over the other.
fn merged(file: Option<&Path>) -> Result<config::Config, Vec<Fault>> {
    let mut builder = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    builder.add_source(environment()).build().map_err(|error| vec![bad(&error.to_string(), file)])
}

fn environment() -> Environment {
    Environment::with_prefix("CIVILHUB").prefix_separator("__").separator("__").try_parsing(true)
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

/// A list of names, or one text with commas between them, as an environment variable has it.
fn names<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        List(Vec<String>),
        Text(String),
    }
    let split = |text: &str| text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(match Names::deserialize(deserializer)? {
        Names::List(list) => list,
        Names::Text(text) => split(&text),
    })
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a duration such as 500ms, 20s or 5m")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Faults;

    fn load(text: &str) -> Result<Config, Vec<Fault>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), None)
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("500ms", 500), ("20s", 20_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000), ("0s", 0), ("5 s", 5_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5", "-5s", "1.5s", "5 weeks", "5S", "99999999999999999999s", "18446744073709551615d", "５s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_file_lies_over_the_defaults_and_a_flag_over_the_file() {
        let config = load("[hub]\ndata = \"from-file\"\n[router]\nlinger = \"1s\"\n[env]\nBANK_SECRET = \"s\"").unwrap();
        assert_eq!((config.hub.data.as_path(), config.router.linger), (Path::new("from-file"), Duration::from_secs(1)));
        assert_eq!(
            (config.router.batch, config.bus.kind),
            (512, BusKind::Embedded),
            "what the file does not name is as in the defaults"
        );
        assert_eq!(config.env.get("BANK_SECRET").map(String::as_str), Some("s"), "names of values keep their case");
        assert_eq!(config.store_url(), "sqlite://from-file/hub.db");
        let flagged = Config::load(None, Some(Path::new("/flag"))).unwrap();
        assert_eq!((flagged.bus_dir(), flagged.key_file()), (PathBuf::from("/flag/bus"), PathBuf::from("/flag/keys.toml")));
        assert_eq!((flagged.inbox(), flagged.lake_url()), (PathBuf::from("/flag/inbox"), "/flag/lake".to_owned()));
    }

    #[test]
    fn every_unknown_key_and_every_senseless_value_is_named() {
        let faults = load("[bus]\npartition = 3\n[rooter]\nbatch = 1\n[hub]\nfolder = \"x\"").unwrap_err();
        let text = Faults(faults).to_string();
        for part in [
            "`bus.partition`",
            "did you mean `bus.partitions`?",
            "`rooter`",
            "did you mean `router`?",
            "`hub.folder`",
            "hub.toml",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let faults =
            load("[bus]\npartitions = 0\nprefetch = 0\nkind = \"rabbitmq\"\n[router]\nbatch = 0\n[lake]\nbatch = 0").unwrap_err();
        assert_eq!(faults.len(), 5, "{faults:?}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named() {
        for (text, part) in [
            ("[bus]\nkind = \"kafka\"", "kafka"),
            ("[router]\nlinger = \"soon\"", "soon"),
            ("[bus]\npartitions = 70000", "70000"),
            ("[bus]\npartitions = -1", "-1"),
            ("hub = 5", "hub"),
            ("[hub", "hub.toml"),
        ] {
            let faults = load(text).unwrap_err();
            assert!(faults.iter().all(|fault| fault.code == BAD_CONFIG), "{text}");
            assert!(Faults(faults.clone()).to_string().contains(part), "{text}: {faults:?}");
        }
    }
}
