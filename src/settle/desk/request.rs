//! Requests of hospitals and pharmacies.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::Date;

use super::BAD_REQUEST;
use crate::{
    clock,
    domain::{date, division, keyed_hash::KeyedHash},
    error::Fault,
    settle::{BAD_DAY, BAD_DIVISION, MISSING, case::Amounts},
    store::Arg,
};

/// A bill at the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub institution: String,
    pub visit_no: String,
    /// Grows when a visit is settled again after a reversal.
    pub seq: i64,
    /// Identity number; kept as a keyed hash only.
    pub person: String,
    pub category: String,
    pub service: String,
    /// Where the patient is registered: this county pays.
    pub division: String,
    pub admit_date: Date,
    pub settled_on: Date,
    pub offline: bool,
    pub amounts: Amounts,
}

impl Request {
    /// Reads a request. What was used of the year is the desk's own knowledge, and not taken from the caller.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn read(object: &Map<String, Value>) -> Result<Self, Fault> {
        let mut input = object.get("input").and_then(Value::as_object).unwrap_or(object).clone();
        input.retain(|name, _| !name.ends_with("_ytd"));
        let admit_date = day(object, "admit_date")?;
        let settled_on = if object.contains_key("settled_on") { day(object, "settled_on")? } else { clock::today() };
        if settled_on < admit_date {
            return Err(Fault::new(BAD_DAY, "the settlement lies before the admission").at_pointer("/settled_on"));
        }
        let place = text(object, "division")?;
        let normal = division::normalise(&place)
            .map_err(|refusal| Fault::new(BAD_DIVISION, refusal.message).at_pointer("/division").expected(refusal.expected))?;
        Ok(Self {
            institution: text(object, "institution")?,
            visit_no: text(object, "visit_no")?,
            seq: object.get("seq").map_or(Some(1), Value::as_i64).ok_or_else(|| bad("seq", "a whole number"))?,
            person: text(object, "id_number")?,
            category: text(object, "category")?,
            service: text(object, "service")?,
            division: normal,
            admit_date,
            settled_on,
            offline: object.get("offline") == Some(&Value::Bool(true)),
            amounts: Amounts::read(&input, if object.contains_key("input") { "/input" } else { "" }, false)?,
        })
    }

    /// Institution, visit and sequence.
    pub fn idem_key(&self) -> String {
        format!("{}-{}-{}", self.institution, self.visit_no, self.seq)
    }

    /// The hub's number of the settlement: the same for the same key.
    pub fn settle_no(&self) -> String {
        let day = clock::iso_date(self.settled_on).replace('-', "");
        format!("JS{day}{}", &crate::envelope::unlike_numbers(&Sha256::digest(self.idem_key())[..8]))
    }

    /// A keyed hash of all that decides about money: what a pre-settlement and its settlement have in common.
    pub(super) fn content(&self, hash: &KeyedHash) -> String {
        let amounts = &self.amounts;
        let money = [
            amounts.total,
            amounts.in_scope,
            amounts.basic_pay,
            amounts.critical_pay,
            amounts.commercial_pay,
            amounts.hospital_discount,
            amounts.special_pay,
        ];
        let money = money.map(|amount| format!("{amount:.2}"));
        let parts = json!([
            self.institution,
            self.visit_no,
            self.person,
            self.category,
            self.service,
            self.division,
            clock::iso_date(self.admit_date),
            self.offline,
            money,
        ]);
        hash.hex(&parts.to_string())
    }

    pub(super) fn person_hash(&self, hash: &KeyedHash) -> String {
        hash.hex(&self.person)
    }

    /// The year whose cap is used: that of the admission, as its rule is.
    pub(super) fn year(&self) -> i64 {
        i64::from(self.admit_date.year())
    }

    /// Key of the row that is the lock.
    pub(super) fn year_key(&self, hash: &KeyedHash) -> [Arg; 3] {
        [self.person_hash(hash).into(), self.year().into(), self.service.as_str().into()]
    }
}

fn text(object: &Map<String, Value>, field: &str) -> Result<String, Fault> {
    match object.get(field) {
        Some(Value::String(text)) if !text.trim().is_empty() && text.len() <= 64 => Ok(text.trim().to_owned()),
        None | Some(Value::Null) => Err(Fault::new(MISSING, "a needed field is missing").at_pointer(format!("/{field}"))),
        Some(_) => Err(bad(field, "a text of 1 to 64 characters")),
    }
}

fn day(object: &Map<String, Value>, field: &str) -> Result<Date, Fault> {
    let text = text(object, field)?;
    date::cn_date(&text)
        .map_err(|refusal| Fault::new(BAD_DAY, refusal.message).at_pointer(format!("/{field}")).expected(refusal.expected))
}

fn bad(field: &str, expected: &str) -> Fault {
    Fault::new(BAD_REQUEST, "a field has a wrong form").at_pointer(format!("/{field}")).expected(expected.to_owned())
}
