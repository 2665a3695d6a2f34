//! A hub in a process of its own, whose sources are polled every second.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use civilhub::error::Code;
use serde_json::Value;
use tempfile::TempDir;

use super::{pull::Server, soap::Service};
use crate::support::program::{self, Running, command};

pub const PUSH_SECRET: &str = "hostile-push-secret-of-thirty-two";
/// Time for anything to come out at the other end.
const LIMIT: Duration = Duration::from_secs(60);

/// A fault as it must be in the dead letters: code, row, column or pointer.
pub type Expected = (Code, Option<u64>, Option<&'static str>);

pub struct Hub {
    folder: TempDir,
    running: Running,
    pub url: String,
    pub server: Server,
    pub service: Service,
}

impl Hub {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        eager_adapters(&at("adapters"));
        fs::create_dir(at("partners")).unwrap();
        for partner in ["bigdata-platform.toml", "internet-plus.toml"] {
            fs::copy(repository().join("config/partners").join(partner), at("partners").join(partner)).unwrap();
        }
        let config = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[paths]\nadapters = \"{}\"\npartners = \"{}\"\n[log]\nlevel = \"debug\"\n",
            at("adapters").display(),
            at("partners").display()
        );
        fs::write(at("civilhub.toml"), config).unwrap();
        super::sql::create(&at("dibao.sqlite")).await;
        let (server, service) = (Server::start().await, Service::start().await);
        let mut command =
            command(&["serve", "--config", at("civilhub.toml").to_str().unwrap(), "--data", at("data").to_str().unwrap()]);
        command.envs([
            ("URBAN_DIBAO_URL", format!("sqlite://{}", at("dibao.sqlite").display())),
            ("ASSIST_HALL_URL", server.url.clone()),
            ("ASSIST_HALL_TOKEN", "hostile".to_owned()),
            ("DISASTER_REPORT_SECRET", PUSH_SECRET.to_owned()),
            ("CHILD_ADOPTION_URL", service.url.clone()),
            ("CHILD_ADOPTION_USER", "hostile".to_owned()),
            ("CHILD_ADOPTION_PASSWORD", "hostile".to_owned()),
            ("INTERNET_PLUS_TOKEN", "hostile-mailbox-token-of-a-test".to_owned()),
        ]);
        for vendor in ["dongzhan", "jianguo", "fengman", "chuanying"] {
            let name = format!("SMART_COMMUNITY_{}_SECRET", vendor.to_uppercase());
            command.env(name, format!("{PUSH_SECRET}-{vendor}"));
        }
        let mut running = Running::start(command, &at("hub.log"));
        let listen = running.wait_for("listen=", Duration::from_secs(60));
        Self { url: format!("http://{listen}"), folder, running, server, service }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn inbox(&self, system: &str) -> PathBuf {
        let path = self.data().join("inbox").join(system);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Puts a file into a drop folder the way a careful sender does.
    pub fn hand_in(&self, system: &str, name: &str, bytes: &[u8]) {
        let folder = self.inbox(system);
        fs::write(folder.join(format!(".{name}.tmp")), bytes).unwrap();
        fs::rename(folder.join(format!(".{name}.tmp")), folder.join(name)).unwrap();
    }

    /// What a file of a source must lead to: exactly these faults in the dead letters, and so many records delivered.
    pub async fn takes(&mut self, system: &str, name: &str, bytes: &[u8], expected: &[Expected], delivered: i64) {
        let before = self.delivered(system);
        let started = Instant::now();
        self.hand_in(system, name, bytes);
        self.comes(system, name, expected, before + delivered).await;
        println!(
            "{system:16} {name:28} {:>9} bytes {:>5} ms  {expected:?}, {delivered} delivered",
            bytes.len(),
            started.elapsed().as_millis()
        );
    }

    /// Waits for the faults of one file, table or address, and for the number of records of the system delivered in all.
    pub async fn comes(&mut self, system: &str, file: &str, expected: &[Expected], delivered: i64) {
        let started = Instant::now();
        loop {
            assert!(self.running.is_alive(), "the hub died of {file}: {}", self.running.log());
            let (faults, now) = (self.faults(system, file), self.delivered(system));
            let missing: Vec<_> = expected.iter().filter(|wanted| !faults.iter().any(|fault| fits(fault, wanted))).collect();
            if missing.is_empty() && faults.len() == expected.len() && now == delivered {
                return;
            }
            assert!(
                started.elapsed() < LIMIT && faults.len() <= expected.len() && now <= delivered,
                "{system} {file}: missing {missing:?}, {now} of {delivered} delivered, faults {faults:#?}\n{}",
                last_lines(&self.running.log())
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Faults in the dead letters of a system whose place is this file; of several faults of one row the first.
    fn faults(&self, system: &str, file: &str) -> Vec<Value> {
        let letters = program::dead(&self.data());
        let of = letters.into_iter().filter(|letter| letter["system"] == system);
        of.filter_map(|letter| letter["faults"].as_array()?.first().cloned())
            .filter(|fault| fault["file"].as_str().is_some_and(|name| name == file))
            .collect()
    }

    pub fn delivered(&self, system: &str) -> i64 {
        program::books(&self.data()).get(system).map_or(0, |line| line["delivered"])
    }

    pub fn high_water_mib(&self) -> u64 {
        self.running.high_water_mib()
    }

    /// No list and no log line has a number or a name of the input.
    pub fn names_no_citizen(&self) {
        let lists = [["dead", "list", "--limit", "100000", "--data"], ["dead", "list", "-o", "json", "--data"]];
        let mut texts: Vec<String> =
            lists.iter().map(|list| program::expect(0, &[&list[..], &[self.data().to_str().unwrap()]].concat()).stdout).collect();
        texts.push(self.running.log());
        for text in texts {
            let number = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() >= 17);
            assert_eq!(number, None);
            assert!(!text.contains("王建国"));
        }
    }

    /// Books without a gap, a sound ledger, a clean stop.
    pub fn ends_well(self) {
        let balanced = || program::books(&self.data()).values().all(|line| line["gap"] == 0 && line["in_flight"] == 0);
        let started = Instant::now();
        while !balanced() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(300));
        }
        for (system, line) in program::books(&self.data()) {
            println!("{system:16} {line:?}");
            assert_eq!((line["gap"], line["in_flight"], line["parked"]), (0, 0, 0), "{system}: {line:?}");
        }
        program::expect(0, &["ledger", "verify", "--data", self.data().to_str().unwrap()]);
        assert_eq!(self.running.stop(), Some(0));
    }
}

fn fits(fault: &Value, (code, row, place): &Expected) -> bool {
    let text = |name: &str| fault[name].as_str().unwrap_or_default();
    text("code") == code.to_string()
        && row.is_none_or(|row| fault["row"] == row)
        && place.is_none_or(|place| text("column") == place || text("pointer") == place)
        && !text("message").is_empty()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Systems whose sources are attacked: one for each kind and format.
const SYSTEMS: [&str; 10] = [
    "assist-hall",
    "child-adoption",
    "disaster-report",
    "fund-payment",
    "funeral",
    "rural-welfare",
    "senior-allowance",
    "smart-community",
    "tekun",
    "urban-dibao",
];

/// The real adapters, polled every second.
fn eager_adapters(to: &Path) {
    for from in SYSTEMS.map(|system| repository().join("adapters").join(system)) {
        let folder = to.join(from.file_name().unwrap());
        fs::create_dir_all(&folder).unwrap();
        for file in fs::read_dir(&from).unwrap().map(|file| file.unwrap().path()).filter(|file| file.is_file()) {
            let name = file.file_name().unwrap();
            if name == "adapter.toml" {
                let eager = |line: &str| match line.split_once(" = ") {
                    // Every attack is a small file of its own: full loads would be held, and are tested in `loads`.
                    Some(("load" | "keys" | "max_drop", _)) => String::new(),
                    Some(("every", _)) => "every = \"1s\"".to_owned(),
                    Some(("kind", "\"file\"")) => format!("{line}\nsettle = \"400ms\""),
                    _ => line.to_owned(),
                };
                let text: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(eager).collect();
                fs::write(folder.join(name), text.join("\n")).unwrap();
            } else {
                fs::copy(&file, folder.join(name)).unwrap();
            }
        }
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
