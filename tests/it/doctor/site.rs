//! A small hub that is sound until a test spoils it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, sync::OnceCell};

use super::doors::http;
use crate::support::program::PROGRAM;

/// Data folder of a hub that has run once: keys, store, bus.
static RUN_ONCE: OnceCell<TempDir> = OnceCell::const_new();

const PARTNER: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/partners/bank-jlbank.toml"));

pub struct Site {
    dir: TempDir,
    /// Another data folder than the own one.
    pub data: Option<PathBuf>,
    pub schemas: PathBuf,
    /// How many files the program may open.
    pub files: u32,
    bus: String,
    store: String,
    source: Option<String>,
    extra: String,
    listen: String,
    partner: String,
    listener: Option<TcpListener>,
    lock: Option<fs::File>,
}

impl Site {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for system in ["funeral", "urban-dibao"] {
            copy(&root().join("adapters").join(system), &dir.path().join("adapters").join(system));
        }
        fs::create_dir_all(dir.path().join("partners")).unwrap();
        let source = format!("sqlite://{}", dir.path().join("dibao.db").display());
        fs::write(dir.path().join("dibao.db"), "").unwrap();
        let mut site = Self {
            dir,
            data: None,
            schemas: root().join("schemas"),
            files: 8192,
            bus: String::new(),
            store: String::new(),
            source: Some(source),
            extra: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            partner: String::new(),
            listener: None,
            lock: None,
        };
        site.partner_url(&format!("http://{}/events", http(0).await));
        let run = RUN_ONCE.get_or_init(|| async {
            let made = tempfile::tempdir().unwrap();
            let output = site
                .command("serve", &["--once", "--data", made.path().to_str().unwrap()])
                .env("CIVILHUB__HUB__SYSTEMS", "funeral")
                .output()
                .await
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            made
        });
        copy(run.await.path(), &site.data());
        site.chmod("data/keys.toml", 0o600);
        site
    }

    pub fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn empty(&self, part: &str) -> PathBuf {
        fs::create_dir_all(self.path(part)).unwrap();
        self.path(part)
    }

    pub fn chmod(&self, part: &str, mode: u32) {
        fs::set_permissions(self.path(part), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// More of the configuration.
    pub fn add(&mut self, text: &str) {
        self.extra.push_str(text);
    }

    pub fn broker(&mut self, url: &str) {
        self.bus = format!("[bus]\nkind = \"rabbitmq\"\nprefix = \"doctor.\"\nurl = \"{url}\"\n");
    }

    pub fn store(&mut self, url: &str) {
        self.store = format!("[store]\nurl = \"{url}\"\n");
    }

    pub fn source(&mut self, url: &str) {
        self.source = Some(url.to_owned());
    }

    pub fn forget_source(&mut self) {
        self.source = None;
    }

    pub fn partner_url(&mut self, url: &str) {
        self.partner =
            PARTNER.replace("https://payroll.jlbank.example/civil-affairs/events", url).replace("10.1.0.0/16", "127.0.0.0/8");
    }

    pub fn replace_in_partner(&mut self, from: &str, to: &str) {
        self.partner = self.partner.replace(from, to);
    }

    /// Another program listens where the hub would.
    pub fn take_address(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.listen = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        self.listener = Some(listener);
    }

    /// As a running hub does.
    pub fn hold_lock(&mut self) {
        let lock = fs::File::open(self.data().join("bus/lock")).unwrap();
        lock.try_lock().unwrap();
        self.lock = Some(lock);
    }

    /// Changes the store.
    pub fn sql(&mut self, sql: &'static str) {
        let url = format!("sqlite://{}", self.data().join("hub.db").display());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
                sqlx::raw_sql(sql).execute(&pool).await.unwrap();
                pool.close().await;
            });
        });
    }

    fn write(&self) -> PathBuf {
        let show = |path: &Path| path.display().to_string();
        let data = self.data.clone().unwrap_or_else(|| self.data());
        let source = self.source.as_ref().map(|url| format!("URBAN_DIBAO_URL = \"{url}\"\n")).unwrap_or_default();
        let text = [
            format!("[hub]\ndata = \"{}\"\n[http]\nlisten = \"{}\"\n", show(&data), self.listen),
            format!(
                "[paths]\nadapters = \"{}\"\nschemas = \"{}\"\npartners = \"{}\"\n",
                show(&self.path("adapters")),
                show(&self.schemas),
                show(&self.path("partners"))
            ),
            format!("[env]\n{source}BANK_JLBANK_SECRET = \"whsk_Y3Jhc2gtdGVzdC1zaWduaW5nLWtleS0zMmJ5dGUhISE=\"\n"),
            self.bus.clone(),
            self.store.clone(),
            self.extra.clone(),
        ];
        fs::write(self.path("partners/bank-jlbank.toml"), &self.partner).unwrap();
        fs::write(self.path("hub.toml"), text.concat()).unwrap();
        self.path("hub.toml")
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let config = self.write();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {} && exec \"$@\"", self.files)).arg("sh").arg(PROGRAM).arg(name);
        command.arg("--config").arg(config).args(arguments).env_remove("URBAN_DIBAO_URL").kill_on_drop(true);
        command
    }

    /// Exit code, findings, and the whole answer.
    pub async fn doctor(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let output = self.command("doctor", &[arguments, &["-o", "json"]].concat()).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let findings = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
        (output.status.code(), findings, text)
    }

    pub async fn doctor_text(&self, arguments: &[&str]) -> String {
        let output = self.command("doctor", arguments).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// The codes of what fails.
pub fn fails(findings: &[Value]) -> Vec<&str> {
    let mut codes: Vec<&str> =
        findings.iter().filter(|finding| finding["status"] == "fail").map(|finding| finding["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
