//! [`Partner`]: one file `config/partners/<slug>.toml`, read with all its faults.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use serde_json::Value;
use time::Date;
use toml::de::{DeTable, DeValue};

use super::{
    Agreement, Known,
    form::Form,
    keys::GovernKeys,
    network::Network,
    plan::Plan,
    reader::{INVALID, MISSING, Report, Section, nearest},
};
use crate::error::{Code, Fault};

/// The file is not TOML.
pub const SYNTAX: Code = Code::new(5101);
/// The agreement names a dataset that does not exist.
pub const UNKNOWN_DATASET: Code = Code::new(5105);
/// The agreement names a field that the dataset does not have.
pub const UNKNOWN_FIELD: Code = Code::new(5106);
/// A field is to be shown in a form that does not exist.
pub const UNKNOWN_FORM: Code = Code::new(5107);
/// The agreement ends before it begins.
pub const VALIDITY: Code = Code::new(5108);
/// A secret is not there: the variable is not set, or its file cannot be read.
pub const SECRET: Code = Code::new(5109);
/// A secret is written in the partner file itself.
pub const SECRET_EXPOSED: Code = Code::new(5110);
/// Two agreements of one partner have the same id.
pub const DUPLICATE: Code = Code::new(5111);
/// A field that holds an object is listed under its own name.
pub const STRUCTURE: Code = Code::new(5113);
/// The slug is not the name of the file.
pub const SLUG: Code = Code::new(5114);

/// One receiver.
#[derive(Debug, Clone)]
pub struct Partner {
    /// File name without `.toml`; names the queue and the subscription.
    pub slug: String,
    pub name: String,
    pub transport: Transport,
    /// Deliveries per second; `None` for no limit.
    pub rate_per_second: Option<NonZeroU32>,
    /// In file order: the first that applies to an event decides.
    pub agreements: Vec<Agreement>,
}

/// How a partner gets its deliveries.
#[derive(Debug, Clone)]
pub enum Transport {
    /// The lake of the hub itself.
    Lake,
    Webhook(Webhook),
    Mailbox(Mailbox),
}

/// A partner that is called.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// As written; checked by the guard, which also looks at how it is written.
    pub url: String,
    /// Networks the partner may be reached in; at least one.
    pub allow: Vec<Network>,
    pub signing: Signing,
    /// The current key, and the next while keys are changed.
    pub secrets: Vec<SecretString>,
    /// For one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Requests under way at once; those of one partition key follow one another.
    pub in_flight: usize,
    /// Events in one request; 1 unless `batch = true`.
    pub batch: usize,
    /// PEM file of the certificate authority of a partner outside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// The signature scheme of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    Ed25519,
    HmacSha256,
}

/// A partner that comes and fetches.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// Its bearer tokens, current and next: the token, or `sha256:` and 64 hex digits.
    pub tokens: Vec<SecretString>,
    /// Unacknowledged deliveries it may have before delivery pauses.
    pub capacity: u32,
}

/// Reads one file; every fault of it goes into the answer.
pub(super) fn read(file: &Path, text: &str, keys: &GovernKeys, known: &Known<'_>) -> Result<Partner, Vec<Fault>> {
    let shown = file.display().to_string();
    let root = DeTable::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let row = before.matches('\n').count() as u64 + 1;
        vec![Fault::new(SYNTAX, format!("not TOML: {}", error.message())).in_file(&shown).at_row(row)]
    })?;
    let report = Report::new(&shown, text);
    let root_keys = ["slug", "name", "transport", "agreement"];
    let section = Section::new(&report, root.get_ref(), "the partner file", 0..0, &root_keys);
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let slug = section.text("slug").unwrap_or_default();
    if !slug.is_empty() && (slug != stem || !is_slug(&slug)) {
        let expected = format!("`{stem}`, small letters, digits and hyphens");
        section.wrong(SLUG, "slug", "the slug must be the name of the file", &expected);
    }
    let name = section.text("name").unwrap_or_default();
    let transport = transport(&section, keys, file);
    let agreements = agreements(&section, known);
    let faults = report.into_faults();
    match transport {
        Some((transport, rate_per_second)) if faults.is_empty() => {
            Ok(Partner { slug, name, transport, rate_per_second, agreements })
        }
        _ => Err(faults),
    }
}

fn is_slug(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

const KINDS: [&str; 3] = ["lake", "webhook", "mailbox"];
const TRANSPORT_KEYS: [&str; 17] = [
    "kind",
    "rate_per_second",
    "url",
    "allow",
    "signing",
    "secret",
    "secret_file",
    "next_secret",
    "next_secret_file",
    "timeout",
    "in_flight",
    "batch",
    "batch_size",
    "ca_file",
    "token",
    "next_token",
    "capacity",
];

fn transport(root: &Section<'_>, keys: &GovernKeys, file: &Path) -> Option<(Transport, Option<NonZeroU32>)> {
    if root.get("transport").is_none() {
        root.wrong(MISSING, "transport", "`[transport]` is missing", "a table with `kind`");
    }
    let section = root.section("transport", &TRANSPORT_KEYS)?;
    let rate = NonZeroU32::new(section.number("rate_per_second", 0..=100_000, 0));
    let transport = match section.text("kind")?.as_str() {
        "lake" => Transport::Lake,
        "webhook" => Transport::Webhook(webhook(&section, keys, file)?),
        "mailbox" => Transport::Mailbox(mailbox(&section, keys, file)),
        _ => {
            section.wrong(INVALID, "kind", "no such transport", &format!("one of {}", KINDS.join(", ")));
            return None;
        }
    };
    Some((transport, rate))
}

fn webhook(section: &Section<'_>, keys: &GovernKeys, file: &Path) -> Option<Webhook> {
    let url = section.text("url");
    let allow = networks(section);
    let signing = match section.optional_text("signing").as_deref() {
        None | Some("ed25519") => Signing::Ed25519,
        Some("hmac-sha256") => Signing::HmacSha256,
        Some(_) => {
            section.wrong(INVALID, "signing", "no such signature scheme", "ed25519 or hmac-sha256");
            Signing::Ed25519
        }
    };
    let secrets = secrets(section, keys, file, ["secret", "next_secret"]);
    let size = section.number("batch_size", 1..=1_000, 100) as usize;
    Some(Webhook {
        allow,
        signing,
        secrets,
        timeout: section.duration("timeout", Duration::from_secs(10), Duration::from_secs(120)),
        in_flight: section.number("in_flight", 1..=64, 8) as usize,
        batch: if section.flag("batch") { size } else { 1 },
        ca_file: section.optional_text("ca_file").map(|path| beside(file, &path)),
        url: url?,
    })
}

fn mailbox(section: &Section<'_>, keys: &GovernKeys, file: &Path) -> Mailbox {
    let tokens = secrets(section, keys, file, ["token", "next_token"]);
    let capacity = section.number("capacity", 1..=100_000_000, 1_000_000);
    Mailbox { tokens, capacity }
}

fn networks(section: &Section<'_>) -> Vec<Network> {
    let texts = section.texts("allow");
    if texts.is_empty() {
        section.wrong(INVALID, "allow", "a webhook needs the networks it may be reached in", "a list like [\"10.1.0.0/16\"]");
    }
    let mut networks = Vec::new();
    for text in &texts {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(form) => section.wrong(INVALID, "allow", format!("`{text}` is no network"), form),
        }
    }
    networks
}

/// The first must be there, the second may.
fn secrets(section: &Section<'_>, keys: &GovernKeys, file: &Path, names: [&str; 2]) -> Vec<SecretString> {
    let [first, next] = names;
    if section.get(first).is_none() && section.get(&format!("{first}_file")).is_none() {
        section.wrong(SECRET, first, format!("`{first}` is missing"), "a variable like ${NAME}, or a file");
    }
    [first, next].into_iter().filter_map(|name| secret(section, keys, file, name)).collect()
}

fn secret(section: &Section<'_>, keys: &GovernKeys, file: &Path, name: &str) -> Option<SecretString> {
    let by_file = format!("{name}_file");
    if section.get(&by_file).is_some() {
        let path = beside(file, &section.optional_text(&by_file)?);
        let secret = std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if secret.is_none() {
            section.wrong(SECRET, &by_file, "the file of the secret cannot be read or is empty", "a readable file");
        }
        return secret.map(SecretString::from);
    }
    section.get(name)?;
    let text = section.optional_text(name)?;
    // A hash is no secret: a token may stand in the file in this form.
    if name.ends_with("token") && text.strip_prefix("sha256:").is_some_and(|hash| hash.len() == 64) {
        return Some(SecretString::from(text));
    }
    let Some(variable) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        section.wrong(SECRET_EXPOSED, name, format!("`{name}` is written in the file"), "a variable like ${NAME}, or a file");
        return None;
    };
    let secret = keys.variable(variable);
    if secret.is_none() {
        section.wrong(SECRET, name, format!("the variable `{variable}` is not set"), "a secret in the environment");
    }
    secret
}

/// A path in a partner file counts from the folder of the file.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

const AGREEMENT_KEYS: [&str; 10] =
    ["id", "dataset", "purpose", "legal_basis", "valid_from", "valid_to", "divisions", "where", "key", "fields"];

fn agreements(root: &Section<'_>, known: &Known<'_>) -> Vec<Agreement> {
    let mut agreements: Vec<Agreement> = Vec::new();
    for section in root.sections("agreement", &AGREEMENT_KEYS) {
        let Some(agreement) = agreement(&section, known) else { continue };
        if agreements.iter().any(|other| other.id == agreement.id) {
            section.wrong(DUPLICATE, "id", format!("agreement `{}` is there twice", agreement.id), "an id of its own");
        }
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
    let (valid_from, valid_to) = validity?;
    let plan = Plan::new(&fields, &key);
    Some(Agreement {
        id: id?,
        dataset: dataset?,
        purpose: purpose?,
        legal_basis: legal_basis?,
        valid_from,
        valid_to,
        divisions,
        filter,
        fields,
        plan,
    })
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
    divisions
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

fn unknown_field(
    section: &Section<'_>,
    span: &std::ops::Range<usize>,
    dataset: &str,
    field: &str,
    listed: &[String],
) -> Option<Fault> {
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
