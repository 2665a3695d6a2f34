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
    /// Whether records of the dataset go out as they come, or only an exchange asks under it.
    pub when: When,
    /// The field that must hold one of the partner's own codes.
    pub own: Option<String>,
    /// The partner's own codes.
    pub(super) codes: Vec<String>,
    /// How many digits of the division the copy keeps in its attribute: 2, 4, 6, 9 or 12.
    pub division_digits: usize,
    /// Beginnings of division codes; at least one.
    pub divisions: Vec<String>,
    /// Fields of the record that must have these values.
    pub filter: Vec<(String, Value)>,
    /// The listed fields by dotted name.
    pub fields: BTreeMap<String, Form>,
    pub(super) plan: Plan,
}

/// On what occasion data go out under an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every record of the dataset to which the agreement applies.
    Recorded,
    /// Nothing by itself: an exchange or a signed request takes the fields it may show from here.
    Requested,
}

impl When {
    /// As written in partner files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Requested => "requested",
        }
    }
}

/// Days before the end on which an agreement warns.
pub const WARNINGS: [i64; 3] = [30, 7, 1];

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
    /// The field named by `own` holds none of the partner's codes.
    NotOwn,
    /// It applies, but only an exchange or a signed request takes data under it.
    OnRequest,
    /// An earlier agreement of the same partner applies.
    Preceded,
}

impl Verdict {
    /// For people: completes "nothing goes out under it, because …".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applies => "it applies",
            Self::OtherDataset => "it is about another dataset",
            Self::NotYetValid => "its first day is yet to come",
            Self::Expired => "its last day is over",
            Self::OtherDivision => "the record belongs to a division it does not cover",
            Self::FilteredOut => "a field of `where` has another value",
            Self::NotOwn => "the record is not the partner's own",
            Self::OnRequest => "data go out on a request only",
            Self::Preceded => "an earlier agreement of the partner applies",
        }
    }
}

impl Agreement {
    /// Days until its last day: 0 on that day, below when it is over.
    pub fn days_left(&self, today: Date) -> i64 {
        (self.valid_to - today).whole_days()
    }

    /// Whether it holds on that day.
    pub fn is_valid(&self, today: Date) -> bool {
        self.valid_from <= today && today <= self.valid_to
    }

    /// The step of the warning that it has reached (30, 7 or 1 days before the end), if any.
    pub fn warning(&self, today: Date) -> Option<i64> {
        let left = self.days_left(today);
        WARNINGS.into_iter().rev().find(|step| (0..=*step).contains(&left))
    }

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
        } else if !self.is_own(&event.data.record, deleted) {
            Verdict::NotOwn
        } else if self.when == When::Requested {
            Verdict::OnRequest
        } else {
            Verdict::Applies
        }
    }

    fn is_own(&self, record: &Value, deleted: bool) -> bool {
        let Some(field) = &self.own else { return true };
        let found: Vec<Option<bool>> = self.codes.iter().map(|code| fits(record, field, &Value::from(code.as_str()))).collect();
        found.contains(&Some(true)) || deleted && !found.is_empty() && found.iter().all(Option::is_none)
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
