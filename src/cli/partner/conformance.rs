//! `civilhub partner conformance`: what a partner has shown in the sandbox, and a signed certificate of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::{Global, no_such_partner, output};
use crate::{
    api::v1::keys,
    clock,
    config::keys::Keys,
    error::{Code, Fault, Faults},
    exchange::{banks, partner_of},
    hub::{self, Secrets},
    signature::algorithm,
    store::{Error, Store},
};

/// A conformance certificate is missing, is for another key, has run out, or its signature does not fit.
pub const NO_CERTIFICATE: Code = Code::new(6820);

/// Name of the checks and their version.
const SUITE: &str = "civilhub-conformance/1";
/// Days for which a certificate is good.
const DAYS: i64 = 365;

#[derive(clap::Args)]
pub(super) struct Args {
    partner: String,
    /// Where the certificate goes when every check is passed.
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    format: output::Format,
}

/// One thing that a partner must have shown.
struct Check {
    name: &'static str,
    what: &'static str,
    hint: &'static str,
    /// A count, for partner `$1` (of `bank` checks: the code of the bank).
    sql: &'static str,
    bank: bool,
    /// Whether the count must be zero.
    none: bool,
}

const CHECKS: [Check; 6] = [
    Check {
        name: "key",
        what: "a public key is registered",
        hint: "`partner sandbox --public`",
        sql: "SELECT COUNT(*) FROM partner_key WHERE partner = $1",
        bank: false,
        none: false,
    },
    Check {
        name: "signature",
        what: "a signed request was taken in the last 20 minutes",
        hint: "`partner call GET …/v1/meta/allowed`",
        sql: "SELECT COUNT(*) FROM api_nonce WHERE partner = $1",
        bank: false,
        none: false,
    },
    Check {
        name: "idempotency",
        what: "a POST with an Idempotency-Key was done",
        hint: "acknowledge an event by /v1/events/ack",
        sql: "SELECT COUNT(*) FROM api_answer WHERE partner = $1 AND state <> 'open'",
        bank: false,
        none: false,
    },
    Check {
        name: "delivery",
        what: "a delivery was fetched and acknowledged",
        hint: "read /v1/events, then /v1/events/ack",
        sql: "SELECT COUNT(*) FROM mailbox_head WHERE partner = $1 AND acknowledged > 0",
        bank: false,
        none: false,
    },
    Check {
        name: "answer",
        what: "a query was answered",
        hint: "POST /v1/answers",
        sql: "SELECT COUNT(*) FROM verification_query WHERE provider = $1 AND state = 'ANSWERED'",
        bank: true,
        none: false,
    },
    Check {
        name: "right answers",
        what: "no answer was refused that was not mended",
        hint: "`verify status` shows the code",
        sql: "SELECT COUNT(*) FROM verification_query WHERE provider = $1 AND state = 'FAILED'",
        bank: true,
        none: true,
    },
];

pub(super) async fn run(global: &Global, args: Args) -> anyhow::Result<ExitCode> {
    let (config, store) = global.store().await?;
    store.migrate().await.map_err(|error| error.fault())?;
    // Without the adapters: who tries the sandbox has none.
    let registry = hub::registry(&config).map_err(Faults)?;
    let agreements = hub::agreements(&config, &Keys::dry_run(), Secrets::Optional, &registry).map_err(Faults)?;
    if agreements.partner(&args.partner).is_none() {
        return Err(no_such_partner(&args.partner, &agreements).into());
    }
    let checks = judge(&store, &args.partner).await.map_err(|error| error.fault())?;
    let passed = checks.iter().all(|check| check["passed"] == true);
    let now = clock::millis();
    let found = keys::of(&store, &args.partner).await.map_err(|error| error.fault())?;
    let key = found.iter().rfind(|key| key.is_valid(now));
    let (true, Some(key)) = (passed, key) else {
        show(&json!({ "partner": args.partner, "suite": SUITE, "passed": false, "checks": checks }), args.format)?;
        return Ok(output::findings(true));
    };
    let signer = Keys::load(&config.key_file())?.ledger;
    let certificate = sign(
        &signer,
        json!({ "suite": SUITE, "partner": args.partner, "passed": true, "public_key": key.public, "checks": checks,
            "issued_at": clock::rfc3339(clock::now()), "valid_to": clock::iso_date(clock::today() + time::Duration::days(DAYS)) }),
    );
    if let Some(out) = &args.out {
        let text = serde_json::to_string_pretty(&certificate)? + "\n";
        fs::write(out, text).map_err(|error| {
            Fault::new(NO_CERTIFICATE, format!("the certificate cannot be written: {}", error.kind()))
                .in_file(out.display().to_string())
        })?;
    }
    show(&certificate, args.format)?;
    Ok(ExitCode::SUCCESS)
}

async fn judge(store: &Store, partner: &str) -> Result<Vec<Value>, Error> {
    let bank = banks().into_iter().find(|bank| partner_of(&bank.code) == partner);
    let mut checks = Vec::new();
    for check in &CHECKS {
        let of = match (&bank, check.bank) {
            (Some(bank), true) => bank.code.as_str(),
            (None, true) => continue,
            (_, false) => partner,
        };
        let count = store.read(check.sql, &[of.into()]).await?.first().map_or(0, |row| row.int(0));
        let passed = (count == 0) == check.none;
        let mut line = json!({ "check": check.name, "what": check.what, "passed": passed, "count": count });
        if !passed {
            line["hint"] = check.hint.into();
        }
        checks.push(line);
    }
    Ok(checks)
}

fn show(value: &Value, format: output::Format) -> anyhow::Result<()> {
    if format.is_json() {
        return output::json(value);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = value["checks"].as_array().into_iter().flatten().map(|check| {
        let state = if check["passed"] == true { "passed" } else { "open" };
        [text(&check["check"]), state.to_owned(), text(&check["what"]), text(&check["hint"])]
    });
    output::say!("{}", output::table(["check", "state", "what", "do"], rows));
    Ok(())
}

/// Adds signer and signature, which is over the JSON text (fields in the order of their names) without the signature.
fn sign(key: &SigningKey, mut body: Value) -> Value {
    body["signed_by"] = format!("ed25519:{}", STANDARD.encode(key.verifying_key().as_bytes())).into();
    body["signature"] = STANDARD.encode(key.sign(body.to_string().as_bytes()).to_bytes()).into();
    body
}

/// Whether the file is a certificate for this partner and key, by this signer, and still good.
///
/// # Errors
/// The first thing that is not so.
pub(super) fn check(file: &Path, partner: &str, public_key: &str, signer: &str) -> Result<(), Fault> {
    let wrong = |text: &str| {
        let fault = Fault::new(NO_CERTIFICATE, text).in_file(file.display().to_string());
        Err(fault.hint("`civilhub partner conformance` in the sandbox makes one"))
    };
    let Some(mut body) = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
        return wrong("the certificate cannot be read");
    };
    let signature = body.as_object_mut().and_then(|body| body.remove("signature"));
    let signature = signature.as_ref().and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    if !algorithm::public(signer)?.verify(body.to_string().as_bytes(), &signature) {
        return wrong("the certificate is not signed by the sandbox that the partner file names");
    }
    if body["partner"] != partner || body["public_key"] != public_key || body["suite"] != SUITE || body["passed"] != true {
        return wrong("the certificate is for another partner, key or suite");
    }
    if body["valid_to"].as_str().unwrap_or_default() < clock::iso_date(clock::today()).as_str() {
        return wrong("the certificate has run out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_holds_for_its_partner_key_and_signer_and_no_byte_may_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("certificate.json");
        let key = SigningKey::from_bytes(&[5; 32]);
        let body = json!({ "suite": SUITE, "partner": "p", "passed": true, "public_key": "ed25519:x", "checks": [], "valid_to": "2099-01-01" });
        let signed = sign(&key, body.clone());
        let signer = signed["signed_by"].as_str().unwrap().to_owned();
        let judge = |certificate: &Value, partner: &str, public: &str, signer: &str| {
            fs::write(&file, serde_json::to_string_pretty(certificate).unwrap()).unwrap();
            check(&file, partner, public, signer).map_err(|fault| fault.code)
        };
        assert_eq!(judge(&signed, "p", "ed25519:x", &signer), Ok(()));
        assert_eq!(judge(&signed, "q", "ed25519:x", &signer), Err(NO_CERTIFICATE));
        assert_eq!(judge(&signed, "p", "ed25519:y", &signer), Err(NO_CERTIFICATE));
        let mut changed = signed.clone();
        changed["valid_to"] = "2100-01-01".into();
        assert_eq!(judge(&changed, "p", "ed25519:x", &signer), Err(NO_CERTIFICATE));
        let other = sign(&SigningKey::from_bytes(&[6; 32]), body);
        assert_eq!(judge(&other, "p", "ed25519:x", &signer), Err(NO_CERTIFICATE));
        let old = sign(
            &key,
            json!({ "suite": SUITE, "partner": "p", "passed": true, "public_key": "ed25519:x", "valid_to": "2017-01-01" }),
        );
        assert_eq!(judge(&old, "p", "ed25519:x", &signer), Err(NO_CERTIFICATE));
    }
}
