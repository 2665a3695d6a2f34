//! Logs: one line an event, on standard error, with no field that is not on the list.
//!
//! The list is the first guard against personal data in logs; the second blanks whatever looks like an identity number in
//! the text of a message, since messages of libraries pass through here too.

use std::{borrow::Cow, fmt, io::IsTerminal};

use serde_json::Value;
use tracing::{
    Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FormatFields, MakeWriter, format::Writer, time::FormatTime},
    util::SubscriberInitExt,
};

use crate::{
    clock,
    config::Log,
    error::{Code, Fault},
};

/// The log level or format of the configuration is not understood.
pub const BAD_LOG: Code = Code::new(1006);

/// Fields that may appear in logs. Add one only if it can never hold personal data: counts, times, and names that come from
/// the configuration, from schemas or from this program. A test holds every log call of the crate against this list.
pub(super) const ALLOWED: &[&str] = &[
    "message",
    "error",
    "reason",
    "code",
    "system",
    "object",
    "dataset",
    "subscription",
    "partner",
    "partition",
    "queue",
    "records",
    "rows",
    "batch",
    "file",
    "event_id",
    "delivery_id",
    "pause_ms",
    "duration_ms",
    "attempts",
    "state",
    "version",
    "listen",
    "bytes",
    "path",
    "place",
    "trace",
    "connection",
    "transaction",
    "day",
    "files",
    "columns",
    "deliveries",
    "persons",
    "systems",
    "merged",
    "reviews",
    "digest",
    "timeout",
    "connect",
];

/// Fields that may quote what a library could not read.
const QUOTING: &[&str] = &["error", "reason"];

/// Longest text of a field, in characters.
const LONGEST: usize = 2000;

/// Starts logging; a second call has no effect.
pub fn init(config: &Log) -> Result<(), Fault> {
    let ansi = std::io::stderr().is_terminal();
    let _ = subscriber(config, std::io::stderr, ansi)?.try_init();
    Ok(())
}

/// The subscriber of the configuration. Traces of the hub are spans on it: an exporter is one more layer here.
fn subscriber<W>(config: &Log, writer: W, ansi: bool) -> Result<Box<dyn Subscriber + Send + Sync>, Fault>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let bad = |what: &str| {
        Fault::new(BAD_LOG, format!("`log.{what}` is not understood"))
            .expected("level: error, warn, info, debug or module=level; format: text or json")
    };
    // Libraries are quiet by default: their debug lines may quote what they carry.
    // lapin warns of a returned message with the whole body, which may name a citizen: the bus tells of it in its own words.
    let filter = EnvFilter::try_new(format!("warn,lapin::returned_messages=off,civilhub={}", config.level))
        .or_else(|_| EnvFilter::try_new(&config.level))
        .map_err(|_| bad("level"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(ansi).with_timer(ChinaTime);
    Ok(match config.format.as_str() {
        "text" => Box::new(builder.fmt_fields(AllowList).finish()),
        "json" => Box::new(builder.fmt_fields(AllowList).event_format(json::Lines).finish()),
        _ => return Err(bad("format")),
    })
}

/// Time stamps in the zone of all other times of the hub.
struct ChinaTime;

impl FormatTime for ChinaTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&clock::rfc3339(clock::now()))
    }
}

/// Formats `message name=value …`, allowed fields only.
struct AllowList;

impl<'writer> FormatFields<'writer> for AllowList {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut collected = Collected::default();
        fields.record(&mut collected);
        for (index, (name, value)) in collected.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let text = match value {
                Value::String(text) => Cow::Borrowed(text.as_str()),
                other => Cow::Owned(other.to_string()),
            };
            if *name == "message" { write!(writer, "{space}{text}")? } else { write!(writer, "{space}{name}={text}")? }
        }
        Ok(())
    }
}

/// Allowed fields of one event, cleaned.
#[derive(Default)]
struct Collected(Vec<(&'static str, Value)>);

impl Collected {
    fn text(&mut self, name: &'static str, text: &str) {
        if ALLOWED.contains(&name) {
            self.0.push((name, Value::String(clean(text, QUOTING.contains(&name)))));
        }
    }

    /// A number stays a number, unless it is as long as an identity number.
    fn number(&mut self, name: &'static str, number: Value) {
        let text = number.to_string();
        if !ALLOWED.contains(&name) {
            return;
        }
        if blank_numbers(&text) == text { self.0.push((name, number)) } else { self.text(name, &text) }
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field.name(), value.into());
    }
}

/// One line, of bounded length, without numbers of persons and, where a library may quote its input, without quotations.
fn clean(text: &str, quoting: bool) -> String {
    let short: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let blanked = blank_numbers(&short);
    if quoting { blank_quotations(&blanked) } else { blanked }
}

/// Empties what stands in double quotes: so libraries (serde, sqlx) quote a value they did not expect. Our own faults put
/// names in backticks.
fn blank_quotations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, part) in text.split('"').enumerate() {
        match (index, index % 2) {
            (0, _) => out.push_str(part),
            (_, 1) => out.push_str("\"***"),
            _ => {
                out.push('"');
                out.push_str(part);
            }
        }
    }
    out
}

/// Blanks numbers of persons: runs of 15 or more digits (with a final X or not: identity numbers, bank cards), and mobile
/// numbers, of which no log needs one. Full-width digits count. Ids of the hub, which are hex and may by chance hold such a run, stay.
pub fn blank_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let gap = rest[word..].find(char::is_alphanumeric).map_or(rest.len(), |start| word + start);
        if is_id(&rest[..word]) {
            out.push_str(&rest[..word])
        } else {
            blank_word(&rest[..word], &mut out)
        }
        out.push_str(&rest[word..gap]);
        rest = &rest[gap..];
    }
    out
}

/// 32 or 64 lower-case hex digits with a letter among them: a derived id or a hash.
fn is_id(word: &str) -> bool {
    matches!(word.len(), 32 | 64)
        && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn blank_word(word: &str, out: &mut String) {
    let mut run = String::new();
    for c in word.chars().map(narrow).chain(std::iter::once('\n')) {
        if c.is_ascii_digit() || (matches!(c, 'x' | 'X') && run.len() == 17) {
            run.push(c);
            continue;
        }
        let mobile = run.len() == 11 && run.starts_with('1') && run.as_bytes()[1] >= b'3';
        out.push_str(if run.len() >= 15 || mobile { "***" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
}

/// Full-width digits and X as plain ones.
fn narrow(c: char) -> char {
    match c {
        '０'..='９' | 'Ｘ' | 'ｘ' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        _ => c,
    }
}

mod json {
    use std::fmt;

    use serde_json::{Map, Value};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::{
        fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
        registry::LookupSpan,
    };

    use super::{AllowList, Collected};
    use crate::clock;

    /// One JSON object a line; `spans` tells within what, outermost first.
    pub(super) struct Lines;

    impl<S, N> FormatEvent<S, N> for Lines
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        N: for<'a> FormatFields<'a> + 'static,
    {
        fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
            let mut collected = Collected::default();
            event.record(&mut collected);
            let mut line: Map<String, Value> = collected.0.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            line.insert("at".to_owned(), Value::String(clock::rfc3339(clock::now())));
            line.insert("level".to_owned(), Value::String(event.metadata().level().to_string()));
            line.insert("target".to_owned(), Value::String(event.metadata().target().to_owned()));
            let spans: Vec<Value> =
                context.event_scope().into_iter().flat_map(|scope| scope.from_root()).map(|span| span_text(&span)).collect();
            if !spans.is_empty() {
                line.insert("spans".to_owned(), Value::Array(spans));
            }
            writeln!(writer, "{}", Value::Object(line))
        }
    }

    fn span_text<'a, S: LookupSpan<'a>>(span: &tracing_subscriber::registry::SpanRef<'a, S>) -> Value {
        let extensions = span.extensions();
        let fields = extensions.get::<FormattedFields<AllowList>>().map(|fields| fields.fields.as_str()).unwrap_or_default();
        Value::String(format!("{} {fields}", span.name()).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests;
