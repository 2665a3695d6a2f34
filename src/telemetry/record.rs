//! What may be noted: one function for each happening, so that every metric always has the same labels.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    label::{Label, Value},
    meter::{add, observe, set},
    metric::Metric,
    stage::Stage,
};
use crate::{
    clock,
    envelope::{SubscriptionId, System},
    error::Code,
};

/// Stages and states in which a dead letter may be open: all are shown, so that a number falls to 0 and does not vanish.
const OPEN: [(Stage, &str); 6] = [
    (Stage::Decode, "rejected"),
    (Stage::Map, "rejected"),
    (Stage::Route, "rejected"),
    (Stage::Route, "parked"),
    (Stage::Deliver, "rejected"),
    (Stage::Deliver, "parked"),
];

/// An adapter has read rows.
pub fn rows_read(system: &System, rows: usize) {
    add(Metric::RowsRead, vec![Value::system(system)], rows as u64);
}

/// An adapter could not decode or map rows.
pub fn rows_refused(system: &System, stage: Stage, rows: usize) {
    if rows > 0 {
        add(Metric::RowsRefused, vec![Value::system(system), stage.label()], rows as u64);
    }
}

/// The bus has confirmed records of an adapter.
pub fn records_published(system: &System, records: usize) {
    add(Metric::RecordsPublished, vec![Value::system(system)], records as u64);
}

/// A source could not be read to its end.
pub fn source_failed(system: &System) {
    add(Metric::SourceFailures, vec![Value::system(system)], 1);
}

/// A source has been read to its end.
pub fn source_read(system: &System) {
    set(Metric::SourceLastSuccess, vec![Value::system(system)], clock::millis() as f64 / 1000.0);
}

/// How often a source is read.
pub fn source_schedule(system: &System, every: Duration) {
    set(Metric::SourceSchedule, vec![Value::system(system)], every.as_secs_f64());
}

/// How many full loads of a system are held.
pub fn loads_held(system: &System, loads: u64) {
    set(Metric::LoadsHeld, vec![Value::system(system)], loads as f64);
}

/// The router has decided about a batch: the system of each record and what became of it.
pub fn routed(fates: impl Iterator<Item = (System, &'static str)>) {
    let mut counts: BTreeMap<(System, &'static str), u64> = BTreeMap::new();
    for fate in fates {
        *counts.entry(fate).or_default() += 1;
    }
    for ((system, outcome), count) in counts {
        add(Metric::RecordsRouted, vec![Value::system(&system), Value::word(Label::Outcome, outcome)], count);
    }
}

/// A receiver was offered deliveries: what became of each.
pub fn deliveries(subscription: &SubscriptionId, outcomes: impl Iterator<Item = &'static str>) {
    for (outcome, count) in counted(outcomes) {
        add(Metric::Deliveries, vec![Value::subscription(subscription), Value::word(Label::Outcome, outcome)], count);
    }
}

/// The circuit of a receiver: 0 closed, 1 half-open, 2 open.
pub fn circuit(subscription: &SubscriptionId, state: u8) {
    set(Metric::CircuitState, vec![Value::subscription(subscription)], f64::from(state));
}

/// Days until the first agreement of a receiver runs out.
pub fn agreement_days(subscription: &SubscriptionId, days: i64) {
    set(Metric::AgreementDays, vec![Value::subscription(subscription)], days as f64);
}

/// A record was set aside.
pub fn dead_letter(stage: Stage, code: Code) {
    add(Metric::DeadLetters, vec![stage.label(), Value::code(code)], 1);
}

/// How many dead letters are open, by stage and state.
pub fn dead_letters_open(counts: &BTreeMap<(Stage, &str), u64>) {
    for (stage, state) in OPEN {
        let count = counts.get(&(stage, state)).copied().unwrap_or_default();
        set(Metric::DeadLettersOpen, vec![stage.label(), Value::word(Label::State, state)], count as f64);
    }
}

/// Replayed dead letters are on the bus.
pub fn replayed(stage: Stage, letters: usize) {
    if letters > 0 {
        add(Metric::Replayed, vec![stage.label()], letters as u64);
    }
}

/// The bus handed out messages again.
pub fn redelivered(stage: Stage, messages: usize) {
    if messages > 0 {
        add(Metric::Redeliveries, vec![stage.label()], messages as u64);
    }
}

/// A batch failed as a whole and is tried again.
pub fn batch_repeated(stage: Stage) {
    add(Metric::BatchesRepeated, vec![stage.label()], 1);
}

/// Messages that the bus did not confirm, by the reason.
pub fn confirms_failed(kinds: impl Iterator<Item = &'static str>) {
    for (kind, count) in counted(kinds) {
        add(Metric::ConfirmsFailed, vec![Value::word(Label::Outcome, kind)], count);
    }
}

/// The time of one batch in one stage.
pub fn batch(stage: Stage, time: Duration) {
    observe(Metric::BatchSeconds, vec![stage.label()], time);
}

/// A write transaction that began then has ended.
pub fn transaction(began: Instant) {
    observe(Metric::TransactionSeconds, Vec::new(), began.elapsed());
}

/// How full a queue is, and how old its oldest message.
pub fn queue(name: &str, messages: u64, oldest: Duration) {
    set(Metric::QueueMessages, vec![Value::queue(name)], messages as f64);
    set(Metric::QueueOldest, vec![Value::queue(name)], oldest.as_secs_f64());
}

/// Spans of traces were given up.
pub fn spans_dropped(spans: u64) {
    add(Metric::SpansDropped, Vec::new(), spans);
}

/// Whether `store` or `bus` answered.
pub fn dependency(name: &'static str, up: bool) {
    set(Metric::DependencyUp, vec![Value::word(Label::Dependency, name)], f64::from(u8::from(up)));
}

fn counted(words: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
