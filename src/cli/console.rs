//! `civilhub console user add|list|reset|disable`

use std::{io::Read, path::PathBuf, process::ExitCode};

use serde_json::json;

use super::{Global, output, trace::moment};
use crate::{
    config::keys::Keys,
    console::{
        BAD_ACCOUNT, Role,
        account::{self, Account, New},
    },
    error::Fault,
    store::Store,
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Accounts of the console.
    #[command(subcommand)]
    User(User),
}

#[derive(clap::Subcommand)]
enum User {
    /// Make an account. Its password is read from standard input, or from a file; the secret of the second factor is printed once.
    Add {
        name: String,
        #[arg(long, value_enum)]
        role: Role,
        /// Only this division and those below: 4, 6, 9 or 12 digits. The province without it.
        #[arg(long, default_value = "")]
        division: String,
        #[command(flatten)]
        secret: Secret,
    },
    /// The accounts.
    List(output::Format),
    /// A new password and a new second factor; the account is open again and its sessions end.
    Reset {
        name: String,
        #[command(flatten)]
        secret: Secret,
    },
    /// Close an account and end its sessions.
    Disable { name: String },
}

#[derive(clap::Args)]
struct Secret {
    /// File with the password in its first line; standard input without it.
    #[arg(long)]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    format: output::Format,
}

impl Secret {
    fn read(&self) -> Result<String, Fault> {
        let mut text = String::new();
        let read = match &self.password_file {
            Some(path) => std::fs::read_to_string(path).map(|read| text = read),
            None => std::io::stdin().take(4096).read_to_string(&mut text).map(|_| ()),
        };
        read.map_err(|error| Fault::new(BAD_ACCOUNT, format!("the password cannot be read: {}", error.kind())))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let Command::User(command) = args.command;
    let (config, store) = global.store().await?;
    store.migrate().await.map_err(|error| error.fault())?;
    match command {
        User::Add { name, role, division, secret } => {
            let (keys, password) = (Keys::load(&config.key_file())?, secret.read()?);
            let new = New { name: &name, role, division: &division, password: &password };
            told(&name, &account::add(&store, &keys, &new).await?, secret.format)?;
        }
        User::Reset { name, secret } => {
            let (keys, password) = (Keys::load(&config.key_file())?, secret.read()?);
            told(&name, &account::reset(&store, &keys, &name, &password).await?, secret.format)?;
        }
        User::Disable { name } => {
            account::disable(&store, &name).await?;
            output::say!("`{name}` is closed, its sessions have ended");
        }
        User::List(format) => list(&store, format).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The second factor, as a text and as authenticators read it.
fn told(name: &str, secret: &str, format: output::Format) -> anyhow::Result<()> {
    let address = format!("otpauth://totp/civilhub:{name}?secret={secret}&issuer=civilhub");
    if format.is_json() {
        return output::json(&json!({ "name": name, "secret": secret, "otpauth": address }));
    }
    output::say!("`{name}` can log in. Second factor, for an authenticator:\n{secret}\n{address}");
    Ok(())
}

async fn list(store: &Store, format: output::Format) -> anyhow::Result<()> {
    let accounts = account::list(store).await?;
    if format.is_json() {
        return output::json(&accounts);
    }
    let row = |account: &Account| {
        let locked = if account.locked_until > crate::clock::millis() { moment(account.locked_until) } else { String::new() };
        let (name, role) = (account.name.clone(), account.role.as_str().to_owned());
        [name, role, account.division.clone(), account.state.clone(), locked, moment(account.created_at)]
    };
    output::say!("{}", output::table(["name", "role", "division", "state", "locked until", "made"], accounts.iter().map(row)));
    Ok(())
}
