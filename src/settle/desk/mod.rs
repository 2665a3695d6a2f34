//! The desk: pre-settle, settle, reverse, ask. What it answers once, it answers again.
//!
//! The cap of a person and year is a row (`aid_year`). A settlement locks the row, computes with what it holds, and adds to
//! it, in one transaction: two hospitals at once wait for one another, and never exceed the cap together. PostgreSQL locks
//! the row; SQLite has one writer. Settlement numbers are derived from the idempotency key, so a repeat finds its first.
//!
//! A caller that did not hear an answer asks with [`Desk::query`] by the key and never sends a new one.

mod answer;
pub mod bench;
pub mod clearing;
pub mod recon;
mod request;
mod reverse;
mod settle;

use std::sync::Arc;

use rust_decimal::{Decimal, prelude::ToPrimitive};
use time::Date;

pub use answer::{Answer, Settlement};
pub use request::Request;

use super::policy::{Computed, Policy, Rule};
use crate::{
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    error::{Code, Fault},
    settle::{
        case::Amounts,
        eligibility::{self, Register},
    },
    store::{self, Store},
};

/// The same key was used for another content.
pub const KEY_REUSED: Code = Code::new(7210);
/// A settlement differs from the last pre-settlement of its visit, or there was none.
pub const NOT_AS_PRESETTLED: Code = Code::new(7211);
/// The visit has a settlement that holds.
pub const ALREADY_SETTLED: Code = Code::new(7212);
/// There is no settlement of this number or key.
pub const NOT_FOUND: Code = Code::new(7213);
/// The settlement cannot be reversed any more, or not without the county.
pub const NOT_REVERSIBLE: Code = Code::new(7214);
/// A request to the desk is not understood.
pub const BAD_REQUEST: Code = Code::new(7215);
/// The rule is for aid by application, which is not settled at the window.
pub const NOT_ONE_STOP: Code = Code::new(7216);
/// A sale without a line is not allowed so.
pub const OFFLINE: Code = Code::new(7217);

/// Why the desk did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The answer is no.
    #[error(transparent)]
    Refused(#[from] Fault),
    /// Nobody knows: ask by the key.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Unknown(error.to_string())
    }
}

impl Error {
    /// The fault to show.
    pub fn fault(self) -> Fault {
        match self {
            Self::Refused(fault) => fault,
            Self::Unknown(text) => {
                Fault::new(store::UNREACHABLE, text).hint("ask by the idempotency key; never send with a new one")
            }
        }
    }
}

/// The settlement service.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    keys: Keys,
    hash: KeyedHash,
    policy: Arc<Policy>,
    register: Register,
}

/// What was used of a year before a settlement.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    aid: i64,
    deductible: i64,
}

impl Desk {
    pub fn new(store: Store, keys: Keys, policy: Arc<Policy>) -> Self {
        let hash = KeyedHash::new(&keys.derive("settle"));
        let register = Register::new(store.clone(), keys.clone());
        Self { store, keys, hash, policy, register }
    }

    /// Whether a person is entitled on a day, under which category, and what is left of the caps.
    ///
    /// # Errors
    /// The number is none, or the store fails.
    pub async fn eligibility(&self, number: &str, day: Date) -> Result<eligibility::Answer, Error> {
        let (number, snapshot) = self.register.look_up(number, day).await?;
        let sql = "SELECT service, aid FROM aid_year WHERE person = $1 AND year = $2";
        let args = [self.hash.hex(&number).into(), i64::from(day.year()).into()];
        let used = self.store.read(sql, &args).await?.iter().map(|row| (row.text(0), yuan(row.int(1)))).collect();
        Ok(snapshot.answer(day, &self.policy, &used))
    }

    /// What aid is due now. No money moves, nothing is kept.
    ///
    /// # Errors
    /// As the policy refuses.
    pub async fn quote(&self, request: &Request) -> Result<Answer, Error> {
        let rule = self.rule(request)?;
        let used = self.used(request).await?;
        Ok(Answer::quoted(&self.compute(request, &rule, used)?, &rule))
    }

    /// As [`Self::quote`]; the settlement that follows must be the same. May be repeated.
    ///
    /// # Errors
    /// As the policy refuses.
    pub async fn presettle(&self, request: &Request) -> Result<Answer, Error> {
        let rule = self.one_stop(request)?;
        let computed = self.compute(request, &rule, self.used(request).await?)?;
        let sql = "INSERT INTO presettlement (institution, visit_no, request_hash, aid, at) VALUES ($1, $2, $3, $4, $5) \
                   ON CONFLICT (institution, visit_no) DO UPDATE SET request_hash = excluded.request_hash, aid = excluded.aid, at = excluded.at";
        let (content, aid) = (request.content(&self.hash), fen(computed.aid_pay));
        let args = [
            request.institution.as_str().into(),
            request.visit_no.as_str().into(),
            content.into(),
            aid.into(),
            crate::clock::millis().into(),
        ];
        self.store.write(sql, &args).await?;
        Ok(Answer::quoted(&computed, &rule))
    }

    fn rule(&self, request: &Request) -> Result<Rule, Fault> {
        self.policy.rule(&request.category, &request.service, Some(&request.division), request.admit_date)
    }

    fn one_stop(&self, request: &Request) -> Result<Rule, Fault> {
        let rule = self.rule(request)?;
        if rule.one_stop {
            return Ok(rule);
        }
        Err(Fault::new(NOT_ONE_STOP, "this aid is given by application after discharge").at_pointer("/category"))
    }

    /// What the person has had of the year, without a lock.
    async fn used(&self, request: &Request) -> Result<Used, Error> {
        let sql = "SELECT aid, deductible FROM aid_year WHERE person = $1 AND year = $2 AND service = $3";
        let rows = self.store.read(sql, &request.year_key(&self.hash)).await?;
        Ok(rows.first().map(|row| Used { aid: row.int(0), deductible: row.int(1) }).unwrap_or_default())
    }

    fn compute(&self, request: &Request, rule: &Rule, used: Used) -> Result<Computed, Fault> {
        let amounts = Amounts {
            aid_paid_ytd: yuan(used.aid).max(Decimal::ZERO),
            deductible_used_ytd: yuan(used.deductible).max(Decimal::ZERO),
            ..request.amounts.clone()
        };
        let computed = rule.compute(&amounts)?;
        if request.offline && (request.service != "pharmacy" || computed.aid_pay > self.policy.pharmacy.max_per_sale) {
            let fault = Fault::new(OFFLINE, "a sale without a line is for pharmacies and small amounts").at_pointer("/offline");
            return Err(fault.expected(format!("a pharmacy, at most {} yuan of aid", self.policy.pharmacy.max_per_sale)));
        }
        Ok(computed)
    }
}

fn fen(amount: Decimal) -> i64 {
    (amount * Decimal::ONE_HUNDRED).to_i64().unwrap_or(i64::MAX)
}

fn yuan(fen: i64) -> Decimal {
    Decimal::new(fen, 2)
}
