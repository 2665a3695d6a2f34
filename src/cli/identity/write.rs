//! Results as files. No value of a record is in them, only ids, levels and bits.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::fault;
use crate::identity::link::{Raw, Way, batch::Clusters, score::Score};

/// The file, or standard output for `-`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path.to_str() {
        Some("-") => Box::new(BufWriter::new(std::io::stdout().lock())),
        _ => Box::new(BufWriter::new(File::create(path).map_err(|error| fault(path, &error))?)),
    })
}

pub(super) fn text(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut out = open(path)?;
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| fault(path, &error))?;
    Ok(())
}

/// `record_id,cluster_id`, in the order of the input.
pub(super) fn clusters(path: &Path, raws: &[Raw], clusters: &Clusters) -> anyhow::Result<()> {
    let pairs = raws.iter().zip(clusters.ids(raws)).map(|(raw, cluster)| [raw.id.as_str(), cluster]);
    rows(path, ["record_id", "cluster_id"], pairs)
}

/// A CSV file.
pub(super) fn rows<const N: usize, T: AsRef<[u8]>>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [T; N]>,
) -> anyhow::Result<()> {
    let mut out = csv::Writer::from_writer(open(path)?);
    out.write_record(header)?;
    for row in rows {
        out.write_record(row)?;
    }
    out.flush().map_err(|error| fault(path, &error))?;
    Ok(())
}

/// One question a line: the records of both sides, and the evidence.
pub(super) fn questions(path: &Path, raws: &[Raw], clusters: &Clusters) -> anyhow::Result<()> {
    let members = clusters.members();
    let ids = |person: u32| -> Vec<&str> {
        members.get(&person).into_iter().flatten().map(|record| raws[*record].id.as_str()).collect()
    };
    let lines = clusters.engine.questions.iter().map(|question| {
        let (left, right) = (ids(question.person), ids(question.other));
        json!({"reason": question.reason.as_str(), "bits": bits(question.score.bits), "records": left, "other": right,
            "fields": fields(clusters, &question.score)})
    });
    self::lines(path, lines)
}

/// One record a line: how it found its person.
pub(super) fn explanations(output: &Path, raws: &[Raw], clusters: &Clusters) -> anyhow::Result<()> {
    let path = match output.to_str() {
        Some("-") => PathBuf::from("explain.ndjson"),
        _ => PathBuf::from(format!("{}.explain.ndjson", output.display())),
    };
    let ids = clusters.ids(raws);
    let lines = raws.iter().zip(&clusters.linked).zip(ids).map(|((raw, linked), cluster)| {
        let way = match linked.way {
            Way::Number => "number",
            Way::Evidence => "evidence",
            Way::New => "new",
        };
        let score = linked.score.as_ref().filter(|_| linked.way == Way::Evidence);
        json!({"record_id": raw.id, "cluster_id": cluster, "way": way, "bits": score.map(|score| bits(score.bits)),
            "fields": score.map(|score| fields(clusters, score))})
    });
    self::lines(&path, lines)
}

fn fields(clusters: &Clusters, score: &Score) -> Vec<Value> {
    let fields = clusters.engine.judge.explain(score).into_iter();
    fields.map(|(field, level, weight)| json!({"field": field, "level": level, "bits": bits(weight)})).collect()
}

/// Tenths are enough.
fn bits(bits: f32) -> f64 {
    (f64::from(bits) * 10.0).round() / 10.0
}

/// A file of JSON lines.
pub(super) fn lines(path: &Path, lines: impl Iterator<Item = Value>) -> anyhow::Result<()> {
    let mut out = open(path)?;
    for line in lines {
        writeln!(out, "{line}").map_err(|error| fault(path, &error))?;
    }
    out.flush().map_err(|error| fault(path, &error))?;
    Ok(())
}
