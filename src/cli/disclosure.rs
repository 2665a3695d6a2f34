//! `civilhub disclosure list`

use std::process::ExitCode;

use super::{Global, output};
use crate::{
    clock,
    config::keys::Keys,
    disaster::{stem, whole},
    disclosure::{self, NO_PLACE},
    domain::division,
    error::Fault,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// The notices that stand on a day, as the public sees them.
    List {
        /// The day, yyyy-mm-dd; today without it.
        #[arg(long, value_parser = output::day)]
        on: Option<String>,
        /// Province, prefecture, county, township or village.
        #[arg(long, default_value = "220000")]
        division: String,
        #[arg(long, default_value_t = 1000)]
        limit: i64,
        #[command(flatten)]
        format: output::Format,
    },
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let Command::List { on, division, limit, format } = args.command;
    let (config, store) = global.store().await?;
    let keys = Keys::load(&config.key_file())?;
    store.migrate().await.map_err(|error| error.fault())?;
    let code = division::normalise(&division).map_err(|_| Fault::new(NO_PLACE, "there is no such division"))?;
    let parts = time::macros::format_description!("[year]-[month]-[day]");
    let day = on.and_then(|day| time::Date::parse(&day, &parts).ok()).unwrap_or_else(clock::today);
    let place = whole(&code);
    let notices = disclosure::standing(&store, &keys, day, stem(&place), ("", ""), limit).await.map_err(|error| error.fault())?;
    if format.is_json() {
        output::json(&notices)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = notices.iter().flat_map(|notice| {
        let to = notice.to.clone().unwrap_or_default();
        let head = [notice.title.clone(), notice.from.clone(), to];
        notice.items.iter().map(move |item| {
            let [title, from, to] = head.clone();
            let income = item.per_capita_income.clone().unwrap_or_default();
            [title, from, to, item.head_name.clone(), item.covered_count.to_string(), income, item.amount_month.clone()]
        })
    });
    output::say!("{}", output::table(["notice", "from", "to", "head", "covered", "income", "amount"], rows));
    output::say!("{} notices stand on {}", notices.len(), clock::iso_date(day));
    Ok(ExitCode::SUCCESS)
}
