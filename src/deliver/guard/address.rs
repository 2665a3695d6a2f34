//! Which URLs and addresses a partner may have: the rules of the guard, without any network.

use std::{net::IpAddr, sync::LazyLock};

use url::{Host, Url};

use crate::{
    error::{Code, Fault},
    govern::network::Network,
};

/// The URL of the partner cannot be used.
pub const URL_REFUSED: Code = Code::new(6020);

/// Checks how a URL is written and, where its host is an address, that it lies in the networks.
///
/// `http` is for loopback alone (tests, a sidecar that does TLS): personal data do not travel in the clear.
pub fn check_url(text: &str, allow: &[Network]) -> Result<Url, Fault> {
    let refuse = |message: &str, expected: &str| Err(Fault::new(URL_REFUSED, message).expected(expected));
    let Ok(url) = Url::parse(text) else { return refuse("the URL cannot be read", "https://host/path") };
    let loopback_only = !allow.is_empty() && allow.iter().all(is_loopback);
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback_only) {
        return refuse("the URL has the wrong scheme", "https");
    }
    // `https:host`, `https:\\host`: readers of URLs disagree about where the host is.
    let authority = text.strip_prefix(url.scheme()).and_then(|rest| rest.strip_prefix("://"));
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next()).filter(|host| !host.is_empty());
    let Some(authority) = authority.filter(|_| !text.contains(|c: char| c.is_whitespace() || c.is_control())) else {
        return refuse("the URL is written in an unusual way", "https://host/path");
    };
    if !url.username().is_empty() || url.password().is_some() || authority.contains(['@', '\\']) {
        return refuse("the URL holds user information", "a host without `user@`");
    }
    if url.fragment().is_some() {
        return refuse("the URL holds a fragment", "a URL without `#`");
    }
    let address = match url.host() {
        // 2130706433, 0x7f.1, 0177.0.0.1 and full-width digits are addresses in disguise.
        Some(Host::Ipv4(address)) if !written_as(authority, &address.to_string()) => {
            return refuse("the address in the URL is not written as four decimal numbers", "like 10.1.2.3");
        }
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(url),
        None => return refuse("the URL has no host", "https://host/path"),
    };
    match permit(address, allow) {
        Some(_) => Ok(url),
        None => refuse("the address in the URL is not inside the partner's networks", "an address in `allow`"),
    }
}

fn written_as(authority: &str, host: &str) -> bool {
    authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
}

fn is_loopback(network: &Network) -> bool {
    LOOPBACK.iter().any(|range| network.is_within(range))
}

/// RFC 6890 and its registry: this machine.
static LOOPBACK: LazyLock<Vec<Network>> = LazyLock::new(|| ranges(&["127.0.0.0/8", "::1/128"]));

/// Never a partner: "this network", link-local, multicast, reserved and broadcast, and IPv6 forms that carry an IPv4
/// address of their own (compatible, translated, NAT64, Teredo, 6to4); the addresses outside link-local where clouds keep
/// their metadata.
static NEVER: LazyLock<Vec<Network>> = LazyLock::new(|| {
    ranges(&[
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "100.100.100.200/32",
        "fd00:ec2::254/128",
        "::/96",
        "::ffff:0:0:0/96",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    ])
});

fn ranges(texts: &[&str]) -> Vec<Network> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The address as it may be connected to, or `None`. IPv4-mapped IPv6 is judged, and used, as IPv4.
pub fn permit(address: IpAddr, allow: &[Network]) -> Option<IpAddr> {
    let address = address.to_canonical();
    let within = |ranges: &[Network]| ranges.iter().any(|range| range.contains(address));
    let permitted = if within(&LOOPBACK) {
        // 0.0.0.0/0 does not mean this machine: loopback must be named.
        allow.iter().any(|network| is_loopback(network) && network.contains(address))
    } else {
        within(allow) && !within(&NEVER)
    };
    permitted.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_range_of_the_guard_is_read() {
        assert_eq!((LOOPBACK.len(), NEVER.len()), (2, 15));
    }

    #[test]
    fn tricks_in_urls_are_refused() {
        let allow = networks(&["0.0.0.0/0", "::/0"]);
        for url in [
            "http://partner.example/",
            "ftp://partner.example/",
            "file:///etc/passwd",
            "https:partner.example/",
            "https:\\\\partner.example/",
            "https://user@partner.example/",
            "https://10.1.0.1@169.254.169.254/",
            "https://@partner.example/",
            "https://partner.example\\@10.0.0.1/",
            "https://partner.example/#x",
            "https://2130706433/",
            "https://3232235521/",
            "https://0x0a.1.2.3/",
            "https://012.1.2.3/",
            "https://10.1/",
            "https://１０.1.2.3/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[::ffff:0:7f00:1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "https://017700000001/",
            "https://127.1/",
            "https:///path",
            "https://10.1.2\t.3/",
            " https://partner.example/",
            "not a url",
        ] {
            assert_eq!(check_url(url, &allow).map(|url| url.to_string()).unwrap_err().code, URL_REFUSED, "{url}");
        }
        for url in ["https://partner.example/events?a=b", "https://10.1.2.3:8443/", "https://[2400:3200::1]/"] {
            assert!(check_url(url, &allow).is_ok(), "{url}");
        }
        assert!(check_url("https://10.2.0.1/", &networks(&["10.1.0.0/16"])).is_err());
        assert!(check_url("http://127.0.0.1:9/", &networks(&["127.0.0.0/8"])).is_ok());
        assert!(check_url("http://127.0.0.1:9/", &networks(&["127.0.0.0/8", "10.0.0.0/8"])).is_err());
        assert!(check_url("https://169.254.169.254/", &networks(&["169.254.0.0/16"])).is_err(), "link-local is never allowed");
    }

    #[test]
    fn mapped_addresses_are_judged_as_what_they_carry() {
        let allow = networks(&["10.0.0.0/8", "::/0"]);
        assert_eq!(permit("::ffff:10.1.2.3".parse().unwrap(), &allow), Some("10.1.2.3".parse().unwrap()));
        assert_eq!(permit("::ffff:127.0.0.1".parse().unwrap(), &allow), None);
        assert_eq!(permit("::ffff:192.0.2.1".parse().unwrap(), &allow), None);
    }
}
