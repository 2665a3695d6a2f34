//! [`Step`]: one batch in one stage, as a span and as a time in the histogram.
//!
//! All spans of the log are made here: log lines within a span carry its fields. The spans that a collector gets are made in
//! [`super::export`], record by record.

use std::time::Instant;

use tracing::{Instrument, Span, field::Empty};

use super::{
    label::{Label, Value},
    record,
};
use crate::envelope::{Event, SubscriptionId, System};

/// A step of a record's road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Read,
    Decode,
    Map,
    Publish,
    Route,
    Deliver,
}

impl Stage {
    /// Every stage, in the order of the road.
    pub const ALL: [Self; 6] = [Self::Read, Self::Decode, Self::Map, Self::Publish, Self::Route, Self::Deliver];

    /// As shown in metrics, spans and dead letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Map => "map",
            Self::Publish => "publish",
            Self::Route => "route",
            Self::Deliver => "deliver",
        }
    }

    /// The stage of a dead letter.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    pub(super) fn label(self) -> Value {
        Value::word(Label::Stage, self.as_str())
    }
}

/// One batch in one stage.
#[must_use = "a step does nothing until its work runs in it"]
pub struct Step {
    stage: Stage,
    span: Span,
}

impl Step {
    /// A step with no fields yet.
    pub fn new(stage: Stage) -> Self {
        let span = match stage {
            Stage::Read => tracing::info_span!("read", system = Empty, object = Empty, records = Empty, trace = Empty),
            Stage::Decode => tracing::info_span!("decode", system = Empty, object = Empty, records = Empty, trace = Empty),
            Stage::Map => tracing::info_span!("map", system = Empty, object = Empty, records = Empty, trace = Empty),
            Stage::Publish => tracing::info_span!("publish", records = Empty, trace = Empty),
            Stage::Route => tracing::info_span!("route", records = Empty, trace = Empty),
            Stage::Deliver => tracing::info_span!("deliver", subscription = Empty, records = Empty, trace = Empty),
        };
        Self { stage, span }
    }

    /// Whose rows these are.
    pub fn system(self, system: &System) -> Self {
        self.span.record("system", system.as_str());
        self
    }

    /// Whose deliveries these are.
    pub fn subscription(self, subscription: &SubscriptionId) -> Self {
        self.span.record("subscription", subscription.as_str());
        self
    }

    /// How many.
    pub fn records(self, records: usize) -> Self {
        self.span.record("records", records as u64);
        self
    }

    /// The trace of the batch: that of its first record.
    pub fn first(self, event: Option<&Event>) -> Self {
        mark(&self.span, event);
        self
    }

    /// Runs the work within the span; its time counts when it has ended.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.instrument(self.span).await;
        record::batch(self.stage, began.elapsed());
        done
    }

    /// The same for work that does not wait.
    pub fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = self.span.in_scope(work);
        record::batch(self.stage, began.elapsed());
        done
    }
}

/// Notes the trace of a batch in the span that is running, once its first record has been read.
pub fn of_first(event: Option<&Event>) {
    mark(&Span::current(), event);
}

fn mark(span: &Span, event: Option<&Event>) {
    if let Some(context) = event.and_then(super::trace::Context::of) {
        span.record("trace", context.trace_id());
    }
}
