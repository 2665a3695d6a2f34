//! `content-digest` (RFC 9530): SHA-256, SHA-512 and, as a private name, SM3.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256, Sha512};
use sm3::Sm3;
use subtle::ConstantTimeEq;

use super::{
    Error,
    structured::{Bare, Item, Member, dictionary},
};

/// Name of the header field.
pub const FIELD: &str = "content-digest";

/// The value of the field for a body, with SHA-256 (and SM3 for partners that sign with SM2).
pub fn of(body: &[u8], with_sm3: bool) -> String {
    let sha = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
    if with_sm3 { format!("{sha}, sm3=:{}:", STANDARD.encode(Sm3::digest(body))) } else { sha }
}

/// Every digest of a known name must fit, and there must be one.
pub fn check(field: &str, body: &[u8]) -> Result<(), Error> {
    let members = dictionary(field).ok_or(Error::Unreadable(FIELD))?;
    let mut known = 0;
    for (name, member) in members {
        let expected = match name.as_str() {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            "sm3" => Sm3::digest(body).to_vec(),
            _ => continue,
        };
        let Member::Item(Item { bare: Bare::Bytes(given), .. }) = member else { return Err(Error::Unreadable(FIELD)) };
        if !bool::from(given.ct_eq(&expected)) {
            return Err(Error::Digest);
        }
        known += 1;
    }
    if known > 0 { Ok(()) } else { Err(Error::Digest) }
}

/// SM3 in hex.
pub fn sm3_hex(body: &[u8]) -> String {
    hex::encode(Sm3::digest(body))
}

/// SHA-256 in hex.
pub fn sha256_hex(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_digest_must_fit() {
        let both = of(b"{}", true);
        assert_eq!(check(&both, b"{}"), Ok(()));
        assert_eq!(check(&both, b"{ }"), Err(Error::Digest));
        let sha = of(b"{}", false);
        assert_eq!(check(&format!("{sha}, sm3=:AAAA:"), b"{}"), Err(Error::Digest));
        assert_eq!(check(&format!("{sha}, unixsum=:AAAA:"), b"{}"), Ok(()));
        assert_eq!(check("unixsum=:AAAA:", b"{}"), Err(Error::Digest));
        assert_eq!(check("", b"{}"), Err(Error::Digest));
        assert_eq!(check("sha-256=1", b"{}"), Err(Error::Unreadable(FIELD)));
        let rfc = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
        assert_eq!(check(rfc, br#"{"hello": "world"}"#), Ok(()));
    }

    /// GB/T 32905, example 1.
    #[test]
    fn sm3_of_abc() {
        assert_eq!(sm3_hex(b"abc"), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
    }
}
