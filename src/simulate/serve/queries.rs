//! Bank simulators that answer queries: JSON or XML over HTTP, or files in GBK, as their bank does. What they answer is decided by
//! the digits 15 to 17 of the number:
//!
//! | digits | the bank | with files |
//! |---|---|---|
//! | 901 | knows nobody of this number | |
//! | 902 | finds the number under another name | |
//! | 903 | answers about somebody else | |
//! | 904 | has a foreign account only | |
//! | 905 | is away: 503 | leaves the query out |
//! | 906 | answers after three seconds | answers |
//! | 907 | refuses: 422 | leaves the query out |
//! | 908 | says that it will answer later, and does not | leaves the query out |
//! | 909 | answers something that is no answer | a line with no known outcome |
//! | any other | has an account whose balance follows from bank and number | |
//!
//! A [`Manner`] makes a bank slow, away, or wrong as a whole.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{query_files, query_http};

/// What a bank speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Json,
    Xml,
    Csv,
    Fixed,
}

impl Speech {
    /// As the list of banks names it.
    pub fn of(transport: &str) -> Self {
        match transport {
            "xml_https" => Self::Xml,
            "sftp_csv" => Self::Csv,
            "sftp_fixed" => Self::Fixed,
            _ => Self::Json,
        }
    }
}

/// How a whole bank behaves; can be changed while it runs.
#[derive(Debug, Default)]
pub struct Manner {
    /// Milliseconds before each answer.
    pub delay: AtomicU64,
    /// It does not answer at all.
    pub down: AtomicBool,
    /// About some persons ([`is_mistaken`]) it answers for somebody else.
    pub mistaken: AtomicBool,
    /// With files: every answer comes a second time, with other balances.
    pub twice: AtomicBool,
    /// With files: the first answer file of a name is half a file.
    pub half: AtomicBool,
}

/// One simulated bank.
pub(super) struct Bank {
    pub code: String,
    pub speech: Speech,
    pub manner: Arc<Manner>,
    /// Every query that arrived, one line each: packets are counted here.
    seen: Mutex<std::fs::File>,
}

/// What a bank says to one query.
pub(super) enum Say {
    /// Name, number, outcome, accounts as currency and balance.
    Answer {
        name: String,
        number: String,
        outcome: &'static str,
        account: Option<(&'static str, String)>,
    },
    Away,
    Refuse,
    Later,
    Junk,
}

impl Bank {
    pub fn note(&self, query: &serde_json::Value) -> std::io::Result<()> {
        writeln!(self.seen.lock().unwrap_or_else(PoisonError::into_inner), "{query}")
    }

    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.manner.delay.load(Ordering::Relaxed))
    }

    pub fn is_down(&self) -> bool {
        self.manner.down.load(Ordering::Relaxed)
    }

    pub fn say(&self, name: &str, number: &str) -> Say {
        let (mut name, mut subject) = (name.to_owned(), number.to_owned());
        let (mut outcome, mut account) = ("FOUND", None);
        match number.get(14..17).unwrap_or_default() {
            "901" => outcome = "NONE",
            "902" => outcome = "MISMATCH",
            "903" => "220171197001010053".clone_into(&mut subject),
            "904" => account = Some(("USD", "100.00".to_owned())),
            "905" => return Say::Away,
            "907" => return Say::Refuse,
            "908" => return Say::Later,
            "909" => return Say::Junk,
            _ => account = Some(("CNY", balance(&self.code, number))),
        }
        if self.manner.mistaken.load(Ordering::Relaxed) && is_mistaken(number) {
            "赵他".clone_into(&mut name);
        }
        Say::Answer { name, number: subject, outcome, account }
    }
}

/// Where a bank notes what arrives.
pub fn seen_by(dir: &Path, code: &str) -> PathBuf {
    dir.join(format!("{code}.ndjson"))
}

/// Starts one bank; it lives as long as the runtime. Its address is a URL, of a free loopback port or of a folder.
///
/// # Errors
/// When the folder cannot be written or no port is free.
pub async fn start(dir: &Path, code: &str, speech: Speech, manner: Arc<Manner>) -> std::io::Result<String> {
    std::fs::create_dir_all(dir)?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(seen_by(dir, code))?;
    let bank = Arc::new(Bank { code: code.to_owned(), speech, manner, seen: Mutex::new(file) });
    match speech {
        Speech::Json | Speech::Xml => query_http::start(bank).await,
        Speech::Csv | Speech::Fixed => query_files::start(bank, &dir.join(code)),
    }
}

/// The balance of a number at a bank: the truth that a test compares with.
pub fn balance(bank: &str, number: &str) -> String {
    let sum = bank.bytes().chain(number.bytes()).fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 100_003);
    format!("{}.{:02}", sum / 100, sum % 100)
}

/// The persons about whom a mistaken bank answers for somebody else: one in four.
pub fn is_mistaken(number: &str) -> bool {
    number.bytes().map(u64::from).sum::<u64>().is_multiple_of(4)
}
