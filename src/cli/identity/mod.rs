//! `civilhub identity match|train|review|merge|split|household`

pub(super) mod bench;
mod decide;
mod review;
mod write;

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::Global;
use crate::{
    bench::meter::Meter,
    error::{Code, Fault},
    identity::link::{Model, Names, Raw, Rules, batch, train},
};

/// A file of the command cannot be read or written.
pub(super) const FILE: Code = Code::new(5406);

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Find out which records speak of one person.
    Match(Match),
    /// Fit the weights to records, without knowing who is who.
    Train(Train),
    /// Questions about persons: list, show, decide. On a terminal, one after the other.
    Review(review::Args),
    /// Make two persons one by hand; the older key survives.
    Merge(decide::Merge),
    /// Take records away from a person by hand.
    Split(decide::Split),
    /// One household: head, members, systems.
    Household(decide::Home),
}

/// Where records come from.
#[derive(clap::Args)]
struct Source {
    /// Records, one JSON object a line: record_id, system, name, id_number, birth_date, sex, address, phone, each optional.
    /// `-` is standard input.
    #[arg(long)]
    input: PathBuf,
    /// Rules other than config/identity.toml, for other fields.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Names of the fields in the input, as in `name=XM,id_number=SFZH`.
    #[arg(long)]
    fields: Option<String>,
}

#[derive(clap::Args)]
struct Match {
    #[command(flatten)]
    source: Source,
    /// CSV with record_id and cluster_id. `-` is standard output.
    #[arg(long)]
    output: PathBuf,
    /// A model from `identity train`. Without it the built-in one; with other rules one that is fitted to the input first.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Writes what a human should decide, strongest first.
    #[arg(long)]
    review: Option<PathBuf>,
    /// Writes beside the output, as OUTPUT.explain.ndjson, the evidence by which each record found its person.
    #[arg(long)]
    explain: bool,
}

#[derive(clap::Args)]
struct Train {
    #[command(flatten)]
    source: Source,
    /// The model as TOML. `-` is standard output.
    #[arg(long, default_value = "-")]
    output: PathBuf,
    /// Name of the model; without it, it is named after its contents.
    #[arg(long)]
    name: Option<String>,
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Review(args) => return review::run(global, args).await,
        Command::Merge(args) => return decide::merge(global, args).await,
        Command::Split(args) => return decide::split(global, args).await,
        Command::Household(args) => return decide::household(global, args).await,
        Command::Match(args) => link(&args)?,
        Command::Train(args) => {
            let (rules, raws) = args.source.read()?;
            let model = train::train(&rules, &raws, args.name.as_deref())?;
            write::text(&args.output, &model.text())?;
            eprintln!("model {} from {} records ({})", model.version, model.records, model.method);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn link(args: &Match) -> anyhow::Result<()> {
    let (rules, raws) = args.source.read()?;
    let meter = Meter::start();
    let model = match (&args.model, &args.source.rules) {
        (Some(path), _) => Model::parse(&text(path)?).map_err(|fault| fault.in_file(path.display().to_string()))?,
        (None, None) => Model::built_in()?,
        (None, Some(_)) => train::train(&rules, &raws, None)?,
    };
    let clusters = batch::cluster(&rules, &model, &raws)?;
    let measure = meter.stop(raws.len() as u64);
    write::clusters(&args.output, &raws, &clusters)?;
    if let Some(path) = &args.review {
        write::questions(path, &raws, &clusters)?;
    }
    if args.explain {
        write::explanations(&args.output, &raws, &clusters)?;
    }
    let (persons, questions) = (clusters.members().len(), clusters.engine.questions.len());
    let rate = 1e6 / measure.cpu_seconds_per_million;
    let records = raws.len();
    eprintln!(
        "{records} records, {persons} persons, {questions} questions; {rate:.0} records per CPU-second; model {}",
        model.version
    );
    Ok(())
}

impl Source {
    fn read(&self) -> anyhow::Result<(Rules, Vec<Raw>)> {
        let rules = match &self.rules {
            Some(path) => Rules::parse(&text(path)?).map_err(|fault| fault.in_file(path.display().to_string()))?,
            None => Rules::built_in()?,
        };
        let names = Names::new(&rules, self.fields.as_deref())?;
        let reader: Box<dyn BufRead> = match self.input.to_str() {
            Some("-") => Box::new(std::io::stdin().lock()),
            _ => {
                Box::new(BufReader::with_capacity(1 << 20, File::open(&self.input).map_err(|error| fault(&self.input, &error))?))
            }
        };
        let raws = batch::read(reader, &names).map_err(|fault| fault.in_file(self.input.display().to_string()))?;
        Ok((rules, raws))
    }
}

fn text(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|error| fault(path, &error))
}

pub(super) fn fault(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(FILE, format!("the file cannot be read or written: {}", error.kind())).in_file(path.display().to_string())
}
