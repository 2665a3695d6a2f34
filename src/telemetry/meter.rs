//! The OpenTelemetry meter behind the metrics, and their text for Prometheus.
//!
//! One per process: a process is what is scraped. Nothing outside this module touches a meter (`clippy.toml` bans it), so
//! there is no metric without a name in [`Metric`] and no label from outside [`super::label`].

use std::sync::LazyLock;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, MeterProvider},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::{
    label::Value,
    metric::{Kind, Metric},
    process,
};
use crate::error::{Code, Fault};

/// The metrics could not be put into text.
pub const NO_METRICS: Code = Code::new(9001);

/// Upper bounds of the buckets, in seconds: from one quick statement to a batch that waits for a slow receiver.
const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

enum Instrument {
    Counter(Counter<u64>),
    Gauge(Gauge<f64>),
    Histogram(Histogram<f64>),
}

struct Meters {
    registry: prometheus::Registry,
    /// One per metric, in the order of [`Metric::ALL`].
    instruments: Vec<Instrument>,
    /// Instruments work as long as their provider lives.
    _provider: Option<SdkMeterProvider>,
}

static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

impl Meters {
    #[expect(clippy::disallowed_methods, reason = "the one place that uses the meter")]
    fn new() -> Self {
        let registry = prometheus::Registry::new();
        // Names are written in full in the enum: nothing is added to them.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        // Registering in a new registry cannot clash; were it to fail, the hub works on and shows no metrics.
        let provider = exporter.ok().map(|exporter| SdkMeterProvider::builder().with_reader(exporter).build());
        let meter =
            provider.as_ref().map_or_else(|| opentelemetry::global::meter("civilhub"), |provider| provider.meter("civilhub"));
        let instruments = Metric::ALL.iter().map(|metric| instrument(&meter, *metric)).collect();
        Self { registry, instruments, _provider: provider }
    }
}

fn instrument(meter: &Meter, metric: Metric) -> Instrument {
    let spec = metric.spec();
    match spec.kind {
        Kind::Counter => Instrument::Counter(meter.u64_counter(spec.name).with_description(spec.help).build()),
        Kind::Gauge => Instrument::Gauge(meter.f64_gauge(spec.name).with_description(spec.help).build()),
        Kind::Histogram => Instrument::Histogram(
            meter.f64_histogram(spec.name).with_description(spec.help).with_boundaries(BOUNDS.to_vec()).build(),
        ),
    }
}

fn labels(values: Vec<Value>) -> Vec<KeyValue> {
    values.into_iter().map(|value| KeyValue::new(value.label.name(), value.text)).collect()
}

/// Adds to a counter.
pub(super) fn add(metric: Metric, values: Vec<Value>, count: u64) {
    if let Some(Instrument::Counter(counter)) = METERS.instruments.get(metric as usize) {
        counter.add(count, &labels(values));
    }
}

/// Sets a gauge.
pub(super) fn set(metric: Metric, values: Vec<Value>, value: f64) {
    if let Some(Instrument::Gauge(gauge)) = METERS.instruments.get(metric as usize) {
        gauge.record(value, &labels(values));
    }
}

/// Notes a time in a histogram.
pub(super) fn observe(metric: Metric, values: Vec<Value>, time: std::time::Duration) {
    if let Some(Instrument::Histogram(histogram)) = METERS.instruments.get(metric as usize) {
        histogram.record(time.as_secs_f64(), &labels(values));
    }
}

/// All metrics of this process in the text format of Prometheus 0.0.4.
pub fn text() -> Result<String, Fault> {
    process::look();
    let families = METERS.registry.gather();
    prometheus::TextEncoder::new()
        .encode_to_string(&families)
        .map_err(|_| Fault::new(NO_METRICS, "the metrics could not be put into text").hint("a fault of the hub: report it"))
}
