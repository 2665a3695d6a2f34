//! The format of `config/partners/<slug>.toml`. Every fault of a file is found in one go, with its line.

use std::{
    cell::RefCell,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeTable;

use super::{
    Known,
    keys::GovernKeys,
    network::Network,
    partner::{Mailbox, Partner, QueryEndpoint, Signing, Transport, Webhook},
};
use crate::error::{Code, Fault};

pub mod agreement;
pub mod reader;

use reader::{INVALID, MISSING, Report, Section};

/// The file is not TOML.
pub const SYNTAX: Code = Code::new(5101);
/// A secret is not there: the variable is not set, or its file cannot be read.
pub const SECRET: Code = Code::new(5109);
/// A secret is written in the partner file itself.
pub const SECRET_EXPOSED: Code = Code::new(5110);
/// The slug is not the name of the file.
pub const SLUG: Code = Code::new(5114);

/// Reads one file; every fault of it goes into the answer.
pub(super) fn read(file: &Path, text: &str, keys: &GovernKeys, known: &Known<'_>) -> Result<Partner, Vec<Fault>> {
    let shown = file.display().to_string();
    let root = DeTable::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let row = before.matches('\n').count() as u64 + 1;
        vec![Fault::new(SYNTAX, format!("not TOML: {}", error.message())).in_file(&shown).at_row(row)]
    })?;
    let report = Report::new(&shown, text);
    let root_keys = [
        "slug",
        "name",
        "codes",
        "requests_per_second",
        "endpoint_networks",
        "may",
        "conformance",
        "query",
        "transport",
        "agreement",
    ];
    let section = Section::new(&report, root.get_ref(), "the partner file", 0..0, &root_keys);
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let slug = section.text("slug").unwrap_or_default();
    if !slug.is_empty() && (slug != stem || !is_slug(&slug)) {
        let expected = format!("`{stem}`, small letters, digits and hyphens");
        section.wrong(SLUG, "slug", "the slug must be the name of the file", &expected);
    }
    let name = section.text("name").unwrap_or_default();
    let codes = section.texts("codes");
    let requests = section.number("requests_per_second", 1..=10_000, REQUESTS_PER_SECOND);
    let endpoint_networks = networks(&section, "endpoint_networks");
    let lookup = Lookup { keys, file, required: known.required.contains(&slug.as_str()), missing: RefCell::default() };
    let query = query(&section, &lookup);
    let may = section.texts("may");
    let conformance = section.get("conformance").and_then(|_| section.optional_text("conformance"));
    let transport = transport(&section, &lookup);
    let agreements = agreement::agreements(&section, &codes, known);
    let faults = report.into_faults();
    let unreachable = lookup.missing.into_inner();
    match transport {
        Some((transport, rate_per_second)) if faults.is_empty() => Ok(Partner {
            slug,
            name,
            codes,
            transport: if unreachable.is_some() { mailbox_only(transport) } else { transport },
            unreachable,
            requests_per_second: NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN),
            endpoint_networks,
            query,
            may,
            conformance,
            rate_per_second,
            agreements,
        }),
        _ => Err(faults),
    }
}

/// Signed requests per second of a partner whose file says nothing else.
const REQUESTS_PER_SECOND: u32 = 50;

/// Waiting deliveries of a partner without endpoint, unless its mailbox says otherwise.
const CAPACITY: u32 = 1_000_000;

/// Where addresses and secrets are found, and what was not.
struct Lookup<'a> {
    keys: &'a GovernKeys,
    file: &'a Path,
    /// What is missing is a fault and not a state.
    required: bool,
    /// The first that is missing.
    missing: RefCell<Option<String>>,
}

impl Lookup<'_> {
    fn note(&self, what: String) {
        self.missing.borrow_mut().get_or_insert(what);
    }
}

/// Where queries go. An address that is not set is no fault: they wait in the mailbox then.
fn query(root: &Section<'_>, lookup: &Lookup<'_>) -> Option<QueryEndpoint> {
    let section = root.section("query", &["url", "allow", "timeout", "format", "key_file", "host_key", "public_key", "every"])?;
    let written = section.text("url")?;
    let allow = networks(&section, "allow");
    let timeout = section.duration("timeout", Duration::from_secs(30), Duration::from_secs(120));
    let every = section.duration("every", Duration::from_secs(30), Duration::from_secs(86_400));
    let format = section.get("format").and_then(|_| section.optional_text("format"));
    if format.as_ref().is_some_and(|format| !QUERY_FORMATS.contains(&format.as_str())) {
        let expected = format!("one of {}", QUERY_FORMATS.join(", "));
        section.wrong(INVALID, "format", "queries have no such format", &expected);
    }
    let public_key = section.get("public_key").and_then(|_| section.optional_text("public_key"));
    let key = section.get("key_file").and_then(|_| section.optional_text("key_file"));
    let host = section.get("host_key").and_then(|_| section.optional_text("host_key"));
    let url = match written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(variable) => lookup.keys.variable(variable)?.expose_secret().trim().to_owned(),
        None => written,
    };
    if url.starts_with("sftp:") && (key.is_none() || host.is_none()) {
        let missing = if key.is_none() { "key_file" } else { "host_key" };
        section.wrong(
            MISSING,
            missing,
            format!("`{missing}` is missing beside an SFTP folder"),
            "our secret key in a file, the server's host key",
        );
    }
    let sftp = key.zip(host).map(|(key, host)| (beside(lookup.file, &key), host));
    Some(QueryEndpoint { url, format, sftp, public_key, every, allow, timeout })
}

/// How queries are written: the list of banks says it for each, a partner file may say otherwise.
const QUERY_FORMATS: [&str; 4] = ["json", "xml", "csv", "fixed"];

/// Deliveries of a partner without endpoint wait where a signed request can fetch them.
fn mailbox_only(transport: Transport) -> Transport {
    match transport {
        Transport::Mailbox(mailbox) => Transport::Mailbox(mailbox),
        _ => Transport::Mailbox(Mailbox { tokens: Vec::new(), capacity: CAPACITY }),
    }
}

fn is_slug(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

const KINDS: [&str; 3] = ["lake", "webhook", "mailbox"];
const LAKE_KEYS: [&str; 2] = ["kind", "rate_per_second"];
const WEBHOOK_KEYS: [&str; 14] = [
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
];
const MAILBOX_KEYS: [&str; 7] = ["kind", "rate_per_second", "token", "token_file", "next_token", "next_token_file", "capacity"];

fn transport(root: &Section<'_>, lookup: &Lookup<'_>) -> Option<(Transport, Option<NonZeroU32>)> {
    if root.get("transport").is_none() {
        root.wrong(MISSING, "transport", "`[transport]` is missing", "a table with `kind`");
        return None;
    }
    let kind = root.open_section("transport")?.text("kind")?;
    let known: &[&str] = match kind.as_str() {
        "webhook" => &WEBHOOK_KEYS,
        "mailbox" => &MAILBOX_KEYS,
        _ => &LAKE_KEYS,
    };
    if !KINDS.contains(&kind.as_str()) {
        let expected = format!("one of {}", KINDS.join(", "));
        root.open_section("transport")?.wrong(INVALID, "kind", format!("no transport is called `{kind}`"), &expected);
        return None;
    }
    let section = root.section("transport", known)?;
    let rate = NonZeroU32::new(section.number("rate_per_second", 0..=100_000, 0));
    let transport = match kind.as_str() {
        "webhook" => Transport::Webhook(webhook(&section, lookup)?),
        "mailbox" => Transport::Mailbox(mailbox(&section, lookup)),
        _ => Transport::Lake,
    };
    Some((transport, rate))
}

fn webhook(section: &Section<'_>, lookup: &Lookup<'_>) -> Option<Webhook> {
    let url = section.text("url").map(|url| address(section, lookup, url));
    let allow = networks(section, "allow");
    if allow.is_empty() {
        section.wrong(INVALID, "allow", "a webhook needs the networks it may be reached in", "a list like [\"10.1.0.0/16\"]");
    }
    let signing = match section.optional_text("signing").as_deref() {
        None | Some("ed25519") => Signing::Ed25519,
        Some("hmac-sha256") => Signing::HmacSha256,
        Some(_) => {
            section.wrong(INVALID, "signing", "no such signature scheme", "ed25519 or hmac-sha256");
            Signing::Ed25519
        }
    };
    let secrets = secrets(section, lookup, ["secret", "next_secret"]);
    let size = section.number("batch_size", 1..=1_000, 100) as usize;
    Some(Webhook {
        allow,
        signing,
        secrets,
        timeout: section.duration("timeout", Duration::from_secs(10), Duration::from_secs(120)),
        in_flight: section.number("in_flight", 1..=64, 8) as usize,
        batch: if section.flag("batch") { size } else { 1 },
        ca_file: section.optional_text("ca_file").map(|path| beside(lookup.file, &path)),
        url: url?,
    })
}

/// Guessing a token must be hopeless without a lock-out.
const SHORTEST_TOKEN: usize = 24;

fn mailbox(section: &Section<'_>, lookup: &Lookup<'_>) -> Mailbox {
    let tokens = if ["token", "token_file", "next_token", "next_token_file"].iter().any(|key| section.get(key).is_some()) {
        secrets(section, lookup, ["token", "next_token"])
    } else if lookup.required {
        section.wrong(SECRET, "token", "`token` is missing", "a variable like ${NAME}, or a file");
        Vec::new()
    } else {
        lookup.note("the partner file names no token".to_owned());
        Vec::new()
    };
    if tokens.iter().any(|token| token.expose_secret().len() < SHORTEST_TOKEN) {
        let expected = format!("at least {SHORTEST_TOKEN} characters, like `openssl rand -hex 32` gives");
        section.wrong(SECRET, "token", "a token of the mailbox is too short to be safe", &expected);
    }
    let capacity = section.number("capacity", 1..=100_000_000, CAPACITY);
    Mailbox { tokens, capacity }
}

/// An address that may stand in a variable.
fn address(section: &Section<'_>, lookup: &Lookup<'_>, url: String) -> String {
    let Some(variable) = url.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return url };
    match lookup.keys.variable(variable) {
        Some(url) => url.expose_secret().trim().to_owned(),
        None => {
            unset(section, lookup, "url", variable);
            String::new()
        }
    }
}

/// A variable without value: a fault of a partner that must be reachable, a state of any other.
fn unset(section: &Section<'_>, lookup: &Lookup<'_>, key: &str, variable: &str) {
    let message = format!("the variable `{variable}` is not set");
    if lookup.required {
        section.wrong(SECRET, key, message, "a value in the environment or under [env]");
    } else {
        lookup.note(message);
    }
}

fn networks(section: &Section<'_>, key: &str) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in &section.texts(key) {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(form) => section.wrong(INVALID, key, format!("`{text}` is no network"), form),
        }
    }
    networks
}

/// The first must be there, the second may.
fn secrets(section: &Section<'_>, lookup: &Lookup<'_>, names: [&str; 2]) -> Vec<SecretString> {
    let [first, next] = names;
    if section.get(first).is_none() && section.get(&format!("{first}_file")).is_none() {
        section.wrong(SECRET, first, format!("`{first}` is missing"), "a variable like ${NAME}, or a file");
    }
    [first, next].into_iter().filter_map(|name| secret(section, lookup, name)).collect()
}

fn secret(section: &Section<'_>, lookup: &Lookup<'_>, name: &str) -> Option<SecretString> {
    let by_file = format!("{name}_file");
    if section.get(&by_file).is_some() {
        let path = beside(lookup.file, &section.optional_text(&by_file)?);
        let secret = std::fs::read_to_string(&path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if secret.is_none() {
            section.wrong(SECRET, &by_file, "the file of the secret cannot be read or is empty", "a readable file");
        }
        return secret.map(SecretString::from);
    }
    section.get(name)?;
    let text = section.optional_text(name)?;
    // A hash is no secret: a token may stand in the file in this form.
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if name.ends_with("token") && text.strip_prefix("sha256:").is_some_and(is_hash) {
        return Some(SecretString::from(text));
    }
    let Some(variable) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        section.wrong(SECRET_EXPOSED, name, format!("`{name}` is written in the file"), "a variable like ${NAME}, or a file");
        return None;
    };
    let secret = lookup.keys.variable(variable);
    if secret.is_none() {
        unset(section, lookup, name, variable);
    }
    secret
}

/// A path in a partner file counts from the folder of the file.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}
