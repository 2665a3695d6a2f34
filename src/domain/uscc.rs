//! Unified social credit codes (GB 32100-2015) and organisation codes (GB 11714).

use super::{Refusal, text};
use crate::error::Code;

/// A unified social credit code or organisation code breaks its standard.
pub const USCC: Code = Code::new(3102);

/// 31 characters: no I, O, S, V, Z.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// 3^(i-1) mod 31.
const WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
const ORG_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];

/// The code in upper case, its characters and check character verified.
pub fn uscc(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "a unified social credit code of 18 characters (GB 32100)";
    let code = text::compact_upper(value, 18);
    if code.len() != 18 {
        return Err(Refusal::new(USCC, "the social credit code has a wrong length", EXPECTED));
    }
    let mut ranks = [0; 18];
    for (rank, c) in ranks.iter_mut().zip(code.bytes()) {
        *rank = ALPHABET
            .iter()
            .position(|known| *known == c)
            .ok_or_else(|| Refusal::new(USCC, "the social credit code has a character outside its alphabet", EXPECTED))?;
    }
    let sum: usize = ranks.iter().zip(WEIGHTS).map(|(rank, weight)| rank * weight).sum();
    if (31 - sum % 31) % 31 != ranks[17] {
        return Err(Refusal::new(USCC, "the check character of the social credit code is wrong", EXPECTED));
    }
    Ok(code)
}

/// The organisation code of nine characters, a hyphen before the check character dropped.
pub fn organisation_code(value: &str) -> Result<String, Refusal> {
    const EXPECTED: &str = "an organisation code of 9 characters (GB 11714)";
    let mut code = text::compact_upper(value, 10);
    code.retain(|c| c != '-');
    if code.len() != 9 || !code.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Refusal::new(USCC, "the organisation code has a wrong form", EXPECTED));
    }
    let sum: u32 = code.chars().zip(ORG_WEIGHTS).map(|(c, weight)| c.to_digit(36).unwrap_or_default() * weight).sum();
    let check = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        digit => char::from_digit(digit, 10).unwrap_or('?'),
    };
    if code.ends_with(check) {
        Ok(code)
    } else {
        Err(Refusal::new(USCC, "the check character of the organisation code is wrong", EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vectors;

    #[test]
    fn vectors() {
        for code in vectors::texts("/uscc/valid", "code") {
            assert_eq!(uscc(&format!(" {} ", code.to_lowercase())).unwrap(), code);
        }
        for entry in vectors::all()["uscc"]["invalid"].as_array().unwrap() {
            let refusal = uscc(entry["code"].as_str().unwrap()).unwrap_err();
            let word = if entry["reason"] == "check" { "check" } else { "alphabet" };
            assert!(refusal.message.contains(word), "{refusal}");
        }
        for code in vectors::texts("/org_code_gb11714/valid", "") {
            assert_eq!(organisation_code(&code).unwrap(), code);
        }
    }

    #[test]
    fn organisation_code_forms() {
        assert_eq!(organisation_code("D2143569-X").unwrap(), "D2143569X");
        assert!(organisation_code("D2143569-1").is_err());
        assert!(organisation_code("吉2143569X").is_err());
        assert!(uscc("").is_err() && uscc("吉林省吉林省").is_err());
    }
}
