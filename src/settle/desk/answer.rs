//! Answers of the desk.

use serde::Serialize;

use super::{Computed, Rule, yuan};
use crate::store::Row;

/// What the desk answers about money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_no: Option<String>,
    pub aid_pay: String,
    pub personal_pay: String,
    pub policy_version: String,
    pub capped: bool,
    /// What is left of the cap after it; none where there is no cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_cap: Option<String>,
}

impl Answer {
    pub(super) fn quoted(computed: &Computed, rule: &Rule) -> Self {
        Self {
            settle_no: None,
            aid_pay: format!("{:.2}", computed.aid_pay),
            personal_pay: format!("{:.2}", computed.personal_pay),
            policy_version: rule.version.clone(),
            capped: computed.capped,
            rule_cap: rule.annual_cap.map(|cap| format!("{cap:.2}")),
        }
    }
}

/// A settlement as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settlement {
    pub settle_no: String,
    pub idem_key: String,
    pub institution: String,
    pub status: String,
    pub total: String,
    pub aid_pay: String,
    pub personal_pay: String,
    pub settled_on: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reverses: String,
    /// It was there before this call: nothing was done a second time.
    pub repeated: bool,
}

impl Settlement {
    /// Columns of [`Self::read`].
    pub(super) const COLUMNS: &str = "settle_no, idem_key, institution, status, total, aid, personal, settled_on, reverses";

    pub(super) fn read(row: &Row, from: usize) -> Self {
        let money = |column: usize| format!("{:.2}", yuan(row.int(from + column)));
        Self {
            settle_no: row.text(from),
            idem_key: row.text(from + 1),
            institution: row.text(from + 2),
            status: row.text(from + 3),
            total: money(4),
            aid_pay: money(5),
            personal_pay: money(6),
            settled_on: row.text(from + 7),
            reverses: row.text(from + 8),
            repeated: true,
        }
    }
}
