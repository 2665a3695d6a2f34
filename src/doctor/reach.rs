//! Partners that are called: whether their door opens, inside the networks they are allowed, and how long their certificate holds.

use url::Url;

use super::{
    Category::Partners,
    Check, Finding, Seen,
    wire::{self, Door},
};
use crate::{
    deliver::guard::address::{check_url, permit},
    error::Code,
    govern::partner::{Partner, Transport, Webhook},
};

/// A partner cannot be reached.
pub const UNREACHABLE: Code = Code::new(8261);
/// A partner's name has no address inside its networks.
pub const OUTSIDE: Code = Code::new(8262);

pub(super) fn checks(partners: &[Partner]) -> Vec<Check> {
    let called = partners.iter().filter_map(|partner| match &partner.transport {
        Transport::Webhook(webhook) => Some((partner.slug.clone(), webhook.clone())),
        _ => None,
    });
    called
        .map(|(slug, webhook)| Check::new(Partners, format!("partner `{slug}`"), 20, async move { look(&slug, &webhook).await }))
        .collect()
}

/// Where a URL leads.
pub(super) fn door(url: &Url, default_port: u16) -> Option<Door> {
    let tls = matches!(url.scheme(), "https" | "amqps");
    let http = matches!(url.scheme(), "http" | "https");
    Some(Door { host: url.host_str()?.to_owned(), port: url.port_or_known_default().unwrap_or(default_port), tls, http })
}

async fn look(slug: &str, webhook: &Webhook) -> Seen {
    let url = match check_url(&webhook.url, &webhook.allow) {
        Ok(url) => url,
        Err(fault) => return Finding::fault(Partners, &fault.in_file(format!("{slug}.toml"))).into(),
    };
    let Some(door) = door(&url, 443) else { return Seen::default() };
    let place = format!("partner `{slug}` at {}:{}", door.host, door.port);
    let hint = "ask the partner whether its service runs; check the route and the network policy. Its queue waits meanwhile, nothing is lost";
    let addresses = match wire::resolve(&door).await {
        Ok(addresses) => addresses,
        Err(closed) => return Finding::fail(Partners, UNREACHABLE, format!("{place}: {}", closed.why()), hint).into(),
    };
    let allowed: Vec<_> = addresses
        .into_iter()
        .filter_map(|address| Some((permit(address.ip(), &webhook.allow)?, address.port()).into()))
        .collect();
    if allowed.is_empty() {
        let message = format!("{place}: its name has no address inside its networks");
        return Finding::fail(Partners, OUTSIDE, message, "compare `allow` in the partner's file with the addresses of its name")
            .into();
    }
    match wire::knock(&door, &allowed).await {
        Ok(sight) => seen(sight, Finding::ok(Partners, format!("{place} opens")), &place),
        Err(closed) => Finding::fail(Partners, UNREACHABLE, format!("{place}: {}", closed.why()), hint).into(),
    }
}

/// A door that opened: what is behind it, its certificate, its clock.
pub(super) fn seen(sight: wire::Sight, fine: Finding, place: &str) -> Seen {
    let mut findings = vec![fine];
    findings.extend(sight.certificate.map(|validity| validity.judge(place)));
    Seen { findings, clocks: sight.clock.into_iter().collect() }
}
