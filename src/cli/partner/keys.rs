//! `civilhub partner keygen` and `civilhub partner key add|list|retire`

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Global, conformance, no_such_partner, output, plans};
use crate::{
    api::v1::keys,
    clock,
    error::Fault,
    signature::algorithm::{self, Algorithm, BAD_KEY},
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Register a public key; those before it stay good for seven days.
    Add {
        partner: String,
        /// The key itself (ed25519:…), or a file with it or with PEM.
        #[arg(long)]
        public: String,
        /// Certificate of `partner conformance`; needed where the partner file names a signer of such.
        #[arg(long)]
        certificate: Option<PathBuf>,
        #[command(flatten)]
        format: output::Format,
    },
    /// The keys of a partner, old ones too.
    List {
        partner: String,
        #[command(flatten)]
        format: output::Format,
    },
    /// End a key now.
    Retire { partner: String, serial: i64 },
}

pub(super) fn generate(out: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
    let algorithm = Algorithm::parse(name)
        .ok_or_else(|| Fault::new(BAD_KEY, "there is no such algorithm").expected(format!("one of {known}")))?;
    let (secret, public) = algorithm::generate(algorithm)?;
    let unwritable = |error: std::io::Error| {
        Fault::new(BAD_KEY, format!("the secret key cannot be written: {}", error.kind())).in_file(out.display().to_string())
    };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(unwritable)?;
    writeln!(file, "{}", secret.expose_secret()).map_err(unwritable)?;
    output::say!("{}", public.write());
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (config, store) = global.store().await?;
    store.migrate().await.map_err(|error| error.fault())?;
    let partner = match &args.command {
        Command::Add { partner, .. } | Command::List { partner, .. } | Command::Retire { partner, .. } => partner.clone(),
    };
    let plans = plans(&config)?;
    let Some(known) = plans.agreements.partner(&partner) else { return Err(no_such_partner(&partner, &plans.agreements).into()) };
    match args.command {
        Command::Add { public, certificate, format, .. } => {
            let text = fs::read_to_string(&public).unwrap_or(public);
            let key = algorithm::public(&text)?;
            if let Some(signer) = &known.conformance {
                conformance::check(&certificate.unwrap_or_default(), &partner, &key.write(), signer)?;
            }
            let added = keys::add(&store, &partner, key.as_ref(), "operator").await.map_err(|error| error.fault())?;
            let added = added.ok_or_else(|| {
                Fault::new(BAD_KEY, "the key was retired before, or four keys are good already").hint("retire one of them")
            })?;
            if format.is_json() {
                output::json(&json!({ "keyid": added.id(), "serial": added.serial }))?;
            } else {
                output::say!("{}", added.id());
            }
        }
        Command::List { format, .. } => {
            let found = keys::of(&store, &partner).await.map_err(|error| error.fault())?;
            list(&found, format)?;
        }
        Command::Retire { serial, .. } => {
            let retired = keys::retire(&store, &partner, serial).await.map_err(|error| error.fault())?;
            return Ok(output::findings(!retired));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(found: &[keys::Key], format: output::Format) -> anyhow::Result<()> {
    let now = clock::millis();
    let moment = |millis: i64| time::OffsetDateTime::from_unix_timestamp(millis / 1000).map(clock::rfc3339).unwrap_or_default();
    let end = |key: &keys::Key| if key.valid_to == 0 { String::new() } else { moment(key.valid_to) };
    if format.is_json() {
        let rows: Vec<Value> = found
            .iter()
            .map(|key| {
                json!({ "keyid": key.id(), "public_key": key.public, "added_at": moment(key.added_at),
                    "valid_to": Some(end(key)).filter(|end| !end.is_empty()), "valid": key.is_valid(now) })
            })
            .collect();
        return output::json(&rows);
    }
    let rows = found.iter().map(|key| {
        [key.id(), key.public.clone(), moment(key.added_at), end(key), if key.is_valid(now) { "good" } else { "over" }.to_owned()]
    });
    output::say!("{}", output::table(["keyid", "public key", "added", "good until", "state"], rows));
    Ok(())
}
