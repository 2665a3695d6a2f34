//! Traces for a collector (OTLP over HTTP): from the row of a legacy system to the receipt, across processes.
//!
//! A batch that was read is one trace. The ids of its spans are derived, so each process knows the parent of its own span
//! without being told, and a batch that is tried again shows the same spans:
//!
//! ```text
//! read -> map -> publish (one a record) -> route (one a record) -> deliver (one a receiver) -> receipt
//! ```
//!
//! Attributes are words of the program, slugs of the configuration and derived ids. Exporting never holds up a record: what
//! the collector does not take in time is dropped and counted.

mod otlp;
mod road;
mod sender;

use std::sync::OnceLock;

use tokio::sync::mpsc;

pub use road::{delivered, mapped, receipts, routed};

use crate::{
    clock,
    config::Traces,
    error::{Code, Fault},
};

/// The address of the collector cannot be used.
pub const BAD_COLLECTOR: Code = Code::new(8220);

/// Spans that wait for the sender; beyond that they are dropped.
const WAITING: usize = 16_384;

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    spans: mpsc::Sender<sender::Order>,
    /// A trace whose first 8 bytes are below it is exported.
    below: u64,
}

/// What part of the work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// One span, complete.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// 32 hex digits.
    pub trace: String,
    /// 16 hex digits.
    pub id: String,
    /// 16 hex digits; empty for the first of a trace.
    pub parent: String,
    pub name: &'static str,
    pub kind: Kind,
    pub lap: Lap,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// The code of a fault, if it ended in one.
    pub fault: Option<Code>,
}

#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Text(String),
    Number(i64),
}

/// From when to when, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lap {
    start: u64,
    end: u64,
}

impl Lap {
    /// Begins now; nothing is measured when no traces are exported.
    pub fn begin() -> Self {
        let start = if is_on() { now() } else { 0 };
        Self { start, end: start }
    }

    /// Ends now.
    pub fn end(mut self) -> Self {
        if is_on() {
            self.end = now();
        }
        self
    }
}

fn now() -> u64 {
    u64::try_from(clock::now().unix_timestamp_nanos()).unwrap_or_default()
}

/// Whether traces are exported.
pub fn is_on() -> bool {
    EXPORTER.get().is_some()
}

/// Starts exporting, if the configuration or the usual variables of OpenTelemetry name a collector. `role` is told with every
/// trace. A second call has no effect.
///
/// # Errors
/// The address is no URL.
pub fn start(traces: &Traces, role: &str) -> Result<(), Fault> {
    let Some(url) = collector(&traces.url) else { return Ok(()) };
    let bad = |_| {
        Fault::new(BAD_COLLECTOR, "`traces.url` is no URL")
            .expected("http://collector:4318")
            .hint("leave it empty to export no traces")
    };
    let url = url::Url::parse(&url).map_err(bad)?;
    let (spans, orders) = mpsc::channel(WAITING);
    let below = (traces.share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
    if EXPORTER.set(Exporter { spans, below }).is_ok() {
        tokio::spawn(sender::run(url, role.to_owned(), orders));
    }
    Ok(())
}

/// The address for traces: ours, else that of the standard variables.
fn collector(own: &str) -> Option<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let whole = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    if own.is_empty() && whole.is_some() {
        return whole;
    }
    let base = Some(own.to_owned()).filter(|own| !own.is_empty()).or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
    let base = base.trim_end_matches('/');
    Some(if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") })
}

/// Sends what waits; for the end of a process.
pub async fn flush() {
    let Some(exporter) = EXPORTER.get() else { return };
    let (done, heard) = tokio::sync::oneshot::channel();
    if exporter.spans.send(sender::Order::Flush(done)).await.is_ok() {
        let _ = tokio::time::timeout(sender::LIMIT, heard).await;
    }
}

/// Whether this trace is one of the share that is exported. All processes decide alike.
fn is_wanted(trace: &str) -> bool {
    let head = trace.get(..16).and_then(|head| u64::from_str_radix(head, 16).ok());
    EXPORTER.get().is_some_and(|exporter| head.is_some_and(|head| head <= exporter.below))
}

fn send(span: Span) {
    let Some(exporter) = EXPORTER.get() else { return };
    if exporter.spans.try_send(sender::Order::Span(Box::new(span))).is_err() {
        super::record::spans_dropped(1);
    }
}

#[cfg(test)]
mod tests {
    use super::collector;

    #[test]
    fn the_address_gets_its_path_once() {
        assert_eq!(collector("http://c:4318").as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(collector("http://c:4318/").as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(collector("http://c:4318/x/v1/traces").as_deref(), Some("http://c:4318/x/v1/traces"));
    }
}
