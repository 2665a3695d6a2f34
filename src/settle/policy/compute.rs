//! The formula.

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Band, Rule};
use crate::{error::Fault, settle::BAD_AMOUNT, settle::case::Amounts};

/// What a rule makes of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    pub base: Decimal,
    pub eligible: Decimal,
    pub aid_pay: Decimal,
    pub personal_pay: Decimal,
    /// What of the deductible of the year this bill uses up.
    pub deductible_used: Decimal,
    /// The cap of the year cut the aid.
    pub capped: bool,
}

impl Rule {
    /// Computes a bill. A reversal is computed as the bill that it takes back, with the signs turned.
    ///
    /// # Errors
    /// Amounts that contradict one another.
    pub fn compute(&self, amounts: &Amounts) -> Result<Computed, Fault> {
        amounts.check()?;
        let before = amounts.basic_pay + amounts.critical_pay + amounts.commercial_pay + amounts.hospital_discount;
        let base = (amounts.in_scope - before).max(Decimal::ZERO);
        let deductible = (self.deductible - amounts.deductible_used_ytd).max(Decimal::ZERO);
        let eligible = (base - deductible).max(Decimal::ZERO);
        let raw = self.raw(eligible).round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
        let left = self.annual_cap.map(|cap| (cap - amounts.aid_paid_ytd).max(Decimal::ZERO));
        let aid_pay = left.map_or(raw, |left| raw.min(left));
        let personal_pay = amounts.total - before - aid_pay - amounts.special_pay;
        if personal_pay.is_sign_negative() && !personal_pay.is_zero() {
            return Err(Fault::new(BAD_AMOUNT, "what others pay is more than the bill").at_pointer("/input/total"));
        }
        let (deductible_used, capped) = (base.min(deductible), aid_pay < raw);
        Ok(Computed { base, eligible, aid_pay, personal_pay, deductible_used, capped })
    }

    fn raw(&self, eligible: Decimal) -> Decimal {
        let mut from = Decimal::ZERO;
        let mut sum = Decimal::ZERO;
        for Band { to, ratio } in &self.bands {
            let upper = to.map_or(eligible, |to| to.min(eligible));
            sum += (upper - from).max(Decimal::ZERO) * ratio;
            from = to.unwrap_or(eligible);
        }
        sum
    }
}

impl Computed {
    /// The negative twin.
    pub fn negated(self) -> Self {
        let turned = |amount: Decimal| if amount.is_zero() { amount } else { -amount };
        Self {
            base: turned(self.base),
            eligible: turned(self.eligible),
            aid_pay: turned(self.aid_pay),
            personal_pay: turned(self.personal_pay),
            deductible_used: turned(self.deductible_used),
            capped: self.capped,
        }
    }
}
