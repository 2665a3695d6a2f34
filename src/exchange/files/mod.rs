//! Queries and answers in files, for banks that accept no calls: a folder, often on an SFTP server, with `out` for what the
//! hub writes and `in` for what the bank writes.
//!
//! | file | from | says |
//! |---|---|---|
//! | `JLHD_<bank>_<yyyymmdd>_<seq>.REQ` | hub | queries |
//! | `….ACK` | bank | the request file is here and whole |
//! | `….RSP` | bank | answers |
//! | `….ERR` | whoever got a file that cannot be used | why; the other side sends it again under the same name |
//!
//! A file has a header (count, digest of the details), details, and a trailer (count, signature over everything before it).
//! Half a file has no trailer, or another count; nothing of it is taken. A file that comes twice has one effect.
//!
//! [`line`] writes and reads lines, [`pack`](pack) whole files, [`send`] makes and puts request files, [`take`] looks at what the
//! bank has put. The folder itself is outside, behind [`DropBox`].

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::error::{Code, Fault};

pub mod line;
pub mod pack;
pub mod send;
pub mod take;
#[cfg(test)]
mod tests;

use line::Form;

/// Half a file: it has no trailer, or something stands behind it.
pub const FILE_INCOMPLETE: Code = Code::new(6801);
/// Header, trailer and details do not agree about their number.
pub const FILE_COUNT: Code = Code::new(6802);
/// The details are not those whose digest stands in the header.
pub const FILE_DIGEST: Code = Code::new(6803);
/// A line of the file, or its header, is not of the agreed form.
pub const FILE_FORM: Code = Code::new(6804);
/// The signature of the file does not fit.
pub const FILE_SIGNATURE: Code = Code::new(6805);
/// The bank has refused the file.
pub const FILE_REFUSED: Code = Code::new(6806);
/// The folder of the bank cannot be read or written.
pub const NO_BOX: Code = Code::new(6807);

/// Largest file that is read.
pub const MOST_BYTES: u64 = 32 << 20;

/// The folder of a bank.
#[async_trait]
pub trait DropBox: Send + Sync {
    /// How the lines of its files look.
    fn form(&self) -> Form;
    /// Writes a file into `out`, whole or not at all, in place of one of the same name.
    async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Fault>;
    /// Names of the finished files in `in`.
    async fn list(&self) -> Result<Vec<String>, Fault>;
    /// One file of `in`; none if it is gone or longer than [`MOST_BYTES`].
    async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Fault>;
    /// Takes a file out of `in`; none there is as good.
    async fn remove(&self, name: &str) -> Result<(), Fault>;
    /// The hub's signature, with a key of this bank alone.
    fn sign(&self, content: &[u8]) -> String;
    /// Whether a signature is the bank's; true where no key of it is agreed.
    fn is_signed(&self, content: &[u8], signature: &str) -> bool;
}

/// Bank, day and number of a file, which its name and its header tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub bank: String,
    /// `yyyymmdd`
    pub day: String,
    pub seq: i64,
}

impl Name {
    /// Without the ending.
    pub fn stem(&self) -> String {
        format!("JLHD_{}_{}_{:04}", self.bank, self.day, self.seq)
    }

    /// The name and ending of a file, if it is one of ours.
    pub fn parse(file: &str) -> Option<(Self, &str)> {
        let (stem, ending) = file.rsplit_once('.')?;
        let mut parts = stem.strip_prefix("JLHD_")?.split('_');
        let (bank, day, seq) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        if parts.next().is_some() || !digits(day, 8) || !digits(seq, 4) || !bank.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        Some((Self { bank: bank.to_owned(), day: day.to_owned(), seq: seq.parse().ok()? }, ending))
    }
}

/// `2017-06-30` as files write it, and back.
pub fn compact(day: &str) -> String {
    day.replace('-', "")
}

/// The fields of one query, as [`line::QUERY`] has them.
pub fn query_fields(record: &Value) -> [String; 6] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subject = &record["subject"];
    [
        "D".to_owned(),
        text(&record["query_no"]),
        text(&subject["name"]),
        text(&subject["id_type"]),
        text(&subject["id_number"]),
        compact(&text(&record["as_of"])),
    ]
}

/// Answers from lines: a line for each account, or one without account; lines of one query belong together.
pub fn answers(lines: &[Vec<String>]) -> Vec<Value> {
    let mut answers: Vec<Value> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for fields in lines {
        // Lines that disagree about person or outcome are two answers, of which the second is refused.
        let key = fields[1..6].to_vec();
        let place = *places.entry(key).or_insert_with(|| {
            answers.push(
                json!({ "query_no": fields[1], "subject": { "name": fields[2], "id_type": fields[3], "id_number": fields[4] },
                "outcome": fields[5], "answers": [] }),
            );
            answers.len() - 1
        });
        if fields[6..].iter().any(|field| !field.is_empty())
            && let Some(list) = answers[place]["answers"].as_array_mut()
        {
            list.push(account(&fields[6..]));
        }
    }
    answers
}

fn account(fields: &[String]) -> Value {
    let mut account =
        json!({ "account_no": fields[0], "account_type": fields[1], "account_status": fields[2], "joint": fields[6] == "1" });
    for (name, value) in [("currency", &fields[3]), ("balance", &fields[4]), ("wealth_value", &fields[5])] {
        if !value.is_empty() {
            account[name] = value.as_str().into();
        }
    }
    let outflow = |text: &str| text.split_once(':').map(|(date, amount)| json!({ "date": date, "amount": amount }));
    account["large_outflows"] = fields[7].split(';').filter_map(outflow).collect();
    account
}
