//! [`Metric`]: the name of every number that the hub shows on `/metrics`, with what it tells and when to worry.
//!
//! `docs/telemetry.md` holds the table made from this enum; a test keeps the two equal.

use super::label::Label;

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Seconds, in buckets.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Everything about one metric.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [Label],
    /// One sentence without its full stop.
    pub help: &'static str,
}

const fn spec(name: &'static str, kind: Kind, labels: &'static [Label], help: &'static str) -> Spec {
    Spec { name, kind, labels, help }
}

macro_rules! metrics {
    ($($metric:ident = $kind:ident $name:literal [$($label:ident),*] $help:literal;)*) => {
        /// One metric of the hub.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $help] $metric,)*
        }

        impl Metric {
            /// Every metric, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$metric),*];

            /// Name, kind, labels and meaning.
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$metric => spec($name, Kind::$kind, &[$(Label::$label),*], $help),)*
                }
            }
        }
    };
}

metrics! {
    RowsRead = Counter "civilhub_rows_read_total" [System] "Rows read from a legacy system, the unreadable ones too";
    RowsRefused = Counter "civilhub_rows_refused_total" [System, Stage] "Rows that could not be decoded or mapped and became dead letters";
    RecordsPublished = Counter "civilhub_records_published_total" [System] "Records that the bus has confirmed; a batch that is published again counts again";
    SourceFailures = Counter "civilhub_source_failures_total" [System] "Turns in which a source could not be read to its end, its batch not confirmed or its position not stored";
    SourceLastSuccess = Gauge "civilhub_source_last_success_timestamp_seconds" [System] "When every object of a source was last read to its end, in seconds since 1970";
    SourceSchedule = Gauge "civilhub_source_schedule_seconds" [System] "How often a polled source is read, by its adapter";
    LoadsHeld = Gauge "civilhub_full_loads_held" [System] "Full loads that wait for somebody's decision because too much vanished or some rows could not be read";
    RecordsRouted = Counter "civilhub_records_routed_total" [System, Outcome] "Records that the router decided about: dispatched, rejected, parked, superseded, duplicate, or seen before (a repeat of the bus)";
    Deliveries = Counter "civilhub_deliveries_total" [Subscription, Outcome] "Tries of deliveries: delivered, refused (parked with its key), or unavailable (the receiver cannot take anything; tried again)";
    DeadLetters = Counter "civilhub_dead_letters_total" [Stage, Code] "Records set aside, by the code of their first fault; a transaction that is tried again counts again";
    DeadLettersOpen = Gauge "civilhub_dead_letters_open" [Stage, State] "Dead letters that wait for somebody's decision, in the whole store";
    Replayed = Counter "civilhub_dead_letters_replayed_total" [Stage] "Dead letters that an operator sent on their way again and that the bus has confirmed";
    Redeliveries = Counter "civilhub_redeliveries_total" [Stage] "Messages that the bus handed out a second time: a consumer died or gave them back";
    BatchesRepeated = Counter "civilhub_batches_repeated_total" [Stage] "Batches that failed as a whole (store or bus away, or a panic) and are tried again";
    ConfirmsFailed = Counter "civilhub_confirms_failed_total" [Outcome] "Messages that the bus did not confirm and that are published again: returned, nacked, timed_out or closed";
    BatchSeconds = Histogram "civilhub_batch_seconds" [Stage] "Time of one batch in one stage; route holds the publish within it";
    TransactionSeconds = Histogram "civilhub_store_transaction_seconds" [] "Time from the start of a write transaction to the end of its commit, with the wait for the writer";
    QueueMessages = Gauge "civilhub_queue_messages" [Queue] "Messages in a queue, waiting or handed out and not settled";
    QueueOldest = Gauge "civilhub_queue_oldest_seconds" [Queue] "Age of the oldest message of a queue, derived from arrivals and departures, not measured; 0 when it is empty";
    CircuitState = Gauge "civilhub_circuit_state" [Subscription] "Circuit of a receiver: 0 closed, 1 half-open, 2 open";
    AgreementDays = Gauge "civilhub_agreement_days_left" [Subscription] "Days until the first agreement of a partner runs out: 0 on its last day, -1 when all are over; worry below 30";
    DependencyUp = Gauge "civilhub_dependency_up" [Dependency] "1 if store or bus answered within two seconds at the last look, else 0";
    SpansDropped = Counter "civilhub_trace_spans_dropped_total" [] "Spans of traces that the collector did not take in time and that were given up; no record is touched by it";
    BuildInfo = Gauge "civilhub_build_info" [Version] "Always 1; the version is in the label";
    ResidentMemory = Gauge "process_resident_memory_bytes" [] "Resident memory of the process";
    OpenDescriptors = Gauge "process_open_fds" [] "Open file descriptors of the process";
    MostDescriptors = Gauge "process_max_fds" [] "Most file descriptors that the process may open";
    StartTime = Gauge "process_start_time_seconds" [] "When the process began to count, in seconds since 1970";
}

/// The table of all metrics for the documentation.
pub fn table() -> String {
    let mut table = "| metric | kind | labels | what it tells |\n|---|---|---|---|\n".to_owned();
    for metric in Metric::ALL {
        let spec = metric.spec();
        let labels: Vec<String> = spec.labels.iter().map(|label| format!("`{}`", label.name())).collect();
        table.push_str(&format!("| `{}` | {} | {} | {} |\n", spec.name, spec.kind.name(), labels.join(", "), spec.help));
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_well_formed_and_unique() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.spec().name).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let spec = metric.spec();
            assert!(spec.name.starts_with("civilhub_") || spec.name.starts_with("process_"), "{}", spec.name);
            assert_eq!(spec.name.ends_with("_total"), spec.kind == Kind::Counter, "{}", spec.name);
            assert!(
                !spec.help.ends_with('.') && spec.help.starts_with(char::is_uppercase) || spec.help.starts_with('1'),
                "{}",
                spec.help
            );
        }
    }

    /// `UPDATE_DOCS=1` writes the table anew.
    #[test]
    fn the_documentation_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/telemetry.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (start, end) = ("<!-- metrics -->\n", "<!-- /metrics -->");
        let (before, rest) = page.split_once(start).expect("start of the table");
        let (found, after) = rest.split_once(end).expect("end of the table");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{start}{}{end}{after}", table())).unwrap();
            return;
        }
        assert_eq!(found, table(), "run `UPDATE_DOCS=1 cargo test --lib telemetry::metric`");
    }

    /// What the page says about alarms must speak of metrics that exist.
    #[test]
    fn the_documentation_names_no_other_metric() {
        let page = include_str!("../../docs/telemetry.md");
        let known = |word: &str| {
            Metric::ALL.iter().any(|metric| {
                word == metric.spec().name
                    || (metric.spec().kind == Kind::Histogram && word == format!("{}_bucket", metric.spec().name))
            })
        };
        for word in page
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("civilhub_") || word.starts_with("process_"))
        {
            assert!(known(word), "{word}");
        }
    }
}
