//! What commands print: tables or JSON on standard output, faults on standard error.

use std::{
    fmt,
    io::{ErrorKind, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use crate::error::{Code, Fault, Faults};

/// A reading command found no store where it looked.
pub(super) const NO_STORE: Code = Code::new(1003);
/// Nothing in the hub has the id or name that was asked for.
pub(super) const NOT_FOUND: Code = Code::new(1004);
/// The command needs one more word from its user before it acts.
pub(super) const NOT_CONFIRMED: Code = Code::new(1005);

/// Width of tables that do not go to a terminal.
const WIDTH: u16 = 160;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// table or json
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Kind,
}

impl Format {
    pub fn is_json(self) -> bool {
        self.output == Kind::Json
    }
}

/// Prints one line of a result. Use it instead of `println!`, which panics when the reader (`head`, `less`) goes away.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::output::line(format_args!($($text)*))
    };
}
pub(crate) use say;

/// See [`say`]. Without anybody to read the rest there is nothing left to do.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        if error.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("error: cannot write the result: {error}");
        std::process::exit(1);
    }
}

/// A day as an argument, `yyyy-mm-dd`.
pub(crate) fn day(text: &str) -> Result<String, String> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, &format).map(crate::clock::iso_date).map_err(|_| "not a day such as 2017-07-03".to_owned())
}

/// A table with these headings; align it, print it.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    if !table.is_tty() {
        table.set_width(WIDTH);
    }
    table
}

pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Faults as JSON lines on standard error.
pub(crate) fn fault_lines(faults: &[Fault]) {
    for fault in faults {
        eprintln!("{}", serde_json::to_string(fault).unwrap_or_default());
    }
}

/// Prints faults for a person.
pub(crate) fn report(faults: &[Fault]) {
    for fault in faults {
        eprintln!("error {fault}");
    }
}

/// The end of a command that failed.
pub(super) fn failure(error: &anyhow::Error) -> ExitCode {
    if let Some(Faults(faults)) = error.downcast_ref() {
        report(faults);
    } else if let Some(fault) = error.downcast_ref::<Fault>() {
        report(std::slice::from_ref(fault));
    } else {
        eprintln!("error: {error:#}");
    }
    ExitCode::FAILURE
}

/// Findings are exit code 1.
pub(crate) fn findings(found: bool) -> ExitCode {
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
