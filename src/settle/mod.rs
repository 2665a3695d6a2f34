//! Medical assistance: what aid is due, and one-stop settlement at the window.
//!
//! [`policy`] computes, [`case`] reads what is to be computed, [`desk`] settles on the store.

pub mod case;
pub mod desk;
pub mod eligibility;
pub mod policy;

use crate::error::Code;

/// The policy file cannot be read, or its rules contradict one another.
pub const BAD_POLICY: Code = Code::new(7201);
/// A case has no form that can be computed: not an object, or a value of the wrong kind.
pub const BAD_CASE: Code = Code::new(7202);
/// A field that the computation needs is missing.
pub const MISSING: Code = Code::new(7203);
/// An amount has a wrong form or sign, or amounts contradict one another.
pub const BAD_AMOUNT: Code = Code::new(7204);
/// A category or service is in no code list.
pub const UNKNOWN_CODE: Code = Code::new(7205);
/// No rule of the policy covers the category and service on the admission day.
pub const NO_RULE: Code = Code::new(7206);
/// The division is unknown, or not of this province.
pub const BAD_DIVISION: Code = Code::new(7207);
/// The admission day is not a date, or lies after the discharge.
pub const BAD_DAY: Code = Code::new(7208);
