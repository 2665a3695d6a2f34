//! Labels of metrics, from closed sets only: words of this program, and slugs that the configuration names.
//!
//! The source of an event comes over the bus and may say anything. A slug that no adapter or partner file has is shown as
//! `other`, so that neither personal data nor an endless number of series can get in.

use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

use crate::{
    envelope::{SubscriptionId, System},
    error::Code,
};

/// What a label tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    System,
    Subscription,
    /// `records.<n>` or `deliver.<subscription>`.
    Queue,
    Stage,
    Outcome,
    /// `CH-nnnn`.
    Code,
    /// Of a dead letter: parked or rejected.
    State,
    /// store or bus
    Dependency,
    /// Of the program.
    Version,
}

impl Label {
    /// As shown on `/metrics`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Subscription => "subscription",
            Self::Queue => "queue",
            Self::Stage => "stage",
            Self::Outcome => "outcome",
            Self::Code => "code",
            Self::State => "state",
            Self::Dependency => "dependency",
            Self::Version => "version",
        }
    }
}

/// Shown for a slug that the configuration does not name.
pub const OTHER: &str = "other";

/// Slugs of systems, subscriptions and queues that may be shown.
static KNOWN: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// Makes slugs of the configuration known; called once when a hub starts.
pub fn know(slugs: impl IntoIterator<Item = String>) {
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).extend(slugs);
}

/// One label with its value. Made from words of the program or from known slugs, never from data.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub label: Label,
    pub text: String,
}

impl Value {
    /// A word of this program.
    pub fn word(label: Label, word: &'static str) -> Self {
        Self { label, text: word.to_owned() }
    }

    /// The label of a system.
    pub fn system(system: &System) -> Self {
        Self::slug(Label::System, system.as_str())
    }

    /// The label of a receiver.
    pub fn subscription(subscription: &SubscriptionId) -> Self {
        Self::slug(Label::Subscription, subscription.as_str())
    }

    /// The label of a queue, by its name.
    pub fn queue(name: &str) -> Self {
        Self::slug(Label::Queue, name)
    }

    /// The label of an error.
    pub fn code(code: Code) -> Self {
        Self { label: Label::Code, text: code.to_string() }
    }

    fn slug(label: Label, slug: &str) -> Self {
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).contains(slug);
        Self { label, text: if known { slug } else { OTHER }.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_slugs_are_shown() {
        know(["label-test".to_owned()]);
        assert_eq!(Value::system(&System::from("label-test")).text, "label-test");
        assert_eq!(Value::system(&System::from("220171197001010053")).text, OTHER);
        assert_eq!(Value::queue("deliver.nobody").text, OTHER);
    }
}
