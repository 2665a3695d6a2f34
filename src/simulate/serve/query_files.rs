//! Simulated banks that take files: they look into `out`, keep what they took in `taken`, and write into `in`. Their files are
//! written and read here apart from the hub's own code, from the description in docs/verification.md.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use encoding_rs::GB18030;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::queries::{Bank, Say, Speech};

const EVERY: Duration = Duration::from_millis(40);

const HEADER: [usize; 8] = [1, 6, 8, 8, 4, 8, 6, 64];
const QUERY: [usize; 6] = [1, 40, 80, 2, 20, 8];
const ANSWER: [usize; 14] = [1, 40, 80, 2, 20, 8, 32, 2, 2, 3, 18, 18, 1, 160];
const ERROR: [usize; 3] = [1, 8, 60];
const TRAILER: [usize; 3] = [1, 8, 88];

/// Looks after its folder until the runtime ends.
pub(super) fn start(bank: Arc<Bank>, folder: &Path) -> std::io::Result<String> {
    for name in ["out", "in", "taken"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let mut desk = Desk { bank, folder: folder.to_owned(), whole: BTreeMap::new(), again: Vec::new() };
    let url = format!("file://{}", folder.display());
    tokio::spawn(async move {
        loop {
            // A file that cannot be read or written now is looked at again.
            let _ = desk.look().await;
            tokio::time::sleep(EVERY).await;
        }
    });
    Ok(url)
}

struct Desk {
    bank: Arc<Bank>,
    folder: PathBuf,
    /// Answer files that were sent as half a file.
    whole: BTreeMap<String, Vec<u8>>,
    /// Second answers that wait until the first is taken.
    again: Vec<(PathBuf, Vec<u8>)>,
}

impl Desk {
    async fn look(&mut self) -> std::io::Result<()> {
        if self.bank.is_down() {
            return Ok(());
        }
        for (path, bytes) in std::mem::take(&mut self.again) {
            if path.exists() {
                self.again.push((path, bytes));
            } else {
                put(&path, &bytes)?;
            }
        }
        let mut names: Vec<String> =
            fs::read_dir(self.folder.join("out"))?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        for name in names {
            let path = self.folder.join("out").join(&name);
            if name.ends_with(".REQ") {
                self.request(&name, &fs::read(&path)?).await?;
            } else if let Some(bytes) = self.whole.remove(&name.replace(".ERR", ".RSP")) {
                // The hub said that it has half a file: the whole one under the same name.
                put(&self.folder.join("in").join(name.replace(".ERR", ".RSP")), &bytes)?;
            }
            fs::rename(&path, self.folder.join("taken").join(&name))?;
        }
        Ok(())
    }

    async fn request(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let stem = name.trim_end_matches(".REQ");
        let into = |ending: &str| self.folder.join("in").join(format!("{stem}.{ending}"));
        let queries = match self.read(stem, bytes) {
            Ok(queries) => queries,
            Err(code) => return put(&into("ERR"), &self.pack(stem, &[self.line(&ERROR, &["E", code, "not usable"])])),
        };
        for query in &queries {
            self.bank.note(&json!({ "query_no": query[1], "subject": { "name": query[2], "id_type": query[3], "id_number": query[4] }, "as_of": query[5] }))?;
        }
        put(&into("ACK"), &self.pack(stem, &[]))?;
        tokio::time::sleep(self.bank.delay()).await;
        let answers = self.pack(stem, &queries.iter().filter_map(|query| self.answer(query, None)).collect::<Vec<_>>());
        let (answer, manner) = (into("RSP"), &self.bank.manner);
        if manner.twice.load(Ordering::Relaxed) {
            let other: Vec<_> = queries.iter().filter_map(|query| self.answer(query, Some("1.00"))).collect();
            self.again.push((answer.clone(), self.pack(stem, &other)));
        }
        if manner.half.load(Ordering::Relaxed) {
            put(&answer, &answers[..answers.len() / 2])?;
            self.whole.insert(format!("{stem}.RSP"), answers);
            return Ok(());
        }
        put(&answer, &answers)
    }

    /// The queries of a file that is whole, or the code of what is wrong with it.
    fn read(&self, stem: &str, bytes: &[u8]) -> Result<Vec<Vec<String>>, &'static str> {
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let [first, details @ .., last] = lines.as_slice() else { return Err("CH-6801") };
        let header = self.fields(&HEADER, first).ok_or("CH-6804")?;
        let trailer = self.fields(&TRAILER, last).filter(|trailer| trailer[0] == "T").ok_or("CH-6801")?;
        if format!("JLHD_{}_{}_{}", header[2], header[3], header[4]) != stem || header[0] != "H" {
            return Err("CH-6804");
        }
        if header[5] != details.len().to_string() || trailer[1] != header[5] {
            return Err("CH-6802");
        }
        if hex::encode(Sha256::digest(details.concat())) != header[7] {
            return Err("CH-6803");
        }
        details.iter().map(|line| self.fields(&QUERY, line).ok_or("CH-6804")).collect()
    }

    fn fields(&self, widths: &[usize], line: &[u8]) -> Option<Vec<String>> {
        let line = line.strip_suffix(b"\r\n")?;
        if self.bank.speech == Speech::Csv {
            let (text, _, _) = GB18030.decode(line);
            let fields: Vec<String> = text.split(',').map(|field| field.trim_matches('"').to_owned()).collect();
            return (fields.len() == widths.len()).then_some(fields);
        }
        let mut at = 0;
        let mut fields = Vec::new();
        for width in widths {
            fields.push(GB18030.decode(line.get(at..at + width)?).0.trim_end().to_owned());
            at += width;
        }
        (at == line.len()).then_some(fields)
    }

    fn line(&self, widths: &[usize], values: &[&str]) -> Vec<u8> {
        if self.bank.speech == Speech::Csv {
            return GB18030.encode(&format!("{}\r\n", values.join(","))).0.into_owned();
        }
        let mut line = Vec::new();
        for (width, value) in widths.iter().zip(values) {
            let mut field = GB18030.encode(value).0.into_owned();
            field.resize(*width, b' ');
            line.extend(field);
        }
        line.extend(b"\r\n");
        line
    }

    fn pack(&self, stem: &str, details: &[Vec<u8>]) -> Vec<u8> {
        let parts: Vec<&str> = stem.split('_').collect();
        let (body, count) = (details.concat(), details.len().to_string());
        let digest = hex::encode(Sha256::digest(&body));
        let header = self.line(&HEADER, &["H", "JLHD/1", parts[1], parts[2], parts[3], &count, "SHA256", &digest]);
        [header, body, self.line(&TRAILER, &["T", &count, ""])].concat()
    }

    /// `more` is what a second answer says too much.
    fn answer(&self, query: &[String], more: Option<&str>) -> Option<Vec<u8>> {
        let (name, number, outcome, account) = match self.bank.say(&query[2], &query[4]) {
            Say::Away | Say::Refuse | Say::Later => return None,
            Say::Junk => (query[2].clone(), query[4].clone(), "?", None),
            Say::Answer { name, number, outcome, account } => (name, number, outcome, account),
        };
        let tail = format!("62280000{}", number.get(10..).unwrap_or_default());
        let mut fields = vec!["D", &query[1], &name, &query[3], &number, outcome];
        match &account {
            Some((currency, balance)) => {
                fields.extend([tail.as_str(), "1", "0", currency, more.unwrap_or(balance), "0.00", "0", ""])
            }
            None => fields.extend(["", "", "", "", "", "", "", ""]),
        }
        Some(self.line(&ANSWER, &fields))
    }
}

fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, bytes)?;
    fs::rename(part, path)
}
