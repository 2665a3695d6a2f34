//! The hidden `civilhub probe`: tries records for the hub that started it, and dies of those that kill.

use std::{
    io::{BufRead, Write},
    process::ExitCode,
};

use super::Global;
use crate::{
    clock,
    config::keys::Keys,
    error::Faults,
    hub::{Plans, Secrets},
    router::check,
};

pub(super) fn run(global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let keys = Keys::load(&config.key_file())?;
    let plans = Plans::load(&config, &keys, Secrets::Optional).map_err(Faults)?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let Ok(body) = hex::decode(line?.trim()) else { continue };
        check::try_one(body, &plans.registry, &plans.agreements, clock::today());
        writeln!(output, "survived")?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
