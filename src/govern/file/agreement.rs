//! The `[[agreement]]` tables of a partner file.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;
use time::Date;
use toml::de::DeValue;

use super::reader::{INVALID, MISSING, Section, nearest};
use crate::{
    error::{Code, Fault},
    govern::{
        Known,
        agreement::{Agreement, When},
        form::Form,
        plan::Plan,
    },
};

/// The agreement names a dataset that does not exist.
pub const UNKNOWN_DATASET: Code = Code::new(5105);
/// The agreement names a field that the dataset does not have.
pub const UNKNOWN_FIELD: Code = Code::new(5106);
/// A field is to be shown in a form that does not exist.
pub const UNKNOWN_FORM: Code = Code::new(5107);
/// The agreement ends before it begins.
pub const VALIDITY: Code = Code::new(5108);
/// Two agreements of one partner have the same id.
pub const DUPLICATE: Code = Code::new(5111);
/// A field that holds an object is listed under its own name.
pub const STRUCTURE: Code = Code::new(5113);

const AGREEMENT_KEYS: [&str; 13] = [
    "id",
    "dataset",
    "purpose",
    "legal_basis",
    "valid_from",
    "valid_to",
    "divisions",
    "where",
    "when",
    "own",
    "division_digits",
    "key",
    "fields",
];

pub(super) fn agreements(root: &Section<'_>, codes: &[String], known: &Known<'_>) -> Vec<Agreement> {
    let mut agreements: Vec<Agreement> = Vec::new();
    for section in root.sections("agreement", &AGREEMENT_KEYS) {
        let Some(mut agreement) = agreement(&section, known) else { continue };
        if agreements.iter().any(|other| other.id == agreement.id) {
            section.wrong(DUPLICATE, "id", format!("agreement `{}` is there twice", agreement.id), "an id of its own");
        }
        agreement.codes = codes.to_vec();
        agreements.push(agreement);
    }
    agreements
}

fn agreement(section: &Section<'_>, known: &Known<'_>) -> Option<Agreement> {
    let id = section.text("id");
    let dataset = section.text("dataset");
    let purpose = section.text("purpose");
    let legal_basis = section.text("legal_basis");
    let validity = validity(section);
    let divisions = divisions(section);
    let listed = dataset.as_deref().and_then(|dataset| known_fields(section, dataset, known));
    let fields = fields(section, dataset.as_deref().unwrap_or_default(), listed.as_deref());
    let key = section.texts("key");
    for name in key.iter().filter(|name| !fields.contains_key(*name)) {
        section.wrong(
            UNKNOWN_FIELD,
            "key",
            format!("key field `{name}` is not among the fields"),
            "a field of [agreement.fields]",
        );
    }
    let filter = filter(section);
    let (when, division_digits, own) = (when(section), division_digits(section), section.optional_text("own"));
    if let (Some(own), Some(listed)) = (&own, &listed)
        && !listed.contains(own)
    {
        section.wrong(
            UNKNOWN_FIELD,
            "own",
            format!("`own` names `{own}`, which the dataset does not have"),
            "a field of the dataset",
        );
    }
    let (valid_from, valid_to) = validity?;
    let plan = Plan::new(&fields, &key);
    Some(Agreement {
        id: id?,
        dataset: dataset?,
        purpose: purpose?,
        legal_basis: legal_basis?,
        valid_from,
        valid_to,
        when,
        own,
        codes: Vec::new(),
        division_digits,
        divisions,
        filter,
        fields,
        plan,
    })
}

fn when(section: &Section<'_>) -> When {
    match section.optional_text("when").as_deref() {
        None | Some("recorded") => When::Recorded,
        Some("requested") => When::Requested,
        Some(_) => {
            section.wrong(INVALID, "when", "there is no such occasion", "recorded or requested");
            When::Requested
        }
    }
}

fn division_digits(section: &Section<'_>) -> usize {
    let digits = section.number("division_digits", 2..=12, 12);
    if !matches!(digits, 2 | 4 | 6 | 9 | 12) {
        section.wrong(INVALID, "division_digits", "a division code has no such level", "2, 4, 6, 9 or 12");
    }
    digits as usize
}

fn validity(section: &Section<'_>) -> Option<(Date, Date)> {
    let (from, to) = (section.date("valid_from"), section.date("valid_to"));
    let (from, to) = (from?, to?);
    if to < from {
        section.wrong(VALIDITY, "valid_to", "the agreement ends before it begins", "a day not before `valid_from`");
    }
    Some((from, to))
}

fn divisions(section: &Section<'_>) -> Vec<String> {
    let divisions = section.texts("divisions");
    let shaped = |text: &String| matches!(text.len(), 2 | 4 | 6 | 9 | 12) && text.bytes().all(|byte| byte.is_ascii_digit());
    if divisions.is_empty() || !divisions.iter().all(shaped) {
        let expected = "division codes of 2, 4, 6, 9 or 12 digits, like [\"22\"]";
        section.wrong(INVALID, "divisions", "an agreement names the divisions it covers", expected);
    }
    divisions.iter().map(|code| unpadded(code).to_owned()).collect()
}

/// `220100000000` means the whole of `2201`: codes are padded with zeros on the right.
fn unpadded(code: &str) -> &str {
    let is_padding = |length: &usize| code.get(*length..).is_some_and(|rest| rest.bytes().all(|byte| byte == b'0'));
    [2, 4, 6, 9].into_iter().find(is_padding).map_or(code, |length| &code[..length])
}

fn known_fields(section: &Section<'_>, dataset: &str, known: &Known<'_>) -> Option<Vec<String>> {
    let fields = (known.fields)(dataset);
    if fields.is_none() && !known.datasets.is_empty() && !known.datasets.contains(&dataset) {
        let span = section.get("dataset").map_or(0..0, toml::Spanned::span);
        let fault = section.report.at(UNKNOWN_DATASET, &span, format!("unknown dataset `{dataset}`")).at_column("dataset");
        section.report.push(nearest(fault, dataset, &known.datasets));
    }
    fields
}

fn fields(section: &Section<'_>, dataset: &str, listed: Option<&[String]>) -> BTreeMap<String, Form> {
    let mut fields = BTreeMap::new();
    let Some(table) = section.open_section("fields") else {
        section.wrong(MISSING, "fields", "`[agreement.fields]` is missing", "the fields the partner may have");
        return fields;
    };
    for (field, span, value) in table.entries() {
        let written = value.get_ref().as_str().unwrap_or_default();
        let Some(form) = Form::parse(written) else {
            let fault = section.report.at(UNKNOWN_FORM, &value.span(), format!("`{field}` has no form `{written}`"));
            section.report.push(nearest(fault.at_column(field), written, &Form::ALL.map(Form::as_str)));
            continue;
        };
        if let Some(fault) = listed.and_then(|listed| unknown_field(section, &span, dataset, field, listed)) {
            section.report.push(fault);
        }
        fields.insert(field.to_owned(), form);
    }
    for outer in fields.keys() {
        let inner = format!("{outer}.");
        if fields.keys().any(|field| field.starts_with(&inner)) {
            table.wrong(STRUCTURE, outer, format!("`{outer}` is listed beside its inner fields"), "only the inner fields");
        }
    }
    fields
}

fn unknown_field(section: &Section<'_>, span: &Range<usize>, dataset: &str, field: &str, listed: &[String]) -> Option<Fault> {
    let inner = format!("{field}.");
    if listed.iter().any(|name| name.starts_with(&inner)) {
        let fault = section.report.at(STRUCTURE, span, format!("`{field}` of `{dataset}` holds an object"));
        return Some(fault.at_column(field).expected(format!("its inner fields, like \"{field}.name\"")));
    }
    if listed.iter().any(|name| name == field) {
        return None;
    }
    let names: Vec<&str> = listed.iter().map(String::as_str).collect();
    let fault = section.report.at(UNKNOWN_FIELD, span, format!("`{dataset}` has no field `{field}`"));
    Some(nearest(fault.at_column(field), field, &names))
}

fn filter(section: &Section<'_>) -> Vec<(String, Value)> {
    let Some(table) = section.open_section("where") else { return Vec::new() };
    let mut filter = Vec::new();
    for (field, _, value) in table.entries() {
        let wanted = match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from),
            _ => Value::Null,
        };
        if wanted.is_null() {
            table.wrong(INVALID, field, format!("`{field}` cannot be compared"), "a text, a whole number, true or false");
        }
        filter.push((field.to_owned(), wanted));
    }
    filter
}
