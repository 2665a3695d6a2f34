//! Logs: one line an event, on standard error, with no field that is not on the list.
//!
//! The list is the first guard against personal data in logs; the second blanks whatever looks like an identity number in
//! the text of a message, since messages of libraries pass through here too.

use std::{fmt, io::IsTerminal};

use tracing::field::{Field, Visit};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, format::Writer},
};

use crate::{
    config::Log,
    error::{Code, Fault},
};

/// The log level or format of the configuration is not understood.
pub const BAD_LOG: Code = Code::new(1006);

/// Fields that may appear in logs. Add one only if it can never hold personal data.
const ALLOWED: &[&str] = &[
    "message", "error", "reason", "code", "system", "object", "dataset", "subscription", "partner", "partition", "queue", "records", "rows", "batch",
    "file", "event_id", "delivery_id", "pause_ms", "duration_ms", "attempts", "state", "version", "listen", "bytes", "path", "place",
];

/// Starts logging; a second call has no effect.
pub fn init(config: &Log) -> Result<(), Fault> {
    let bad = |what: &str| Fault::new(BAD_LOG, format!("`log.{what}` is not understood")).expected("level: error, warn, info, debug or module=level; format: text or json");
    // Libraries are quiet by default: their debug lines may quote what they carry.
    // lapin warns of a returned message with the whole body, which may name a citizen: the bus tells of it in its own words.
    let filter = EnvFilter::try_new(format!("warn,lapin::returned_messages=off,civilhub={}", config.level)).or_else(|_| EnvFilter::try_new(&config.level)).map_err(|_| bad("level"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _ = match config.format.as_str() {
        "text" => builder.fmt_fields(AllowList).try_init(),
        "json" => builder.event_format(json::Lines).fmt_fields(AllowList).try_init(),
        _ => return Err(bad("format")),
    };
    Ok(())
}

/// Formats `message name=value …`, allowed fields only.
struct AllowList;

impl<'writer> FormatFields<'writer> for AllowList {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut collected = Collected::default();
        fields.record(&mut collected);
        for (index, (name, value)) in collected.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            if *name == "message" { write!(writer, "{space}{value}")? } else { write!(writer, "{space}{name}={value}")? }
        }
        Ok(())
    }
}

/// Allowed fields of one event, with identity numbers blanked.
#[derive(Default)]
struct Collected(Vec<(&'static str, String)>);

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if ALLOWED.contains(&field.name()) {
            self.0.push((field.name(), blank_numbers(&format!("{value:?}"))));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// Replaces every run of 15 or more digits (with a final X or not): no log needs one.
pub fn blank_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_digit() || (matches!(c, 'x' | 'X') && run.len() == 17) {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() >= 15 { "***" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

mod json {
    use std::fmt;

    use serde_json::{Map, Value};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::{
        fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
        registry::LookupSpan,
    };

    use super::Collected;
    use crate::clock;

    /// One JSON object a line.
    pub(super) struct Lines;

    impl<S, N> FormatEvent<S, N> for Lines
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
            let mut collected = Collected::default();
            event.record(&mut collected);
            let mut line: Map<String, Value> = collected.0.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
            line.insert("at".to_owned(), Value::String(clock::rfc3339(clock::now())));
            line.insert("level".to_owned(), Value::String(event.metadata().level().to_string()));
            line.insert("target".to_owned(), Value::String(event.metadata().target().to_owned()));
            writeln!(writer, "{}", Value::Object(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::blank_numbers;

    #[test]
    fn identity_numbers_are_blanked() {
        assert_eq!(blank_numbers("number 22017119700101005X refused"), "number *** refused");
        assert_eq!(blank_numbers("220171197001010053"), "***");
        assert_eq!(blank_numbers("220171700101005 and 12345"), "*** and 12345");
        assert_eq!(blank_numbers("deliver.bank took 250 ms"), "deliver.bank took 250 ms");
    }
}
