//! [`Agreement`]: one dataset for one partner and one purpose, and to which events it applies.

use std::collections::BTreeMap;

use serde_json::Value;
use time::Date;

use super::{form::Form, plan::Plan};
use crate::envelope::{Event, Op};

/// One agreement of one partner.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Unique within the partner; stands in the ledger beside every disclosure.
    pub id: String,
    /// The canonical dataset.
    pub dataset: String,
    /// What the partner may use the data for.
    pub purpose: String,
    /// The law, rule or contract that allows it.
    pub legal_basis: String,
    /// First day on which it holds.
    pub valid_from: Date,
    /// Last day on which it holds.
    pub valid_to: Date,
    /// Beginnings of division codes; at least one.
    pub divisions: Vec<String>,
    /// Fields of the record that must have these values.
    pub filter: Vec<(String, Value)>,
    /// The listed fields by dotted name.
    pub fields: BTreeMap<String, Form>,
    pub(super) plan: Plan,
}

/// Why an agreement does or does not apply to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The event goes out under it.
    Applies,
    /// It is about another dataset.
    OtherDataset,
    /// Its first day is yet to come.
    NotYetValid,
    /// Its last day is over.
    Expired,
    /// The event belongs to a division it does not cover.
    OtherDivision,
    /// A field of `where` has another value.
    FilteredOut,
    /// An earlier agreement of the same partner applies.
    Preceded,
}

impl Agreement {
    /// Whether the event may go out under this agreement on that day.
    ///
    /// A deletion often names nothing but its key: a field of `where` that it does not have counts as fitting, since a
    /// partner that keeps a deleted record is worse than one that hears of a key it does not know.
    pub fn judge(&self, event: &Event, today: Date) -> Verdict {
        let dataset = event.kind.rsplit_once('.').map_or(event.kind.as_str(), |(dataset, _)| dataset);
        let deleted = event.op() == Some(Op::Delete);
        if dataset != self.dataset {
            Verdict::OtherDataset
        } else if today < self.valid_from {
            Verdict::NotYetValid
        } else if today > self.valid_to {
            Verdict::Expired
        } else if !self.divisions.iter().any(|prefix| event.division.starts_with(prefix.as_str())) {
            Verdict::OtherDivision
        } else if !self.filter.iter().all(|(field, wanted)| fits(&event.data.record, field, wanted).unwrap_or(deleted)) {
            Verdict::FilteredOut
        } else {
            Verdict::Applies
        }
    }
}

/// Compares a field (dotted; of a list any element) with a value; `None` if the record does not have it.
fn fits(record: &Value, field: &str, wanted: &Value) -> Option<bool> {
    if let Value::Array(items) = record {
        return items.iter().filter_map(|item| fits(item, field, wanted)).reduce(|a, b| a || b);
    }
    let (head, rest) = field.split_once('.').map_or((field, None), |(head, rest)| (head, Some(rest)));
    let value = record.get(head)?;
    match (rest, value) {
        (Some(rest), inner) => fits(inner, rest, wanted),
        (None, Value::Array(items)) => Some(items.contains(wanted)),
        (None, value) => Some(value == wanted),
    }
}
