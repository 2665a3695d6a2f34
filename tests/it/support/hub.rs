//! The real program, started with a configuration, adapters and partners of its own: for tests that kill it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::process::{Child, Command};

use super::{broker::Broker, postgres::Postgres, unique};

/// Longest time of a command that reads, a migrating one included.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// Signing secret of the stub partner; worth nothing outside.
const SECRET: &str = "whsk_Y3Jhc2gtdGVzdC1zaWduaW5nLWtleS0zMmJ5dGUhISE=";

/// Bus and store of a hub.
#[derive(Debug, Clone)]
pub enum Backends {
    /// Embedded bus and SQLite.
    Embedded,
    /// RabbitMQ, with a prefix, and PostgreSQL.
    Servers { amqp: String, prefix: String, postgres: String },
}

impl Backends {
    /// On the servers of the suite, with a database and a prefix that nobody else has.
    pub async fn servers() -> Self {
        Self::Servers {
            amqp: Broker::shared().await,
            prefix: format!("{}.", unique("hub")),
            postgres: Postgres::database().await,
        }
    }

    fn toml(&self) -> String {
        match self {
            Self::Embedded => String::new(),
            Self::Servers { amqp, prefix, postgres } => {
                format!("[bus]\nkind = \"rabbitmq\"\nurl = \"{amqp}\"\nprefix = \"{prefix}\"\n[store]\nurl = \"{postgres}\"\n")
            }
        }
    }
}

/// A hub's folder: configuration, four adapters, a lake and a stub partner that both get every dataset.
#[derive(Clone)]
pub struct HubFolder {
    dir: PathBuf,
    backends: Backends,
    env: BTreeMap<String, String>,
}

/// What a hub is made of.
pub struct Plan<'a> {
    pub dir: &'a Path,
    pub backends: Backends,
    /// Database file of `urban-dibao`.
    pub dibao: &'a Path,
    /// Address of the stub partner's webhook.
    pub stub: String,
    /// Most deliveries a second to the stub; 0 for no limit.
    pub rate: u32,
}

impl HubFolder {
    /// Writes everything a hub needs to start, but no data.
    pub fn write(plan: Plan<'_>) -> Self {
        fs::create_dir_all(plan.dir).unwrap();
        let hub = Self { dir: plan.dir.to_owned(), backends: plan.backends, env: BTreeMap::new() };
        for system in ["funeral", "senior-allowance", "fund-payment", "urban-dibao"] {
            adapter(&root().join("adapters").join(system), &hub.dir.join("adapters").join(system));
        }
        hub.set_partners(&plan.stub, plan.rate);
        let show = |path: &Path| path.display().to_string();
        let paths = format!(
            "[hub]\ndata = \"{}\"\n[paths]\nadapters = \"{}\"\nschemas = \"{}\"\npartners = \"{}\"\n",
            show(&hub.data()),
            show(&hub.dir.join("adapters")),
            show(&root().join("schemas")),
            show(&hub.dir.join("partners")),
        );
        let rest = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[lake]\nbatch = 512\nlinger = \"200ms\"\n[env]\nURBAN_DIBAO_URL = \"sqlite://{}\"\nSTUB_SECRET = \"{SECRET}\"\n",
            show(plan.dibao)
        );
        fs::write(hub.config(), [paths, hub.backends.toml(), rest].concat()).unwrap();
        hub
    }

    /// The lake and the stub, each with the agreements of the big-data platform: every dataset goes to both. Holds from
    /// the next start on.
    pub fn set_partners(&self, stub: &str, rate: u32) {
        let lake = fs::read_to_string(root().join("config/partners/bigdata-platform.toml")).unwrap();
        let transport = format!(
            "kind = \"webhook\"\nurl = \"{stub}\"\nallow = [\"127.0.0.0/8\"]\nsigning = \"ed25519\"\nsecret = \"${{STUB_SECRET}}\"\nrate_per_second = {rate}\n"
        );
        let to_stub = lake.replace("slug = \"bigdata-platform\"", "slug = \"stub\"").replace("kind = \"lake\"\n", &transport);
        assert!(to_stub.contains("slug = \"stub\"") && to_stub.contains("webhook"), "the partner file has changed its form");
        let folder = self.dir.join("partners");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("bigdata-platform.toml"), lake).unwrap();
        fs::write(folder.join("stub.toml"), to_stub).unwrap();
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn lake(&self) -> PathBuf {
        self.data().join("lake")
    }

    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    fn config(&self) -> PathBuf {
        self.dir.join("civilhub.toml")
    }

    /// Drop folder of a file system.
    pub fn inbox(&self, system: &str) -> PathBuf {
        self.data().join("inbox").join(system)
    }

    /// Puts a file into a drop folder, as a careful system does: complete before it has its name.
    pub fn hand_in(&self, system: &str, file: &Path) {
        let folder = self.inbox(system);
        fs::create_dir_all(&folder).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let fresh = folder.join(format!(".{name}.tmp"));
        fs::copy(file, &fresh).unwrap();
        fs::rename(&fresh, folder.join(name)).unwrap();
    }

    /// Whether the hub is done with a file of a drop folder.
    pub fn has_put_away(&self, system: &str, name: &str) -> bool {
        [".done", ".quarantine"].iter().any(|to| self.inbox(system).join(to).join(name).exists())
    }

    /// Secrets of another hub instead of fresh ones: both derive the same ids.
    pub fn keys_of(&self, other: &Self) {
        fs::create_dir_all(self.data()).unwrap();
        fs::copy(other.data().join("keys.toml"), self.data().join("keys.toml")).unwrap();
    }

    /// Sets an environment variable for every process started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset(&mut self, name: &str) {
        self.env.remove(name);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
        command.arg("--config").arg(self.config()).args(arguments).envs(&self.env).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts the program; its log goes to the end of `hub.log`. It ends with the test.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("hub.log")).unwrap();
        let errors = log.try_clone().unwrap();
        self.command(arguments).stdout(log).stderr(errors).spawn().unwrap()
    }

    /// Runs the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        tokio::time::timeout(COMMAND_LIMIT, output).await.unwrap_or_else(|_| panic!("{arguments:?} takes too long")).unwrap()
    }

    /// Runs a command that prints JSON; findings (exit code 1) are an answer too.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The books summed over days, by system: the numbers of their columns.
    pub async fn books(&self) -> Books {
        let mut books = Books::new();
        for row in self.json(&["books", "-o", "json"]).await["rows"].as_array().unwrap() {
            let line = books.entry(row["system"].as_str().unwrap().to_owned()).or_default();
            for (column, value) in row.as_object().unwrap() {
                if let Some(number) = value.as_i64() {
                    *line.entry(column.clone()).or_default() += number;
                }
            }
        }
        books
    }

    /// The last lines of the log, for a failing test.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.join("hub.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Where the process that was started last listens, once its log says so.
    pub async fn listen(&self) -> String {
        let mut found = None;
        super::eventually(COMMAND_LIMIT, "the hub listens", async || {
            let log = fs::read_to_string(self.dir.join("hub.log")).unwrap_or_default();
            let line = log.lines().rfind(|line| line.contains("the hub is ready"));
            let rest = line.and_then(|line| line.split_once("127.0.0.1:"));
            found = rest.map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
            found.is_some()
        })
        .await;
        format!("127.0.0.1:{}", found.unwrap())
    }

    /// Lines of the log that hold a text.
    pub fn log_lines(&self, with: &str) -> usize {
        fs::read_to_string(self.dir.join("hub.log")).unwrap_or_default().lines().filter(|line| line.contains(with)).count()
    }
}

/// System, column, sum.
pub type Books = BTreeMap<String, BTreeMap<String, i64>>;

/// The sum of one column.
pub fn total(books: &Books, column: &str) -> i64 {
    books.values().map(|line| line.get(column).copied().unwrap_or_default()).sum()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Copies an adapter and makes it look often and believe quickly that a file is complete.
fn adapter(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let mut text = fs::read_to_string(entry.path()).unwrap();
        if entry.file_name() == "adapter.toml" {
            let line = |line: &str| match line {
                "kind = \"file\"" => "kind = \"file\"\nsettle = \"100ms\"".to_owned(),
                line if line.starts_with("every = ") => "every = \"1s\"".to_owned(),
                line => line.to_owned(),
            };
            text = text.lines().map(line).collect::<Vec<_>>().join("\n");
        }
        fs::write(to.join(entry.file_name()), text).unwrap();
    }
}
