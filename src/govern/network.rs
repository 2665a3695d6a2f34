//! [`Network`]: an address range such as `10.1.0.0/16` in which a partner may be reached.

use std::{fmt, net::IpAddr, str::FromStr};

/// An address and the number of its leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: u128,
    prefix: u8,
    v4: bool,
}

impl Network {
    /// Whether the address is in this range. An IPv4 address inside an IPv6 one must be unwrapped before.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (bits, v4) = widen(address);
        v4 == self.v4 && (bits ^ self.base) & mask(self.prefix) == 0
    }

    /// Whether every address of this range is in `outer`.
    pub fn is_within(&self, outer: &Self) -> bool {
        self.v4 == outer.v4 && self.prefix >= outer.prefix && (self.base ^ outer.base) & mask(outer.prefix) == 0
    }
}

/// IPv4 addresses occupy the upper 32 bits, so that a prefix counts from the same end for both.
fn widen(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = &'static str;

    /// `10.1.0.0/16`, `2001:db8::/32`, or one address. Bits beyond the prefix must be zero: they are always a slip.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a network like 10.1.0.0/16 or 2001:db8::/32, bits beyond the prefix zero";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| FORM)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let (base, v4) = widen(address);
        let longest = if v4 { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest || base & !mask(prefix) != 0 {
            return Err(FORM);
        }
        Ok(Self { base, prefix, v4 })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address =
            if self.v4 { IpAddr::from(((self.base >> 96) as u32).to_be_bytes()) } else { IpAddr::from(self.base.to_be_bytes()) };
        write!(f, "{address}/{}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(!network.contains("10.2.0.0".parse().unwrap()));
        assert!(!network.contains("::a01:1".parse().unwrap()));
        assert!(network.is_within(&"10.0.0.0/8".parse().unwrap()));
        assert!(!network.is_within(&"10.1.0.0/17".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()) && network.is_within(&all));
        assert_eq!(network.to_string(), "10.1.0.0/16");
        assert_eq!("2001:db8::/32".parse::<Network>().unwrap().to_string(), "2001:db8::/32");
    }

    #[test]
    fn slips_are_refused() {
        for text in ["10.1.0.0/33", "10.1.0.1/16", "10.1/16", "localhost", "", "::/129", "010.1.0.0/16"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
