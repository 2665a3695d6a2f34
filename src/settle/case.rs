//! One case to be computed: who, what for, and the bill.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};
use time::Date;

use super::{
    BAD_AMOUNT, BAD_CASE, BAD_DAY, MISSING,
    policy::{Computed, Policy, Rule},
};
use crate::{
    domain::{date, money},
    error::Fault,
};

/// The bill, and what was used of the year before it. Amounts of a reversal stand here with their signs turned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Amounts {
    pub total: Decimal,
    pub in_scope: Decimal,
    pub basic_pay: Decimal,
    pub critical_pay: Decimal,
    pub commercial_pay: Decimal,
    pub hospital_discount: Decimal,
    pub special_pay: Decimal,
    pub aid_paid_ytd: Decimal,
    pub deductible_used_ytd: Decimal,
}

/// Amounts of the input: the name, what the national interface calls it, whether it must be there, and whether it turns its sign in a reversal.
const FIELDS: [(&str, &str, bool, bool); 9] = [
    ("total", "medfee_sumamt", true, true),
    ("in_scope", "inscp_scp_amt", true, true),
    ("basic_pay", "hifp_pay", false, true),
    ("critical_pay", "hifmi_pay", false, true),
    ("commercial_pay", "", false, true),
    ("hospital_discount", "", false, true),
    ("special_pay", "", false, true),
    ("aid_paid_ytd", "", false, false),
    ("deductible_used_ytd", "", false, false),
];

impl Amounts {
    /// Reads the amounts of an object; `reversal` expects the negatives of a bill.
    ///
    /// # Errors
    /// A missing or misspelt field, a wrong form, a wrong sign.
    pub fn read(input: &Map<String, Value>, at: &str, reversal: bool) -> Result<Self, Fault> {
        misspelt(input, at)?;
        let mut values = [Decimal::ZERO; FIELDS.len()];
        for (value, (name, alias, required, turns)) in values.iter_mut().zip(FIELDS) {
            let given = [name, alias].into_iter().find_map(|key| input.get(key).filter(|value| !value.is_null()));
            let pointer = format!("{at}/{name}");
            *value = match given {
                Some(given) => amount(given, &pointer, reversal && turns)?,
                None if required => {
                    return Err(Fault::new(MISSING, "a needed amount is missing")
                        .at_pointer(pointer)
                        .expected("an amount in yuan"));
                }
                None => Decimal::ZERO,
            };
        }
        let [
            total,
            in_scope,
            basic_pay,
            critical_pay,
            commercial_pay,
            hospital_discount,
            special_pay,
            aid_paid_ytd,
            deductible_used_ytd,
        ] = values;
        let amounts = Self {
            total,
            in_scope,
            basic_pay,
            critical_pay,
            commercial_pay,
            hospital_discount,
            special_pay,
            aid_paid_ytd,
            deductible_used_ytd,
        };
        amounts.check()?;
        Ok(amounts)
    }

    /// # Errors
    /// A negative amount, or more in scope than there is.
    pub fn check(&self) -> Result<(), Fault> {
        let all = [
            self.total,
            self.in_scope,
            self.basic_pay,
            self.critical_pay,
            self.commercial_pay,
            self.hospital_discount,
            self.special_pay,
            self.aid_paid_ytd,
            self.deductible_used_ytd,
        ];
        if let Some((_, (name, ..))) = all.iter().zip(FIELDS).find(|(amount, _)| amount.is_sign_negative() && !amount.is_zero()) {
            return Err(Fault::new(BAD_AMOUNT, "the amount is negative")
                .at_pointer(format!("/input/{name}"))
                .expected("0 or more"));
        }
        if self.in_scope > self.total {
            return Err(Fault::new(BAD_AMOUNT, "more is in scope than was billed")
                .at_pointer("/input/in_scope")
                .expected("at most the total"));
        }
        Ok(())
    }
}

/// A case that can be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub category: String,
    pub service: String,
    pub division: Option<String>,
    /// The day whose rule applies.
    pub admitted: Option<Date>,
    /// The amounts are those of a settlement that is taken back.
    pub reversal: bool,
    pub amounts: Amounts,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    pub base: String,
    pub eligible: String,
    pub aid_pay: String,
    pub personal_pay: String,
    pub policy_version: String,
    /// What of the year's deductible this bill uses up.
    pub deductible_used: String,
    /// The cap of the year cut the aid.
    pub capped: bool,
    pub rule: Rule,
}

impl Case {
    /// Reads a case as `medaid_cases.json` has it. The amounts stand under `input`, or beside the other fields.
    ///
    /// # Errors
    /// The first fault, with its place in the case.
    pub fn read(value: &Value, policy: &Policy) -> Result<Self, Fault> {
        let case = value.as_object().ok_or_else(|| Fault::new(BAD_CASE, "the case is not an object"))?;
        let (input, at) = match case.get("input") {
            Some(Value::Object(input)) => (input, "/input"),
            Some(Value::Null) | None => (case, ""),
            Some(_) => {
                return Err(Fault::new(BAD_CASE, "the amounts are not an object")
                    .at_pointer("/input")
                    .expected("an object of amounts"));
            }
        };
        let either = |names: &[&str]| {
            names.iter().find_map(|name| case.get(*name).or_else(|| input.get(*name)).filter(|value| !value.is_null()))
        };
        let admitted = day(either(&["admit_date", "admission_date", "admitted_on", "date"]), "/admit_date")?;
        let discharged = day(either(&["discharge_date"]), "/discharge_date")?;
        if admitted.zip(discharged).is_some_and(|(admitted, discharged)| discharged < admitted) {
            return Err(Fault::new(BAD_DAY, "the discharge lies before the admission").at_pointer("/discharge_date"));
        }
        let reversal = either(&["reverses"]).is_some() || either(&["reversal"]) == Some(&Value::Bool(true));
        Ok(Self {
            category: category(either(&["category"]), policy)?,
            service: text(either(&["service"]), "/service")?,
            division: either(&["division", "division_code"]).map(|value| code(value, "/division")).transpose()?,
            admitted,
            reversal,
            amounts: Amounts::read(input, at, reversal)?,
        })
    }

    /// Computes the case; `today` stands for the admission day where the case has none.
    ///
    /// # Errors
    /// No rule, or amounts that contradict one another.
    pub fn quote(&self, policy: &Policy, today: Date) -> Result<Quote, Fault> {
        let rule = policy.rule(&self.category, &self.service, self.division.as_deref(), self.admitted.unwrap_or(today))?;
        let computed = rule.compute(&self.amounts)?;
        Ok(Quote::new(if self.reversal { computed.negated() } else { computed }, rule))
    }
}

impl Quote {
    fn new(computed: Computed, rule: Rule) -> Self {
        let yuan = |amount: Decimal| format!("{amount:.2}");
        Self {
            base: yuan(computed.base),
            eligible: yuan(computed.eligible),
            aid_pay: yuan(computed.aid_pay),
            personal_pay: yuan(computed.personal_pay),
            policy_version: rule.version.clone(),
            deductible_used: yuan(computed.deductible_used),
            capped: computed.capped,
            rule,
        }
    }
}

/// One category, or several of which the foremost counts.
fn category(value: Option<&Value>, policy: &Policy) -> Result<String, Fault> {
    let Some(Value::Array(list)) = value else { return text(value, "/category") };
    let codes = list.iter().map(|code| text(Some(code), "/category")).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = codes.iter().map(String::as_str).collect();
    let foremost = policy.foremost(&names).map(str::to_owned);
    foremost.or_else(|| codes.first().cloned()).ok_or_else(|| missing("/category"))
}

fn text(value: Option<&Value>, pointer: &str) -> Result<String, Fault> {
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Some(Value::String(_)) | None => Err(missing(pointer)),
        Some(_) => Err(Fault::new(BAD_CASE, "not a text").at_pointer(pointer.to_owned()).expected("a code as text")),
    }
}

/// A division code, which some write as a number.
fn code(value: &Value, pointer: &str) -> Result<String, Fault> {
    match value {
        Value::Number(number) => Ok(number.to_string()),
        _ => text(Some(value), pointer),
    }
}

fn missing(pointer: &str) -> Fault {
    Fault::new(MISSING, "a needed field is missing").at_pointer(pointer.to_owned())
}

fn day(value: Option<&Value>, pointer: &str) -> Result<Option<Date>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let text = text(Some(value), pointer)?;
    date::cn_date(&text)
        .map(Some)
        .map_err(|refusal| Fault::new(BAD_DAY, refusal.message).at_pointer(pointer.to_owned()).expected(refusal.expected))
}

/// An amount as number or text, exact to the fen; `turned` takes a negative one and gives it without the sign.
fn amount(value: &Value, pointer: &str, turned: bool) -> Result<Decimal, Fault> {
    let bad = |message: String| Fault::new(BAD_AMOUNT, message).at_pointer(pointer.to_owned());
    let text = match value {
        Value::Number(number) => plain(number),
        Value::String(text) => text.clone(),
        _ => return Err(bad("the amount is neither number nor text".to_owned()).expected("an amount in yuan, such as 3000.20")),
    };
    let yuan = money::yuan(&text).map_err(|refusal| bad(refusal.message.into_owned()).expected(refusal.expected))?;
    let amount: Decimal = yuan.parse().map_err(|_| bad("the amount is not a decimal number".to_owned()))?;
    if !turned {
        return Ok(amount);
    }
    if amount.is_sign_positive() && !amount.is_zero() {
        return Err(bad("a reversal has the negatives of the original".to_owned()).expected("0 or less"));
    }
    Ok(amount.abs())
}

/// Digits of a number without an exponent.
fn plain(number: &serde_json::Number) -> String {
    let text = number.to_string();
    if text.contains(['e', 'E']) { Decimal::from_scientific(&text).map_or(text, |decimal| decimal.to_string()) } else { text }
}

/// A name that is nearly the name of an amount is a slip of the pen, and an amount that is left out costs somebody money.
fn misspelt(input: &Map<String, Value>, at: &str) -> Result<(), Fault> {
    let known = |key: &str| FIELDS.iter().any(|(name, alias, ..)| key == *name || key == *alias);
    for key in input.keys().filter(|key| !known(key)) {
        if let Some((name, ..)) = FIELDS.iter().find(|(name, ..)| strsim::damerau_levenshtein(key, name) <= 2) {
            let fault = Fault::new(BAD_CASE, "a field is not known").at_pointer(format!("{at}/{key}"));
            return Err(fault.hint(format!("did you mean `{name}`?")));
        }
    }
    Ok(())
}
