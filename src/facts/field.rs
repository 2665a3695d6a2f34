//! Which fields of which datasets rules may ask for.

use serde_json::{Value, json};

/// Fields by dataset. Nothing else of a record is kept.
pub const FIELDS: [(&str, &[&str]); 11] = [
    (
        "assistance-case",
        &[
            "case_no",
            "category",
            "status",
            "apply_date",
            "decision_date",
            "self_care",
            "support_mode",
            "near_relative",
            "publicity_from",
            "publicity_to",
            "begin_month",
            "end_month",
            "amount_month",
            "covered_count",
            "history",
        ],
    ),
    ("assistance-payment", &["purpose", "period", "amount", "status", "payee_name", "case_no", "return_code"]),
    ("funeral-record", &["died_on", "cremated_at", "unidentified"]),
    ("welfare-entitlement", &["kind", "status", "person_name", "amount_month", "from_month", "to_month"]),
    ("marriage-registration", &["business", "registered_at", "cancelled"]),
    ("medical-settlement", &["category", "service", "admit_date", "status", "reverses", "aid_pay"]),
    ("disclosure-notice", &["kind", "from_date", "to_date"]),
    ("oversight-filing", &["kind", "relation", "filed_on", "status"]),
    ("social-organization", &["uscc", "type", "division_code", "old_reg_no"]),
    ("complaint", &["status", "assigned_to", "target"]),
    ("household", &["hukou_type", "member_count"]),
];

/// The fields that are kept of a dataset.
pub fn fields_of(dataset: &str) -> Option<&'static [&'static str]> {
    FIELDS.iter().find(|(name, _)| *name == dataset).map(|(_, fields)| *fields)
}

/// Without what rules have no use for: of a history the steps, of a target the place.
pub(super) fn slim(field: &str, value: &Value) -> Value {
    match field {
        "history" => {
            value.as_array().into_iter().flatten().map(|step| json!({ "step": step["step"], "at": step["at"] })).collect()
        }
        "target" => json!({ "division_code": value["division_code"] }),
        _ => value.clone(),
    }
}
