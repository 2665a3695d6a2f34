//! Certificates: those that somebody shows us, and those in files that the configuration or a partner file names.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Category::Certificate, Check, Finding};
use crate::{
    clock,
    config::Config,
    error::Code,
    govern::partner::{Partner, Transport},
};

/// A certificate has expired.
pub const EXPIRED: Code = Code::new(8231);
/// A certificate expires soon.
pub const EXPIRES_SOON: Code = Code::new(8232);
/// A certificate file cannot be read or holds none.
pub const NO_CERTIFICATE: Code = Code::new(8233);
/// A certificate is not valid yet.
pub const NOT_YET_VALID: Code = Code::new(8234);

/// Days before the end from which on there is a warning.
const SOON_DAYS: i64 = 30;

/// When a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub from: i64,
    pub to: i64,
}

impl Validity {
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some(Self { from: validity.not_before.timestamp(), to: validity.not_after.timestamp() })
    }

    /// What is to be said of it now; `whose` names it.
    pub fn judge(self, whose: &str) -> Finding {
        let now = clock::millis() / 1000;
        let day = |seconds| {
            time::OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |at| clock::iso_date(at.date()))
        };
        if now > self.to {
            let message = format!("the certificate of {whose} expired on {}", day(self.to));
            return Finding::fail(
                Certificate,
                EXPIRED,
                message,
                "have it renewed by its owner, or put the new file in its place",
            );
        }
        if now < self.from {
            let message = format!("the certificate of {whose} is valid from {} on", day(self.from));
            return Finding::fail(
                Certificate,
                NOT_YET_VALID,
                message,
                "check the clock of this machine; else the certificate was made for later",
            );
        }
        let days = (self.to - now) / 86_400;
        if days < SOON_DAYS {
            let message = format!("the certificate of {whose} expires in {days} days, on {}", day(self.to));
            return Finding::warn(Certificate, EXPIRES_SOON, message, "have it renewed now: after that day nothing gets through");
        }
        Finding::ok(Certificate, format!("the certificate of {whose} is valid until {}", day(self.to)))
    }
}

/// The files named by partners, and those of the configuration that look like certificates.
pub(super) fn check(config: &Config, partners: &[Partner]) -> Check {
    let mut files: Vec<PathBuf> = config.env.values().filter(|value| named_like_one(value)).map(PathBuf::from).collect();
    files.extend(partners.iter().filter_map(|partner| match &partner.transport {
        Transport::Webhook(webhook) => webhook.ca_file.clone(),
        _ => None,
    }));
    for url in [&config.bus.url, &config.store.url] {
        files.extend(url.split(['?', '&', '=']).filter(|part| named_like_one(part)).map(PathBuf::from));
    }
    files.extend(named_in(&config.paths.partners));
    files.sort();
    files.dedup();
    Check::local(Certificate, "certificate files", move || files.iter().flat_map(|file| look(file)).collect::<Vec<_>>())
}

fn named_like_one(text: &str) -> bool {
    let lower = text.to_lowercase();
    !text.contains('\n') && [".pem", ".crt", ".cer"].iter().any(|end| lower.ends_with(end)) && !lower.contains("key")
}

/// Certificate files in the partner files, whatever their key is called.
fn named_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|end| end == "toml"))
    {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Ok(table) = toml::from_str::<toml::Table>(&text) {
            collect(&toml::Value::Table(table), &mut found);
        }
    }
    found
}

fn collect(value: &toml::Value, found: &mut Vec<PathBuf>) {
    match value {
        toml::Value::String(text) if named_like_one(text) => found.push(PathBuf::from(text)),
        toml::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        toml::Value::Table(table) => table.iter().for_each(|(_, value)| collect(value, found)),
        _ => {}
    }
}

fn look(file: &Path) -> Vec<Finding> {
    let shown = format!("`{}`", file.display());
    let bad = |why: String| {
        vec![Finding::fail(
            Certificate,
            NO_CERTIFICATE,
            format!("the certificate file {shown} {why}"),
            "put a PEM file there that the user of the hub may read",
        )]
    };
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) => return bad(format!("cannot be read: {}", error.kind())),
    };
    let found: Vec<Validity> =
        CertificateDer::pem_slice_iter(&text).filter_map(|certificate| Validity::of(&certificate.ok()?)).collect();
    if found.is_empty() {
        bad("holds no certificate".to_owned())
    } else {
        found.into_iter().map(|validity| validity.judge(&shown)).collect()
    }
}
