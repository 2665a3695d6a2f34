//! Passwords: Argon2id with the parameters that OWASP names, written as `argon2id$<salt>$<hash>`.

use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngCore;
use subtle::ConstantTimeEq;

/// Shortest password.
pub(super) const SHORTEST: usize = 12;
/// Longest: what is longer is no password but an attack.
pub(super) const LONGEST: usize = 256;

/// 19 MiB, two passes, one lane.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// The stored form of a password.
pub(super) fn store(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    Some(format!("argon2id${}${}", hex::encode(salt), hex::encode(hash(password, &salt)?)))
}

/// Whether the password is the one that is stored. Without an account (`None`) as much work is done.
pub(super) fn fits(password: &str, stored: Option<&str>) -> bool {
    let parts = stored.and_then(|stored| {
        let mut parts = stored.strip_prefix("argon2id$")?.split('$');
        Some((hex::decode(parts.next()?).ok()?, hex::decode(parts.next()?).ok()?))
    });
    let (salt, expected) = parts.unwrap_or_else(|| (vec![0; 16], Vec::new()));
    hash(password, &salt).is_some_and(|found| bool::from(found.as_slice().ct_eq(&expected)))
}

fn hash(password: &str, salt: &[u8]) -> Option<[u8; 32]> {
    let (memory, passes, lanes) = COST;
    let parameters = Params::new(memory, passes, lanes, Some(32)).ok()?;
    let mut hash = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    argon.hash_password_into(password.as_bytes(), salt, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits() {
        let stored = store("correct horse battery").unwrap();
        assert!(fits("correct horse battery", Some(&stored)));
        assert!(!fits("correct horse batterx", Some(&stored)));
        assert_ne!(stored, store("correct horse battery").unwrap(), "salted");
        for broken in ["", "argon2id$", "argon2id$00$", "argon2id$zz$zz", "plain"] {
            assert!(!fits("", Some(broken)), "{broken}");
        }
        assert!(!fits("", None));
    }
}
