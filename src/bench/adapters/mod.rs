//! Formats: our decoders and the whole road from bytes to events, beside the bare library on the same bytes.
//!
//! The material is a golden sample of an adapter, its rows over and over. Three readings are compared in CPU time: the *bare*
//! one (the library alone: no charset, no limits, no numbers of rows, no look at the whole before), the *decoder* (as in
//! production: the file is verified whole, then read row by row) and the *road* (decoder, mapping program, event with its
//! ids as bytes). They take turns, round by round, so that a busy machine spoils all of them alike.

use std::path::Path;

use serde::Serialize;

use super::meter::cpu_time;
use crate::{
    adapter::{
        event::EventMaker,
        map::MapRuntime,
        source::{ObjectOptions, Row},
        spec::{AdapterSpec, ObjectSpec},
    },
    clock,
    domain::keyed_hash::KeyedHash,
    error::{Code, Fault},
};

mod bare;
mod material;
mod subjects;
mod tables;

/// A format could not be measured: the project's adapters or samples are not there, or some rows did not come through.
pub const NOT_MEASURED: Code = Code::new(2083);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Rows of each format.
    pub rows: u64,
    /// Rounds that count; one more goes ahead.
    pub rounds: usize,
    /// Formats; none means all.
    pub formats: Vec<String>,
}

/// Rows for a CPU second.
#[derive(Debug, Clone, Serialize)]
pub struct Speed {
    /// The middle one of all rounds.
    pub median: f64,
    pub slowest: f64,
    pub fastest: f64,
    /// From the slowest to the fastest, in percent of the median.
    pub spread_percent: f64,
}

/// One format.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub format: &'static str,
    pub adapter: String,
    pub object: String,
    pub rows: u64,
    pub bytes: u64,
    /// What the bare reading uses.
    pub library: &'static str,
    pub bare: Speed,
    pub decoder: Speed,
    pub road: Speed,
    /// The decoder's speed as a share of the bare one.
    pub ratio: f64,
    /// No other format has a smaller share.
    pub slowest: bool,
}

type Counted = Result<u64, Fault>;
/// Reads everything and counts the rows.
type Bare = Box<dyn Fn() -> Counted + Send>;
/// Reads everything and hands on row after row.
type Decode = Box<dyn Fn(&mut dyn FnMut(Row) -> Result<(), Fault>) -> Result<(), Fault> + Send>;

/// One format with its material.
struct Subject {
    format: &'static str,
    library: &'static str,
    spec: AdapterSpec,
    object: ObjectSpec,
    rows: u64,
    bytes: u64,
    bare: Bare,
    decode: Decode,
}

/// Names of the formats, in the order in which they are measured.
pub fn formats() -> impl Iterator<Item = &'static str> {
    subjects::ALL.iter().map(|plan| plan.format)
}

/// Measures. Blocks for seconds; inside a runtime, because the databases are read by it.
///
/// # Errors
/// [`NOT_MEASURED`].
pub fn run(adapters: &Path, wish: &Wish) -> Result<Vec<Line>, Fault> {
    let folder = std::env::temp_dir().join(format!("civilhub-bench-formats-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| not_measured(&format!("no temporary folder: {error}")))?;
    let lines = subjects::make(adapters, &folder, wish).and_then(|subjects| measure(&subjects, wish.rounds.max(1)));
    // What is left of a measurement harms nobody.
    let _ = std::fs::remove_dir_all(&folder);
    lines
}

fn measure(subjects: &[Subject], rounds: usize) -> Result<Vec<Line>, Fault> {
    let mut speeds: Vec<[Vec<f64>; 3]> = subjects.iter().map(|_| Default::default()).collect();
    for round in 0..=rounds {
        for (subject, speeds) in subjects.iter().zip(&mut speeds) {
            let taken = [subject.timed(Subject::bare)?, subject.timed(Subject::decoder)?, subject.timed(Subject::road)?];
            // The first round fills caches and starts threads.
            if round > 0 {
                speeds.iter_mut().zip(taken).for_each(|(speeds, speed)| speeds.push(speed));
            }
        }
    }
    let mut lines: Vec<Line> = subjects.iter().zip(speeds).map(|(subject, speeds)| subject.line(speeds.map(Speed::of))).collect();
    let least = lines.iter().map(|line| line.ratio).fold(f64::INFINITY, f64::min);
    lines.iter_mut().for_each(|line| line.slowest = line.ratio <= least);
    Ok(lines)
}

impl Subject {
    /// Rows for a CPU second of one reading.
    fn timed(&self, reading: impl Fn(&Self) -> Counted) -> Result<f64, Fault> {
        let begun = cpu_time();
        let rows = reading(self)?;
        let spent = cpu_time().saturating_sub(begun).max(std::time::Duration::from_nanos(1));
        if rows != self.rows {
            return Err(not_measured(&format!("{} of {} rows of `{}` came", rows, self.rows, self.format)));
        }
        #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^53")]
        let rows = rows as f64;
        Ok(rows / spent.as_secs_f64())
    }

    fn bare(&self) -> Counted {
        (self.bare)()
    }

    fn decoder(&self) -> Counted {
        let mut rows = 0;
        (self.decode)(&mut |row| {
            rows += u64::from(std::hint::black_box(row).data.is_object());
            Ok(())
        })?;
        Ok(rows)
    }

    fn road(&self) -> Counted {
        let hash = KeyedHash::new(b"bench");
        let maker = EventMaker::new(self.spec.slug.clone(), hash.clone());
        let mut runtime = MapRuntime::new(&hash, clock::now());
        let mut rows = 0;
        (self.decode)(&mut |row| {
            let refused = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("a row was refused"));
            for mapped in self.object.mapper.run(&mut runtime, &row).map_err(refused)? {
                std::hint::black_box(maker.make(mapped, &row, "2017-07-03").to_bytes());
            }
            rows += 1;
            Ok(())
        })?;
        Ok(rows)
    }

    fn line(&self, [bare, decoder, road]: [Speed; 3]) -> Line {
        Line {
            format: self.format,
            adapter: self.spec.slug.to_string(),
            object: self.object.name.clone(),
            rows: self.rows,
            bytes: self.bytes,
            library: self.library,
            ratio: decoder.median / bare.median,
            bare,
            decoder,
            road,
            slowest: false,
        }
    }
}

impl Speed {
    fn of(mut speeds: Vec<f64>) -> Self {
        speeds.sort_by(f64::total_cmp);
        let at = |place: usize| speeds.get(place).copied().unwrap_or_default();
        let last = speeds.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        let (slowest, fastest) = (at(0), at(last));
        Self { median, slowest, fastest, spread_percent: (fastest - slowest) / median * 100.0 }
    }
}

fn not_measured(what: &str) -> Fault {
    Fault::new(NOT_MEASURED, what).hint("run it in the project's folder, with the adapters and samples that came with it")
}

/// The options of an object as its source sees them.
fn options_of(object: &ObjectSpec) -> ObjectOptions {
    ObjectOptions { name: object.name.clone(), key: object.key.clone(), options: object.options.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let speed = Speed::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((speed.median, speed.slowest, speed.fastest), (2.0, 1.0, 3.0));
        assert!((speed.spread_percent - 100.0).abs() < 1e-9);
        assert!((Speed::of(vec![1.0, 2.0]).median - 1.5).abs() < 1e-9);
    }
}
