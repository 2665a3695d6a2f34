//! The program itself as a child process: its answers, its log, its memory.
#![allow(dead_code, reason = "every test file uses its part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_civilhub");

/// A command of the program, run in the repository's folder: there are its adapters, schemas and partners.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// What a command left.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Done {
    command(arguments).output().unwrap().into()
}

/// Runs the program and fails the test unless it ends with this exit code.
pub fn expect(code: i32, arguments: &[&str]) -> Done {
    let done = run(arguments);
    assert_eq!(done.code, Some(code), "{arguments:?}\n{}\n{}", tail(&done.stdout), tail(&done.stderr));
    done
}

/// The JSON that a command prints, with `--data`.
pub fn json(data: &Path, arguments: &[&str]) -> Value {
    let done = expect(0, &[arguments, &["--data", data.to_str().unwrap()]].concat());
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", tail(&done.stdout)))
}

/// The rows of `civilhub books`, all days of a system in one line: system, then name to number.
pub fn books(data: &Path) -> BTreeMap<String, BTreeMap<String, i64>> {
    let mut books: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    // Beside a running hub the queues were counted up to a second ago: a gap may be seen, and is then exit code 1.
    let done = run(&["books", "-o", "json", "--data", data.to_str().unwrap()]);
    let printed: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", tail(&done.stderr)));
    for row in printed["rows"].as_array().unwrap() {
        let line = books.entry(row["system"].as_str().unwrap().to_owned()).or_default();
        for (name, number) in row.as_object().unwrap() {
            if let Some(number) = number.as_i64() {
                *line.entry(name.clone()).or_default() += number;
            }
        }
    }
    books
}

/// Every dead letter.
pub fn dead(data: &Path) -> Vec<Value> {
    json(data, &["dead", "list", "--limit", "1000000", "-o", "json"]).as_array().unwrap().clone()
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(2_000);
    (from..text.len()).find_map(|at| text.get(at..)).unwrap_or(text)
}

/// The program running in the background; killed with the test.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes to `log`, standard output to `<log>.out`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        let child = command.stdout(file(&log.with_extension("out"))).stderr(file(log)).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.with_extension("out")).unwrap()).into_owned()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The text between `before` and the next white space, once it stands in log or output.
    pub fn wait_for(&mut self, before: &str, limit: Duration) -> String {
        let started = Instant::now();
        loop {
            let text = self.log() + &self.stdout();
            if let Some((_, after)) = text.split_once(before)
                && let Some(end) = after.find(char::is_whitespace)
            {
                return after[..end].to_owned();
            }
            assert!(self.is_alive(), "the program ended: {}", tail(&text));
            assert!(started.elapsed() < limit, "no `{before}` within {limit:?}: {}", tail(&text));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Most memory that was ever resident, in MiB, as the kernel counts it.
    pub fn high_water_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Asks it to stop and waits; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(40) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the program does not stop: {}", tail(&self.log()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
