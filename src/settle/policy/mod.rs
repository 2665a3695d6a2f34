//! The policy of medical assistance: rules with validity dates and division overrides, and the computation.
//!
//! ```text
//! base     = max(0, in_scope - basic - critical - commercial - discount)
//! eligible = max(0, base - max(0, deductible - deductible_used_ytd))
//! aid      = min(round_half_up(sum over bands of part x ratio), annual_cap - aid_paid_ytd)
//! personal = total - basic - critical - commercial - discount - aid - special
//! ```
//!
//! Pure functions over exact decimals: no clock, no store.

mod compute;
mod file;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use serde::Serialize;
use time::Date;

pub use compute::Computed;

use crate::{
    domain::{codes::CodeLists, division},
    error::Fault,
    settle::{BAD_DIVISION, BAD_POLICY, NO_RULE, UNKNOWN_CODE},
};

/// The policy as it is delivered; a file of the same form takes its place.
pub const BUILT_IN: &str = include_str!("../../../config/policies/medical-aid.json");

/// A part of the eligible amount, and what is paid of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// Upper edge; none for the last band.
    pub to: Option<Decimal>,
    pub ratio: Decimal,
}

/// One rule of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    category: String,
    service: String,
    deductible: Decimal,
    bands: Vec<Band>,
    annual_cap: Option<Decimal>,
    one_stop: bool,
    version: Option<String>,
    from: Option<Date>,
    to: Option<Date>,
}

/// What a division has otherwise; what is none is as in the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Override {
    /// Twelve digits.
    division: String,
    category: String,
    service: String,
    deductible: Option<Decimal>,
    bands: Option<Vec<Band>>,
    annual_cap: Option<Option<Decimal>>,
    from: Option<Date>,
    to: Option<Date>,
}

/// The whole policy file.
#[derive(Debug, Clone)]
pub struct Policy {
    pub version: String,
    /// Categories, the one that counts first.
    pub priority: Vec<String>,
    pub pharmacy: Pharmacy,
    rules: Vec<Entry>,
    overrides: Vec<Override>,
}

/// What a pharmacy may do without a line to the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pharmacy {
    pub max_per_sale: Decimal,
    pub max_unsynced_per_person: Decimal,
    pub must_sync_within_hours: u32,
}

/// A rule as it applies to one division on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub category: String,
    pub service: String,
    /// The divisions whose overrides are in it, from the larger to the smaller.
    pub overrides: Vec<String>,
    /// The day it was looked up for.
    #[serde(serialize_with = "iso")]
    pub on: Date,
    #[serde(serialize_with = "yuan")]
    pub deductible: Decimal,
    #[serde(serialize_with = "bands")]
    pub bands: Vec<Band>,
    #[serde(serialize_with = "optional_yuan")]
    pub annual_cap: Option<Decimal>,
    /// False for aid by application after discharge: such a rule is quoted, never settled at the window.
    pub one_stop: bool,
    #[serde(skip)]
    pub version: String,
}

impl Policy {
    /// The policy that is built in.
    ///
    /// # Errors
    /// Never with the file as delivered; a test shows it.
    pub fn built_in() -> Result<Self, Fault> {
        Self::parse(BUILT_IN)
    }

    /// Reads a policy file and checks that its rules do not contradict one another.
    ///
    /// # Errors
    /// The first contradiction, with its place.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        file::parse(text)
    }

    /// Services that any rule is for.
    pub fn services(&self) -> std::collections::BTreeSet<&str> {
        self.rules.iter().map(|rule| rule.service.as_str()).collect()
    }

    /// The file at the path, or the built-in policy where there is none.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood.
    pub fn load(path: &std::path::Path) -> Result<Self, Fault> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|fault| fault.in_file(path.display().to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::built_in(),
            Err(error) => {
                Err(Fault::new(BAD_POLICY, format!("the file cannot be read: {}", error.kind()))
                    .in_file(path.display().to_string()))
            }
        }
    }

    /// The rule of a category and service on the admission day, with the overrides of the division and those above it.
    ///
    /// # Errors
    /// Unknown codes or division; no rule in force that day.
    pub fn rule(&self, category: &str, service: &str, home: Option<&str>, on: Date) -> Result<Rule, Fault> {
        known("med_category", category, "/category")?;
        known("med_service", service, "/service")?;
        let home = home.map(normal).transpose()?;
        let entry = self
            .rules
            .iter()
            .find(|rule| rule.category == category && rule.service == service && in_force(rule.from, rule.to, on));
        let entry = entry.ok_or_else(|| self.no_rule(category, service))?;
        let mut rule = Rule {
            category: entry.category.clone(),
            service: entry.service.clone(),
            overrides: Vec::new(),
            on,
            deductible: entry.deductible,
            bands: entry.bands.clone(),
            annual_cap: entry.annual_cap,
            one_stop: entry.one_stop,
            version: entry.version.clone().unwrap_or_else(|| self.version.clone()),
        };
        for change in self.overrides_of(category, service, home.as_deref(), on) {
            apply(&mut rule, change);
        }
        Ok(rule)
    }

    /// Overrides that hold for the division: of the prefecture before those of the county.
    fn overrides_of(&self, category: &str, service: &str, home: Option<&str>, on: Date) -> Vec<&Override> {
        let Some(home) = home else { return Vec::new() };
        let holds = |change: &&Override| {
            change.category == category
                && change.service == service
                && in_force(change.from, change.to, on)
                && home.starts_with(stem(&change.division))
        };
        let mut found: Vec<&Override> = self.overrides.iter().filter(holds).collect();
        found.sort_by_key(|change| stem(&change.division).len());
        found
    }

    fn no_rule(&self, category: &str, service: &str) -> Fault {
        let ever = self.rules.iter().any(|rule| rule.category == category && rule.service == service);
        if ever {
            Fault::new(NO_RULE, "no rule was in force on the admission day")
                .at_pointer("/admit_date")
                .hint("the policy file says from and to which day each rule holds")
        } else {
            Fault::new(NO_RULE, "the policy has no rule for this category and service")
                .at_pointer("/service")
                .hint("this category gets no aid for this service")
        }
    }

    /// Of several categories of a person the one that counts.
    pub fn foremost<'a>(&self, categories: &[&'a str]) -> Option<&'a str> {
        self.priority.iter().find_map(|first| categories.iter().copied().find(|category| category == first))
    }
}

fn apply(rule: &mut Rule, change: &Override) {
    if let Some(deductible) = change.deductible {
        rule.deductible = deductible;
    }
    if let Some(bands) = &change.bands {
        rule.bands.clone_from(bands);
    }
    if let Some(cap) = change.annual_cap {
        rule.annual_cap = cap;
    }
    rule.overrides.push(change.division[..6].to_owned());
}

fn known(list: &str, code: &str, pointer: &str) -> Result<(), Fault> {
    let Some(codes) = CodeLists::embedded().get(list) else { return Ok(()) };
    if codes.find(code).is_some() {
        return Ok(());
    }
    Err(Fault::new(UNKNOWN_CODE, "the code is not in its list").at_pointer(pointer).expected(format!("a code of `{list}`")))
}

fn normal(code: &str) -> Result<String, Fault> {
    division::normalise(code)
        .map_err(|refusal| Fault::new(BAD_DIVISION, refusal.message).at_pointer("/division").expected(refusal.expected))
}

/// The digits that all divisions below share: `220100000000` is `2201`, the province `22`.
fn stem(division: &str) -> &str {
    let edges = [(9, 12), (6, 9), (4, 6), (2, 4)];
    let mut end = 12;
    for (from, to) in edges {
        if end == to && division[from..to].bytes().all(|digit| digit == b'0') {
            end = from;
        }
    }
    &division[..end]
}

fn in_force(from: Option<Date>, to: Option<Date>, on: Date) -> bool {
    from.is_none_or(|from| from <= on) && to.is_none_or(|to| on <= to)
}

fn iso<S: serde::Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&crate::clock::iso_date(*day))
}

fn yuan<S: serde::Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{amount:.2}"))
}

fn optional_yuan<S: serde::Serializer>(amount: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => yuan(amount, serializer),
        None => serializer.serialize_none(),
    }
}

fn bands<S: serde::Serializer>(bands: &[Band], serializer: S) -> Result<S::Ok, S::Error> {
    let pairs = bands.iter().map(|band| (band.to.map(|to| format!("{to:.2}")), band.ratio.normalize().to_string()));
    serializer.collect_seq(pairs)
}
