//! The short form of the fuzz tests, on stable Rust: every body of `civilhub::fuzz` over its seeds, everything that was ever
//! found, and some hundred mutations of both. `make fuzz` is the long form, with libFuzzer.
//!
//! `CIVILHUB_FUZZ_RUNS` sets the mutations of each target, `CIVILHUB_FUZZ_SEED` where they begin; a failure names both and
//! keeps its input.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the output of the suite")]

use std::{fs, panic, path::Path, path::PathBuf, sync::Once, time::Instant};

use civilhub::fuzz::{TARGETS, Target};

mod mutate;
mod seeds;

use mutate::Mutator;

/// Mutations of a target that costs 1.
const RUNS: usize = 600;
const SEED: u64 = 20_170_703;
/// As libFuzzer's `-max_len`.
const MOST_BYTES: usize = 65_536;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// What was found once, and what a person wrote down.
fn kept(folder: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(root().join("fuzz").join(folder).join(target)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// Everything a target begins with.
fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut all = seeds::of(target.name);
    all.extend(kept("seeds", target.name));
    all.extend(kept("regressions", target.name));
    all
}

/// The text of a panic is the invariant that broke: invented bytes may be shown.
fn show_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some("workbook") {
                usual(panic);
            }
        }));
    });
}

fn run(target: &Target, name: &str, bytes: &[u8]) {
    if panic::catch_unwind(|| (target.body)(bytes)).is_err() {
        let path = std::env::temp_dir().join(format!("civilhub-fuzz-{}-{}", target.name, std::process::id()));
        fs::write(&path, bytes).unwrap();
        panic!(
            "{}: {name} breaks it; the input is {}, keep it in fuzz/regressions/{}/",
            target.name,
            path.display(),
            target.name
        );
    }
}

fn fuzz(name: &str) {
    show_panics();
    let target = civilhub::fuzz::named(name).unwrap();
    let started = Instant::now();
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "{name} has no seeds");
    for (name, bytes) in &inputs {
        run(target, name, bytes);
    }
    let seed = number("CIVILHUB_FUZZ_SEED").unwrap_or(SEED);
    let runs = number("CIVILHUB_FUZZ_RUNS").map_or(RUNS, |runs| usize::try_from(runs).unwrap()) / target.cost;
    let corpus: Vec<&[u8]> = inputs.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut mutator = Mutator::new(seed, target.words, MOST_BYTES);
    let mut slowest = std::time::Duration::ZERO;
    for round in 0..runs {
        let bytes = mutator.next(&corpus);
        let begun = Instant::now();
        run(target, &format!("round {round} of seed {seed}"), &bytes);
        slowest = slowest.max(begun.elapsed());
    }
    println!(
        "{name}: {} seeds, {runs} mutations from seed {seed}, {} ms, the slowest {} ms",
        inputs.len(),
        started.elapsed().as_millis(),
        slowest.as_millis()
    );
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        #[test]
        fn every_target_is_run_here_and_under_libfuzzer() {
            let here = [$(stringify!($name)),*];
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(here.to_vec(), names);
            let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
            for name in names {
                let target = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
                assert!(target.contains(&format!("civilhub::fuzz::{name}(bytes)")), "{name}");
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            }
            let files = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().count();
            assert_eq!(files, here.len());
        }
    };
}

targets! {
    csv fixed dbf xlsx xml json ndjson archive soap push pull charset guard envelope schema signature sniff functions programs
    compile rules people
}

/// For `scripts/fuzz.sh`: the seeds as files where libFuzzer looks for them.
#[test]
fn seeds_are_written() {
    let folder = std::env::var("CIVILHUB_FUZZ_CORPUS").map(PathBuf::from);
    let own = tempfile::tempdir().unwrap();
    let folder = folder.unwrap_or_else(|_| own.path().to_owned());
    for target in TARGETS {
        let to = folder.join(target.name);
        fs::create_dir_all(&to).unwrap();
        for (at, (_, bytes)) in inputs(target).iter().enumerate() {
            fs::write(to.join(format!("seed-{at:03}")), bytes).unwrap();
        }
        assert!(fs::read_dir(&to).unwrap().count() > 1, "{}", target.name);
    }
}

/// A body that never reaches what it is for would find nothing: the samples must be read, not only refused.
#[test]
fn the_seeds_reach_what_they_are_for() {
    for (target, least) in [("csv", 6), ("fixed", 8), ("dbf", 5), ("xlsx", 10), ("archive", 4)] {
        let labels = civilhub::fuzz::labels(target);
        let of_adapters = labels.iter().filter(|label| label.contains('/')).count();
        let seeds = seeds::of(target);
        assert!(of_adapters > 0 && seeds.len() >= least, "{target}: {} seeds for {labels:?}", seeds.len());
    }
}

#[test]
fn the_same_seed_gives_the_same_mutations() {
    let corpus: [&[u8]; 2] = [b"alpha,1\r\nbeta,2\r\n", b"{\"a\": [1, 2, 3]}"];
    let draw = |seed: u64| {
        let mut mutator = Mutator::new(seed, &["word"], 100);
        (0..50).map(|_| mutator.next(&corpus)).collect::<Vec<_>>()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let drawn = draw(3);
    assert!(drawn.iter().all(|bytes| bytes.len() <= 100));
    assert!(drawn.iter().filter(|bytes| corpus.contains(&bytes.as_slice())).count() < 5, "too many are no mutations");
}
