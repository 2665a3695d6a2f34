//! Reading the policy file.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Number, Value};
use time::Date;

use super::{Band, Entry, Override, Pharmacy, Policy, in_force, known, normal};
use crate::{
    domain::date,
    error::Fault,
    settle::{BAD_POLICY, UNKNOWN_CODE},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: String,
    #[serde(default, rename = "certainty")]
    _certainty: String,
    #[serde(default, rename = "currency")]
    _currency: String,
    #[serde(default, rename = "rounding")]
    _rounding: String,
    #[serde(default, rename = "annual_period")]
    _annual_period: String,
    #[serde(default, rename = "compute")]
    _compute: Value,
    category_priority: Vec<String>,
    pharmacy_offline: PharmacyForm,
    rules: Vec<RuleForm>,
    #[serde(default)]
    division_overrides: Vec<OverrideForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PharmacyForm {
    max_per_sale: Number,
    max_unsynced_per_person: Number,
    must_sync_within_hours: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    category: String,
    service: String,
    deductible: Number,
    bands: Vec<(Option<Number>, Number)>,
    annual_cap: Option<Number>,
    #[serde(default = "yes")]
    one_stop: bool,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_to: Option<String>,
    #[serde(default, rename = "note")]
    _note: String,
    #[serde(default, rename = "category_note")]
    _category_note: String,
    #[serde(default, rename = "category_zh")]
    _category_zh: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideForm {
    division: String,
    category: String,
    service: String,
    #[serde(default)]
    deductible: Option<Number>,
    #[serde(default)]
    bands: Option<Vec<(Option<Number>, Number)>>,
    /// `null` lifts the cap; a field that is not there leaves it.
    #[serde(default, deserialize_with = "there")]
    annual_cap: Option<Option<Number>>,
    #[serde(default)]
    valid_from: Option<String>,
    #[serde(default)]
    valid_to: Option<String>,
    #[serde(default, rename = "note")]
    _note: String,
}

fn yes() -> bool {
    true
}

fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Number>>, D::Error> {
    Option::<Number>::deserialize(deserializer).map(Some)
}

pub(super) fn parse(text: &str) -> Result<Policy, Fault> {
    let form: Form =
        serde_json::from_str(text).map_err(|error| Fault::new(BAD_POLICY, format!("the policy is not understood: {error}")))?;
    let pharmacy = Pharmacy {
        max_per_sale: amount(&form.pharmacy_offline.max_per_sale, "/pharmacy_offline/max_per_sale")?,
        max_unsynced_per_person: amount(
            &form.pharmacy_offline.max_unsynced_per_person,
            "/pharmacy_offline/max_unsynced_per_person",
        )?,
        must_sync_within_hours: form.pharmacy_offline.must_sync_within_hours,
    };
    let numbered = |list: &str, at: usize| format!("/{list}/{at}");
    let rules: Vec<Entry> =
        form.rules.into_iter().enumerate().map(|(at, rule)| entry(rule, &numbered("rules", at))).collect::<Result<_, _>>()?;
    let overrides: Vec<Override> = form
        .division_overrides
        .into_iter()
        .enumerate()
        .map(|(at, change)| changed(change, &numbered("division_overrides", at)))
        .collect::<Result<_, _>>()?;
    for (at, category) in form.category_priority.iter().enumerate() {
        known("med_category", category, "").map_err(|fault| moved(fault, &numbered("category_priority", at)))?;
    }
    apart(&rules, &overrides)?;
    Ok(Policy { version: form.version, priority: form.category_priority, pharmacy, rules, overrides })
}

fn entry(form: RuleForm, at: &str) -> Result<Entry, Fault> {
    codes(&form.category, &form.service, at)?;
    let (from, to) = period(form.valid_from.as_deref(), form.valid_to.as_deref(), at)?;
    Ok(Entry {
        deductible: amount(&form.deductible, &format!("{at}/deductible"))?,
        bands: bands(&form.bands, at)?,
        annual_cap: form.annual_cap.map(|cap| amount(&cap, &format!("{at}/annual_cap"))).transpose()?,
        category: form.category,
        service: form.service,
        one_stop: form.one_stop,
        version: form.version,
        from,
        to,
    })
}

fn changed(form: OverrideForm, at: &str) -> Result<Override, Fault> {
    codes(&form.category, &form.service, at)?;
    let (from, to) = period(form.valid_from.as_deref(), form.valid_to.as_deref(), at)?;
    Ok(Override {
        division: normal(&form.division).map_err(|fault| moved(fault, &format!("{at}/division")))?,
        deductible: form.deductible.map(|amount_| amount(&amount_, &format!("{at}/deductible"))).transpose()?,
        bands: form.bands.map(|form| bands(&form, at)).transpose()?,
        annual_cap: match form.annual_cap {
            Some(Some(cap)) => Some(Some(amount(&cap, &format!("{at}/annual_cap"))?)),
            Some(None) => Some(None),
            None => None,
        },
        category: form.category,
        service: form.service,
        from,
        to,
    })
}

fn codes(category: &str, service: &str, at: &str) -> Result<(), Fault> {
    known("med_category", category, "").map_err(|fault| moved(fault, &format!("{at}/category")))?;
    known("med_service", service, "").map_err(|fault| moved(fault, &format!("{at}/service")))
}

/// Edges that grow, a last band without one, ratios between nothing and all.
fn bands(form: &[(Option<Number>, Number)], at: &str) -> Result<Vec<Band>, Fault> {
    let place = format!("{at}/bands");
    let bad = |message: &str| Fault::new(BAD_POLICY, message.to_owned()).at_pointer(place.clone());
    let mut bands: Vec<Band> = Vec::with_capacity(form.len());
    for (to, ratio) in form {
        let to = to.as_ref().map(|to| amount(to, &place)).transpose()?;
        let ratio = decimal(ratio).filter(|ratio| (Decimal::ZERO..=Decimal::ONE).contains(ratio) && ratio.scale() <= 6);
        bands.push(Band { to, ratio: ratio.ok_or_else(|| bad("a ratio is not between 0 and 1"))? });
    }
    let growing = bands.windows(2).all(|pair| pair[0].to.is_some() && pair[1].to.is_none_or(|to| pair[0].to < Some(to)));
    let open = bands.last().is_some_and(|last| last.to.is_none());
    if growing && open { Ok(bands) } else { Err(bad("the edges of bands must grow, and only the last band has none")) }
}

/// No two rules, and no two overrides, may hold for the same thing on the same day.
fn apart(rules: &[Entry], overrides: &[Override]) -> Result<(), Fault> {
    let rules: Vec<_> = rules.iter().map(|rule| (("", &rule.category, &rule.service), rule.from, rule.to)).collect();
    let overrides: Vec<_> = overrides
        .iter()
        .map(|change| ((change.division.as_str(), &change.category, &change.service), change.from, change.to))
        .collect();
    for (list, all) in [("rules", rules), ("division_overrides", overrides)] {
        for (at, (key, from, to)) in all.iter().enumerate() {
            let clash = all[..at].iter().any(|(other, start, end)| other == key && overlap((*from, *to), (*start, *end)));
            if clash {
                let fault = Fault::new(BAD_POLICY, "two entries hold for the same category and service on one day");
                return Err(fault.at_pointer(format!("/{list}/{at}")).hint("end the earlier one with `valid_to`"));
            }
        }
    }
    Ok(())
}

fn overlap(one: (Option<Date>, Option<Date>), other: (Option<Date>, Option<Date>)) -> bool {
    let starts = |period: (Option<Date>, Option<Date>)| period.0.unwrap_or(Date::MIN);
    in_force(one.0, one.1, starts(other)) || in_force(other.0, other.1, starts(one))
}

fn period(from: Option<&str>, to: Option<&str>, at: &str) -> Result<(Option<Date>, Option<Date>), Fault> {
    let day = |text: Option<&str>, field: &str| {
        text.map(date::cn_date).transpose().map_err(|refusal| {
            Fault::new(BAD_POLICY, refusal.message).at_pointer(format!("{at}/{field}")).expected("a day such as 2017-01-01")
        })
    };
    let (from, to) = (day(from, "valid_from")?, day(to, "valid_to")?);
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        return Err(Fault::new(BAD_POLICY, "the last day lies before the first").at_pointer(format!("{at}/valid_to")));
    }
    Ok((from, to))
}

fn amount(number: &Number, pointer: &str) -> Result<Decimal, Fault> {
    let money = decimal(number).filter(|money| !money.is_sign_negative() && money.normalize().scale() <= 2);
    money.ok_or_else(|| {
        Fault::new(BAD_POLICY, "not an amount in yuan").at_pointer(pointer.to_owned()).expected("0 or more, at most two decimals")
    })
}

fn decimal(number: &Number) -> Option<Decimal> {
    number.to_string().parse().ok()
}

fn moved(fault: Fault, pointer: &str) -> Fault {
    let code = if fault.code == UNKNOWN_CODE { BAD_POLICY } else { fault.code };
    Fault { code, ..fault }.at_pointer(pointer.to_owned())
}
