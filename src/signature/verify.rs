//! Judging the signatures of a request by the rules of the partner API.

use axum::http::HeaderMap;

use super::{
    Error,
    algorithm::Verify,
    base::Message,
    digest,
    structured::{Bare, Item, Member, Parameters, dictionary},
};

/// Seconds that `created` may lie from the clock of the hub, before or after.
pub const WINDOW: i64 = 300;

/// The most signatures of one message that are looked at: a change of keys needs two.
const MOST: usize = 4;

const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

/// One signature of a message, read and not yet judged.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub label: String,
    pub keyid: String,
    pub nonce: String,
    pub created: i64,
    components: Vec<Item>,
    parameters: Parameters,
    signature: Vec<u8>,
}

/// Reads the signatures of a message. Those that lack a parameter are left out, if another one has all.
pub fn candidates(headers: &HeaderMap) -> Result<Vec<Candidate>, Error> {
    let (inputs, signatures) = (members(headers, INPUT)?, members(headers, SIGNATURE)?);
    let (mut found, mut fault) = (Vec::new(), Error::Unsigned);
    for (label, member) in inputs.into_iter().take(MOST) {
        let Member::List(components, parameters) = member else { return Err(Error::Unreadable(INPUT)) };
        let signature = signatures.iter().find(|(other, _)| *other == label).map(|(_, member)| member);
        let Some(Member::Item(Item { bare: Bare::Bytes(signature), .. })) = signature else {
            fault = Error::Unreadable(SIGNATURE);
            continue;
        };
        match Candidate::new(label, components, parameters, signature.clone()) {
            Ok(candidate) => found.push(candidate),
            Err(error) => fault = error,
        }
    }
    if found.is_empty() { Err(fault) } else { Ok(found) }
}

fn members(headers: &HeaderMap, name: &'static str) -> Result<Vec<(String, Member)>, Error> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(value.to_str().map_err(|_| Error::Unreadable(name))?);
    }
    if lines.is_empty() {
        return Err(Error::Unsigned);
    }
    dictionary(&lines.join(", ")).ok_or(Error::Unreadable(name))
}

impl Candidate {
    fn new(label: String, components: Vec<Item>, parameters: Parameters, signature: Vec<u8>) -> Result<Self, Error> {
        let text = |name: &'static str| match parameter(&parameters, name) {
            Some(Bare::String(text)) => Ok(text.clone()),
            Some(_) => Err(Error::Unreadable(INPUT)),
            None => Err(Error::NotCovered(name)),
        };
        let (keyid, nonce) = (text("keyid")?, text("nonce")?);
        let created = match parameter(&parameters, "created") {
            Some(Bare::Integer(created)) => *created,
            Some(_) => return Err(Error::Unreadable(INPUT)),
            None => return Err(Error::NotCovered("created")),
        };
        // A short nonce is soon used up; a long one fills the store.
        if !(8..=128).contains(&nonce.len()) || keyid.is_empty() || keyid.len() > 128 {
            return Err(Error::Unreadable(INPUT));
        }
        Ok(Self { label, keyid, nonce, created, components, parameters, signature })
    }

    /// Whether this signature makes the message one of the key's owner, at that second.
    pub fn check(&self, message: &Message<'_>, body: &[u8], key: &dyn Verify, now: i64) -> Result<(), Error> {
        self.in_time(now)?;
        self.covers(message, body)?;
        match parameter(&self.parameters, "alg") {
            None => {}
            Some(Bare::String(name)) if name == key.algorithm().as_str() => {}
            Some(_) => return Err(Error::Mismatch),
        }
        // Behind a proxy the hub does not see by which scheme it was called: both are tried, and only `@target-uri` and
        // `@scheme` tell them apart.
        let mut fits = false;
        for scheme in ["https", "http"] {
            let base = Message { scheme, authority: without_port(message.authority, scheme), ..message.clone() };
            let base = base.base(&self.components, &self.parameters)?;
            fits |= key.verify(base.as_bytes(), &self.signature);
        }
        if !fits {
            return Err(Error::Mismatch);
        }
        self.body(message, body)
    }

    fn in_time(&self, now: i64) -> Result<(), Error> {
        let expired = matches!(parameter(&self.parameters, "expires"), Some(Bare::Integer(expires)) if *expires < now);
        if now.abs_diff(self.created) > WINDOW.unsigned_abs() || expired { Err(Error::Clock) } else { Ok(()) }
    }

    fn covers(&self, message: &Message<'_>, body: &[u8]) -> Result<(), Error> {
        let has = |name: &str| {
            self.components.iter().any(|item| item.bare == Bare::String(name.to_owned()) && item.parameters.is_empty())
        };
        let path = has("@request-target") || has("@path") && (message.query.is_none() || has("@query"));
        if !has("@method") {
            Err(Error::NotCovered("@method"))
        } else if !(has("@target-uri") || has("@authority") && path) {
            Err(Error::NotCovered("@target-uri"))
        } else if !body.is_empty() && !has(digest::FIELD) {
            Err(Error::NotCovered(digest::FIELD))
        } else {
            Ok(())
        }
    }

    fn body(&self, message: &Message<'_>, body: &[u8]) -> Result<(), Error> {
        let mut lines = message.headers.get_all(digest::FIELD).iter().peekable();
        if lines.peek().is_none() && body.is_empty() {
            return Ok(());
        }
        let lines: Option<Vec<&str>> = lines.map(|value| value.to_str().ok()).collect();
        digest::check(&lines.ok_or(Error::Unreadable(digest::FIELD))?.join(", "), body)
    }
}

fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a Bare> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The usual port of a scheme is not part of the authority (RFC 9421, section 2.2.3).
fn without_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let usual = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(usual).unwrap_or(authority)
}
