//! `civilhub adapter docs|play`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use rand::RngCore;

use super::{Global, adapter::find, adapter_lint::registry, output};
use crate::{
    adapter::spec::AdapterSpec,
    config::keys::Keys,
    error::Faults,
    hub::{Plans, Secrets},
    kit::{docs, play, scaffold::unwritten},
};

#[derive(clap::Args)]
pub(super) struct DocsArgs {
    /// Folder of the pages.
    #[arg(long, default_value = "data/docs")]
    out: PathBuf,
}

pub(super) fn docs(global: &Global, args: &DocsArgs) -> anyhow::Result<ExitCode> {
    let plans = Plans::load(&global.config()?, &Keys::dry_run(), Secrets::Optional).map_err(Faults)?;
    let specs: Vec<AdapterSpec> = plans.adapters.iter().map(|spec| AdapterSpec::clone(spec)).collect();
    let pages = docs::pages(&specs, &plans.registry, &plans.agreements);
    std::fs::create_dir_all(&args.out).map_err(|error| unwritten(&args.out, &error))?;
    for (name, text) in &pages {
        let path = args.out.join(name);
        std::fs::write(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    output::say!("{} pages in {}", pages.len(), args.out.display());
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub(super) struct PlayArgs {
    system: String,
    /// Port on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

pub(super) async fn play(global: &Global, dir: &Path, args: &PlayArgs) -> anyhow::Result<ExitCode> {
    let folder = dir.join(&args.system);
    // A program that does not compile yet is what the page is for; a name that is unknown is not.
    if !folder.join("adapter.toml").is_file() {
        find(dir, &args.system)?;
    }
    let listener = play::listen(args.port).await?;
    let port = listener.local_addr()?.port();
    let mut token = [0_u8; 24];
    rand::rng().fill_bytes(&mut token);
    let routes = play::routes(&folder, registry(global)?, port, &hex::encode(token));
    output::say!("http://127.0.0.1:{port}/ shows `{}`; Ctrl-C ends it", args.system);
    let ended = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(ended).await?;
    Ok(ExitCode::SUCCESS)
}
