//! Doubts about whom a record means: they travel beside the record, stand beside the link, and name reviews.

use super::{link::Reason, number::Class, standard::Standard};
use crate::envelope::{Quality, QualityLevel};

/// Number held by a person whose name is clearly another.
pub(super) const OTHER_NAME: &str = "number-held-by-other-name";
/// One person seems to have two different valid numbers.
pub(super) const TWO_NUMBERS: &str = "two-valid-numbers";
/// A system's reference is used under two clearly different names.
pub(super) const OTHER_REFERENCE_NAME: &str = "reference-held-by-other-name";
/// Evidence between the thresholds.
pub(super) const UNCERTAIN: &str = "uncertain-match";
/// Two persons fit and cannot both be it.
pub(super) const AMBIGUOUS: &str = "ambiguous";

/// Every doubt that may stand beside a link.
pub(super) const ALL: [&str; 5] = [OTHER_NAME, TWO_NUMBERS, OTHER_REFERENCE_NAME, UNCERTAIN, AMBIGUOUS];

/// The doubt behind a question of the engine.
pub(super) fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::Uncertain => UNCERTAIN,
        Reason::Ambiguous => AMBIGUOUS,
        Reason::TwoValidNumbers => TWO_NUMBERS,
        Reason::NumberHeldByOtherName => OTHER_NAME,
    }
}

/// A doubt as it travels.
pub(super) fn quality(rule: &str) -> Quality {
    let field = if matches!(rule, UNCERTAIN | AMBIGUOUS) { "name" } else { "number" };
    Quality { rule: rule.to_owned(), level: QualityLevel::Warn, field: field.to_owned() }
}

/// A number that was given but proves nothing deserves a remark.
pub(super) fn on_number(asked: &Standard) -> Option<Quality> {
    match asked.number.as_ref()?.class {
        Class::Odd => Some(quality("number-odd")),
        Class::Bad => Some(quality("number-bad")),
        Class::Strong | Class::Old => None,
    }
}
