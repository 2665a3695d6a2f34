//! `civilhub bench identity`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{super::output, write};
use crate::{
    bench::{
        indexing::{self, Indexing},
        linking::{self, Growth, Linking, Part},
        people,
    },
    identity::link::{Model, Rules},
};

#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[arg(long, default_value_t = 100_000)]
    records: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draws with each of these seeds instead, and shows how well each was linked.
    #[arg(long, value_delimiter = ',', num_args = 1..)]
    seeds: Vec<u64>,
    /// A model from `identity train`; without it the built-in one.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Lets an index grow through these sizes instead, and takes the time at each.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "100000,500000,1000000,2000000")]
    grow: Vec<usize>,
    /// Measures nothing: writes the records as people.ndjson, and who is meant as truth.csv and pairs.csv, to this folder.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Measures the index of this store instead, end to end: an empty database, or a path of one for SQLite.
    #[arg(long)]
    store: Option<String>,
    /// Records in one transaction, with --store.
    #[arg(long, default_value_t = 500)]
    batch: usize,
    #[command(flatten)]
    format: output::Format,
}

/// The road over a store.
async fn index(args: &Args, url: &str) -> anyhow::Result<ExitCode> {
    let bar = indicatif::ProgressBar::new(args.records as u64);
    let indexing = indexing::run(url, args.records, args.seed, args.batch, &|done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    if args.format.is_json() {
        output::json(&indexing)?;
    } else {
        output::say!("{}", indexing_table(&indexing));
    }
    Ok(ExitCode::SUCCESS)
}

fn indexing_table(indexing: &Indexing) -> comfy_table::Table {
    let scores = &indexing.scores;
    let facts = [
        ["records".to_owned(), indexing.records.to_string()],
        ["persons".to_owned(), indexing.persons.to_string()],
        ["records per second, end to end".to_owned(), format!("{:.0}", indexing.records_per_second)],
        ["records per CPU-second of the hub".to_owned(), format!("{:.0}", indexing.records_per_cpu_second)],
        ["seconds".to_owned(), format!("{:.1}", indexing.seconds)],
    ];
    let split = indexing
        .split
        .iter()
        .map(|share| [format!("  {}", share.part), format!("{:.1} s, {:.0} %", share.seconds, share.percent)]);
    let quality = [
        ["precision".to_owned(), format!("{:.5}", scores.precision)],
        ["recall".to_owned(), format!("{:.5}", scores.recall)],
        ["F1".to_owned(), format!("{:.5}", scores.f1)],
        ["twins merged".to_owned(), format!("{} of {}", scores.twins_merged, scores.twin_pairs)],
        ["namesakes merged".to_owned(), format!("{} of {}", scores.namesakes_merged, scores.namesake_pairs)],
        ["bytes a person, hot index".to_owned(), indexing.bytes_per_person.to_string()],
        ["open reviews".to_owned(), indexing.open_reviews.to_string()],
        ["persons joined later".to_owned(), indexing.merges.to_string()],
    ];
    output::table(["", "index"], facts.into_iter().chain(split).chain(quality))
}

pub(in crate::cli) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(url) = &args.store {
        return index(args, url).await;
    }
    if let Some(folder) = &args.write {
        files(folder, &people::draw(args.records, args.seed))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rules = Rules::built_in()?;
    let model = match &args.model {
        Some(path) => Model::parse(&super::text(path)?).map_err(|fault| fault.in_file(path.display().to_string()))?,
        None => Model::built_in()?,
    };
    if !args.grow.is_empty() {
        let tell = |records: usize| eprintln!("{records} records linked");
        let growth = linking::grow(&rules, &model, &args.grow, args.seed, &tell)?;
        if args.format.is_json() {
            output::json(&growth)?;
        } else {
            output::say!("{}", output::table(["records", "CPU µs a record", "bytes a person"], growth.iter().map(growth_row)));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !args.seeds.is_empty() {
        return seeds(args, &rules, &model);
    }
    let linking = linking::run(&rules, &model, args.records, args.seed)?;
    if args.format.is_json() {
        output::json(&linking)?;
    } else {
        output::say!("{}", table(&linking));
    }
    Ok(ExitCode::SUCCESS)
}

/// Quality over several populations, both ways of linking.
fn seeds(args: &Args, rules: &Rules, model: &Model) -> anyhow::Result<ExitCode> {
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for seed in &args.seeds {
        let linking = linking::run(rules, model, args.records, *seed)?;
        rows.extend(
            [("one by one", &linking.stream), ("whole file", &linking.batch)].map(|(way, part)| seed_row(*seed, way, part)),
        );
        all.push(json!({"seed": seed, "linking": linking}));
    }
    if args.format.is_json() {
        output::json(&all)?;
    } else {
        let heads = ["seed", "way", "precision", "recall", "F1", "mixed", "twins", "namesakes", "asked %", "other order F1"];
        output::say!("{}", output::table(heads, rows.into_iter()));
    }
    Ok(ExitCode::SUCCESS)
}

fn seed_row(seed: u64, way: &str, part: &Part) -> [String; 10] {
    let scores = &part.scores;
    [
        seed.to_string(),
        way.to_owned(),
        format!("{:.5}", scores.precision),
        format!("{:.5}", scores.recall),
        format!("{:.5}", scores.f1),
        scores.mixed_clusters.to_string(),
        format!("{} of {}", scores.twins_merged, scores.twin_pairs),
        format!("{} of {}", scores.namesakes_merged, scores.namesake_pairs),
        format!("{:.2}", part.questions_percent),
        format!("{:.5}", part.order_f1),
    ]
}

fn growth_row(growth: &Growth) -> [String; 3] {
    [growth.records.to_string(), format!("{:.1}", growth.microseconds), growth.bytes_per_person.to_string()]
}

fn table(linking: &Linking) -> comfy_table::Table {
    let Linking { records, persons, stream, batch, bytes_per_person, overflow, model } = linking;
    let facts = [
        ["records".to_owned(), records.to_string(), records.to_string()],
        ["persons".to_owned(), persons.to_string(), persons.to_string()],
        ["model".to_owned(), model.clone(), model.clone()],
        ["bytes a person".to_owned(), bytes_per_person.to_string(), String::new()],
        ["left out of full keys".to_owned(), overflow.to_string(), String::new()],
    ];
    let rows = [
        row("records per CPU-second", stream, batch, |part| format!("{:.0}", part.records_per_cpu_second)),
        row("comparisons a record", stream, batch, |part| format!("{:.1}", part.comparisons_per_record)),
        row("questions, % of records", stream, batch, |part| format!("{:.2}", part.questions_percent)),
        row("precision", stream, batch, |part| format!("{:.5}", part.scores.precision)),
        row("recall", stream, batch, |part| format!("{:.5}", part.scores.recall)),
        row("F1", stream, batch, |part| format!("{:.5}", part.scores.f1)),
        row("mixed clusters", stream, batch, |part| part.scores.mixed_clusters.to_string()),
        row("twins merged", stream, batch, |part| format!("{} of {}", part.scores.twins_merged, part.scores.twin_pairs)),
        row("namesakes merged", stream, batch, |part| {
            format!("{} of {}", part.scores.namesakes_merged, part.scores.namesake_pairs)
        }),
        row("F1 with the opposite order", stream, batch, |part| format!("{:.5}", part.order_f1)),
    ];
    output::table(["", "one by one", "whole file"], facts.into_iter().chain(rows))
}

fn row(what: &str, stream: &Part, batch: &Part, value: impl Fn(&Part) -> String) -> [String; 3] {
    [what.to_owned(), value(stream), value(batch)]
}

fn files(folder: &Path, people: &people::People) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| super::fault(folder, &error))?;
    let records = people.entries.iter().map(|entry| {
        json!({"record_id": entry.record_id, "system": entry.system, "name": entry.name, "id_number": entry.id_number,
            "birth_date": entry.birth_date, "sex": entry.sex, "address": entry.address, "phone": entry.phone})
    });
    write::lines(&folder.join("people.ndjson"), records)?;
    let truth = people.entries.iter().map(|entry| [entry.record_id.clone(), entry.person.to_string()]);
    write::rows(&folder.join("truth.csv"), ["record_id", "person"], truth)?;
    let pairs = [("twins", &people.twins), ("namesakes", &people.namesakes)].into_iter();
    let pairs = pairs
        .flat_map(|(kind, pairs)| pairs.iter().map(move |(one, other)| [kind.to_owned(), one.to_string(), other.to_string()]));
    write::rows(&folder.join("pairs.csv"), ["kind", "person", "other"], pairs)
}
